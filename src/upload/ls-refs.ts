/** `ls-refs` of protocol v2 (gitprotocol-v2, "ls-refs"), answered from a view without a process. */
import { BOUNDS } from '../base/bounds.ts';
import { badInput } from '../base/fault.ts';
import { FLUSH } from '../git/pkt-line.ts';
import type { RefEntry } from '../git/ref-cache.ts';
import { inPieces, line } from './advertisement.ts';
import type { Encodable } from './encoded.ts';
import type { View } from './view.ts';
import { quoteLine } from './wire.ts';

/** Requests with more or longer prefixes than any git sends are answered without keeping the answer. */
const KEPT_PREFIXES_MAX = 8;
const KEPT_KEY_MAX = 512;

/** The arguments of one `ls-refs`, taken line by line. */
export class LsRefsRequest {
  peel = false;
  symrefs = false;
  unborn = false;
  #prefixes: string[] = [];
  #tooMany = false;

  /** @throws Fault `bad-input` for an argument that git does not know either. */
  take(text: string): void {
    if (text === 'peel') this.peel = true;
    else if (text === 'symrefs') this.symrefs = true;
    else if (text === 'unborn') this.unborn = true;
    else if (text.startsWith('ref-prefix ')) this.#addPrefix(text.slice('ref-prefix '.length));
    else throw badInput(`unexpected line: ${quoteLine(text)}`);
  }

  /** Sorted by bytes, none beginning with another; [''] where everything is asked for. */
  prefixes(): readonly string[] {
    if (this.#tooMany || this.#prefixes.length === 0) return [''];
    const kept: string[] = [];
    for (const prefix of this.#prefixes.sort(compareBytes)) {
      const last = kept.at(-1);
      if (last === undefined || !prefix.startsWith(last)) kept.push(prefix);
    }
    return kept;
  }

  #addPrefix(prefix: string): void {
    // As git does: a list too long to use is no restriction, because part of it would be a wrong one.
    this.#tooMany ||= this.#prefixes.length >= BOUNDS.refPrefixesMax;
    if (!this.#tooMany) this.#prefixes.push(prefix);
  }
}

/** The answer that a view gives to a request that was read to its end, closing flush included. */
export function lsRefsList(request: LsRefsRequest): (view: View) => Encodable {
  const prefixes = request.prefixes();
  const words = `upload/ls-refs ${Number(request.peel)}${Number(request.symrefs)}${Number(request.unborn)} ${prefixes.join('\0')}`;
  const key = prefixes.length > KEPT_PREFIXES_MAX || words.length > KEPT_KEY_MAX ? undefined : words;
  return (view) => ({ key, encode: () => inPieces(lines(view, request, prefixes)) });
}

function* lines(view: View, request: LsRefsRequest, prefixes: readonly string[]): Generator<string> {
  if (prefixes.some((prefix) => 'HEAD'.startsWith(prefix))) yield headLine(view, request);
  for (const prefix of prefixes) {
    for (let at = lowerBound(view.refs, prefix); at < view.refs.length; at += 1) {
      const ref = view.refs[at];
      if (ref?.refname.startsWith(prefix) !== true) break;
      yield refLine(ref, request);
    }
  }
  yield FLUSH.toString('latin1');
}

function headLine({ head }: View, { symrefs, unborn }: LsRefsRequest): string {
  const target = symrefs && head?.target !== undefined ? ` symref-target:${head.target}` : '';
  if (head?.oid !== undefined) return line(`${head.oid} HEAD${target}\n`);
  return unborn && target !== '' ? line(`unborn HEAD${target}\n`) : '';
}

function refLine(ref: RefEntry, { peel, symrefs }: LsRefsRequest): string {
  const target = symrefs && ref.symref !== undefined ? ` symref-target:${ref.symref}` : '';
  const peeled = peel && ref.peeled !== undefined ? ` peeled:${ref.peeled}` : '';
  return line(`${ref.oid} ${ref.refname}${target}${peeled}\n`);
}

/** Index of the first ref not less than `prefix`, in byte order. */
function lowerBound(refs: readonly RefEntry[], prefix: string): number {
  let low = 0;
  let high = refs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(refs[middle]?.refname ?? '', prefix) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function compareBytes(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}
