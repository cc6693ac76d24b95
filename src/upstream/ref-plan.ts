/** What makes the refs of a mirror those of its upstream: a comparison, without any effect. */
import { BOUNDS } from '../base/bounds.ts';
import { Stint } from '../base/stint.ts';
import { zeroOid, type Oid } from '../git/oid.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import { isInternalRefname, parseRefname, type Refname } from '../git/refname.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { conflictsAmong, creationProblem } from '../receive/ref-names.ts';
import type { RemoteRefs } from './wire/remote.ts';

export interface RefChange {
  readonly refname: Refname;
  readonly oldOid: Oid;
  readonly newOid: Oid;
}

export interface RefPlan {
  /** Deletions that have to be done before the rest: their names stand in the way of new ones. */
  readonly clearing: readonly RefChange[];
  readonly changes: readonly RefChange[];
  /** What HEAD has to point at; undefined: it stays. */
  readonly head: Refname | undefined;
  /** Tips that are not yet the tip of anything here. */
  readonly wants: readonly Oid[];
  /** Refs of the upstream that the patterns choose and that can be here. */
  readonly mirrored: number;
  /** How many of those chosen cannot: their names are not well-formed, or such as this gate lets nobody make. */
  readonly skipped: number;
}

export const DEFAULT_REFS = ['refs/heads/*', 'refs/tags/*'] as const;

/** Patterns as somebody gives them: full refnames with at most one `*`, which stands for anything. */
export function parseRefPatterns(texts: readonly string[]): Parsed<readonly string[]> {
  if (texts.length === 0) return ok(DEFAULT_REFS);
  if (texts.length > BOUNDS.mirrorPatternsMax)
    return refuse(`a mirror has at most ${BOUNDS.mirrorPatternsMax} patterns of refs`);
  for (const text of texts) {
    const isPattern = text.split('*').length <= 2 && parseRefname(text.replace('*', 'x')) !== undefined;
    if (!isPattern) return refuse(`${JSON.stringify(text.slice(0, 80))} is no pattern of refs, such as refs/heads/*`);
    if (isInternalRefname(text)) return refuse('refs/gatehouse/ belongs to the gate');
  }
  return ok([...new Set(texts)]);
}

export function matchesPatterns(refname: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => {
    const star = pattern.indexOf('*');
    if (star < 0) return refname === pattern;
    const tail = pattern.length - star - 1;
    if (refname.length < star + tail || !refname.startsWith(pattern.slice(0, star))) return false;
    return tail === 0 || refname.endsWith(pattern.slice(star + 1));
  });
}

/** What the upstream is asked for: prefixes that let through everything the patterns choose. */
export function prefixesOf(patterns: readonly string[]): readonly string[] {
  return [...new Set(patterns.map((pattern) => pattern.split('*')[0] ?? pattern))];
}

export interface PlanQuestion {
  /** As they were before the upstream was asked. */
  readonly local: RefSnapshot;
  readonly remote: RemoteRefs;
  readonly patterns: readonly string[];
}

/** Local refs that the patterns do not choose stay as they are, and so does a HEAD that the upstream does not tell. */
export async function planRefs({ local, remote, patterns }: PlanQuestion): Promise<RefPlan> {
  const none = zeroOid(remote.objectFormat);
  const stint = new Stint();
  const changes: RefChange[] = [];
  let skipped = 0;
  let mirrored = 0;
  for (const [name, newOid] of remote.refs) {
    if (stint.isOver) await stint.rest();
    if (!matchesPatterns(name, patterns)) continue;
    const known = local.byName.get(name);
    if (known?.oid === newOid) {
      mirrored += 1;
      continue;
    }
    const refname = known?.refname ?? nameForHere(name);
    if (refname === undefined) {
      skipped += 1;
      continue;
    }
    mirrored += 1;
    changes.push({ refname, oldOid: known?.oid ?? none, newOid });
  }
  for (const { refname, oid } of local.refs) {
    if (stint.isOver) await stint.rest();
    if (remote.refs.has(refname) || isInternalRefname(refname) || !matchesPatterns(refname, patterns)) continue;
    changes.push({ refname, oldOid: oid, newOid: none });
  }
  const head = headFor({ local, remote, patterns });
  return { ...inOrder(changes, none), head, wants: wantsOf(changes, local, none), mirrored, skipped };
}

function nameForHere(name: string): Refname | undefined {
  const refname = parseRefname(name);
  if (refname === undefined || isInternalRefname(refname)) return undefined;
  return creationProblem(refname) === undefined ? refname : undefined;
}

/** `a` goes before `a/b` comes, and the other way round: git changes both in no one transaction. */
function inOrder(changes: readonly RefChange[], none: Oid): Pick<RefPlan, 'clearing' | 'changes'> {
  const conflicts = conflictsAmong(changes.map(({ refname }) => refname));
  if (conflicts.size === 0) return { clearing: [], changes };
  const isClearing = ({ refname, newOid }: RefChange): boolean => newOid === none && conflicts.has(refname);
  return { clearing: changes.filter(isClearing), changes: changes.filter((change) => !isClearing(change)) };
}

function wantsOf(changes: readonly RefChange[], local: RefSnapshot, none: Oid): readonly Oid[] {
  if (changes.every(({ newOid }) => newOid === none)) return [];
  const here = new Set(local.refs.map(({ oid }) => oid));
  return [...new Set(changes.map(({ newOid }) => newOid))].filter((oid) => oid !== none && !here.has(oid));
}

function headFor({ local, remote, patterns }: PlanQuestion): Refname | undefined {
  const { head } = remote;
  if (head === undefined || head === local.head.target || !head.startsWith('refs/heads/')) return undefined;
  // An unborn branch is followed, one that is there and not mirrored is not: HEAD would lead nowhere.
  return matchesPatterns(head, patterns) ? nameForHere(head) : undefined;
}
