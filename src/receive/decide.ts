/** Each update asked of the policy, with the facts that its rules may look at. */
import type { Decision, Operation, Question, RefUpdateFacts } from '../access/decision.ts';
import type { Clock } from '../base/clock.ts';
import { Stint } from '../base/stint.ts';
import { bringsMerge, type ObjectPlace } from '../git/objects.ts';
import { isZeroOid } from '../git/oid.ts';
import type { Principal } from '../identity/principal.ts';
import type { Repository, RepositoryFacts } from '../repository/repository.ts';
import type { Origin } from './journal-line.ts';
import type { UpdateKind } from './step.ts';
import { treeFacts } from './tree-facts.ts';
import type { Update } from './update.ts';

/** What this floor asks of the policy. */
export interface ReceivePolicy {
  decide(question: Question): Decision;
  /** Whether a rule that governs this repository looks at changed paths: they are computed only then. */
  needsFor(repository: RepositoryFacts): { readonly paths: boolean; readonly merges?: boolean };
  /** Another number once another policy is in force; absent: there is never another. */
  readonly revision?: number;
}

export const OPERATION_OF: Readonly<Record<UpdateKind, Operation>> = {
  create: 'create-ref',
  'fast-forward': 'update-ref',
  rewind: 'rewind-ref',
  delete: 'delete-ref',
};

export interface DecideOptions {
  readonly policy: ReceivePolicy;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly principal: Principal;
  readonly repository: Repository;
  readonly origin: Pick<Origin, 'transport'>;
  /** Where the new objects are to be seen. */
  readonly place: ObjectPlace;
}

/** Refuses, or holds, every open update that the policy does not allow, with the policy's reason. @throws Fault where facts are not to be had. */
export async function decideUpdates(updates: readonly Update[], options: DecideOptions): Promise<void> {
  const { policy, principal, repository, origin } = options;
  // A push may update tens of thousands of refs, and its rules may be dear: others get their turn in between, and what
  // the rules of an owner cost is bounded over all of them.
  const stint = new Stint(options.clock);
  const together = {};
  const variables = { source: origin.transport };
  for (const update of updates) {
    if (stint.isOver) await stint.rest();
    if (!update.isOpen || update.kind === undefined) continue;
    const operation = OPERATION_OF[update.kind];
    const ref = await factsOf(update, options);
    const decision = policy.decide({ principal, operation, repository, ref, variables, together });
    const { reason, rule, native } = decision;
    update.native = native;
    if (decision.kind === 'allowed') continue;
    if (decision.hold === true) {
      update.hold({ reason, ...(rule === undefined ? {} : { rule }) });
      continue;
    }
    const report = native === undefined ? {} : { report: hookDeclined(reason) };
    update.refuse(reason, { ...(rule === undefined ? {} : { rule }), ...report });
  }
}

/** Clients, and those who read what they print, know these words from git, behind whose update hook gitolite decides. */
export function hookDeclined(reason: string): string {
  return `hook declined (${reason})`;
}

/** Asks about each ref once, in stints; the predicate remembers what it answered. */
export async function askAhead(
  refnames: Iterable<string>,
  options: {
    readonly mayRead: ((refname: string) => boolean) | undefined;
    readonly clock: Pick<Clock, 'monotonicMs'>;
  },
): Promise<void> {
  const { mayRead, clock } = options;
  if (mayRead === undefined) return;
  const stint = new Stint(clock);
  for (const refname of refnames) {
    mayRead(refname);
    if (stint.isOver) await stint.rest();
  }
}

async function factsOf(update: Update, { policy, place, repository }: DecideOptions): Promise<RefUpdateFacts> {
  const { name, oldOid, newOid, oldType, newType } = update;
  const facts: RefUpdateFacts = {
    refname: name,
    ...(isZeroOid(oldOid) ? {} : { oldOid }),
    ...(isZeroOid(newOid) ? {} : { newOid }),
    ...(oldType === undefined ? {} : { oldType }),
    ...(newType === undefined ? {} : { newType }),
  };
  const needs = policy.needsFor(repository);
  return {
    ...facts,
    ...(needs.paths ? await treeFacts(place, oldOid, newOid) : {}),
    ...(needs.merges === true ? { merges: await bringsMerge(place, oldOid, newOid) } : {}),
  };
}
