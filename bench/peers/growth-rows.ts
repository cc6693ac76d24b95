/** A row about what grows: what a clone costs after many small pushes. */
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { sshOk } from '../../test/support/gate.ts';
import type { OurSite } from './gatehouse-peer.ts';
import { fetchAll } from './raw-fetch.ts';
import { tipsOf, type RowsOptions } from './read-rows.ts';
import type { Row } from './row.ts';
import { pushFresh, Workbench } from './workbench.ts';

const CLONES = 5;
const CLIENTS = 8;
const UPKEEP_WAIT_MS = 150_000;

export interface GrowthRowsOptions extends RowsOptions {
  readonly ours: () => OurSite | undefined;
}

export function growthRows(options: GrowthRowsOptions): readonly Row[] {
  return [manyPushes(options)];
}

/** One changed file in each push, by eight clients, with the housekeeping that the gate does by itself; then `gc`, which packs anew. */
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
      const client = async (lane: number): Promise<void> => {
        for (let count = 0; count < pushes / CLIENTS; count += 1) {
          const next = await bench.nextCommit(peer, lane, 'medium');
          await pushFresh(peer, { ...next, repository: 'medium' });
        }
      };
      await Promise.all(Array.from({ length: CLIENTS }, (_none, lane) => client(lane)));
      await upkeepDone(site);
      const cost = async (apart: number): Promise<number> => {
        const costs: number[] = [];
        const wants = await tipsOf(peer, 'medium');
        // Two of the tips are left out, others each time: the pack cache must not answer.
        for (let count = 0; count < CLONES; count += 1)
          costs.push(
            await meter.cost(() =>
              fetchAll(peer, { repository: 'medium', wants: without(wants, count, count + apart) }),
            ),
          );
        return costs.toSorted((a, b) => a - b)[Math.floor(CLONES / 2)] ?? Number.NaN;
      };
      const before = await cost(1);
      await sshOk(site.admin, site.gate, ['gc', 'medium']);
      const after = await cost(2);
      return { before, after, times: before / after };
    },
  };
}

function without(wants: readonly string[], ...left: readonly number[]): readonly string[] {
  return wants.filter((_want, index) => !left.includes(index));
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
