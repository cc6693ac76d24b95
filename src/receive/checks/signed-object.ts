/**
 * Commits and tags as bytes, read as strictly as a check has to: whatever can be read in two ways is refused, because the
 * check and whoever looks at the object later must see the same.
 */
import { isUtf8 } from 'node:buffer';
import { BOUNDS } from '../../base/bounds.ts';
import { ok, refuse, type Parsed } from '../../base/fault.ts';

export interface Ident {
  readonly name: string;
  readonly email: string;
}

export interface ObjectSignature {
  /** What was signed: the object without its signature. */
  readonly payload: Buffer;
  readonly signature: string;
}

export interface CommitObject {
  readonly author: Ident;
  readonly committer: Ident;
  /** Undefined: it is not signed. */
  readonly signed: ObjectSignature | undefined;
  readonly message: Parsed<string>;
}

export interface TagObject {
  readonly target: string;
  readonly targetType: string;
  readonly tagger: Ident | undefined;
  readonly signed: ObjectSignature | undefined;
}

interface Header {
  readonly key: string;
  /** Bytes as characters. */
  readonly value: string;
  /** Of its lines in the object, line end included. */
  readonly start: number;
  readonly end: number;
}

const LF = 0x0a;
const BEGIN = /^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE)-----/gm;
/** Headers whose lines are no part of what is signed (git's commit.c, `parse_buffer_signed_by_header`). */
const SIGNATURE_HEADERS = ['gpgsig', 'gpgsig-sha256'];

/** @param format of the repository: it says which header has the signature of this object, and not of its translation. */
export function parseCommit(bytes: Buffer, format: 'sha1' | 'sha256'): Parsed<CommitObject> {
  const read = readHeaders(bytes);
  if (read.kind === 'refused') return read;
  const { headers, bodyAt } = read.value;
  const keys = headers.map(({ key }) => key);
  const first = keys.slice(0, keys.indexOf('committer') + 1).filter((key) => key !== 'parent');
  if (first.join(' ') !== 'tree author committer') return refuse('has no tree, author and committer in this order');
  const many = ['tree', 'author', 'committer', 'encoding', ...SIGNATURE_HEADERS].find(
    (key) => keys.filter((other) => other === key).length > 1,
  );
  if (many !== undefined) return refuse(`has more than one header ${many}`);
  const odd = keys.find((key) => key.startsWith('gpgsig') && !SIGNATURE_HEADERS.includes(key));
  if (odd !== undefined) return refuse('has a header that looks like a signature and is none');
  const author = identOf(valueOf(headers, 'author'));
  const committer = identOf(valueOf(headers, 'committer'));
  if (author === undefined) return refuse('has an author that cannot be read, or is not UTF-8');
  if (committer === undefined) return refuse('has a committer that cannot be read, or is not UTF-8');
  const signature = valueOf(headers, format === 'sha1' ? 'gpgsig' : 'gpgsig-sha256');
  const signed =
    signature === undefined ? undefined : { payload: withoutSignatures(bytes, headers), signature: `${signature}\n` };
  const message = decodeMessage(bytes.subarray(bodyAt), valueOf(headers, 'encoding'));
  return ok({ author, committer, signed, message });
}

/** The signature of a tag stands at the end of its message. */
export function parseTag(bytes: Buffer): Parsed<TagObject> {
  const read = readHeaders(bytes);
  if (read.kind === 'refused') return read;
  const { headers, bodyAt } = read.value;
  const order = headers.map(({ key }) => key).join(' ');
  if (order !== 'object type tag tagger' && order !== 'object type tag') {
    return refuse('has other headers than object, type, tag and tagger');
  }
  const taggerText = valueOf(headers, 'tagger');
  const tagger = taggerText === undefined ? undefined : identOf(taggerText);
  if (taggerText !== undefined && tagger === undefined)
    return refuse('has a tagger that cannot be read, or is not UTF-8');
  const body = bytes.toString('latin1', bodyAt);
  const begins = [...body.matchAll(BEGIN)];
  if (begins.length > 1) return refuse('has more than one signature');
  const at = begins[0]?.index;
  const signed = at === undefined ? undefined : { payload: bytes.subarray(0, bodyAt + at), signature: body.slice(at) };
  return ok({ target: valueOf(headers, 'object') ?? '', targetType: valueOf(headers, 'type') ?? '', tagger, signed });
}

