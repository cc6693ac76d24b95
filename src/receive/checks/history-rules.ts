/** The shape of what a push brings, against the rules of a check: how many commits, merges, where they begin and end. */
import type { Oid } from '../../git/oid.ts';
import { matchesAny, type Check } from './check.ts';
import type { Failure } from './failures.ts';
import { outsiders, type Reach, type ReachParts } from './reach.ts';

export interface HistoryQuestion extends ReachParts {
  readonly reach: Reach;
  readonly check: Check;
  /** New value -> the commit it leads to. */
  readonly tips: ReadonlyMap<string, Oid>;
  /** New values of this push that count as there, since all of it happens or nothing: refname -> commit. */
  readonly together: ReadonlyMap<string, Oid>;
  readonly complain: (failure: Failure) => void;
}

/** @throws Fault `process`, `timeout`, `aborted`. */
export async function judgeHistory(question: HistoryQuestion): Promise<void> {
  const { reach, check, complain } = question;
  const { commitsMax, merges, basedOn, within } = check.rules;
  const { size } = reach.commits;
  if (commitsMax !== undefined && size > commitsMax) {
    for (const { refname } of reach.updates) {
      complain({ check, refname, words: `the push brings ${size} commits: at most ${commitsMax} are taken at once` });
    }
  }
  if (merges === 'none') {
    for (const [oid, parents] of reach.commits) {
      if (parents.length > 1)
        complain({ check, oid: oid as Oid, words: 'is a merge: git rebase makes a straight line' }); // listed by git
    }
  }
  if (merges === 'only') onlyMerges(question);
  if (basedOn !== undefined) await judgeBase(question, basedOn);
  if (within !== undefined) await judgeWithin(question, within);
}

/** A ref that moves by merges only: its own line, by first parents, consists of them. */
function onlyMerges({ reach, check, tips, complain }: HistoryQuestion): void {
  for (const { newOid } of reach.updates) {
    let at: string | undefined = tips.get(newOid);
    for (let parents = parentsIn(reach, at); at !== undefined && parents !== undefined;) {
      if (parents.length < 2) complain({ check, oid: at as Oid, words: 'is no merge: this ref moves by merges only' }); // from a map of git's
      at = parents[0];
      parents = parentsIn(reach, at);
    }
  }
}

function parentsIn({ commits }: Reach, oid: string | undefined): readonly string[] | undefined {
  return oid === undefined ? undefined : commits.get(oid);
}

async function judgeBase(question: HistoryQuestion, basedOn: readonly string[]): Promise<void> {
  const { reach, check, complain } = question;
  const bases = await tipsOf(question, basedOn);
  // The first push into a repository begins it.
  if (bases.length === 0) return;
  const outside = new Map<string, string>();
  for (const [oid, parents] of reach.commits) {
    if (parents.length === 0) complain({ check, oid: oid as Oid, words: 'begins a history of its own' }); // listed by git
    for (const parent of parents) if (!reach.commits.has(parent)) outside.set(parent, oid);
  }
  const wrong = await outsiders(question, [...outside.keys()], bases);
  for (const parent of wrong) {
    const words = `starts from ${parent.slice(0, 10)}, which is not in ${basedOn.join(', ')}`;
    complain({ check, oid: outside.get(parent) as Oid, words }); // listed by git
  }
}

async function judgeWithin(question: HistoryQuestion, within: readonly string[]): Promise<void> {
  const { reach, check, tips, complain } = question;
  const bases = await tipsOf(question, within);
  const asked = [...new Set([...reach.updates].flatMap(({ newOid }) => tips.get(newOid) ?? []))];
  const wrong = await outsiders(question, asked, bases);
  for (const { refname, newOid } of reach.updates) {
    const tip = tips.get(newOid);
    if (tip !== undefined && !wrong.has(tip)) continue;
    complain({ check, refname, words: `it leads to what is not in ${within.join(', ')}` });
  }
}

async function tipsOf(
  { snapshot, together }: HistoryQuestion,
  patterns: readonly string[],
): Promise<readonly string[]> {
  const there = (await snapshot()).refs.filter(({ refname }) => matchesAny(patterns, refname)).map(({ oid }) => oid);
  const fresh = [...together].filter(([refname]) => matchesAny(patterns, refname)).map(([, oid]) => oid);
  return [...new Set([...there, ...fresh])];
}
