/** What the rules of a conf say about one push: asked ref by ref, of a site or of the conf in the policy repository. */
import type { Access, Attempt } from '../../access/gitolite/conf-access.ts';
import type { ConfGround } from '../../access/gitolite/conf-policy.ts';
import type { Policy } from '../../access/policy.ts';
import { Fault } from '../../base/fault.ts';
import type { Push } from '../../receive/step.ts';
import type { Run } from '../run.ts';
import type { Runs } from '../runs.ts';
import { hookRun, type Voice } from './voice.ts';

export interface Ground extends ConfGround {
  /** A site's: there triggers run, programs are found, and the log is written. */
  readonly run?: Run;
}

/** Undefined: no conf governs the repository. */
export type FindGround = (push: Push, voice: Voice) => Promise<Ground | undefined>;

export function vrefsOf({ access, repository, user }: Ground): readonly string[] {
  return access.virtualRefs(repository, user);
}

export function askerOf({ access, repository, user }: Ground, attempt: string): (ref: string) => Access {
  return access.asker({ repository, user, attempt: attempt as Attempt });
}

/** The ground of pushes to what the conf in the policy repository governs. */
export function houseGround(policy: Pick<Policy, 'confGround'>): FindGround {
  return ({ principal, repository }) =>
    Promise.resolve(repository.conf === undefined ? policy.confGround?.(principal, repository) : undefined);
}

/** The ground of pushes to a site's repositories; the invocation that each belongs to is in `runs`. */
export function siteGround(runs: Pick<Runs, 'of'>): FindGround {
  return async (push, voice) => {
    const { principal, repository, requestId, signal } = push;
    if (repository.conf === undefined) return undefined;
    const run = runs.of(requestId);
    // Its rules must not be passed over.
    if (run === undefined) throw new Fault('internal', 'push to a site has no invocation', { context: { requestId } });
    const { policy } = await run.site.conf(run.rc);
    return { ...policy.confGround(principal, repository), run: hookRun(run, push, { voice, signal }) };
  };
}
