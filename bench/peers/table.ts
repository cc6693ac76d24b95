/** What came of the rows: medians with quartiles, one ratio a comparison, and whether the aim was reached. As text, Markdown, JSON. */
import type { PeerName } from './peer.ts';
import type { Figure, Ratio, Row, Sample } from './row.ts';

export interface Spread {
  readonly median: number;
  readonly lower: number;
  readonly upper: number;
  readonly rounds: number;
}

export interface Compared extends Ratio {
  /** How many times better ours is, by medians. */
  readonly times: number;
}

export interface Line {
  readonly row: string;
  readonly figure: Figure;
  readonly cells: ReadonlyMap<PeerName, Spread>;
  readonly failed: ReadonlyMap<PeerName, number>;
  readonly compared: readonly Compared[];
}

/** Samples of one row by peer, round after round. */
export type Samples = ReadonlyMap<PeerName, readonly Sample[]>;

export function linesOf(row: Row, samples: Samples): readonly Line[] {
  return row.figures.map((figure) => {
    const cells = new Map<PeerName, Spread>();
    const failed = new Map<PeerName, number>();
    for (const [peer, taken] of samples) {
      const values = taken.flatMap((sample) => sample[figure.key] ?? []);
      if (values.length > 0) cells.set(peer, spreadOf(values));
      failed.set(
        peer,
        taken.reduce((sum, sample) => sum + (sample['failed'] ?? 0), 0),
      );
    }
    return { row: row.name, figure, cells, failed, compared: comparedOf(figure, cells) };
  });
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => {
    const place = (sorted.length - 1) * share;
    const [low = Number.NaN, high = low] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
    return low + (high - low) * (place - Math.floor(place));
  };
  return { median: at(0.5), lower: at(0.25), upper: at(0.75), rounds: values.length };
}

function comparedOf(figure: Figure, cells: Line['cells']): readonly Compared[] {
  return (figure.ratios ?? []).flatMap((ratio) => {
    const ours = cells.get(ratio.ours)?.median;
    const theirs = ratio.theirs === 'best' ? bestOf(figure, cells) : cells.get(ratio.theirs)?.median;
    if (ours === undefined || theirs === undefined) return [];
    return [{ ...ratio, times: figure.better === 'less' ? theirs / ours : ours / theirs }];
  });
}

function bestOf({ better }: Figure, cells: Line['cells']): number | undefined {
  const others = [...cells].flatMap(([peer, { median }]) =>
    peer.startsWith('gatehouse') || peer === 'file' ? [] : [median],
  );
  if (others.length === 0) return undefined;
  return better === 'less' ? Math.min(...others) : Math.max(...others);
}

/** How far the quartiles lie apart, against the median: the widest of the line. */
export function wildness({ cells }: Line): number {
  return Math.max(
    0,
    ...[...cells.values()].map(({ median, lower, upper }) => (median === 0 ? 0 : (upper - lower) / median)),
  );
}

/** Whether what the row aims at was reached; undefined where it only tells. */
export function reached({ figure, cells, compared }: Line): boolean | undefined {
  const aims = compared.flatMap(({ times, target }) => (target === undefined ? [] : [times >= target]));
  const ours = figure.bound === undefined ? undefined : cells.get(figure.bound.ours)?.median;
  if (figure.bound !== undefined && ours !== undefined)
    aims.push(figure.better === 'less' ? ours <= figure.bound.value : ours >= figure.bound.value);
  return aims.length === 0 ? undefined : aims.every(Boolean);
}

export function markdownOf(lines: readonly Line[], peers: readonly PeerName[]): string {
  const head = ['work', ...peers, 'ratio', 'aim'];
  const rows = lines.map((line) => [
    `${line.figure.title}${line.figure.unit === '' ? '' : `, ${line.figure.unit}`}`,
    ...peers.map((peer) => cellOf(line, peer)),
    line.compared.map(comparedText).join('; '),
    aimText(line),
  ]);
  const text = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return text(head) + text(head.map(() => '---')) + rows.map(text).join('');
}

/** For a terminal: a block a figure, a line a peer. */
export function plainOf(lines: readonly Line[]): string {
  return lines
    .map((line) => {
      const cells = [...line.cells.keys()].map((peer) => `  ${peer.padEnd(16)} ${cellOf(line, peer)}\n`);
      const compared = line.compared.map((one) => `  ${comparedText(one)}\n`);
      const aim = aimText(line);
      return `${line.figure.title} (${line.figure.unit || 'count'})${aim === '' ? '' : `: ${aim}`}\n${cells.join('')}${compared.join('')}`;
    })
    .join('');
}

export function jsonOf(lines: readonly Line[]): readonly object[] {
  return lines.map((line) => ({
    row: line.row,
    key: line.figure.key,
    title: line.figure.title,
    unit: line.figure.unit,
    better: line.figure.better,
    peers: Object.fromEntries(
      [...line.cells].map(([peer, spread]) => [peer, { ...spread, failed: line.failed.get(peer) ?? 0 }]),
    ),
    ratios: line.compared,
    ...(line.figure.bound === undefined ? {} : { bound: line.figure.bound }),
    reached: reached(line),
  }));
}

function cellOf({ cells, failed }: Line, peer: PeerName): string {
  const spread = cells.get(peer);
  if (spread === undefined) return '';
  const { median, lower, upper, rounds } = spread;
  const failures = failed.get(peer) ?? 0;
  const range = rounds < 2 ? '' : ` (${numberText(lower)} to ${numberText(upper)})`;
  return `${numberText(median)}${range}${failures === 0 ? '' : `, ${failures} failed`}`;
}

function comparedText({ ours, theirs, times }: Compared): string {
  return `${ours.replace('gatehouse ', '')} ${numberText(times)} times ${theirs === 'best' ? 'the best' : theirs}`;
}

function aimText(line: Line): string {
  const aims = line.compared.flatMap(({ ours, target }) =>
    target === undefined ? [] : [`${ours.replace('gatehouse ', '')} ${target} times`],
  );
  const { bound, better } = line.figure;
  if (bound !== undefined) aims.push(`${better === 'less' ? 'at most' : 'at least'} ${bound.value}`);
  const whether = reached(line);
  return whether === undefined ? '' : `${aims.join(', ')}: ${whether ? 'reached' : 'missed'}`;
}

/** Three digits, and never a power of ten. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return '?';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}
