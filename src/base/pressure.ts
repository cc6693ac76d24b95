/**
 * How much memory and disk is left on the machine, looked at every few seconds. First caches shrink, then what costs
 * much has to queue; what was acknowledged is never at stake.
 */
import { readFile, statfs } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';
import { ownGroupMemory } from './cgroup.ts';
import type { Clock } from './clock.ts';

/** `tight`: caches shrink. `short`: they are emptied, and what costs much is done one at a time. */
export const PRESSURE_LEVELS = ['none', 'tight', 'short'] as const;
export type PressureLevel = (typeof PRESSURE_LEVELS)[number];

export interface Resources {
  readonly memoryBytes: number;
  readonly memoryFreeBytes: number;
  readonly diskFreeBytes: number;
}

export interface PressureLimits {
  /** Free memory below which it is tight; below a half of it, short. In bytes; 0: never. */
  readonly memoryFreeMin: number;
  /** The same of the disk that the data directory is on. */
  readonly diskFreeMin: number;
}

export interface PressureReport extends Resources {
  readonly memory: PressureLevel;
  readonly disk: PressureLevel;
  /** The worse of both. */
  readonly level: PressureLevel;
}

const LOOK_MS = 5_000;
/** Pressure ends this much above where it began, so that it does not come and go. */
const RELIEF = 1.1;

export class Pressure implements Disposable {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #limits: PressureLimits;
  readonly #look: () => Promise<Resources>;
  readonly #listeners = new Set<(report: PressureReport) => void>();
  #report: PressureReport | undefined;
  #cancel: () => void = () => {};
  #isOver = false;

  constructor(options: {
    readonly clock: Pick<Clock, 'after'>;
    readonly limits: PressureLimits;
    readonly look: () => Promise<Resources>;
  }) {
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#look = options.look;
  }

  /** What was seen last; undefined: nothing yet. */
  get report(): PressureReport | undefined {
    return this.#report;
  }

  /** Told after each look. */
  listen(listener: (report: PressureReport) => void): void {
    this.#listeners.add(listener);
  }

  /** Looks now, and every few seconds from then on. What cannot be looked at is taken for enough. */
  async begin(): Promise<void> {
    const report = judge(await this.#look().catch(() => PLENTY), this.#limits, this.#report);
    if (this.#isOver) return;
    this.#report = report;
    for (const listener of this.#listeners) listener(report);
    this.#cancel = this.#clock.after(LOOK_MS, () => void this.begin());
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#cancel();
  }
}

const PLENTY: Resources = { memoryBytes: Infinity, memoryFreeBytes: Infinity, diskFreeBytes: Infinity };

/** @param before what was judged last: a level is left only with some room to spare. */
export function judge(resources: Resources, limits: PressureLimits, before?: PressureReport): PressureReport {
  const memory = levelOf(resources.memoryFreeBytes, limits.memoryFreeMin, before?.memory);
  const disk = levelOf(resources.diskFreeBytes, limits.diskFreeMin, before?.disk);
  const level = PRESSURE_LEVELS.indexOf(memory) > PRESSURE_LEVELS.indexOf(disk) ? memory : disk;
  return { ...resources, memory, disk, level };
}

function levelOf(free: number, min: number, before: PressureLevel = 'none'): PressureLevel {
  const isBelow = (border: number, held: boolean): boolean => free < (held ? border * RELIEF : border);
  if (isBelow(min / 2, before === 'short')) return 'short';
  return isBelow(min, before !== 'none') ? 'tight' : 'none';
}

/**
 * What this machine has left, or the fullest of the cgroups (version 2) that this process is bounded by.
 * @throws where the disk cannot be looked at.
 */
export async function resourcesOf(directory: string): Promise<Resources> {
  const disk = await statfs(directory);
  const group = await ownGroupMemory();
  return {
    memoryBytes: Math.min(totalmem(), group?.bytes ?? Infinity),
    memoryFreeBytes: Math.min(await machineFreeBytes(), group?.freeBytes ?? Infinity),
    diskFreeBytes: disk.bavail * disk.bsize,
  };
}

async function machineFreeBytes(): Promise<number> {
  const info = await readFile('/proc/meminfo', 'utf8').catch(() => ''); // another system has none
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(info)?.[1];
  return available === undefined ? freemem() : Number(available) * 1024;
}
