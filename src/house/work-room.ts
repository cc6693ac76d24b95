/** Places for work, and how many there are: fewer while the machine is short of memory or disk. */
import { availableParallelism } from 'node:os';
import type { Log } from '../audit/log.ts';
import type { Metrics } from '../audit/metrics.ts';
import { systemClock } from '../base/clock.ts';
import type { Config } from '../base/config.ts';
import { Pressure, PRESSURE_LEVELS, resourcesOf, type PressureLevel, type PressureReport } from '../base/pressure.ts';
import { formatBytes } from '../base/units.ts';
import { Work, workLimits } from '../request/work.ts';

const PLACES_A_PROCESSOR = 8;

export interface WorkRoomParts {
  readonly log: Pick<Log, 'info' | 'warn'>;
  readonly metrics: Pick<Metrics, 'watch' | 'workWaited'>;
  /** What can do with less does so from here on. */
  readonly shrink: (level: PressureLevel) => void;
}

/** Looks at the machine once before it resolves, and from time to time until the stack is disposed. */
export async function openWorkRoom(
  { dataDirectory, settings }: Pick<Config, 'dataDirectory' | 'settings'>,
  { log, metrics, shrink }: WorkRoomParts,
  stack: AsyncDisposableStack,
): Promise<Work> {
  const places = settings.workMax === 0 ? PLACES_A_PROCESSOR * availableParallelism() : settings.workMax;
  const work = new Work(systemClock, { ...workLimits(places), onWaited: (ms) => metrics.workWaited(ms) });
  const pressure = stack.use(
    new Pressure({ clock: systemClock, limits: settings, look: () => resourcesOf(dataDirectory) }),
  );
  let level: PressureLevel = 'none';
  pressure.listen((report) => {
    if (report.level === level) return;
    tell(log, report);
    level = report.level;
    shrink(level);
    // One place is always given out.
    work.share = level === 'short' ? 0 : 1;
  });
  metrics.watch('work_running', 'Packs being made and pushes being taken in and judged.', () => work.running);
  metrics.watch('work_waiting', 'Requests that wait for a place to do so.', () => work.waiting);
  metrics.watch('walks_running', 'Walks that prove what may be read.', () => work.walks.running);
  metrics.watch('walks_waiting', 'Requests that wait for a place to walk.', () => work.walks.waiting);
  const degree = (of: 'memory' | 'disk') => (): number => PRESSURE_LEVELS.indexOf(pressure.report?.[of] ?? 'none');
  metrics.watch('memory_pressure', 'Memory of the machine: 0 enough, 1 tight, 2 short.', degree('memory'));
  metrics.watch('disk_pressure', 'Disk under the data directory: 0 enough, 1 tight, 2 short.', degree('disk'));
  await pressure.begin();
  return work;
}

function tell(
  log: WorkRoomParts['log'],
  { level, memory, disk, memoryFreeBytes, diskFreeBytes }: PressureReport,
): void {
  const fields = { memory, disk, memoryFree: formatBytes(memoryFreeBytes), diskFree: formatBytes(diskFreeBytes) };
  if (level === 'none') log.info(fields, 'have enough memory and disk again');
  else if (level === 'tight') log.warn(fields, 'little memory or disk is left: shrink caches');
  else log.warn(fields, 'hardly any memory or disk is left: keep nothing, do one thing at a time');
}
