/** Whether the machine was quiet enough to believe what was measured on it. */
import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { setTimeout as later } from 'node:timers/promises';
import { wildness, type Line } from './table.ts';

/** Of all processors, while the servers do nothing. */
const BUSY_SHARE_MAX = 0.1;
/** Quartiles further apart than this, against the median, say little. */
const WILD = 0.3;
const WILD_SHARE_MAX = 0.25;
const LOOK_MS = 1_000;

/** The share of the processors that was busy, and that another machine took, within a second from now. */
export async function busyShare(): Promise<number> {
  const before = processorTicks();
  await later(LOOK_MS);
  const after = processorTicks();
  return (after.busy - before.busy) / Math.max(1, after.all - before.all);
}

function processorTicks(): { readonly busy: number; readonly all: number } {
  const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const ticks = first.trim().split(/\s+/).slice(1, 9).map(Number);
  const all = ticks.reduce((sum, count) => sum + count, 0);
  return { busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), all };
}

export interface Noise {
  readonly processors: number;
  readonly loadBefore: number;
  /** Shares between 0 and 1, one before each row. */
  readonly busy: readonly number[];
  readonly wildFigures: readonly string[];
  readonly trusted: boolean;
}

export function noiseOf(lines: readonly Line[], { loadBefore, busy }: Pick<Noise, 'loadBefore' | 'busy'>): Noise {
  const wildFigures = lines.filter((line) => wildness(line) > WILD).map(({ figure }) => figure.title);
  const sorted = busy.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const trusted = median <= BUSY_SHARE_MAX && wildFigures.length <= lines.length * WILD_SHARE_MAX;
  return { processors: cpus().length, loadBefore, busy, wildFigures, trusted };
}

export function currentLoad(): number {
  return loadavg()[0] ?? 0;
}

export function noiseText({ processors, loadBefore, busy, wildFigures, trusted }: Noise): string {
  const percents = busy.map((share) => Math.round(share * 100)).toSorted((a, b) => a - b);
  const middle = percents[Math.floor(percents.length / 2)] ?? 0;
  const said = [
    `${processors} processors; load before the run ${loadBefore.toFixed(2)}; others kept ${middle}% of the processors busy (at most ${percents.at(-1) ?? 0}%).`,
  ];
  if (wildFigures.length > 0)
    said.push(`Quartiles more than ${WILD * 100}% of the median apart: ${wildFigures.join('; ')}.`);
  said.push(
    trusted
      ? 'The machine was quiet enough.'
      : 'The machine was too noisy to trust these figures: wall times and rates most of all, processor times less.',
  );
  return `${said.join(' ')}\n`;
}
