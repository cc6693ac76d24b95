/** Rows about the machine: memory of idle connections, bytes a processor second, a burst of logins, the event loop of the gate. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Scope } from '../../test/support/workspace.ts';
import { startEmptyGate, type OurSite } from './gatehouse-peer.ts';
import { git, type Peer, type PeerName } from './peer.ts';
import { fetchAll } from './raw-fetch.ts';
import { tipsOf, type RowsOptions } from './read-rows.ts';
import { elapsed, type Ratio, type Row } from './row.ts';
import { loopDelay, scrape } from './loop-delay.ts';
import { tryPush, Workbench, type PushTo } from './workbench.ts';

const SSH_PEERS: readonly PeerName[] = ['gatehouse ssh', 'git-shell', 'git-shell tuned'];
const BURST = 64;
/** sshd drops some of ten that have not logged in: they come a few at a time. */
const AT_ONCE = 5;
const LOAD_CLIENTS = 8;
/** One process holds all of ours: enough of them that the memory it has anyhow does not hide theirs. */
const OUR_IDLE = 500;
const THEIR_IDLE = 40;
/** A connection's keys and buffers need more than this. */
const KIB_BELIEVED_MIN = 8;

export interface MachineRowsOptions extends RowsOptions {
  readonly scope: Scope;
  readonly streamMib: number;
  /** Undefined where Gatehouse is not among the peers. */
  readonly ours: () => OurSite | undefined;
}

export function machineRows(options: MachineRowsOptions): readonly Row[] {
  return [idle(options), stream(options.streamMib), burst(), eventLoop(options)];
}

function idle(options: MachineRowsOptions): Row {
  const ratios: readonly Ratio[] = [{ ours: 'gatehouse ssh', theirs: 'git-shell' }];
  return {
    name: 'idle',
    shapes: ['small'],
    peers: SSH_PEERS,
    // Once: memory that a process has had it keeps, and a second round would find it.
    roundsMax: 1,
    figures: [
      {
        key: 'kib',
        title: 'an idle SSH connection',
        unit: 'KiB',
        better: 'less',
        ratios,
        bound: { ours: 'gatehouse ssh', value: 100 },
      },
    ],
    async run(peer) {
      const isOurs = peer.name.startsWith('gatehouse');
      const asked = isOurs ? await startEmptyGate(options, 'idle') : peer;
      const connections = isOurs ? OUR_IDLE : THEIR_IDLE;
      const { meter } = asked;
      if (meter === undefined) return {};
      // From a server that has served nobody: what it makes room for once is counted too, so the figure is rather too high.
      await meter.settledMs();
      const before = meter.bytes();
      const open = await openIdle(asked, connections);
      await meter.settledMs();
      const kib = (meter.bytes() - before) / 1024 / connections;
      await endAll(open);
      if (kib < KIB_BELIEVED_MIN) throw new Error(`${peer.name}: ${kib} KiB a connection are not to be believed`);
      return { kib };
    },
  };
}

async function openIdle(peer: Peer, count: number): Promise<readonly ChildProcess[]> {
  const open: ChildProcess[] = [];
  while (open.length < count)
    open.push(
      ...(await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - open.length) }, () => openOne(peer)))),
    );
  return open;
}

async function openOne(peer: Peer): Promise<ChildProcess> {
  if (peer.reach.kind !== 'ssh') throw new Error(`${peer.name} has no SSH`);
  const [program = '', ...words] = peer.reach.argv.map((word) =>
    word === 'LogLevel=ERROR' ? 'LogLevel=DEBUG1' : word,
  );
  const child = spawn(program, [...words, '-N', 'bench'], { env: peer.env, stdio: ['ignore', 'ignore', 'pipe'] });
  await new Promise<void>((resolve, reject) => {
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000);
      if (/Entering interactive session|pledge: network/.test(said)) resolve();
    });
    child.once('exit', (code) => {
      reject(new Error(`${peer.name}: an idle connection ended with ${code}: ${said}`));
    });
  });
  return child;
}

async function endAll(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }),
  );
}

