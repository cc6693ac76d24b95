/** The rows that read: ls-remote, a fetch that brings nothing, raw ls-refs, clones of the large repository. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Peer, PeerName } from './peer.ts';
import { git, gitOk } from './peer.ts';
import { pushFresh, verifyRef, Workbench } from './workbench.ts';
import { fetchAll } from './raw-fetch.ts';
import { askRefs } from './raw-refs.ts';
import { against, elapsed, type Ratio, type Row, type Sample } from './row.ts';

export const SERVERS: readonly PeerName[] = [
  'gatehouse ssh',
  'gatehouse http',
  'gatehouse git',
  'gitolite',
  'git-shell',
  'git-shell tuned',
  'nginx',
  'git daemon',
];
const RAW: readonly PeerName[] = ['gatehouse http', 'nginx'];
const REPEATS = 10;
const CLIENTS = 32;
/** Of a warm-up: more would wait for the processors, and be refused by sshd's `MaxStartups`. */
const WARM_CLIENTS = 4;
const CLONES = 10;

export interface RowsOptions {
  readonly root: string;
  readonly quick: boolean;
}

export function readRows({ root, quick }: RowsOptions): readonly Row[] {
  const bench = new Workbench(join(root, 'read-work'));
  const rawMs = quick ? 700 : 2_000;
  const warmMs = quick ? 1_500 : 4_000;
  return [
    lsRemote(warmMs),
    lsRemoteCrowd(),
    fetchNothing(join(root, 'mirrors'), warmMs),
    rawRefs({ name: 'raw-small', repository: 'small', refs: 1, forMs: rawMs, target: 50 }),
    rawRefs({ name: 'raw-20000', repository: 'manyrefs', refs: 20_000, forMs: rawMs, target: 25 }),
    clones(bench, { name: 'clones', repository: 'large', what: '10 clones of large', cold: 3, warm: 8 }),
    clones(bench, {
      name: 'clones-no-bitmap',
      repository: 'unmapped',
      what: '10 clones of large, no bitmap',
      warm: 40,
      roundsMax: 1,
    }),
  ];
}

function lsRemote(warmMs: number): Row {
  return {
    name: 'ls-remote',
    shapes: ['small'],
    peers: [...SERVERS, 'file'],
    figures: [
      { key: 'wall', title: 'ls-remote small, wall', unit: 'ms', better: 'less', ratios: against(12) },
      { key: 'cpu', title: 'ls-remote small, server CPU', unit: 'ms', better: 'less', ratios: against(40, 15) },
    ],
    prepare: (peer) => warmUp(warmMs, () => list(peer), WARM_CLIENTS),
    async run(peer) {
      const act = async (): Promise<void> => {
        for (let count = 0; count < REPEATS; count += 1) await list(peer);
      };
      let ms = 0;
      const timed = async (): Promise<void> => {
        ms = await elapsed(act);
      };
      if (peer.meter === undefined) {
        await timed();
        return { wall: ms / REPEATS };
      }
      const cpu = await peer.meter.cost(timed);
      return { wall: ms / REPEATS, cpu: cpu / REPEATS };
    },
  };
}

/** A server runs for weeks: each does the same for some seconds, for one client or several at once, before it is measured. */
export async function warmUp(ms: number, act: () => Promise<unknown>, clients = 1): Promise<void> {
  const end = performance.now() + ms;
  const client = async (): Promise<void> => {
    do await act();
    while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: clients }, client));
}

async function list(peer: Peer): Promise<void> {
  const said = await gitOk(peer, ['ls-remote', peer.url('small')]);
  if (!said.includes('refs/heads/main')) throw new Error(`${peer.name}: ls-remote shows no main`);
}

