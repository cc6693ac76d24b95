/**
 * Checks a journal from its first line to its last, and says where it was edited, cut, reordered or added
 * to. After a problem it takes the line's own word for where the chain goes on, so that one edit is one
 * problem and the rest is still checked.
 */
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import {
  fileName,
  listFiles,
  rawLines,
  readHead,
  type Head,
  type HeadFound,
  type Place,
  type RawLine,
} from './files.ts';
import { isSound, parseLink, ZERO_HASH, type ChainEnd, type LinkOfChain } from './line.ts';

interface Problem {
  /** `000001.jsonl`, or `head`. */
  readonly file: string;
  /** 1 for the first line of the file; 0 for the file as a whole. */
  readonly line: number;
  /** The number that the line has or should have. */
  readonly seq: number;
  readonly what: string;
}

export interface VerifyReport {
  readonly ok: boolean;
  readonly lines: number;
  readonly files: number;
  /** The last line found. */
  readonly head: ChainEnd;
  /** In the order of the files; the first 1,000. */
  readonly problems: readonly Problem[];
  /** Bytes behind the last line: what a crash, or a gate at work, leaves of a line that nobody was told of. */
  readonly unfinishedBytes: number;
}

export interface VerifyOptions {
  /** A hash, or `SEQ:HASH`, copied earlier: this line must be in the chain. */
  readonly head?: string;
  /** `SEQ:HASH` of the last line that was moved to an archive: the files here go on from it. */
  readonly base?: string;
  /** What lies behind was written after the check began. */
  readonly to?: Place;
  readonly signal?: AbortSignal;
}

const PROBLEMS_MAX = 1_000;

/**
 * @throws Fault 'usage' for a `head` that is no hash, 'missing' where there is no journal, 'aborted'.
 */
export async function verifyJournal(directory: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const anchor = options.head === undefined ? undefined : parseAnchor(options.head);
  const base = options.base === undefined ? undefined : parseBase(options.base);
  // Read before the lines: what it names is on disk by then, and lines added meanwhile lie behind it.
  const { head, files } = lookUp(directory);
  const { to } = options;
  const check = new ChainCheck({ head, anchor, base, firstFile: files[0] ?? 1 });
  const last = to?.file ?? Number.MAX_SAFE_INTEGER;
  for (const file of files.filter((file) => file <= last)) {
    check.startFile(file);
    const path = join(directory, fileName(file));
    for await (const lines of rawLines(path, { to: file === to?.file ? to.offset : undefined })) {
      if (options.signal?.aborted === true) throw new Fault('aborted', 'verify was aborted');
      for (const line of lines) check.line(line);
    }
  }
  return check.end();
}

function lookUp(directory: string): { readonly head: HeadFound; readonly files: readonly number[] } {
  try {
    return { head: readHead(directory), files: listFiles(directory) };
  } catch (error) {
    throw new Fault('missing', 'journal cannot be read', {
      cause: error,
      context: { directory },
      publicMessage: `there is no readable journal in ${directory}`,
    });
  }
}

interface Anchor {
  readonly seq: number | undefined;
  readonly hash: string;
}

function parseAnchor(text: string): Anchor {
  const anchor = readAnchor(text);
  if (anchor !== undefined) return anchor;
  throw new Fault('usage', 'head is not a hash', { publicMessage: 'a head is 64 hex digits, or SEQ:HASH' });
}

function parseBase(text: string): ChainEnd {
  const { seq, hash } = readAnchor(text) ?? {};
  if (seq !== undefined && hash !== undefined) return { seq, hash };
  throw new Fault('usage', 'base is no line', { publicMessage: 'a base is SEQ:HASH' });
}

function readAnchor(text: string): Anchor | undefined {
  const match = /^(?:(\d{1,15}):)?([0-9a-f]{64})$/.exec(text);
  const hash = match?.[2];
  if (hash === undefined) return undefined;
  return { seq: match?.[1] === undefined ? undefined : Number(match[1]), hash };
}

interface ChainCheckOptions {
  readonly head: HeadFound;
  readonly anchor: Anchor | undefined;
  readonly base: ChainEnd | undefined;
  readonly firstFile: number;
}

class ChainCheck {
  readonly #head: HeadFound;
  readonly #anchor: Anchor | undefined;
  readonly #problems: Problem[] = [];
  #chain: ChainEnd = { seq: 0, hash: ZERO_HASH };
  #file = 0;
  #files = 0;
  /** Where the last line is that could be read. */
  #lastPlace = { file: 0, line: 0 };
  #line = 0;
  #lines = 0;
  /** Lines just passed that could not be read: they hide whether their neighbours fit. */
  #blind = 0;
  #headSeen = false;
  #anchorSeen = false;
  /** Bytes at the end without a newline, and the file that has them. */
  #unfinished: { readonly file: number; readonly line: number; readonly bytes: number } | undefined;

  constructor(options: ChainCheckOptions) {
    const { head, anchor, base } = options;
    this.#head = head;
    this.#anchor = anchor;
    if (base !== undefined) {
      this.#chain = base;
      // Files before the first one here are in the archive.
      this.#file = options.firstFile - 1;
    }
    this.#headSeen = head.kind === 'found' && head.head.seq === this.#chain.seq && head.head.hash === this.#chain.hash;
    this.#anchorSeen = anchor?.hash === this.#chain.hash;
  }

