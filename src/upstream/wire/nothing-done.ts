/** Thrown on the way of a push whose commands reached nobody that acts on them, so that nothing can have changed. */
import type { Fault } from '../../base/fault.ts';

export class NothingDone extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.message, { cause: fault });
    this.name = 'NothingDone';
    this.fault = fault;
  }
}
