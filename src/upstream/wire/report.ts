/** receive-pack's report (gitprotocol-pack, "Report Status"; "report-status-v2" adds option lines), read strictly: what is not told for each ref is not known. */
import { ok, refuse, type Parsed } from '../../base/fault.ts';
import { pktText } from '../../git/pkt-line.ts';
import type { ForwardedUpdate } from '../upstream.ts';

export interface Report {
  readonly unpack: string;
  /** By refname: undefined for what was taken, else the upstream's reason, as it came. */
  readonly refs: ReadonlyMap<string, string | undefined>;
}

const OPTIONS_OF_A_REF_MAX = 16;

/** The report so far, line by line; `end` says what it comes to. */
export class ReportReader {
  readonly #asked: ReadonlyMap<string, ForwardedUpdate>;
  readonly #refs = new Map<string, string | undefined>();
  #unpack: string | undefined;
  /** The ref that option lines are about. */
  #current: ForwardedUpdate | undefined;
  #options = 0;
  #elsewhere: string | undefined;
  #isWhole = false;

  constructor(updates: readonly ForwardedUpdate[]) {
    this.#asked = new Map(updates.map((update) => [update.refname, update]));
  }

  /** Its flush has come. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  close(): void {
    this.#isWhole = true;
  }

  /** Refused: the line has no place in a report. */
  take(payload: Buffer): Parsed<undefined> {
    if (this.#isWhole) return refuse('the report goes on behind its end');
    const line = pktText(payload);
    const [word = '', ...rest] = line.split(' ');
    if (this.#unpack === undefined) {
      if (word !== 'unpack' || rest.length === 0) return refuse('a report starts with unpack');
      this.#unpack = rest.join(' ');
      return ok(undefined);
    }
    if (word === 'ok' || word === 'ng') return this.#takeRef(word, rest);
    if (word === 'option') return this.#takeOption(rest);
    return refuse('a line of the report is neither ok nor ng');
  }

  /** Refused: not every ref was told of, or one was put elsewhere than was asked. */
  end(): Parsed<Report> {
    if (this.#unpack === undefined || !this.#isWhole) return refuse('there was no whole report');
    if (this.#elsewhere !== undefined) return refuse(this.#elsewhere);
    const missing = [...this.#asked.keys()].find((refname) => !this.#refs.has(refname));
    // Where nothing could be unpacked nothing was tried (gitprotocol-pack): then silence about a ref tells, too.
    if (missing !== undefined && this.#unpack === 'ok') return refuse(`the report says nothing of ${missing}`);
    return ok({ unpack: this.#unpack, refs: this.#refs });
  }

  #takeRef(word: 'ok' | 'ng', [refname = '', ...reason]: readonly string[]): Parsed<undefined> {
    const update = this.#asked.get(refname);
    if (update === undefined) return refuse('the report is about a ref that was not pushed');
    if (this.#refs.has(refname)) return refuse(`the report is twice about ${refname}`);
    if (word === 'ok' && reason.length > 0) return refuse(`the report says more than ok of ${refname}`);
    this.#refs.set(refname, word === 'ok' ? undefined : reason.join(' ') || 'no reason given');
    this.#current = word === 'ok' ? update : undefined;
    this.#options = 0;
    return ok(undefined);
  }

  /** A proc-receive hook may have set another ref, or to another value, than was asked. */
  #takeOption([name = '', value = '']: readonly string[]): Parsed<undefined> {
    const update = this.#current;
    this.#options += 1;
    if (update === undefined || this.#options > OPTIONS_OF_A_REF_MAX) return refuse('an option without its ref');
    const wanted = name === 'refname' ? update.refname : name === 'new-oid' ? update.newOid : value;
    if (value !== wanted) this.#elsewhere = `the upstream took ${update.refname} and put it elsewhere`;
    return ok(undefined);
  }
}
