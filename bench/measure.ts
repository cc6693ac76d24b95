/** Times of two sides that take turns, and what is said about them: medians, spread, the ratio. */

export interface Times {
  readonly what: string;
  /** Milliseconds. */
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
}

export interface Summary {
  readonly what: string;
  readonly ours: Spread;
  readonly theirs: Spread;
  /** How many times longer theirs takes, by medians. */
  readonly ratio: number;
}

interface Spread {
  readonly medianMs: number;
  readonly leastMs: number;
  readonly mostMs: number;
}

/** Says why a bench cannot run here. Returns the exit code: nothing went wrong. */
export function skipped(bench: string, reason: string | false, isJson: boolean): 0 {
  process.stdout.write(isJson ? `${JSON.stringify({ bench, skipped: reason })}\n` : `${bench}: skipped, ${reason}\n`);
  return 0;
}

export async function timed(act: () => Promise<unknown> | void): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

export function summaryOf({ what, ours, theirs }: Times): Summary {
  const [a, b] = [spreadOf(ours), spreadOf(theirs)];
  return { what, ours: a, theirs: b, ratio: b.medianMs / a.medianMs };
}

function spreadOf(times: readonly number[]): Spread {
  const sorted = times.toSorted((a, b) => a - b);
  return {
    medianMs: sorted[Math.floor(sorted.length / 2)] ?? Number.NaN,
    leastMs: sorted[0] ?? Number.NaN,
    mostMs: sorted.at(-1) ?? Number.NaN,
  };
}

export function lineOf({ what, ours, theirs, ratio }: Summary): string {
  return `${what}: ours ${shown(ours)}, gitolite ${shown(theirs)}: ${ratio.toPrecision(3)} times\n`;
}

function shown({ medianMs, leastMs, mostMs }: Spread): string {
  const unit = (ms: number): string =>
    ms >= 1_000
      ? `${(ms / 1_000).toPrecision(3)} s`
      : ms >= 1
        ? `${ms.toPrecision(3)} ms`
        : `${(ms * 1_000).toPrecision(3)} us`;
  return `${unit(medianMs)} (${unit(leastMs)} to ${unit(mostMs)})`;
}
