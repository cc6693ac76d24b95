/**
 * The step that guards the policy: what is pushed to HEAD's branch of the policy repository has to compile and pass its
 * scenarios, and is in force before the push is acknowledged. Other branches are drafts and pass.
 */
import type { Oid } from '../../git/oid.ts';
import { isZeroOid } from '../../git/oid.ts';
import type { Repository } from '../../repository/repository.ts';
import type { Push, RefUpdate, Step } from '../step.ts';

/** What became of a candidate. `text`: everything wrong, for a person: file, line, carets, failed scenarios. */
export type PolicyVerdict<Candidate> =
  | { readonly kind: 'ok'; readonly candidate: Candidate; readonly text?: string }
  | { readonly kind: 'wrong'; readonly text: string; readonly reason: string };

/** The narrow part of the policy floor that this step calls; `house.ts` hands it in. */
export interface PolicyGuard<Candidate> {
  checkCandidate(question: {
    readonly gitDir: string;
    readonly objectDirectory?: string;
    readonly commit: Oid;
    readonly signal?: AbortSignal;
  }): Promise<PolicyVerdict<Candidate>>;
  /** Puts it in force, whole. Called in the order in which the pushes committed. */
  adopt(candidate: Candidate): Promise<void>;
}

export interface PolicyStepOptions<Candidate> {
  readonly guard: PolicyGuard<Candidate>;
  /** Whether this is the repository that holds the policy. */
  readonly isPolicyRepository: (repository: Repository) => boolean;
  /** The branch that HEAD names. */
  readonly headOf: (repository: Repository) => Promise<string | undefined>;
}

export function createPolicyStep<Candidate>(options: PolicyStepOptions<Candidate>): Step {
  const { guard, isPolicyRepository, headOf } = options;
  const candidates = new WeakMap<Push, { readonly refname: string; readonly candidate: Candidate }>();
  return {
    name: 'policy',
    async check(push) {
      if (!isPolicyRepository(push.repository)) return [];
      const update = updateOf(push.updates, await headOf(push.repository));
      if (update === undefined) return [];
      const { refname } = update;
      if (isZeroOid(update.newOid)) return [{ refname, reason: 'the policy in force is not deleted' }];
      const verdict = await guard.checkCandidate({
        gitDir: push.repository.path,
        ...(push.objectDirectory === undefined ? {} : { objectDirectory: push.objectDirectory }),
        commit: update.newOid,
        signal: push.signal,
      });
      if (verdict.text !== undefined && verdict.text !== '') push.tell(verdict.text);
      if (verdict.kind === 'wrong') return [{ refname, reason: verdict.reason }];
      candidates.set(push, { refname, candidate: verdict.candidate });
      return [];
    },
    async committed(push, updates) {
      const held = candidates.get(push);
      if (held === undefined || updateOf(updates, held.refname) === undefined) return;
      await guard.adopt(held.candidate);
    },
    sharesTurn: (repository) => !isPolicyRepository(repository),
  };
}

function updateOf(updates: readonly RefUpdate[], refname: string | undefined): RefUpdate | undefined {
  return updates.find((update) => update.refname === refname);
}
