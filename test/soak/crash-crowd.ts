/**
 * Rounds of: several clients push to one repository at once, so that pushes share its turns; the server is killed and started
 * again; each client's push has to be whole or absent. Three of them are rivals for one ref as well, all or nothing.
 */
import { randomInt } from 'node:crypto';
import { cleanEnvironment, expectRun, run } from '../support/workspace.ts';
import { fsck, journalProblems, lastingLeftovers, readRefs, type Refs } from './crash-check.ts';
import type { CrashTarget, Running } from './crash-target.ts';
import type { PushServerOptions } from './push-server.ts';

export interface CrowdTally {
  rounds: number;
  /** Pushes. */
  absent: number;
  whole: number;
  acknowledged: number;
  readonly problems: string[];
}

export interface CrowdOptions {
  readonly target: CrashTarget;
  readonly rounds: number;
  readonly clients: number;
  /** A directory for the work tree. */
  readonly tree: string;
  /** How the server of round N is started; default: as it should be, and killed at random. */
  readonly serverOf?: (round: number) => PushServerOptions;
}

interface Client {
  readonly oid: string;
  readonly before: Refs;
  readonly after: Refs;
  readonly isRival: boolean;
}

const RIVAL = 'refs/heads/rival';
const RIVALS = 3;
const REFS = 3;

export async function runCrowd(options: CrowdOptions): Promise<CrowdTally> {
  const { target, rounds, tree } = options;
  const tally: CrowdTally = { rounds: 0, absent: 0, whole: 0, acknowledged: 0, problems: [] };
  const env = cleanEnvironment(tree);
  await expectRun('git', ['init', '-q', '-b', 'main', tree], { env });
  let typicalMs = 1_000;
  for (let round = 0; round < rounds; round += 1) {
    const dying = options.serverOf?.(round) ?? {};
    const server = await target.start(dying);
    const before = await readRefs(server.repositoryPath);
    const clients: Client[] = [];
    for (let index = 0; index < options.clients; index += 1)
      clients.push(clientOf(index, await nextCommit(tree, env, `Round ${round} of client ${index}`), before));
    const pushing = Promise.all(
      clients.map(async (client) => (await run('git', argsOf(client, server.url), { cwd: tree, env })).code === 0),
    );
    if (options.serverOf === undefined) await killAtRandom(server, pushing, typicalMs);
    const heard = await pushing;
    // Moments are to fall on both sides of the acknowledgements, whatever else the machine does.
    typicalMs *= heard.every(Boolean) ? 0.85 : heard.some(Boolean) ? 1 : 1.2;
    await server.kill();
    const again = await target.start();
    const problems = await check(again, { clients, heard, before }, tally);
    await again.kill();
    tally.rounds += 1;
    tally.problems.push(...problems.map((problem) => `round ${round}: ${problem}`));
  }
  return tally;
}

async function killAtRandom({ kill }: Running, pushing: Promise<unknown>, typicalMs: number): Promise<void> {
  const moment = new Promise((resolve) => setTimeout(resolve, randomInt(Math.ceil(typicalMs * 1.3)))); // the point of a soak
  await Promise.race([moment, pushing]);
  await kill();
}

function clientOf(index: number, oid: string, all: Refs): Client {
  const prefix = `refs/heads/c/${index}/`;
  const before = new Map([...all].filter(([name]) => name.startsWith(prefix)));
  const names = Array.from({ length: REFS }, (_, ref) => `${prefix}${ref}`);
  const kept = names.filter((name, ref) => ref !== REFS - 1 || !before.has(name));
  return { oid, before, after: new Map(kept.map((name) => [name, oid])), isRival: index < RIVALS };
}

function argsOf({ before, after, oid, isRival }: Client, url: string): readonly string[] {
  const deleted = [...before.keys()].filter((name) => !after.has(name));
  const rival = isRival ? [`+${oid}:${RIVAL}`] : [];
  const refspecs = [
    ...[...after.keys()].map((name) => `+${oid}:${name}`),
    ...deleted.map((name) => `:${name}`),
    ...rival,
  ];
  return ['push', '-q', '--atomic', url, ...refspecs];
}

/** Every commit brings objects of its own. */
async function nextCommit(tree: string, env: NodeJS.ProcessEnv, text: string): Promise<string> {
  const blob = await expectRun('git', ['hash-object', '-w', '--stdin'], { cwd: tree, env, stdin: text });
  const made = await expectRun('git', ['mktree'], { cwd: tree, env, stdin: `100644 blob ${blob}\tfile\n` });
  return expectRun('git', ['commit-tree', '-m', text, made], { cwd: tree, env });
}

interface Round {
  readonly clients: readonly Client[];
  /** Who heard of success. */
  readonly heard: readonly boolean[];
  readonly before: Refs;
}

async function check(
  { repositoryPath, journalDirectory }: Running,
  { clients, heard, before }: Round,
  tally: CrowdTally,
): Promise<readonly string[]> {
  const refs = await readRefs(repositoryPath);
  const rival = refs.get(RIVAL);
  const problems: string[] = [];
  const wanted: (readonly [string, string])[] = [];
  for (const [index, client] of clients.entries()) {
    const fate = fateOf(client, refs);
    const isHeard = heard[index] === true;
    if (fate === 'mixed') problems.push(`the refs of client ${index} are neither all old nor all new`);
    if (isHeard && fate !== 'new') problems.push(`the acknowledged push of client ${index} is gone`);
    if (client.isRival && rival === client.oid && fate !== 'new')
      problems.push(`client ${index} has the ref of all and not its own`);
    if (fate === 'new') wanted.push(...client.after);
    if (isHeard) tally.acknowledged += 1;
    else if (fate === 'new') tally.whole += 1;
    else tally.absent += 1;
  }
  const isKnown = rival === before.get(RIVAL) || clients.some(({ oid, isRival }) => isRival && oid === rival);
  if (!isKnown) problems.push(`nobody pushed ${rival} to ${RIVAL}`);
  const rest = [fsck(repositoryPath), lastingLeftovers(repositoryPath), journalProblems(journalDirectory, wanted)];
  return [...problems, ...(await Promise.all(rest)).flat()];
}

function fateOf({ before, after }: Client, refs: Refs): 'old' | 'new' | 'mixed' {
  const names = new Set([...before.keys(), ...after.keys()]);
  const is = (wanted: Refs): boolean => [...names].every((name) => refs.get(name) === wanted.get(name));
  return is(after) ? 'new' : is(before) ? 'old' : 'mixed';
}