function lsRemoteCrowd(): Row {
  return {
    name: 'ls-remote-32',
    shapes: ['small'],
    peers: [...SERVERS, 'file'],
    figures: [
      { key: 'rate', title: 'ls-remote, 32 clients', unit: '/s', better: 'more', ratios: against() },
      { key: 'cpu', title: 'ls-remote, 32 clients, server CPU each', unit: 'ms', better: 'less', ratios: against() },
    ],
    async run(peer) {
      let failed = 0;
      const client = async (): Promise<void> => {
        for (let count = 0; count < 2; count += 1) {
          const ended = await git(peer, ['ls-remote', peer.url('small')]);
          if (ended.code !== 0 || !ended.stdout.includes('refs/heads/main')) failed += 1;
        }
      };
      let ms = 0;
      const all = async (): Promise<void> => {
        ms = await elapsed(() => Promise.all(Array.from({ length: CLIENTS }, client)));
      };
      const cpu = peer.meter === undefined ? await all() : await peer.meter.cost(all);
      const served = CLIENTS * 2 - failed;
      return { rate: (1_000 * served) / ms, ...(cpu === undefined ? {} : { cpu: cpu / served }), failed };
    },
  };
}

function fetchNothing(folder: string, warmMs: number): Row {
  const copy = (peer: Peer): string => join(folder, peer.name.replaceAll(' ', '-'));
  const fetch = (peer: Peer): Promise<string> =>
    gitOk(peer, ['fetch', '-q', peer.url('medium'), '+refs/heads/*:refs/remotes/origin/*'], { cwd: copy(peer) });
  return {
    name: 'fetch-nothing',
    shapes: ['medium'],
    peers: SERVERS,
    figures: [
      { key: 'wall', title: 'no-op fetch of medium, wall', unit: 'ms', better: 'less', ratios: against() },
      { key: 'cpu', title: 'no-op fetch of medium, server CPU', unit: 'ms', better: 'less', ratios: against() },
    ],
    async prepare(peer) {
      mkdirSync(folder, { recursive: true });
      await gitOk(peer, ['clone', '-q', '--bare', peer.url('medium'), copy(peer)]);
      await gitOk(peer, ['fsck', '--connectivity-only'], { cwd: copy(peer) });
      await warmUp(warmMs, () => fetch(peer));
    },
    async run(peer) {
      let ms = 0;
      const cpu = await peer.meter?.cost(async () => {
        ms = await elapsed(async () => {
          for (let count = 0; count < REPEATS; count += 1) await fetch(peer);
        });
      });
      return { wall: ms / REPEATS, cpu: (cpu ?? Number.NaN) / REPEATS };
    },
  };
}

/** A warm-up ends after so many seconds, or sooner after some that cost more than this part of the cheapest before. */
const WARM_SECONDS_MAX = 10;
const WARM_SECONDS = 2;
const WARM_SHARE = 0.97;

interface RawOptions {
  readonly name: string;
  readonly repository: 'small' | 'manyrefs';
  readonly refs: number;
  readonly forMs: number;
  readonly target: number;
}

function rawRefs({ name, repository, refs, forMs, target }: RawOptions): Row {
  const ratios: readonly Ratio[] = [{ ours: 'gatehouse http', theirs: 'nginx', target }];
  const what = `raw ls-refs of ${repository}, HTTP keep-alive`;
  const ask = (peer: Peer, ms: number): ReturnType<typeof askRefs> => askRefs(peer, { repository, refs, forMs: ms });
  return {
    name,
    shapes: [repository],
    peers: RAW,
    figures: [
      { key: 'rate', title: what, unit: '/s', better: 'more', ratios },
      { key: 'perCpu', title: `${what}, a server CPU second`, unit: '/s', better: 'more', ratios },
    ],
    prepare: (peer) => warmUpRaw(peer, (ms) => ask(peer, ms)),
    async run(peer) {
      let asked = { answers: 0, ms: 0 };
      const cpu = await peer.meter?.cost(async () => {
        asked = await ask(peer, forMs);
      });
      return { rate: (1_000 * asked.answers) / asked.ms, perCpu: (1_000 * asked.answers) / (cpu ?? Number.NaN) };
    },
  };
}

