/**
 * Gatehouse beside what people run today, taking turns in one run on one machine. docs/performance.md says how to read it.
 */
import { join } from 'node:path';
import { type AnyProgram, readFlags } from '../test/support/flags.ts';
import { hasProgram, suiteScope, workspace } from '../test/support/workspace.ts';
import { noNginx } from '../test/support/nginx.ts';
import { noSshd } from '../test/support/sshd.ts';
import { startGatehouse, type OurSite } from './peers/gatehouse-peer.ts';
import { growthRows } from './peers/growth-rows.ts';
import { machineRows } from './peers/machine-rows.ts';
import { busyShare, currentLoad, noiseOf, noiseText } from './peers/noise.ts';
import { PEERS, type BenchGround, type Peer, type PeerName } from './peers/peer.ts';
import { openFiles, startGitDaemon, startNginxPeer } from './peers/plain-peers.ts';
import { readRows } from './peers/read-rows.ts';
import { minutes, type Row, type Sample } from './peers/row.ts';
import { scaleRows } from './peers/scale-rows.ts';
import { makeShapes, type ShapeName } from './peers/shapes.ts';
import { startGitolite, startGitShell } from './peers/sshd-peer.ts';
import { jsonOf, linesOf, markdownOf, plainOf, type Line } from './peers/table.ts';
import { writeRows } from './peers/write-rows.ts';

interface Plan {
  readonly rows: readonly Row[];
  readonly rounds: number;
  readonly quick: boolean;
  readonly large: string | undefined;
  readonly shapes: string;
  readonly streamMib: number;
}

interface Measured {
  readonly lines: readonly Line[];
  /** Share of the processors that others took, before each row. */
  readonly busy: readonly number[];
  /** Rows of which there are no figures, with the reason. */
  readonly broken: readonly string[];
  /** Milliseconds of each row, with what was prepared for it. */
  readonly took: ReadonlyMap<string, number>;
}

const ROUNDS = 7;

const PROGRAM = {
  call: 'npm run bench -- peers',
  about: 'Gatehouse beside OpenSSH with gitolite and git-shell, nginx with git http-backend, and git daemon.',
  flags: {
    rows: { kind: 'text', value: 'A,B', about: 'only these rows; a wrong name prints all names' },
    rounds: { kind: 'count', about: `turns of each peer; default ${ROUNDS}, with --quick 3`, least: 1 },
    quick: { kind: 'switch', about: 'smaller repositories and shorter rows: to see whether it works' },
    large: { kind: 'text', value: 'PATH', about: 'a real bare repository in place of the generated large one' },
    shapes: { kind: 'text', value: 'DIRECTORY', about: 'keeps the generated repositories there for the next run' },
    profile: { kind: 'text', value: 'DIRECTORY', about: 'Gatehouse writes there where its processor time went' },
    markdown: { kind: 'switch', about: 'the section "Last run" of docs/performance.md' },
    json: { kind: 'switch', about: 'one line of JSON' },
  },
  examples: ['--quick --rows ls-remote,push-one', '--rounds 3 --markdown'],
} satisfies AnyProgram;

/** Resolves with the exit code: 1 where Gatehouse left a request unserved. A missed aim is told, and no failure. */
export async function benchPeers(args: readonly string[]): Promise<number> {
  const flags = readFlags(PROGRAM, args);
  if (flags.kind === 'end') return flags.code;
  const { values } = flags;
  const begunMs = performance.now();
  const scope = suiteScope();
  const stop = onSignals(() => scope.close());
  try {
    const root = workspace(scope, 'gatehouse-bench-');
    let site: OurSite | undefined;
    const { quick } = values;
    const streamMib = quick ? 128 : 1_024;
    const all = [
      ...readRows({ root, quick }),
      ...writeRows({ root, quick }),
      ...machineRows({ root, quick, scope, streamMib, ours: () => site }),
      ...growthRows({ root, quick, ours: () => site }),
      ...scaleRows({ root, quick, scope }),
    ];
    const rows = chosen(all, values.rows);
    if (rows === undefined) return 2;
    const shapes = values.shapes ?? join(root, 'shapes');
    const rounds = values.rounds ?? (quick ? 3 : ROUNDS);
    const plan: Plan = { rows, rounds, quick, large: values.large, shapes, streamMib };
    const loadBefore = currentLoad();
    const templates = await makeTemplates(plan);
    const ground: BenchGround = { scope, root, templates };
    const wanted = new Set(rows.flatMap(({ peers }) => peers));
    const peers = await startPeers({ ...ground, wanted, profile: values.profile }, (ours) => {
      site = ours;
    });
    const readyMs = performance.now();
    const measured = await measure(plan, peers);
    const took = new Map([['before the rows', readyMs - begunMs], ...measured.took]);
    tell(`minutes: ${[...took].map(([name, ms]) => `${name} ${minutes(ms)}`).join(', ')}`);
    show(measured, { plan, peers, loadBefore, form: values.json ? 'json' : values.markdown ? 'markdown' : 'plain' });
    return measured.broken.length > 0 || measured.lines.some(leftUnserved) ? 1 : 0;
  } finally {
    stop();
    const endedMs = performance.now();
    await scope.close();
    tell(`ended, and cleaned up in ${minutes(performance.now() - endedMs)} minutes`);
  }
}

interface Showing {
  readonly plan: Plan;
  readonly peers: ReadonlyMap<PeerName, Peer>;
  readonly loadBefore: number;
  readonly form: 'json' | 'markdown' | 'plain';
}

