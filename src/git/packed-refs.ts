/** The `packed-refs` file (gitrepository-layout; header and lines as written by git's refs/packed-backend.c). */
import { Fault } from '../base/fault.ts';
import { isZeroOid, type ObjectFormat, type Oid, oidHexLength, parseOid } from './oid.ts';
import { parseRefname, type Refname } from './refname.ts';

const SPACE = 0x20;
const CARET = 0x5e;
const HASH = 0x23;
const LF = 0x0a;

/**
 * Its refs, in no promised order; a later line wins. Peeled values are read over: git 2.39's `for-each-ref` and older
 * writers peel one level only, and a peeling is asked of git anyway with the object's existence.
 * @param onIgnored hears of each ref that git, too, would ignore: a bad name, the null oid.
 * @throws Fault `corrupt` where a line cannot be read: half a file must not look like refs deleted.
 */
export function parsePackedRefs(
  bytes: Buffer,
  format: ObjectFormat,
  onIgnored: (refname: string, reason: string) => void,
): Map<Refname, Oid> {
  const refs = new Map<Refname, Oid>();
  const digits = oidHexLength(format);
  if (bytes.length > 0 && bytes.at(-1) !== LF) throw malformed('unterminated last line', bytes.length);
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(LF, start);
    const first = bytes[start];
    if (first === HASH) {
      if (start !== 0) throw malformed('header is not the first line', start);
    } else if (first === CARET) {
      if (refs.size === 0 && start === 0) throw malformed('peeled value without a ref', start);
      if (parseOid(bytes.toString('latin1', start + 1, end), format) === undefined)
        throw malformed('bad peeled value', start);
    } else {
      const oid = parseOid(bytes.toString('latin1', start, start + digits), format);
      if (oid === undefined || bytes[start + digits] !== SPACE || end <= start + digits + 1) {
        throw malformed('bad line', start);
      }
      const text = bytes.toString('utf8', start + digits + 1, end);
      const refname = readRefname(text, end - start - digits - 1);
      if (refname === undefined) onIgnored(text, 'bad name');
      else if (isZeroOid(oid)) onIgnored(text, 'null oid');
      else refs.set(refname, oid);
    }
    start = end + 1;
  }
  return refs;
}

/** A name in UTF-8 only: one that does not come back as the same bytes could never be asked for. */
function readRefname(text: string, byteLength: number): Refname | undefined {
  if (text.includes('\ufffd') && Buffer.byteLength(text) !== byteLength) return undefined;
  return parseRefname(text);
}

function malformed(reason: string, offset: number): Fault {
  return new Fault('corrupt', 'packed-refs is malformed', { context: { reason, offset } });
}
