/** The rows that write: one push, and 32 at once. What was pushed is looked for on the server afterwards. */
import { join } from 'node:path';
import type { Peer } from './peer.ts';
import type { RowsOptions } from './read-rows.ts';
import { SERVERS, warmUp } from './read-rows.ts';
import { against, elapsed, type Ratio, type Row } from './row.ts';
import { pushFresh, tryPush, verifyRef, Workbench, type PushTo } from './workbench.ts';

const PUSHERS = 32;
/** One after the other, and measured together. */
const PUSHES = 5;

export function writeRows({ root, quick }: RowsOptions): readonly Row[] {
  const bench = new Workbench(join(root, 'write-work'));
  return [pushOne(bench, quick ? 1_500 : 4_000), pushCrowd(bench)];
}

const PUSHED_TO = SERVERS.filter((name) => name !== 'gatehouse git');

function pushOne(bench: Workbench, warmMs: number): Row {
  const make = async (peer: Peer): Promise<PushTo> => ({ ...(await bench.nextCommit(peer)), repository: 'pushed' });
  const wall: readonly Ratio[] = [
    { ours: 'gatehouse ssh', theirs: 'gitolite' },
    { ours: 'gatehouse ssh', theirs: 'nginx', target: 1 },
    { ours: 'gatehouse http', theirs: 'nginx', target: 1 },
  ];
  const cpu: readonly Ratio[] = [
    { ours: 'gatehouse ssh', theirs: 'gitolite', target: 15 },
    { ours: 'gatehouse http', theirs: 'gitolite', target: 15 },
    { ours: 'gatehouse http', theirs: 'nginx' },
  ];
  return {
    name: 'push-one',
    shapes: ['small'],
    peers: PUSHED_TO,
    figures: [
      { key: 'wall', title: 'push of one commit, wall', unit: 'ms', better: 'less', ratios: wall },
      { key: 'cpu', title: 'push of one commit, server CPU', unit: 'ms', better: 'less', ratios: cpu },
    ],
    prepare: (peer) => warmUp(warmMs, async () => pushFresh(peer, await make(peer))),
    async run(peer) {
      const all: PushTo[] = [];
      for (let count = 0; count < PUSHES; count += 1) all.push(await make(peer));
      let ms = 0;
      const cost = await peer.meter?.cost(async () => {
        ms = await elapsed(async () => {
          for (const to of all) await pushFresh(peer, to);
        });
      });
      const [last] = all.slice(-1);
      if (last !== undefined) await verifyRef(peer, last);
      return { wall: ms / PUSHES, cpu: (cost ?? Number.NaN) / PUSHES };
    },
  };
}

/** To as many branches of one repository. */
function pushCrowd(bench: Workbench): Row {
  const make = async (peer: Peer): Promise<readonly PushTo[]> => {
    const all: PushTo[] = [];
    for (let lane = 1; lane <= PUSHERS; lane += 1)
      all.push({ ...(await bench.nextCommit(peer, lane)), repository: 'pushed' });
    return all;
  };
  const ratios: readonly Ratio[] = [
    { ours: 'gatehouse ssh', theirs: 'gitolite' },
    { ours: 'gatehouse ssh', theirs: 'nginx', target: 1.5 },
    { ours: 'gatehouse http', theirs: 'nginx', target: 1.5 },
  ];
  return {
    name: 'push-32',
    shapes: ['small'],
    peers: PUSHED_TO,
    roundsMax: 5,
    figures: [
      { key: 'rate', title: '32 pushes at once', unit: '/s', better: 'more', ratios },
      { key: 'cpu', title: '32 pushes at once, server CPU a push', unit: 'ms', better: 'less', ratios: against() },
    ],
    async run(peer) {
      const all = await make(peer);
      let ms = 0;
      let taken: readonly boolean[] = [];
      const cost = await peer.meter?.cost(async () => {
        ms = await elapsed(async () => {
          taken = await Promise.all(all.map((to) => tryPush(peer, to)));
        });
      });
      const done = all.filter((_to, index) => taken[index]);
      const [last] = done.toReversed();
      if (last !== undefined) await verifyRef(peer, last);
      return {
        rate: (1_000 * done.length) / ms,
        cpu: (cost ?? Number.NaN) / Math.max(1, done.length),
        failed: PUSHERS - done.length,
      };
    },
  };
}
