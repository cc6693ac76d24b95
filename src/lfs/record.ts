/** An LFS object's record in the store: with it the object is there, without it its file is nothing. */
import { readFields } from '../base/fields.ts';
import type { Json } from '../base/json.ts';
import type { Stored } from '../store/store.ts';
import { parseLfsOid, type LfsOid } from './pointer.ts';
import { Fault } from '../base/fault.ts';

export interface LfsObject {
  readonly repositoryId: string;
  readonly oid: LfsOid;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly storedAt: number;
  /** Who sent it; `upstream` where the gate fetched it for a mirror. */
  readonly by: string;
  /** What the secret scan said of it, if it was asked. */
  readonly scan: LfsScan | undefined;
}

export interface LfsScan {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Which rules looked (`LfsInspection.rules`). */
  readonly rules: string;
  /** Secrets that were found and let pass: waived, or only told of. With any the object is scanned anew whenever it counts. */
  readonly findings: number;
}

export function lfsKey(repositoryId: string, oid: LfsOid): string {
  return `${repositoryId}/${oid}`;
}

export function writeLfsObject({ size, storedAt, by, scan }: LfsObject): Json {
  return { size, storedAt, by, ...(scan === undefined ? {} : { scan: { ...scan } }) };
}

/** @throws Fault 'corrupt' */
export function readLfsObject({ key, value }: Stored): LfsObject {
  const [repositoryId = '', text = ''] = key.split('/');
  const oid = parseLfsOid(text);
  if (oid === undefined) throw new Fault('corrupt', 'key of an lfs object is none', { context: { key } });
  const fields = readFields(value, `lfs object ${key}`);
  const raw = fields.raw('scan');
  const scan = raw === undefined ? undefined : readFields(raw, `scan of lfs object ${key}`);
  return {
    repositoryId,
    oid,
    size: fields.number('size'),
    storedAt: fields.number('storedAt'),
    by: fields.text('by'),
    scan: scan && { at: scan.number('at'), rules: scan.text('rules'), findings: scan.number('findings') },
  };
}
