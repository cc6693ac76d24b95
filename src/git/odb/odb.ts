/**
 * Objects read by the gate itself, without a git process: packs, loose objects and alternates, as git reads them, within
 * bounds. What cannot be answered within them throws `BeyondReach`, and the caller asks git instead: an answer from here
 * is git's answer, or there is none.
 */
import type { ObjectType } from '../objects.ts';
import type { Oid } from '../oid.ts';

export interface RawObject {
  readonly type: ObjectType;
  /** Nobody changes them. */
  readonly bytes: Buffer;
}

export interface RawHeader {
  readonly type: ObjectType;
  readonly size: number;
}

export interface Odb {
  /** Undefined where there is no such object. @throws BeyondReach where it is too large, or stored in a way that only git reads. */
  read(oid: Oid): Promise<RawObject | undefined>;
  /** The same without the bytes: much cheaper for large blobs. @throws BeyondReach */
  header(oid: Oid): Promise<RawHeader | undefined>;
}

/** Not wrong, only not for us: git can answer. */
export class BeyondReach extends Error {
  override readonly name = 'BeyondReach';
}

/** What `ask` answers; undefined where it is beyond reach. */
export async function withinReach<T>(ask: () => Promise<T>): Promise<{ readonly answer: T } | undefined> {
  try {
    return { answer: await ask() };
  } catch (error) {
    if (error instanceof BeyondReach) return undefined;
    throw error;
  }
}
