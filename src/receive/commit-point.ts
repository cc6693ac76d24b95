/** THE commit point of a transaction: one transaction of the store. */
import { Fault } from '../base/fault.ts';
import type { Repository } from '../repository/repository.ts';
import type { Check, Kind, Store, Stored, TransactResult, Write } from '../store/store.ts';
import type { Attempt } from './attempt.ts';
import { parseState, type State } from './state.ts';

export interface CommitPoint {
  readonly repository: Repository;
  /** What `repository-state` was when the turn began. */
  readonly stored: Stored | undefined;
  readonly state: State;
  readonly attempt: Attempt;
  /** Has to hold, and becomes so, in the same moment. */
  readonly alongside: { readonly checks: readonly Check[]; readonly writes: readonly Write[] };
}

/**
 * Returns the version of the `pending` object. `attempt.mayBeCommitted` tells what is known where it throws.
 * @throws Fault `missing`, `conflict`, `internal`.
 */
export async function writeCommitPoint(
  store: Pick<Store, 'get' | 'transact'>,
  { repository, stored, state, attempt, alongside }: CommitPoint,
): Promise<number> {
  const { id } = repository;
  const value = { generation: state.generation, txid: state.txid };
  attempt.mayBeCommitted = true;
  let result: TransactResult;
  try {
    result = await store.transact({
      checks: [
        { kind: recordKind(repository), key: id, version: 'any' },
        { kind: 'repository-state', key: id, version: stored?.version ?? 0 },
        ...alongside.checks,
      ],
      writes: [
        { kind: 'repository-state', key: id, put: value },
        { kind: 'pending', key: id, put: value },
        ...alongside.writes,
      ],
    });
  } catch (cause) {
    // The answer was lost: what is there tells. Where nothing can be read either, start-up will find out.
    const now = await store.get('pending', id);
    if (now !== undefined && parseState(now).txid === state.txid) return now.version;
    attempt.mayBeCommitted = false;
    throw new Fault('internal', 'push was not committed', { cause, context: { id } });
  }
  if (result.kind === 'committed') return result.version;
  attempt.mayBeCommitted = false;
  if (result.check.kind === recordKind(repository)) {
    throw new Fault('missing', 'repository is gone', { publicMessage: 'the repository is gone' });
  }
  if (result.check.kind !== 'repository-state') {
    const publicMessage = 'what this depends on changed meanwhile: look again';
    throw new Fault('conflict', 'condition of a commit changed', { context: { ...result.check }, publicMessage });
  }
  throw new Fault('conflict', 'another gate commits to this repository', { context: { id } });
}

/** What is in the store as long as the repository is there. */
function recordKind({ conf }: Repository): Kind {
  return conf === undefined ? 'repository' : 'site-repository';
}
