/** Sizes and durations as people write and read them. */
import { ok, refuse, type Parsed } from './fault.ts';

const BYTE_UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['kib', 1024],
  ['k', 1024],
  ['mib', 1024 ** 2],
  ['m', 1024 ** 2],
  ['gib', 1024 ** 3],
  ['g', 1024 ** 3],
  ['tib', 1024 ** 4],
  ['t', 1024 ** 4],
]);

const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
  ['w', 7 * 86_400_000],
]);

/** `2 GiB`, `512m`, `1048576`: bytes. */
export function parseBytes(text: string): Parsed<number> {
  return parseQuantity(text, BYTE_UNITS, 'a size is a number with a unit: 512 KiB, 100 MiB, 2 GiB');
}

/** `30d`, `12h`, `90s`, `250ms`: milliseconds. A number needs its unit. */
export function parseDuration(text: string): Parsed<number> {
  return parseQuantity(text, DURATION_UNITS, 'a duration is a number with a unit: 90s, 15m, 12h, 30d, 4w');
}

function parseQuantity(text: string, units: ReadonlyMap<string, number>, expected: string): Parsed<number> {
  const match = /^(\d{1,15}) ?([A-Za-z]*)$/.exec(text.trim());
  const unit = match === null ? undefined : units.get((match[2] ?? '').toLowerCase());
  if (match === null || unit === undefined) return refuse(expected);
  const value = Number(match[1]) * unit;
  return Number.isSafeInteger(value) ? ok(value) : refuse('the number is too large');
}

/** `1.5 GiB`: at most one digit behind the point. */
export function formatBytes(bytes: number): string {
  const names = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let step = 0;
  while (value >= 1024 && step < names.length - 1) {
    value /= 1024;
    step += 1;
  }
  const text = step === 0 ? String(value) : value.toFixed(1).replace(/\.0$/, '');
  return `${text} ${names[step] ?? ''}`;
}

/** `10 min`, `30 d`: the largest unit that divides evenly. */
export function formatDuration(ms: number): string {
  for (const [unit, size] of [...DURATION_UNITS].reverse()) {
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}
