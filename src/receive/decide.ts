/** Each update asked of the policy, with the facts that its rules may look at. */
import { setImmediate } from 'node:timers/promises';
import type { Decision, Operation, Question, RefUpdateFacts } from '../access/decision.ts';
import type { ObjectPlace } from '../git/objects.ts';
import { isZeroOid } from '../git/oid.ts';
import type { Principal } from '../identity/principal.ts';
import type { Repository, RepositoryFacts } from '../repository/repository.ts';
import type { UpdateKind } from './step.ts';
import { treeFacts } from './tree-facts.ts';
import type { Update } from './update.ts';

/** What this floor asks of the policy. */
export interface ReceivePolicy {
  decide(question: Question): Decision;
  /** Whether a rule that governs this repository looks at changed paths: they are computed only then. */
  needsFor(repository: RepositoryFacts): { readonly paths: boolean };
}

export const OPERATION_OF: Readonly<Record<UpdateKind, Operation>> = {
  create: 'create-ref',
  'fast-forward': 'update-ref',
  rewind: 'rewind-ref',
  delete: 'delete-ref',
};

const DECISIONS_IN_A_ROW = 256;

export interface DecideOptions {
  readonly policy: ReceivePolicy;
  readonly principal: Principal;
  readonly repository: Repository;
  /** Where the new objects are to be seen. */
  readonly place: ObjectPlace;
}

/** Refuses every living update that the policy refuses, with the policy's reason. @throws Fault where facts are not to be had. */
export async function decideUpdates(updates: readonly Update[], options: DecideOptions): Promise<void> {
  const { policy, principal, repository } = options;
  for (const [index, update] of updates.entries()) {
    // A push may update tens of thousands of refs: others get their turn in between.
    if (index % DECISIONS_IN_A_ROW === DECISIONS_IN_A_ROW - 1) await setImmediate();
    if (!update.isAlive || update.kind === undefined) continue;
    const operation = OPERATION_OF[update.kind];
    const ref = await factsOf(update, options);
    const decision = policy.decide({ principal, operation, repository, ref });
    if (decision.kind === 'refused') update.refuse(decision.reason, decision.rule);
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
  if (!policy.needsFor(repository).paths) return facts;
  return { ...facts, ...(await treeFacts(place, oldOid, newOid)) };
}
