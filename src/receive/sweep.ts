/**
 * Once after each start, behind the doors: every repository is rid of what a crash left of its pushes. In stints with long
 * breaks, so that nobody who is served notices, however many repositories there are.
 */
import type { Clock } from '../base/clock.ts';
import { Pace } from '../base/pace.ts';
import type { Repository } from '../repository/repository.ts';
import type { Leftover } from './leftovers.ts';
import { everyRepository, type RepositorySource } from './recovery.ts';

export interface SweepReport extends Leftover {
  readonly repositories: number;
  /** Of held pushes that never got a record. */
  readonly areas: number;
}

export interface SweepParts {
  readonly catalogue: RepositorySource;
  readonly clock: Clock;
  /** As `Committer.makeGood`. */
  readonly makeGood: (repository: Repository) => Promise<Leftover>;
  /** As `Holding.tidy`. */
  readonly tidyAreas: (repository: Repository) => Promise<number>;
}

/** Ends early, with what was done so far, where the signal is aborted. @throws Fault where the store cannot be read. */
export async function sweep(parts: SweepParts, signal: AbortSignal): Promise<SweepReport> {
  const { catalogue, clock, makeGood, tidyAreas } = parts;
  const report = { repositories: 0, quarantines: 0, entries: 0, areas: 0 };
  const pace = new Pace(clock, signal);
  for await (const repository of everyRepository(catalogue)) {
    if (signal.aborted) break;
    const { quarantines, entries } = await makeGood(repository);
    report.repositories += 1;
    report.quarantines += quarantines;
    report.entries += entries;
    report.areas += await tidyAreas(repository);
    await pace.step();
  }
  return report;
}
