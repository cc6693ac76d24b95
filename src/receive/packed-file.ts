/**
 * `packed-refs` as bytes, searched without reading it line by line: git writes it sorted since 2.15 and says so in its
 * header (git's refs/packed-backend.c). What was written otherwise is git's to change.
 */
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OnlyGit } from './only-git.ts';

/** What git's own rewriting would write above the refs. */
const HEADER = '# pack-refs with: peeled fully-peeled sorted \n';
const SIZE_MAX = 32 * 1024 * 1024;
const CARET = 0x5e;
const LF = 0x0a;

export class PackedFile {
  readonly #bytes: Buffer;
  readonly #start: number;
  readonly #digits: number;

  private constructor(bytes: Buffer, digits: number) {
    this.#bytes = bytes;
    this.#start = bytes.length === 0 ? 0 : HEADER.length;
    this.#digits = digits;
  }

  /** @param digits hex digits of an oid of this repository. @throws OnlyGit */
  static read(repositoryPath: string, digits: number): PackedFile {
    const path = join(repositoryPath, 'packed-refs');
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return new PackedFile(Buffer.alloc(0), digits);
    if (!stat.isFile() || stat.size > SIZE_MAX) throw new OnlyGit('packed-refs is no file, or a large one');
    const bytes = readFileSync(path);
    const isOurs = bytes.subarray(0, HEADER.length).equals(Buffer.from(HEADER)) && bytes.at(-1) === LF;
    if (!isOurs && bytes.length > 0) throw new OnlyGit('packed-refs was written in another way');
    return new PackedFile(bytes, digits);
  }

  /** The value of this ref, as text of hex digits. @throws OnlyGit where a line is not as git writes it. */
  find(refname: string): string | undefined {
    const at = this.#firstFrom(Buffer.from(refname));
    return at < this.#bytes.length && this.#nameAt(at).equals(Buffer.from(refname))
      ? this.#bytes.toString('latin1', at, at + this.#digits)
      : undefined;
  }

  /** The first ref below `refname/`. */
  firstBelow(refname: string): string | undefined {
    const prefix = Buffer.from(`${refname}/`);
    const at = this.#firstFrom(prefix);
    if (at >= this.#bytes.length) return undefined;
    const name = this.#nameAt(at);
    return name.subarray(0, prefix.length).equals(prefix) ? name.toString() : undefined;
  }

  /** The bytes without these refs; undefined where it has none of them. */
  without(refnames: readonly string[]): Buffer | undefined {
    const cuts: (readonly [number, number])[] = [];
    for (const refname of refnames) {
      if (this.find(refname) === undefined) continue;
      const at = this.#firstFrom(Buffer.from(refname));
      cuts.push([at, this.#nextRecord(at)]);
    }
    if (cuts.length === 0) return undefined;
    cuts.sort(([a], [b]) => a - b);
    const kept: Buffer[] = [];
    let from = 0;
    for (const [start, end] of cuts) {
      kept.push(this.#bytes.subarray(from, start));
      from = end;
    }
    return Buffer.concat([...kept, this.#bytes.subarray(from)]);
  }

  /** Where the first record starts whose name is not less than `name`, by bisection. */
  #firstFrom(name: Buffer): number {
    let low = this.#start;
    let high = this.#bytes.length;
    while (low < high) {
      const at = this.#recordAt(Math.floor((low + high) / 2));
      if (Buffer.compare(this.#nameAt(at), name) < 0) low = this.#nextRecord(at);
      else high = at;
    }
    return low;
  }

  /** The start of the record that this byte belongs to. A line `^oid` belongs to the ref above it. */
  #recordAt(offset: number): number {
    let start = this.#lineAt(offset);
    while (start > this.#start && this.#bytes[start] === CARET) start = this.#lineAt(start - 1);
    return start;
  }

  #lineAt(offset: number): number {
    if (offset <= this.#start) return this.#start;
    return Math.max(this.#bytes.lastIndexOf(LF, offset - 1) + 1, this.#start);
  }

  #nextRecord(start: number): number {
    let next = this.#bytes.indexOf(LF, start) + 1;
    while (this.#bytes[next] === CARET) next = this.#bytes.indexOf(LF, next) + 1;
    return next;
  }

  #nameAt(start: number): Buffer {
    const end = this.#bytes.indexOf(LF, start);
    const from = start + this.#digits + 1;
    if (end <= from || this.#bytes[from - 1] !== 0x20) throw new OnlyGit('packed-refs has an odd line');
    return this.#bytes.subarray(from, end);
  }
}
