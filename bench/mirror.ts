/**
 * What a mirror costs its clients: `git ls-remote` of an unchanged upstream through the gate, beside the same of a hosted
 * repository and beside the upstream asked directly, taking turns; and how often fifty fetches at once ask the upstream.
 */
import { type AnyProgram, readFlags } from '../test/support/flags.ts';
import { gitOk, sshOk, startSite, url, type Site } from '../test/support/gate.ts';
import { noSshUpstream, startSshUpstream, type SshUpstream } from '../test/support/upstream.ts';
import { expectRun, suiteScope } from '../test/support/workspace.ts';
import { skipped, timed } from './measure.ts';

const ROUNDS = 40;
const CROWD = 50;
/** What a refresh may add to one round trip to the upstream. */
const ALLOWED_MS = 20;

const PROGRAM = {
  call: 'npm run bench -- mirror',
  about: 'What a mirror costs its clients beside a hosted repository and the upstream itself; fifty fetches at once.',
  flags: {
    rounds: { kind: 'count', about: 'turns of each', default: ROUNDS, least: 1 },
    json: { kind: 'switch', about: 'one line of JSON' },
  },
  examples: ['', '--rounds 10 --json'],
} satisfies AnyProgram;

/** Resolves with the exit code. */
export async function benchMirror(args: readonly string[]): Promise<number> {
  const flags = readFlags(PROGRAM, args);
  if (flags.kind === 'end') return flags.code;
  const { rounds, json } = flags.values;
  const reason = noSshUpstream();
  if (reason !== false) return skipped('mirror', reason, json);
  const scope = suiteScope();
  try {
    const [site, upstream] = await Promise.all([startSite(scope), startSshUpstream(scope)]);
    await prepare(site, upstream);
    const middle = await compare(site, upstream, rounds);
    if (!json) printMiddle(middle);
    const crowded = await crowd(site, upstream);
    if (json) process.stdout.write(`${JSON.stringify({ bench: 'mirror', rounds, ms: middle, crowd: crowded })}\n`);
    else printCrowd(crowded);
    return 0;
  } finally {
    await scope.close();
  }
}

async function prepare({ admin, gate }: Site, upstream: SshUpstream): Promise<void> {
  await upstream.repositories.create('api');
  await upstream.repositories.commit('api', 'refs/heads/main', { 'a.txt': 'a\n' });
  const words = ['mirror', 'add', 'api', upstream.url('api'), '--key', '-', '--host-key', upstream.hostKey];
  await sshOk(admin, gate, words, upstream.privateKey);
  await sshOk(admin, gate, ['copy', 'api', 'hosted']);
  for (const name of ['api', 'hosted']) await sshOk(admin, gate, ['config', name, 'set', 'public', 'yes']);
}

/** Milliseconds in the middle, by what was asked. */
type Middle = Readonly<Record<string, number>>;

async function compare({ admin, gate }: Site, upstream: SshUpstream, rounds: number): Promise<Middle> {
  const direct = { ...upstream.repositories.env, GIT_SSH_COMMAND: upstream.sshCommand };
  const asks: Readonly<Record<string, () => Promise<string>>> = {
    'the upstream, directly, over ssh': () => expectRun('git', ['ls-remote', upstream.url('api')], { env: direct }),
    'hosted here, over ssh': () => gitOk(admin, ['ls-remote', url(gate, 'ssh', 'hosted')]),
    'a mirror of the upstream, over ssh': () => gitOk(admin, ['ls-remote', url(gate, 'ssh', 'api')]),
    'hosted here, over http': () => gitOk(admin, ['ls-remote', url(gate, 'http', 'hosted')]),
    'a mirror of the upstream, over http': () => gitOk(admin, ['ls-remote', url(gate, 'http', 'api')]),
  };
  const times = new Map<string, number[]>(Object.keys(asks).map((what) => [what, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [what, ask] of Object.entries(asks)) {
      const ms = await timed(ask);
      if (round > 0) times.get(what)?.push(ms);
    }
  }
  return Object.fromEntries([...times].map(([what, all]) => [what, middleOf(all)]));
}

function printMiddle(middle: Middle): void {
  for (const [what, ms] of Object.entries(middle))
    process.stdout.write(`${what.padEnd(38)} ${ms.toFixed(1).padStart(7)} ms\n`);
  const tripMs = middle['the upstream, directly, over ssh'] ?? Number.NaN;
  for (const by of ['ssh', 'http']) {
    const hosted = middle[`hosted here, over ${by}`] ?? Number.NaN;
    const mirrored = middle[`a mirror of the upstream, over ${by}`] ?? Number.NaN;
    const added = mirrored - hosted;
    process.stdout.write(
      `over ${by} the refresh adds ${added.toFixed(1)} ms: ${(added / tripMs).toFixed(2)} of a round trip to the upstream by git (${added < tripMs + ALLOWED_MS ? 'under' : 'OVER'} one and ${ALLOWED_MS} ms)\n`,
    );
  }
}

interface Crowd {
  readonly fetches: number;
  readonly ms: number;
  readonly stale: number;
  readonly asked: number;
  readonly updated: number;
}

/** After a change upstream: one of them fetches it, all of them get it. */
async function crowd({ admin, gate }: Site, upstream: SshUpstream): Promise<Crowd> {
  const before = await counts(gate.http);
  const oid = await upstream.repositories.commit('api', 'refs/heads/main', { 'a.txt': 'b\n' });
  const fetches = Array.from({ length: CROWD }, () => gitOk(admin, ['ls-remote', url(gate, 'http', 'api'), 'main']));
  const ms = await timed(() => Promise.all(fetches));
  const stale = (await Promise.all(fetches)).filter((line) => !line.startsWith(oid)).length;
  const after = await counts(gate.http);
  const asked = (outcome: string): number => (after.get(outcome) ?? 0) - (before.get(outcome) ?? 0);
  const updated = asked('updated');
  return { fetches: CROWD, ms, stale, asked: updated + asked('unchanged'), updated };
}

function printCrowd({ fetches, ms, stale, asked, updated }: Crowd): void {
  process.stdout.write(
    `${fetches} fetches at once after a change: ${ms.toFixed(0)} ms, ${stale} stale; the upstream was asked ${asked} times, ${updated} brought something\n`,
  );
}

/** Questions to upstreams, by outcome. */
async function counts(http: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://${http}/metrics`)).text();
  const lines = text.matchAll(/^gatehouse_mirror_refresh_seconds_count\{outcome="(\w+)"\} (\d+)$/gm);
  return new Map([...lines].map(([, outcome = '', count = '']) => [outcome, Number(count)]));
}

function middleOf(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}
