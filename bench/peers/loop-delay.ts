/** How late the event loop of a gate came, from two looks at its `/metrics`. */

/** Counts by the upper bound of their bucket, in seconds; as Prometheus has them, each with all below it. */
export type Buckets = ReadonlyMap<number, number>;

export async function scrape(address: string, name: 'delay' | 'blocked'): Promise<Buckets> {
  const answer = await fetch(`http://${address}/metrics`);
  const text = await answer.text();
  const pattern = new RegExp(`^gatehouse_event_loop_${name}_seconds_bucket\\{le="([^"]+)"\\} (\\d+)`, 'gm');
  const found = [...text.matchAll(pattern)];
  if (found.length === 0) throw new Error(`no event loop delay in /metrics (HTTP ${answer.status})`);
  return new Map(found.map(([, bound, count]) => [bound === '+Inf' ? Infinity : Number(bound), Number(count)]));
}

/** Milliseconds, linear within a bucket. */
export function loopDelay(before: Buckets, after: Buckets, share: number): number {
  const counts = [...after].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)] as const);
  const wanted = (counts.at(-1)?.[1] ?? 0) * share;
  let [below, belowCount] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= wanted && count > belowCount) {
      if (bound === Infinity) return below * 1_000;
      return (below + ((bound - below) * (wanted - belowCount)) / (count - belowCount)) * 1_000;
    }
    [below, belowCount] = [bound, count];
  }
  return Number.NaN;
}