function readHeaders(bytes: Buffer): Parsed<{ readonly headers: readonly Header[]; readonly bodyAt: number }> {
  const headers: Header[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] === LF) return ok({ headers, bodyAt: at + 1 });
    const end = bytes.indexOf(LF, at);
    if (end < 0) return refuse('ends within its headers');
    const line = bytes.toString('latin1', at, end);
    if (line.includes('\0')) return refuse('has a NUL in its headers');
    const last = headers.at(-1);
    if (line.startsWith(' ')) {
      if (last === undefined) return refuse('begins with a line that continues nothing');
      headers[headers.length - 1] = { ...last, value: `${last.value}\n${line.slice(1)}`, end: end + 1 };
    } else {
      const space = line.indexOf(' ');
      if (space <= 0) return refuse('has a header without a value');
      if (headers.length >= HEADERS_MAX) return refuse('has too many headers');
      headers.push({ key: line.slice(0, space), value: line.slice(space + 1), start: at, end: end + 1 });
    }
    at = end + 1;
  }
  // Without a message there may be no empty line either.
  return ok({ headers, bodyAt: bytes.length });
}

const HEADERS_MAX = 10_000;

function valueOf(headers: readonly Header[], key: string): string | undefined {
  return headers.find((header) => header.key === key)?.value;
}

function withoutSignatures(bytes: Buffer, headers: readonly Header[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const { key, start, end } of headers) {
    if (!SIGNATURE_HEADERS.includes(key)) continue;
    parts.push(bytes.subarray(at, start));
    at = end;
  }
  return Buffer.concat([...parts, bytes.subarray(at)]);
}

/** `Name <email> 1700000000 +0000`; undefined where it is something else. */
function identOf(value: string | undefined): Ident | undefined {
  const [, name, email] = /^([^<>\n]*?) ?<([^<>\n]*)> \d{1,20} [+-]\d{4,6}$/.exec(value ?? '') ?? [];
  if (name === undefined || email === undefined) return undefined;
  const [nameBytes, emailBytes] = [Buffer.from(name, 'latin1'), Buffer.from(email, 'latin1')];
  if (!isUtf8(emailBytes)) return undefined;
  return { name: nameBytes.toString('utf8'), email: emailBytes.toString('utf8') };
}

function decodeMessage(bytes: Buffer, encoding: string | undefined): Parsed<string> {
  if (bytes.length > BOUNDS.checkMessageBytesMax) {
    return refuse(`has a message of more than ${BOUNDS.checkMessageBytesMax} bytes, which is not looked at`);
  }
  if (bytes.includes(0)) return refuse('has a NUL in its message');
  try {
    return ok(new TextDecoder(encoding ?? 'utf-8', { fatal: true }).decode(bytes));
  } catch {
    return refuse(`has a message that is not in ${encoding === undefined ? 'UTF-8' : 'the encoding that it names'}`);
  }
}

/** The first paragraph in one line, as git shows it. */
export function subjectOf(message: string): string {
  const [first = ''] = message.replace(/^\n+/, '').split(/\n[ \t]*\n/);
  return first.trim().replaceAll(/[ \t]*\n[ \t]*/g, ' ');
}

/** Lines `Key: value` of the last paragraph, which is not the first. */
export function trailersOf(message: string): readonly { readonly key: string; readonly value: string }[] {
  const paragraphs = message.trimEnd().split(/\n[ \t]*\n/);
  const last = paragraphs.length < 2 ? '' : (paragraphs.at(-1) ?? '');
  return last.split('\n').flatMap((line) => {
    const [, key, value = ''] = /^([A-Za-z0-9-]{1,64})[ \t]*:[ \t]*(.*)$/.exec(line) ?? [];
    return key === undefined ? [] : [{ key, value: value.trim() }];
  });
}
