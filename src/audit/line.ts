/**
 * One line of the journal as bytes, and its place in the hash chain. A line is
 *
 *     {BODY,"prev":"<64 hex>","hash":"<64 hex>"}
 *
 * where `{BODY}` is the canonical JSON of the entry with `seq` and `time` (keys sorted, no spaces), and
 * `hash` is SHA-256 over the 64 characters of `prev` followed by the bytes of `{BODY}`. The end has a
 * fixed length, so that a verifier hashes the bytes as they stand and need not write JSON our way.
 */
import { hash as digest } from 'node:crypto';
import type { JournalEntry, JournalLine } from './entry.ts';
import { isJsonObject, type Json } from '../base/json.ts';

/** `prev` of the first line. */
export const ZERO_HASH = '0'.repeat(64);
/** Bytes of a line with its newline. A push of 50,000 refs with reasons stays below half of it. */
export const LINE_BYTES_MAX = 64 * 1024 * 1024;

const SUFFIX = /^,"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}$/;
const SUFFIX_BYTES = 9 + 64 + 10 + 64 + 2;
const CLOSE = Buffer.from('}');

/** Where the chain stands: the last line's number and hash. */
export interface ChainEnd {
  readonly seq: number;
  readonly hash: string;
}

export interface EncodedLine extends ChainEnd {
  /** With its newline. */
  readonly text: string;
}

/** What a line says of itself. Whether its hash fits its bytes is for `isSound`. */
export interface LinkOfChain extends ChainEnd {
  readonly prev: string;
  readonly fields: { readonly [key: string]: Json };
}

export function encodeLine(entry: JournalEntry, after: ChainEnd, time: string): EncodedLine {
  const seq = after.seq + 1;
  const body = bodyOf(entry, seq, time);
  const hash = digest('sha256', after.hash + body);
  return { seq, hash, text: `${body.slice(0, -1)},"prev":"${after.hash}","hash":"${hash}"}\n` };
}

/** The canonical JSON of a line's body: keys in order, without sorting them each time. */
function bodyOf(entry: JournalEntry, seq: number, time: string): string {
  const { refs } = entry;
  const body: { readonly [K in Exclude<keyof JournalLine, 'prev' | 'hash'>]: JournalLine[K] | undefined } = {
    address: entry.address,
    argv: entry.argv,
    asking: entry.asking,
    bytesIn: entry.bytesIn,
    bytesOut: entry.bytesOut,
    certificate: entry.certificate,
    credential: entry.credential,
    event: entry.event,
    forwardedTo: entry.forwardedTo,
    ms: entry.ms,
    outcome: entry.outcome,
    pass: entry.pass,
    principal: entry.principal,
    purpose: entry.purpose,
    reason: entry.reason,
    refs: refs?.map((ref) => ({ name: ref.name, new: ref.new, old: ref.old, result: ref.result })),
    repository: entry.repository,
    request: entry.request,
    rule: entry.rule,
    seq,
    time,
    transport: entry.transport,
  };
  return JSON.stringify(body);
}

/** Reads a line without its newline; `undefined` where these bytes never were one. */
export function parseLink(bytes: Buffer): LinkOfChain | undefined {
  if (bytes.length <= SUFFIX_BYTES) return undefined;
  const suffix = SUFFIX.exec(bytes.toString('latin1', bytes.length - SUFFIX_BYTES));
  const [, prev, hash] = suffix ?? [];
  if (prev === undefined || hash === undefined) return undefined;
  const fields = parseObject(`${bytes.toString('utf8', 0, bytes.length - SUFFIX_BYTES)}}`);
  const seq = fields?.['seq'];
  if (fields === undefined || typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) return undefined;
  return { seq, prev, hash, fields };
}

/** Whether the hash that a line carries is that of its bytes. */
export function isSound(bytes: Buffer, link: LinkOfChain): boolean {
  const body = bytes.subarray(0, bytes.length - SUFFIX_BYTES);
  return digest('sha256', Buffer.concat([Buffer.from(link.prev, 'latin1'), body, CLOSE])) === link.hash;
}

/** The line as readers get it. */
export function lineOf(link: LinkOfChain): JournalLine {
  // Only this journal writes lines whose hash fits, so that the fields are those of an entry.
  return { ...link.fields, prev: link.prev, hash: link.hash } as unknown as JournalLine;
}

/** JSON with sorted keys and no spaces; absent and `undefined` fields are the same. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sorted(value));
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value).sort()) copy[key] = sorted((value as Record<string, unknown>)[key]);
  return copy;
}

function parseObject(text: string): { readonly [key: string]: Json } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
