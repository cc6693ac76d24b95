/** Rows about what grows: a gate with 100,000 repositories, and what a clone costs after many small pushes. */
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { newId, systemClock } from '../../src/base/clock.ts';
import { parseRepositoryName } from '../../src/repository/name.ts';
import { taking, type Registered } from '../../src/repository/record.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { Write } from '../../src/store/store.ts';
import { makePerson, sshOk, startGate, type Gate, type Person } from '../../test/support/gate.ts';
import { processTree, residentBytes } from '../../test/support/memory.ts';
import type { Scope } from '../../test/support/workspace.ts';
import type { OurSite } from './gatehouse-peer.ts';
import { newHome } from './peer.ts';
import { fetchAll } from './raw-fetch.ts';
import { tipsOf, type RowsOptions } from './read-rows.ts';
import { elapsed, type Row } from './row.ts';
import { pushFresh, Workbench } from './workbench.ts';

const REPOSITORIES = 100_000;
const BATCH = 2_000;
const CLONES = 5;
const UPKEEP_WAIT_MS = 150_000;

export interface GrowthRowsOptions extends RowsOptions {
  readonly scope: Scope;
  readonly ours: () => OurSite | undefined;
}

export function growthRows(options: GrowthRowsOptions): readonly Row[] {
  return [scale(options), manyPushes(options)];
}

/** The store is written as `create` writes it; the directories are not there, nobody asks for them. */
function scale({ root, scope, quick }: GrowthRowsOptions): Row {
  const count = quick ? REPOSITORIES / 10 : REPOSITORIES;
  const ours = 'gatehouse ssh';
  const crowd = `${count.toLocaleString('en-US')} repositories`;
  let site: { readonly data: string; readonly admin: Person } | undefined;
  const start = ({ data, admin }: NonNullable<typeof site>): Promise<Gate> =>
    startGate(scope, { data, home: admin.home, args: ['--log-level', 'warn'] });
  return {
    name: 'scale',
    shapes: ['small'],
    peers: [ours],
    roundsMax: 3,
    figures: [
      { key: 'start', title: `start with ${crowd}`, unit: 'ms', better: 'less', bound: { ours, value: 3_000 } },
      {
        key: 'memory',
        title: `memory after the start with ${crowd}`,
        unit: 'MiB',
        better: 'less',
        bound: { ours, value: 300 },
      },
      { key: 'ls', title: `ls of ${crowd}, over SSH`, unit: 'ms', better: 'less' },
    ],
    async prepare() {
      const home = newHome({ root }, 'scale');
      const admin = await makePerson(home, 'admin');
      const data = join(home, 'data');
      const first = await startGate(scope, {
        data,
        home: admin.home,
        args: ['--admin', 'admin', '--admin-key', `${admin.keyFile}.pub`],
      });
      await first.stop();
      await writeMany(join(data, 'gatehouse.db'), count);
      site = { data, admin };
    },
    async run() {
      if (site === undefined) return {};
      let gate: Gate | undefined;
      const startMs = await elapsed(async () => {
        gate = site === undefined ? undefined : await start(site);
      });
      if (gate === undefined) return {};
      const running = gate;
      const bytes = processTree(running.pid).reduce((sum, { pid }) => sum + residentBytes(pid), 0);
      let listed = '';
      const { admin } = site;
      const ls = await elapsed(async () => {
        listed = await sshOk(admin, running, ['ls']);
      });
      await running.stop();
      const shown = listed.split('\n').filter((line) => line.includes('project-')).length;
      if (shown !== count) throw new Error(`ls shows ${shown} repositories, not ${count}`);
      return { start: startMs, memory: bytes / 2 ** 20, ls };
    },
  };
}

async function writeMany(path: string, count: number): Promise<void> {
  const store = await openSqliteStore({ path });
  let writes: Write[] = [];
  for (let index = 0; index < count; index += 1) {
    const name = parseRepositoryName(`team${index % 97}/project-${index}`);
    if (name.kind === 'refused') throw new Error(name.reason);
    const record: Registered = {
      id: newId(systemClock),
      name: name.value,
      owner: 'admin',
      objectFormat: 'sha1',
      description: `Project number ${index}`,
      createdAt: systemClock.now(),
      settings: {},
      hasRules: false,
      version: 0,
    };
    writes.push(...taking(record).writes);
    if ((index + 1) % BATCH === 0 || index + 1 === count) {
      const done = await store.transact({ writes });
      if (done.kind !== 'committed') throw new Error('the store refused the repositories');
      writes = [];
    }
  }
  await store.close();
}

/** Commits of their own, one push each, with the housekeeping that the gate does by itself; then `gc`, which packs anew. */
function manyPushes({ root, quick, ours }: GrowthRowsOptions): Row {
  const bench = new Workbench(join(root, 'growth-work'));
  const pushes = quick ? 300 : 5_000;
  return {
    name: 'many-pushes',
    shapes: ['small', 'medium'],
    peers: ['gatehouse http'],
    roundsMax: 1,
    figures: [
      {
        key: 'before',
        title: `5 clones of medium after ${pushes} pushes, server CPU a clone`,
        unit: 'ms',
        better: 'less',
      },
      { key: 'after', title: 'the same after a full repack', unit: 'ms', better: 'less' },
      {
        key: 'times',
        title: 'how many times dearer',
        unit: '',
        better: 'less',
        bound: { ours: 'gatehouse http', value: 1.2 },
      },
    ],
    async run(peer) {
      const site = ours();
      if (site === undefined || peer.meter === undefined) return {};
      const { meter } = peer;
      for (let count = 0; count < pushes; count += 8)
        await Promise.all(
          Array.from({ length: 8 }, async () => {
            const fresh = await bench.freshCommit(peer);
            await pushFresh(peer, { ...fresh, repository: 'medium' });
          }),
        );
      await upkeepDone(site);
      const cost = async (from: number): Promise<number> => {
        const costs: number[] = [];
        const wants = await tipsOf(peer, 'medium');
        // Other wants each time: the pack cache must not answer.
        for (let count = 0; count < CLONES; count += 1)
          costs.push(
            await meter.cost(() => fetchAll(peer, { repository: 'medium', wants: wants.slice(from + count) })),
          );
        return costs.toSorted((a, b) => a - b)[Math.floor(CLONES / 2)] ?? Number.NaN;
      };
      const before = await cost(0);
      await sshOk(site.admin, site.gate, ['gc', 'medium']);
      const after = await cost(CLONES);
      return { before, after, times: before / after };
    },
  };
}

/** Housekeeping waits for a quiet minute. */
async function upkeepDone({ meter }: OurSite): Promise<void> {
  const until = performance.now() + UPKEEP_WAIT_MS;
  await later(65_000);
  for (let quiet = 0; quiet < 3 && performance.now() < until;) {
    const before = meter.cpuMs();
    await later(1_000);
    quiet = meter.cpuMs() - before < 100 ? quiet + 1 : 0;
  }
}