function stream(mib: number): Row {
  const ratiosTo = (target?: number): readonly Ratio[] => [
    { ours: 'gatehouse ssh', theirs: 'git-shell', ...(target === undefined ? {} : { target }) },
  ];
  const title = `${mib} MiB over SSH down`;
  const unit = 'MiB/CPU s';
  // In this order: the first one finds nothing kept, and git makes the pack on every side.
  const downloads = [
    { key: 'first', ciphers: undefined, more: 'the first time', ratios: ratiosTo() },
    { key: 'default', ciphers: undefined, more: "again, the client's cipher", ratios: ratiosTo(1.5) },
    { key: 'aes', ciphers: 'aes128-gcm@openssh.com', more: 'again, aes128-gcm', ratios: ratiosTo() },
  ] as const;
  return {
    name: 'stream',
    shapes: ['stream'],
    peers: ['gatehouse ssh', 'git-shell', 'git-shell tuned'],
    roundsMax: 1,
    figures: downloads.map(({ key, more, ratios }) => ({
      key,
      title: `${title}, ${more}`,
      unit,
      better: 'more',
      ratios,
    })),
    async run(peer) {
      const wants = await tipsOf(peer, 'stream');
      const rates: Record<string, number> = {};
      for (const { key, ciphers } of downloads) {
        let bytes = 0;
        const cpu = await peer.meter?.cost(async () => {
          const asked = { repository: 'stream', wants, ...(ciphers === undefined ? {} : { ciphers }) } as const;
          bytes = (await fetchAll(peer, asked)).packBytes;
        });
        if (bytes < mib * 1024 * 1024) throw new Error(`${peer.name}: only ${bytes} bytes came`);
        rates[key] = (1_000 * bytes) / 2 ** 20 / (cpu ?? Number.NaN);
      }
      return rates;
    },
  };
}

function burst(): Row {
  return {
    name: 'burst',
    shapes: ['small'],
    peers: ['gatehouse ssh', 'gitolite', 'git-shell', 'git-shell tuned'],
    roundsMax: 5,
    figures: [
      {
        key: 'served',
        title: `${BURST} connections at once: served`,
        unit: '',
        better: 'more',
        bound: { ours: 'gatehouse ssh', value: BURST },
      },
      { key: 'wall', title: `${BURST} connections at once: all over after`, unit: 'ms', better: 'less' },
    ],
    async run(peer) {
      let served = 0;
      const wall = await elapsed(() =>
        Promise.all(
          Array.from({ length: BURST }, async () => {
            const ended = await git(peer, ['ls-remote', peer.url('small')]);
            if (ended.code === 0 && ended.stdout.includes('refs/heads/main')) served += 1;
          }),
        ),
      );
      return { served, wall };
    },
  };
}

/** Clones, listings and pushes side by side for some seconds; how late timers of the gate came meanwhile. */
function eventLoop({ root, quick, ours }: MachineRowsOptions): Row {
  const bench = new Workbench(join(root, 'loop-work'));
  const forMs = quick ? 3_000 : 10_000;
  return {
    name: 'event-loop',
    shapes: ['small', 'medium'],
    peers: ['gatehouse http'],
    roundsMax: 3,
    figures: [
      {
        key: 'p99',
        title: 'event loop of the gate under load, kept busy at most, 99%',
        unit: 'ms',
        better: 'less',
        bound: { ours: 'gatehouse http', value: 5 },
      },
      { key: 'p50', title: 'the same, 50%', unit: 'ms', better: 'less' },
      { key: 'late', title: 'the same with waits for a processor, 99%', unit: 'ms', better: 'less' },
    ],
    async run(peer) {
      const site = ours();
      if (site === undefined) return {};
      const look = () => Promise.all([scrape(site.gate.http, 'blocked'), scrape(site.gate.http, 'delay')]);
      const [blocked, delay] = await look();
      const failed = await load(site, { bench, forMs, peer });
      const [blockedAfter, delayAfter] = await look();
      return {
        p99: loopDelay(blocked, blockedAfter, 0.99),
        p50: loopDelay(blocked, blockedAfter, 0.5),
        late: loopDelay(delay, delayAfter, 0.99),
        failed,
      };
    },
  };
}

async function load(
  site: OurSite,
  { bench, forMs, peer }: { readonly bench: Workbench; readonly forMs: number; readonly peer: Peer },
): Promise<number> {
  const until = performance.now() + forMs;
  const wants = await tipsOf(peer, 'medium');
  let failed = 0;
  const client = async (lane: number): Promise<void> => {
    for (let count = lane; performance.now() < until; count += 1) {
      const way = site.peers[count % 2] ?? peer;
      if (count % 4 < 2) await fetchAll(way, { repository: 'medium', wants });
      else if (count % 4 === 2) {
        const ended = await git(way, ['ls-remote', way.url('small')]);
        if (ended.code !== 0) failed += 1;
      } else {
        const to: PushTo = { ...(await bench.nextCommit(peer, lane)), repository: 'pushed' };
        if (!(await tryPush(way, { ...to, refname: `refs/heads/loop-${lane}` }))) failed += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: LOAD_CLIENTS }, (_none, lane) => client(lane)));
  return failed;
}
