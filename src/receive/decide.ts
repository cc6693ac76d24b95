/** Each update asked of the policy, with the facts that its rules may look at. */
import type { ChangedPaths, Decision, Operation, Question, RefUpdateFacts } from '../access/decision.ts';
import { isZeroOid, type Oid } from '../git/oid.ts';
import type { Principal } from '../identity/principal.ts';
import type { Repository, RepositoryFacts } from '../repository/repository.ts';
import type { UpdateKind } from './step.ts';
import type { Update } from './update.ts';

/** What this floor asks of the policy. */
export interface ReceivePolicy {
  decide(question: Question): Decision;
  /** Whether a rule that governs this repository looks at changed paths: they are computed only then. */
  needsFor(repository: RepositoryFacts): { readonly paths: boolean };
}

/** Facts about trees, read from the quarantine; undefined oids stand for the empty tree. */
export interface TreeFacts {
  changedPaths(oldOid: Oid | undefined, newOid: Oid | undefined): Promise<ChangedPaths>;
  topEntries(oid: Oid): Promise<readonly string[]>;
}

export const OPERATION_OF: Readonly<Record<UpdateKind, Operation>> = {
  create: 'create-ref',
  'fast-forward': 'update-ref',
  rewind: 'rewind-ref',
  delete: 'delete-ref',
};

export interface DecideOptions {
  readonly policy: ReceivePolicy;
  readonly principal: Principal;
  readonly repository: Repository;
  readonly trees: TreeFacts;
}

/** Refuses every living update that the policy refuses, with the policy's reason. @throws Fault where facts are not to be had. */
export async function decideUpdates(updates: readonly Update[], options: DecideOptions): Promise<void> {
  const { policy, principal, repository } = options;
  for (const update of updates) {
    if (!update.isAlive || update.kind === undefined) continue;
    const operation = OPERATION_OF[update.kind];
    const ref = await factsOf(update, options);
    const decision = policy.decide({ principal, operation, repository, ref });
    if (decision.kind === 'refused') update.refuse(decision.reason, decision.rule);
  }
}

async function factsOf(update: Update, { policy, trees, repository }: DecideOptions): Promise<RefUpdateFacts> {
  const { name, oldType, newType } = update;
  const oldOid = isZeroOid(update.oldOid) ? undefined : update.oldOid;
  const newOid = isZeroOid(update.newOid) ? undefined : update.newOid;
  const facts: RefUpdateFacts = {
    refname: name,
    ...(oldOid === undefined ? {} : { oldOid }),
    ...(newOid === undefined ? {} : { newOid }),
    ...(oldType === undefined ? {} : { oldType }),
    ...(newType === undefined ? {} : { newType }),
  };
  if (!policy.needsFor(repository).paths) return facts;
  const oldTree = oldType === 'blob' ? undefined : oldOid;
  const newTree = newType === 'blob' ? undefined : newOid;
  return {
    ...facts,
    changed: await trees.changedPaths(oldTree, newTree),
    startTree: oldTree === undefined ? [] : await trees.topEntries(oldTree),
    targetTree: newTree === undefined ? [] : await trees.topEntries(newTree),
  };
}
