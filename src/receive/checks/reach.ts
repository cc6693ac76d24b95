/** The commits that a check is about: what some refs of a push bring over what counted as there. */
import { BOUNDS } from '../../base/bounds.ts';
import { Fault } from '../../base/fault.ts';
import { Stint } from '../../base/stint.ts';
import { factsOf, specOf, type ObjectPlace } from '../../git/objects.ts';
import { withinReach } from '../../git/odb/odb.ts';
import { isZeroOid, type Oid } from '../../git/oid.ts';
import type { RefSnapshot } from '../../git/ref-cache.ts';
import { runGitOk, assertOwnEnd } from '../../git/run.ts';
import { writeAll } from '../../git/stream.ts';
import { wholeLines } from '../lines.ts';
import { inTopologicalOrder } from '../connectivity-order.ts';
import type { PushObjects } from '../connectivity-walk.ts';
import type { RefUpdate } from '../step.ts';
import { coversRef, type Check } from './check.ts';

/** Checks that ask about the same commits share them. */
export interface Reach {
  readonly checks: Check[];
  /** Those that bring anything. */
  readonly updates: ReadonlySet<RefUpdate>;
  /** Commit -> its parents; every commit behind its parents. */
  readonly commits: ReadonlyMap<string, readonly string[]>;
}

export interface ReachParts {
  readonly place: ObjectPlace;
  readonly snapshot: () => Promise<RefSnapshot>;
  readonly deadlineMs: number;
  /** What the push brings, where that is in memory. */
  readonly brought?: PushObjects | undefined;
}

/** @throws Fault `bad-input` with a public message where there are too many commits. */
export async function reachesOf(
  parts: ReachParts,
  checks: readonly Check[],
  updates: readonly RefUpdate[],
): Promise<readonly Reach[]> {
  const reaches = new Map<string, Reach>();
  const stint = new Stint();
  for (const check of checks) {
    const { refs, exceptRefs, newTo, knownCommits } = check;
    const key = JSON.stringify([refs, exceptRefs, newTo, knownCommits]);
    const known = reaches.get(key);
    if (known !== undefined) {
      known.checks.push(check);
      continue;
    }
    const own = updates.filter(({ refname, newOid }) => !isZeroOid(newOid) && coversRef(check, refname));
    const commits = own.length === 0 ? NO_COMMITS : await newCommits(parts, check, own);
    reaches.set(key, { checks: [check], updates: new Set(own), commits });
    if (stint.isOver) await stint.rest();
  }
  return [...reaches.values()].filter((reach) => reach.updates.size > 0);
}

const NO_COMMITS: Reach['commits'] = new Map();

