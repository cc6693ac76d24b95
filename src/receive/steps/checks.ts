/**
 * The step that holds a push to the checks of the policy (`checks/*.toml`). Everything that is broken is told at once; what
 * cannot be looked at within bounds is refused.
 */
import { BOUNDS } from '../../base/bounds.ts';
import { Fault } from '../../base/fault.ts';
import { Stint } from '../../base/stint.ts';
import type { Oid } from '../../git/oid.ts';
import { coversRef, type Check } from '../checks/check.ts';
import type { CheckBook } from '../checks/check-book.ts';
import { Failures, titleOf, verdictOf, type Failure } from '../checks/failures.ts';
import { tainted, type Reach } from '../checks/reach.ts';
import { CheckRun, type RunParts } from '../checks/run-checks.ts';
import type { Push, RefUpdate, Step, Verdict } from '../step.ts';

export interface CheckStepParts extends RunParts {
  readonly book: Pick<CheckBook, 'active'>;
}

export function createCheckStep(parts: CheckStepParts): Step {
  return {
    name: 'checks',
    async check(push) {
      const active = parts.book.active(push.repository.name, push.principal);
      const asked = active.filter((check) => push.updates.some(({ refname }) => coversRef(check, refname)));
      return asked.length === 0 ? [] : judge(parts, push, asked);
    },
  };
}

/** @throws Fault where a question could not be asked for no fault of the push's. */
async function judge(parts: CheckStepParts, push: Push, checks: readonly Check[]): Promise<readonly Verdict[]> {
  const late = new AbortController();
  const cancel = parts.clock.after(BOUNDS.checkMs, () => late.abort(new Fault('timeout', 'checks took too long')));
  const failures = new Failures(BOUNDS.checkFailuresShownMax);
  const signal = AbortSignal.any([push.signal, late.signal]);
  const run = new CheckRun(parts, push, { failures, signal });
  try {
    await run.run(checks);
    if (failures.isEmpty) return [];
    const subjects = await run.subjects(failures.shownCommits);
    push.tell(failures.text(subjects));
    return await verdictsOf(push, { run, failures, subjects });
  } catch (error) {
    const words = push.signal.aborted ? undefined : boundWords(error, late.signal);
    if (words === undefined) throw error;
    return unseen(push, checks, words);
  } finally {
    cancel();
  }
}

/** What to tell where the push is more than checks look at; undefined: something else happened. */
function boundWords(error: unknown, late: AbortSignal): string | undefined {
  if (late.aborted || (error instanceof Fault && error.code === 'timeout')) {
    return `the checks of this push took longer than ${BOUNDS.checkMs / 60_000} minutes: push it in parts`;
  }
  return error instanceof Fault && error.code === 'bad-input' ? error.publicMessage : undefined;
}

/** Not looked at is not passed, but where nothing would have come of it. */
function unseen(push: Push, checks: readonly Check[], reason: string): readonly Verdict[] {
  const strict = checks.filter(({ action }) => action !== 'warn');
  if (strict.length === 0) push.tell(`gatehouse: ${reason}\n`);
  return push.updates.flatMap(({ refname }) => {
    const check = strict.find((one) => coversRef(one, refname));
    return check === undefined ? [] : [{ refname, reason, rule: titleOf(check) }];
  });
}

interface Grounds {
  readonly run: CheckRun;
  readonly failures: Failures;
  readonly subjects: ReadonlyMap<string, string>;
}

async function verdictsOf(push: Push, { run, failures, subjects }: Grounds): Promise<readonly Verdict[]> {
  const strict = failures.checks.filter(({ action }) => action !== 'warn');
  // Those that refuse first: the first of them that fails is the ref's reason.
  const inOrder = [...strict].sort((a, b) => Number(a.action === 'hold') - Number(b.action === 'hold'));
  const total = strict.reduce((sum, check) => sum + failures.count(check), 0);
  const taints = new Map(
    strict.map((check) => [check, taintsOf(run.reaches, check, failures.commits(check))] as const),
  );
  const stint = new Stint();
  const verdicts: Verdict[] = [];
  for (const update of push.updates) {
    for (const check of inOrder) {
      const failure = failureOf(update, { check, failures, taints: taints.get(check), run });
      if (failure === undefined) continue;
      // Approvals are bound to the words of a reason: no number in them that another check would change.
      const others = check.action === 'hold' ? failures.count(check) - 1 : total - 1;
      verdicts.push(verdictOf({ failure, refname: update.refname, subjects, others }));
      if (check.action === 'refuse') break;
    }
    if (stint.isOver) await stint.rest();
  }
  return verdicts;
}

type Taints = readonly { readonly updates: ReadonlySet<RefUpdate>; readonly by: ReadonlyMap<string, Oid> }[];

function taintsOf(reaches: readonly Reach[], check: Check, failed: ReadonlyMap<string, unknown>): Taints {
  return reaches
    .filter(({ checks }) => checks.includes(check))
    .map((reach) => ({ updates: reach.updates, by: tainted(reach, failed) }));
}

/** What of a check's failures is this ref's: its own, or one of a commit that it brings. */
function failureOf(
  update: RefUpdate,
  about: {
    readonly check: Check;
    readonly failures: Failures;
    readonly taints: Taints | undefined;
    readonly run: CheckRun;
  },
): Failure | undefined {
  const { check, failures, taints = [], run } = about;
  const own = failures.ofRef(check, update.refname);
  if (own !== undefined) return own;
  const tip = run.tips.get(update.newOid);
  for (const { updates, by } of taints) {
    const oid = tip !== undefined && updates.has(update) ? by.get(tip) : undefined;
    if (oid !== undefined) return failures.ofCommit(check, oid);
  }
  return undefined;
}