/**
 * Until an answer gets no cheaper for the server from second to second: programs that are compiled while they run take
 * longer for that than others, and what they cost until then is not what they cost for weeks.
 */
async function warmUpRaw(peer: Peer, ask: (ms: number) => ReturnType<typeof askRefs>): Promise<void> {
  let best = Number.POSITIVE_INFINITY;
  let level = 0;
  for (let second = 0; second < WARM_SECONDS_MAX && level < WARM_SECONDS; second += 1) {
    const begun = peer.meter?.cpuMs() ?? 0;
    const { answers } = await ask(1_000);
    const each = ((peer.meter?.cpuMs() ?? 0) - begun) / answers;
    level = each > best * WARM_SHARE ? level + 1 : 0;
    best = Math.min(best, each);
  }
}

interface ClonesOptions {
  readonly name: string;
  readonly repository: 'large' | 'unmapped';
  readonly what: string;
  readonly cold?: number;
  readonly warm?: number;
  /** A clone without a bitmap takes others several seconds. */
  readonly roundsMax?: number;
}

/** Cold: just after a push, so that nothing that was kept fits. The bitmap is then one commit old, for everybody. */
function clones(bench: Workbench, { name, repository, what, cold, warm, roundsMax = 2 }: ClonesOptions): Row {
  const best = (target: number | undefined): readonly Ratio[] =>
    (['gatehouse ssh', 'gatehouse http'] as const).map((ours) => ({
      ours,
      theirs: 'best',
      ...(target === undefined ? {} : { target }),
    }));
  const all = async (peer: Peer, wants: readonly string[]): Promise<void> => {
    const packs = await Promise.all(Array.from({ length: CLONES }, () => fetchAll(peer, { repository, wants })));
    const [first] = packs;
    if (first === undefined || first.objects < 1_000 || packs.some(({ objects }) => objects !== first.objects))
      throw new Error(`${peer.name}: packs of ${packs.map(({ objects }) => objects).join(', ')} objects`);
  };
  return {
    name,
    shapes: ['large', repository],
    peers: ['gatehouse ssh', 'gatehouse http', 'gitolite', 'git-shell tuned', 'nginx', 'git daemon'],
    roundsMax,
    figures: [
      {
        key: 'cold',
        title: `${what}, after a push, server CPU a clone`,
        unit: 'ms',
        better: 'less',
        ratios: best(cold),
      },
      { key: 'warm', title: `${what}, again, server CPU a clone`, unit: 'ms', better: 'less', ratios: best(warm) },
      { key: 'wall', title: `${what}, again, wall for all`, unit: 'ms', better: 'less', ratios: best(undefined) },
      { key: 'peak', title: `${what}, server memory at most`, unit: 'MiB', better: 'less', ratios: best(undefined) },
    ],
    async run(peer): Promise<Sample> {
      const { meter } = peer;
      if (meter === undefined) return {};
      const fresh = await bench.freshCommit(peer);
      await pushFresh(peer, { ...fresh, repository });
      await verifyRef(peer, { ...fresh, repository });
      const wants = await tipsOf(peer, repository);
      const peak = meter.watchPeak();
      const first = await meter.cost(() => all(peer, wants));
      let ms = 0;
      const again = await meter.cost(async () => {
        ms = await elapsed(() => all(peer, wants));
      });
      return { cold: first / CLONES, warm: again / CLONES, wall: ms, peak: peak.stop() / 2 ** 20 };
    },
  };
}

export async function tipsOf(peer: Peer, repository: Parameters<Peer['url']>[0]): Promise<readonly string[]> {
  const said = await gitOk(peer, ['ls-remote', '--heads', peer.url(repository)]);
  return [...new Set(said.split('\n').map((line) => line.slice(0, 40)))];
}
