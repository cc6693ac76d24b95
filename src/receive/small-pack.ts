/**
 * A pack that the gate took in by itself, without `git index-pack`: small enough that its objects stay in memory while the
 * push is judged. What comes after reads them there instead of from the quarantine.
 */
import type { RawObject } from '../git/odb/odb.ts';
import type { Oid } from '../git/oid.ts';

export interface SmallPack {
  /** What the client sent, deltas resolved. */
  readonly objects: ReadonlyMap<Oid, RawObject>;
  /** The repository's own objects that completing a thin pack appended; none of them is among `objects`. */
  readonly bases: ReadonlyMap<Oid, RawObject>;
}
