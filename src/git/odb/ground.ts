/** What all places of objects in one process share: descriptors, blocks, decoded objects, and how much one may ask. */
import type { Lane } from '../lanes.ts';
import type { Oid } from '../oid.ts';
import type { Files } from './files.ts';
import type { RawObject } from './odb.ts';
import type { Recent } from './recent.ts';

export interface Ground {
  readonly files: Files;
  /** Decoded objects, by where they lie: never by oid, or one repository's damage would be another's. */
  readonly objects: Recent<string, RawObject>;
  /** Which of them were found to be what their oid says. */
  readonly verified: WeakMap<RawObject, Oid>;
  /** Larger objects are not read here. */
  readonly readBytesMax: number;
  readonly now: () => number;
  /** Whoever reads more than `LARGE_BYTES` waits for its turn: bytes in memory are bounded. */
  readonly large: Lane;
}

/** Bytes of one object above which others wait, and others think in between. */
export const LARGE_BYTES = 1024 * 1024;
