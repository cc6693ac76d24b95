/** Stretches of Base64 or hexadecimal digits that hold text: where a secret hides from every pattern. */

/** Shorter ones hold no secret worth the name. */
const RUN_BYTES_MIN = 32;
/** Longer ones are taken in pieces. */
const RUN_BYTES_MAX = 1024 * 1024;
/** The part of the decoded bytes that must be printable. */
const PRINTABLE_MIN = 0.9;

export interface DecodedRun {
  /** Of the encoded stretch. */
  readonly start: number;
  readonly end: number;
  readonly decoded: Buffer;
}

const ALPHABET = alphabet();

export function findEncodedRuns(bytes: Buffer): readonly DecodedRun[] {
  const found: DecodedRun[] = [];
  // A run that is long enough covers one of these places: between them nothing need be read.
  for (let probe = RUN_BYTES_MIN - 1; probe < bytes.length;) {
    if (ALPHABET[bytes[probe] ?? 0] !== 1) {
      probe += RUN_BYTES_MIN;
      continue;
    }
    let start = probe;
    while (start > 0 && probe - start < RUN_BYTES_MAX && ALPHABET[bytes[start - 1] ?? 0] === 1) start -= 1;
    let end = probe + 1;
    while (end < bytes.length && end - start < RUN_BYTES_MAX && ALPHABET[bytes[end] ?? 0] === 1) end += 1;
    if (end - start >= RUN_BYTES_MIN) found.push(...decodeRun(bytes, { start, end }));
    probe = end + RUN_BYTES_MIN;
  }
  return found;
}

/** Whether it is a digit of Base64, of either alphabet. */
export function isEncodedByte(byte: number | undefined): boolean {
  return byte !== undefined && ALPHABET[byte] === 1;
}

function decodeRun(bytes: Buffer, run: { readonly start: number; readonly end: number }): readonly DecodedRun[] {
  const { start, end } = run;
  const text = bytes.toString('latin1', start, end);
  if (/^[0-9A-Fa-f]+$/.test(text)) {
    const decoded = Buffer.from(text, 'hex');
    return isText(decoded) ? [{ start, end, decoded }] : [];
  }
  // At the start of a piece the run may have begun before it: any of the four beginnings may be the right one.
  const beginnings = start === 0 ? [0, 1, 2, 3] : [0];
  return beginnings.flatMap((skip) => {
    const decoded = Buffer.from(text.slice(skip), 'base64');
    return isText(decoded) ? [{ start, end, decoded }] : [];
  });
}

function isText(bytes: Buffer): boolean {
  const sample = Math.min(bytes.length, 512);
  let printable = 0;
  for (let index = 0; index < sample; index += 1) {
    const byte = bytes[index] ?? 0;
    if ((byte >= 0x20 && byte < 0x7f) || byte === 9 || byte === 10 || byte === 13) printable += 1;
  }
  return sample >= 16 && printable >= sample * PRINTABLE_MIN;
}

/** Both alphabets of RFC 4648. */
function alphabet(): Uint8Array {
  const flags = new Uint8Array(256);
  for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_') {
    flags[character.charCodeAt(0)] = 1;
  }
  return flags;
}
