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
const UPKEEP_WAIT_MS = 150_000;

export interface GrowthRowsOptions extends RowsOptions {
  readonly ours: () => OurSite | undefined;
}

export function growthRows(options: GrowthRowsOptions): readonly Row[] {
  return [manyPushes(options)];
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