  startFile(file: number): void {
    this.#unfinishedIsWrong();
    const missing = file - this.#file - 1;
    if (missing > 0) {
      const names = missing === 1 ? '' : ` to ${fileName(file - 1)}`;
      this.#problem({ file: this.#file + 1, line: 0, what: `file is missing${names}` });
    }
    this.#file = file;
    this.#files += 1;
    this.#line = 0;
  }

  line(raw: RawLine): void {
    this.#line += 1;
    if (!raw.whole) {
      this.#unfinished = { file: this.#file, line: this.#line, bytes: raw.end - raw.start };
      return;
    }
    this.#lines += 1;
    const link = parseLink(raw.bytes);
    if (link === undefined) {
      this.#problem({ what: 'not a journal line: it was edited or damaged' });
      this.#blind += 1;
      return;
    }
    const sound = isSound(raw.bytes, link);
    if (!sound) this.#problem({ seq: link.seq, what: 'line was edited: its hash does not fit its bytes' });
    this.#checkPlace(link);
    this.#checkAnchors(link, raw);
    this.#checkRecovered(link);
    this.#chain = { seq: link.seq, hash: link.hash };
    this.#lastPlace = { file: this.#file, line: this.#line };
    this.#blind = 0;
  }

  end(): VerifyReport {
    const { seq, hash } = this.#chain;
    this.#checkHead();
    const anchor = this.#anchor;
    if (anchor !== undefined && !this.#anchorSeen) {
      const what = `the given head${anchor.seq === undefined ? '' : ` of line ${anchor.seq}`} is not in this journal: it was cut or rewritten`;
      this.#problem({ line: this.#line, what });
    }
    const problems = this.#problems;
    return {
      ok: problems.length === 0,
      lines: this.#lines,
      files: this.#files,
      head: { seq, hash },
      problems,
      unfinishedBytes: this.#unfinished?.bytes ?? 0,
    };
  }

  #checkPlace(link: LinkOfChain): void {
    const expected = this.#chain.seq + 1;
    const fits = link.prev === this.#chain.hash;
    // Lines that could not be read were edited (their numbers are used up) or put in (they are not).
    if (this.#blind > 0 && link.seq >= expected && link.seq <= expected + this.#blind) return;
    if (link.seq === expected && fits) return;
    if (link.seq > expected) {
      const count = link.seq - expected;
      this.#problem({
        seq: expected,
        what: `${count} ${count === 1 ? 'line is' : 'lines are'} missing before this one`,
      });
    } else if (link.seq < expected) {
      this.#problem({
        seq: link.seq,
        what: `line ${link.seq} stands behind line ${expected - 1}: it was moved, repeated or put in`,
      });
    } else {
      this.#problem({ seq: link.seq, what: 'the line before was replaced: this one was chained to another' });
    }
  }

  #checkAnchors(link: LinkOfChain, raw: RawLine): void {
    const anchor = this.#anchor;
    if (anchor?.hash === link.hash && (anchor.seq ?? link.seq) === link.seq) this.#anchorSeen = true;
    const head = headOf(this.#head);
    if (head === undefined || head.seq !== link.seq || this.#headSeen) return;
    this.#headSeen = true;
    const inPlace = head.file === this.#file && head.offset === raw.end;
    if (head.hash !== link.hash)
      this.#problem({ seq: link.seq, what: 'head names another hash for this line: the journal was rewritten' });
    else if (!inPlace)
      this.#problem({
        seq: link.seq,
        what: 'head names another place for this line: bytes were added or removed before it',
      });
  }

  /** Damage that a start found stays a finding, though the chain went on from there. */
  #checkRecovered(link: LinkOfChain): void {
    const { event, outcome, reason } = link.fields;
    if (event !== 'recover' || outcome !== 'faulted') return;
    this.#problem({ seq: link.seq, what: `recorded at start: ${typeof reason === 'string' ? reason : 'damage'}` });
  }

  #checkHead(): void {
    if (this.#head.kind !== 'found') {
      this.#problems.push({
        file: 'head',
        line: 0,
        seq: this.#chain.seq,
        what: `head is ${this.#head.kind}: lines at the end may be missing`,
      });
      return;
    }
    const { head } = this.#head;
    if (head.seq > this.#chain.seq) {
      const first = this.#chain.seq + 1;
      const range = first === head.seq ? `line ${first} is` : `lines ${first} to ${head.seq} are`;
      const { file, line } = this.#lastPlace;
      this.#problem({
        file: head.file,
        line: file === head.file ? line + 1 : 1,
        seq: first,
        what: `the journal was cut: ${range} missing at its end`,
      });
    } else if (!this.#headSeen) {
      this.#problem({ line: 0, seq: head.seq, what: `head names line ${head.seq}, which is not in the journal` });
    }
  }

  /** A line that no newline ends is the trace of a crash only at the very end. */
  #unfinishedIsWrong(): void {
    if (this.#unfinished === undefined) return;
    const { file, line } = this.#unfinished;
    this.#problem({ file, line, what: 'the file ends inside a line' });
    this.#unfinished = undefined;
    this.#blind += 1;
  }

  #problem(found: {
    readonly what: string;
    readonly file?: number;
    readonly line?: number;
    readonly seq?: number;
  }): void {
    if (this.#problems.length >= PROBLEMS_MAX) return;
    const { what, file = this.#file, line = this.#line, seq = this.#chain.seq + 1 } = found;
    this.#problems.push({ file: fileName(file), line, seq, what });
  }
}

function headOf(found: HeadFound): Head | undefined {
  return found.kind === 'found' ? found.head : undefined;
}