async function newCommits(
  { place, snapshot, deadlineMs, brought }: ReachParts,
  check: Check,
  updates: readonly RefUpdate[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const isAll = check.newTo === 'repository' || (check.refs.length === 0 && check.exceptRefs.length === 0);
  const there = isAll ? [] : (await snapshot()).refs.filter(({ refname }) => coversRef(check, refname));
  const own = await broughtCommits(brought, { check, updates, there: isAll ? undefined : there });
  if (own !== undefined) return own;
  const not = [...there.map(({ oid }) => oid), ...check.knownCommits].map((oid) => `^${oid}`);
  const lines = [...new Set([...updates.map(({ newOid }) => newOid), ...not])];
  const spec = {
    subcommand: 'rev-list',
    options: [
      '--topo-order',
      '--reverse',
      '--parents',
      '--ignore-missing',
      `--max-count=${BOUNDS.checkCommitsMax + 1}`,
    ].concat(isAll ? ['--stdin', '--not', '--all'] : ['--stdin']),
    gitDir: place.gitDir,
    ...(place.objectDirectory === undefined ? {} : { objectDirectory: place.objectDirectory }),
    ...(place.signal === undefined ? {} : { signal: place.signal }),
    ...(place.requestId === undefined ? {} : { requestId: place.requestId }),
    deadlineMs,
  } as const;
  await using git = await place.processes.start(spec);
  git.stdin.on('error', () => {}); // its exit code says what happened
  const asking = writeAll(git.stdin, Buffer.from(lines.map((line) => `${line}\n`).join('')), place.signal).then(() =>
    git.stdin.end(),
  );
  asking.catch(() => {});
  const commits = new Map<string, readonly string[]>();
  for await (const chunk of wholeLines(git.stdout)) {
    for (const line of chunk.toString('latin1').split('\n').slice(0, -1)) {
      const [oid = '', ...parents] = line.split(' ');
      commits.set(oid, parents);
    }
    if (commits.size > BOUNDS.checkCommitsMax) throw tooMany(check);
  }
  const exit = await git.exit;
  assertOwnEnd(exit, spec);
  if (exit.code !== 0) throw new Fault('process', 'git failed', { context: { code: exit.code, stderr: exit.stderr } });
  return commits;
}

/** The same from memory; undefined where git has to look at history. `there` undefined: whatever the push does not bring. */
async function broughtCommits(
  brought: PushObjects | undefined,
  asked: {
    readonly check: Check;
    readonly updates: readonly RefUpdate[];
    readonly there: RefSnapshot['refs'] | undefined;
  },
): Promise<Reach['commits'] | undefined> {
  const { check, updates, there } = asked;
  if (brought === undefined || check.knownCommits.length > 0) return undefined;
  const tips = [...new Set(updates.map(({ newOid }) => newOid))];
  const walk = (await withinReach(() => brought.walk(tips)))?.answer;
  if (walk === undefined || walk.commits.length > BOUNDS.checkCommitsMax) return undefined;
  if (there !== undefined) {
    const known = new Set(there.map(({ oid, peeled }) => peeled ?? oid));
    if (!walk.old.every((oid) => known.has(oid))) return undefined;
  }
  return new Map(inTopologicalOrder(walk.commits).map(({ oid, parents }) => [oid, parents]));
}

function tooMany({ name }: Check): Fault {
  const publicMessage = `the push brings more than ${BOUNDS.checkCommitsMax} commits, too many for the check ${name}: push them in parts`;
  return new Fault('bad-input', 'push brings too many commits for its checks', { publicMessage });
}

/** What each new value leads to: a commit, or nothing where it leads to none. */
export async function tipCommits(place: ObjectPlace, updates: readonly RefUpdate[]): Promise<ReadonlyMap<string, Oid>> {
  const oids = [...new Set(updates.map(({ newOid }) => newOid).filter((oid) => !isZeroOid(oid)))];
  const found = await factsOf(
    place,
    oids.map((oid) => `${oid}^{commit}`),
  );
  return new Map(oids.flatMap((oid, index) => (found[index] === undefined ? [] : [[oid, found[index].oid] as const])));
}

/** For each commit of the reach from which a failed one is reached: that one, the first of its line. */
export function tainted(
  { commits }: Pick<Reach, 'commits'>,
  failed: ReadonlyMap<string, unknown>,
): ReadonlyMap<string, Oid> {
  const found = new Map<string, Oid>();
  if (failed.size === 0) return found;
  for (const [oid, parents] of commits) {
    const inherited = parents.map((parent) => found.get(parent)).find((from) => from !== undefined);
    const first = inherited ?? (failed.has(oid) ? (oid as Oid) : undefined); // listed by git
    if (first !== undefined) found.set(oid, first);
  }
  return found;
}

/** Of these commits, those that none of `tips` leads to. @throws Fault `process`, `timeout`, `aborted`. */
export async function outsiders(
  { place, deadlineMs }: Pick<ReachParts, 'place' | 'deadlineMs'>,
  oids: readonly string[],
  tips: readonly string[],
): Promise<ReadonlySet<string>> {
  if (oids.every((oid) => tips.includes(oid))) return new Set();
  const input = [...oids, ...tips.map((tip) => `^${tip}`)].map((line) => `${line}\n`).join('');
  const options = [`--max-count=${BOUNDS.checkCommitsMax}`, '--stdin'];
  const spec = { ...specOf(place, { subcommand: 'rev-list', options }), deadlineMs };
  const found = new Set((await runGitOk(place.processes, spec, Buffer.from(input))).toString('latin1').split('\n'));
  // So many that not all were listed: none of them is proved to be inside.
  if (found.size > BOUNDS.checkCommitsMax) return new Set(oids);
  return new Set(oids.filter((oid) => found.has(oid)));
}