function show({ lines, busy, broken }: Measured, { plan: { quick, rounds }, peers, loadBefore, form }: Showing): void {
  const noise = noiseOf(lines, { loadBefore, busy });
  const meters = [...new Set([...peers.values()].flatMap(({ meter }) => meter?.kind ?? []))];
  if (form === 'json') {
    process.stdout.write(
      `${JSON.stringify({ bench: 'peers', noise, meters, quick, rounds, broken, lines: jsonOf(lines) })}\n`,
    );
    return;
  }
  const shown = PEERS.filter((name) => peers.has(name));
  process.stdout.write(form === 'markdown' ? markdownOf(lines, shown) : plainOf(lines));
  const size = quick ? 'small shapes (--quick); ' : '';
  process.stdout.write(
    `\n${noiseText(noise)}Processor time and memory from the ${meters.join(' and ')}; ${size}at most ${rounds} rounds.\n`,
  );
  for (const text of broken) process.stdout.write(`Without figures: ${text}\n`);
}

/** Some request of ours was not served: no figure makes that good. */
function leftUnserved({ failed }: Line): boolean {
  return [...failed].some(([peer, count]) => peer.startsWith('gatehouse') && count > 0);
}

function chosen(all: readonly Row[], names: string | undefined): readonly Row[] | undefined {
  if (names === undefined) return all;
  const wanted = names.split(',');
  const unknown = wanted.filter((name) => !all.some((row) => row.name === name));
  if (unknown.length === 0) return all.filter(({ name }) => wanted.includes(name));
  process.stderr.write(`no row ${unknown.join(', ')}; there are ${all.map(({ name }) => name).join(', ')}\n`);
  return undefined;
}

async function makeTemplates({ rows, shapes, quick, large, streamMib }: Plan): Promise<ReadonlyMap<ShapeName, string>> {
  tell('makes the repositories');
  const names = new Set(rows.flatMap((row) => row.shapes));
  return makeShapes({ folder: shapes, quick, names, streamMib, ...(large === undefined ? {} : { large }) });
}

/** What is not installed is left out, and told. */
async function startPeers(
  ground: BenchGround & { readonly wanted: ReadonlySet<PeerName>; readonly profile: string | undefined },
  started: (site: OurSite) => void,
): Promise<ReadonlyMap<PeerName, Peer>> {
  const { wanted, profile } = ground;
  const peers = new Map<PeerName, Peer>();
  const add = async (
    name: PeerName,
    missing: string | false,
    start: () => Promise<Peer | undefined>,
  ): Promise<void> => {
    if (!wanted.has(name)) return;
    const peer = missing === false ? await start() : undefined;
    if (peer === undefined) tell(`leaves out ${name}: ${missing === false ? 'not installed' : missing}`);
    else peers.set(name, peer);
  };
  if (PEERS.some((name) => name.startsWith('gatehouse') && wanted.has(name))) {
    tell('starts gatehouse');
    const site = await startGatehouse(ground, profile);
    for (const peer of site.peers) if (wanted.has(peer.name)) peers.set(peer.name, peer);
    started(site);
  }
  tell('starts the others');
  await add('gitolite', noSshd() || !hasProgram('gitolite') ? 'sshd or gitolite is not installed' : false, () =>
    startGitolite(ground),
  );
  for (const name of ['git-shell', 'git-shell tuned'] as const)
    await add(name, noSshd(), () => startGitShell(ground, name));
  await add('nginx', noNginx(), () => startNginxPeer(ground));
  await add('git daemon', false, () => startGitDaemon(ground));
  await add('file', false, () => openFiles(ground));
  return peers;
}

/** Row after row; within a row the peers take turns, each round beginning with another. */
async function measure(plan: Plan, peers: ReadonlyMap<PeerName, Peer>): Promise<Measured> {
  const lines: Line[] = [];
  const busy: number[] = [];
  const broken: string[] = [];
  const took = new Map<string, number>();
  for (const row of plan.rows) {
    const start = performance.now();
    const taking = row.peers.flatMap((name) => peers.get(name) ?? []);
    busy.push(await busyShare());
    try {
      lines.push(...linesOf(row, await samplesOf(row, taking, plan)));
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      tell(`${row.name} went wrong: ${error.message}`);
      broken.push(`${row.name}: ${error.message}`);
    }
    took.set(row.name, performance.now() - start);
  }
  return { lines, busy, broken, took };
}

async function samplesOf(
  row: Row,
  taking: readonly Peer[],
  plan: Plan,
): Promise<ReadonlyMap<PeerName, readonly Sample[]>> {
  for (const peer of taking) await row.prepare?.(peer);
  const samples = new Map<PeerName, Sample[]>(taking.map(({ name }) => [name, []]));
  const rounds = Math.min(plan.rounds, row.roundsMax ?? plan.rounds);
  for (let round = 0; round < rounds; round += 1) {
    tell(`${row.name}, round ${round + 1} of ${rounds}`);
    for (let turn = 0; turn < taking.length; turn += 1) {
      const peer = taking[(turn + round) % taking.length];
      if (peer !== undefined) samples.get(peer.name)?.push(await row.run(peer, round));
    }
  }
  return samples;
}

function tell(what: string): void {
  process.stderr.write(`bench peers, ${Math.round(performance.now() / 1_000)} s: ${what}\n`);
}

/** Whatever was started ends, whoever ends the bench. */
function onSignals(close: () => Promise<void>): () => void {
  const end = (signal: NodeJS.Signals): void => {
    void close().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  };
  process.once('SIGINT', end).once('SIGTERM', end);
  return () => {
    process.removeListener('SIGINT', end).removeListener('SIGTERM', end);
  };
}
