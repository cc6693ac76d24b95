/** The fate of every ref as the client reads it (gitprotocol-pack, "Report Status"). */
import { encodePkt, FLUSH } from '../git/pkt-line.ts';

/** `reason` undefined: done. */
export interface RefFate {
  readonly name: string;
  readonly reason: string | undefined;
}

const REASON_BYTES_MAX = 1_000;

/**
 * report-status, which is report-status-v2 too: v2 only adds option lines for refs that a server renamed, and this
 * one never does. `unpack` is 'ok' or why no object could be taken in.
 */
export function encodeReport(unpack: string, fates: readonly RefFate[]): Buffer {
  const pkts = [encodePkt(`unpack ${oneLine(unpack)}\n`)];
  for (const { name, reason } of fates) {
    pkts.push(encodePkt(reason === undefined ? `ok ${name}\n` : `ng ${name} ${oneLine(reason)}\n`));
  }
  pkts.push(FLUSH);
  return Buffer.concat(pkts);
}

/** Text that can stand in one line of a terminal: no control character, no line end, not endless. */
export function oneLine(text: string, bytesMax = REASON_BYTES_MAX): string {
  const plain = text.replaceAll(/\s*\n\s*/g, '; ').replaceAll(CONTROL, '?');
  if (Buffer.byteLength(plain) <= bytesMax) return plain;
  // The cut may fall into a character: what is left of it is dropped.
  return `${Buffer.from(plain)
    .subarray(0, bytesMax)
    .toString('utf8')
    .replace(/\uFFFD+$/, '')}...`;
}

/** C0 and C1 controls, and the characters that turn the direction of text: a terminal must not obey a client or a rule. */
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** The same for several lines: line ends and tabs stay. */
export function plainLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.replaceAll(CONTROL, '?'))
    .join('\n');
}
