/** A pushing client that says whatever a test wants, byte by byte. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { PktReader, pktText } from '../../src/git/pkt-line.ts';
import { dial, type Site } from './site.ts';

export function pkt(payload: string | Buffer): Buffer {
  const bytes = Buffer.from(payload);
  return Buffer.concat([Buffer.from((bytes.length + 4).toString(16).padStart(4, '0')), bytes]);
}

export const ZERO = '0'.repeat(40);

/** A pack of these entries, each already encoded, saying that it has `count` objects. */
export function pack(entries: readonly Buffer[], count = entries.length): Buffer {
  const header = Buffer.from('PACK\x00\x00\x00\x02\x00\x00\x00\x00', 'latin1');
  header.writeUInt32BE(count, 8);
  const body = Buffer.concat([header, ...entries]);
  return Buffer.concat([body, createHash('sha1').update(body).digest()]);
}

export const EMPTY_PACK = pack([]);

/** An entry's type and size (gitformat-pack, "Pack file entry"). */
export function entryHeader(type: number, size: number): Buffer {
  const bytes: number[] = [];
  let rest = Math.floor(size / 16);
  bytes.push((type << 4) | (size % 16) | (rest > 0 ? 0x80 : 0));
  while (rest > 0) {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(low | (rest > 0 ? 0x80 : 0));
  }
  return Buffer.from(bytes);
}

export interface Conversed {
  /** The advertisement's lines. */
  readonly refs: readonly string[];
  /** What came after it, as lines; of sideband pkts the payload behind the band. */
  readonly report: readonly string[];
}

/** Says all of `words`, then reads to the end; with `close` the sending side is closed behind them. */
export async function converse(
  site: Site,
  words: readonly (string | Buffer)[],
  options: { readonly close?: boolean } = {},
): Promise<Conversed> {
  const ended = site.nextEnd();
  const socket = dial(site);
  await once(socket, 'connect');
  const reader = new PktReader(socket);
  const refs = await readLines(reader);
  for (const word of words) socket.write(word);
  if (options.close !== false) socket.end();
  const report: string[] = [];
  for (;;) {
    const lines = await readLines(reader).catch(() => undefined);
    if (lines === undefined || lines.length === 0) break;
    report.push(...lines);
  }
  socket.destroy();
  await ended;
  return { refs, report };
}

/** Lines up to a flush or the end. */
export async function readLines(reader: PktReader): Promise<readonly string[]> {
  const lines: string[] = [];
  for (;;) {
    const next = await reader.next();
    if (next === undefined || next.kind === 'flush') return lines;
    if (next.kind === 'data') lines.push(pktText(next.payload));
  }
}
