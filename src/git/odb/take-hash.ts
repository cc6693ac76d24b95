/** Names of objects and checksums of packs that strangers send: what belongs to a collision attack gets none. */
import { createHash } from 'node:crypto';
import type { Stint } from '../../base/stint.ts';
import type { ObjectFormat, Oid } from '../oid.ts';
import { BeyondReach, type RawObject } from './odb.ts';
import { GuardedSha1 } from './take-collision.ts';

/** About a millisecond's work. */
const SLICE_BYTES = 64 * 1024;

/** @throws BeyondReach where git's SHA-1 would refuse the object, or bytes were chosen that take long. */
export async function nameOf({ type, bytes }: RawObject, format: ObjectFormat, stint: Stint): Promise<Oid> {
  const head = Buffer.from(`${type} ${bytes.length}\0`, 'latin1');
  const digest = await digestOf([head, bytes], format, stint);
  return digest.toString('hex') as Oid; // a digest in hex
}

/** @throws BeyondReach likewise. */
export async function digestOf(parts: readonly Buffer[], format: ObjectFormat, stint: Stint): Promise<Buffer> {
  if (format === 'sha256') {
    const hash = createHash('sha256');
    for (const part of parts) hash.update(part);
    return hash.digest();
  }
  const hash = new GuardedSha1();
  for (const part of parts) {
    for (let at = 0; at < part.length; at += SLICE_BYTES) {
      hash.update(part.subarray(at, at + SLICE_BYTES));
      if (hash.isCostly) throw new BeyondReach('bytes take long to hash');
      if (stint.isOver) await stint.rest();
    }
  }
  const digest = hash.digest();
  if (hash.isAttack) throw new BeyondReach('bytes belong to a collision attack');
  return digest;
}

/** The same of bytes that are the repository's own already. */
export function trustedDigestOf(parts: readonly Buffer[], format: ObjectFormat): Buffer {
  const hash = createHash(format);
  for (const part of parts) hash.update(part);
  return hash.digest();
}
