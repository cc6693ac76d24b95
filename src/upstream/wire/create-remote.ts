/** An upstream to talk to, over the connection that its address asks for. */
import { systemClock, type Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { WIRE_LIMITS, type WireLimits } from './limits.ts';
import type { Remote, RemoteOptions } from './remote.ts';

export interface RemoteParts {
  readonly clock?: Clock;
  readonly limits?: Partial<WireLimits>;
}

/** Connects at the first call. */
export function createRemote(_options: RemoteOptions, _parts: RemoteParts = {}): Remote {
  throw new Fault('internal', 'not connected yet', { context: { clock: systemClock.now(), limits: WIRE_LIMITS } });
}
