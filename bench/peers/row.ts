/** A row of the bench: what is done at each peer in turn, which figures come of it, and what they are held against. */
import type { Peer, PeerName } from './peer.ts';
import type { ShapeName } from './shapes.ts';

export interface Ratio {
  readonly ours: PeerName;
  /** `best`: the best of those that are not ours. */
  readonly theirs: PeerName | 'best';
  /** How many times better ours is to be. Absent: only shown. */
  readonly target?: number;
}

export interface Figure {
  readonly key: string;
  readonly title: string;
  readonly unit: string;
  readonly better: 'less' | 'more';
  readonly ratios?: readonly Ratio[];
  /** What ours must not pass (or reach), as a figure of its own. */
  readonly bound?: { readonly ours: PeerName; readonly value: number };
}

/** Figures by key. `failed`: how many of the requests were not served. */
export type Sample = Readonly<Record<string, number>>;

export interface Row {
  readonly name: string;
  readonly figures: readonly Figure[];
  readonly peers: readonly PeerName[];
  readonly shapes: readonly ShapeName[];
  /** Of the rounds asked for. Long ones have fewer. */
  readonly roundsMax?: number;
  /** Requests that are not counted, before the first round. */
  prepare?(peer: Peer): Promise<unknown>;
  run(peer: Peer, round: number): Promise<Sample>;
}

/** Both transports against what people have in their place. */
export function against(sshTarget?: number, httpTarget?: number): readonly Ratio[] {
  return [
    { ours: 'gatehouse ssh', theirs: 'gitolite', ...(sshTarget === undefined ? {} : { target: sshTarget }) },
    { ours: 'gatehouse http', theirs: 'nginx', ...(httpTarget === undefined ? {} : { target: httpTarget }) },
  ];
}

export async function elapsed(act: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await act();
  return performance.now() - start;
}

/** As runs say how long they took. */
export function minutes(ms: number): string {
  return (ms / 60_000).toFixed(1);
}
