/**
 * What a client asks of a fetch, read line by line and strictly: the arguments of v2's `fetch`, and the want list
 * of v0 and v1 (upload-pack.c, `process_args` and `receive_needs`). git gets it written anew, never the raw bytes.
 */
import { BOUNDS } from '../base/bounds.ts';
import { badInput } from '../base/fault.ts';
import { type ObjectFormat, type Oid, oidHexLength, parseOid } from '../git/oid.ts';
import { parseFilterSpec } from './filter-spec.ts';
import { quoteLine } from './wire.ts';

/** Arguments of v2 without a value. */
const V2_FLAGS = [
  'thin-pack',
  'ofs-delta',
  'no-progress',
  'include-tag',
  'done',
  'wait-for-done',
  'deepen-relative',
] as const;
/** Capabilities of v0 that a want line may choose; others are ignored, as git ignores them. */
const V0_FEATURES = [
  'multi_ack_detailed',
  'multi_ack',
  'no-done',
  'thin-pack',
  'ofs-delta',
  'side-band-64k',
  'side-band',
  'no-progress',
  'include-tag',
  'deepen-relative',
  'filter',
] as const;
export type Flag = (typeof V2_FLAGS)[number] | (typeof V0_FEATURES)[number];

export const isV2Flag = (text: string): text is (typeof V2_FLAGS)[number] => V2_FLAGS.some((flag) => flag === text);
const isV0Feature = (text: string): text is (typeof V0_FEATURES)[number] => V0_FEATURES.some((word) => word === text);

/** git's `INFINITE_DEPTH`: `--unshallow`. */
export const INFINITE_DEPTH = 0x7fff_ffff;

export interface FetchRequest {
  /** Without repetitions, in the client's order. */
  readonly wants: readonly Oid[];
  readonly haves: readonly Oid[];
  readonly shallows: readonly Oid[];
  /** 1 to `INFINITE_DEPTH`. */
  readonly deepen: number | undefined;
  /** Seconds since 1970, in decimal. */
  readonly deepenSince: string | undefined;
  /** Names as the client wrote them; `Admission` makes full refnames of them. */
  readonly deepenNot: readonly string[];
  readonly filter: string | undefined;
  readonly flags: ReadonlySet<Flag>;
}

/** Collects a request. Every `take` throws Fault `bad-input` with a public message for what git refuses too. */
export class FetchRequestReader {
  readonly #format: ObjectFormat;
  readonly #wants = new Set<Oid>();
  readonly #haves: Oid[] = [];
  readonly #shallows = new Set<Oid>();
  readonly #deepenNot: string[] = [];
  readonly #flags = new Set<Flag>();
  #deepen: number | undefined;
  #deepenSince: string | undefined;
  #filter: string | undefined;

  constructor(format: ObjectFormat) {
    this.#format = format;
  }

  /** One argument of v2's `fetch`. */
  takeArgument(text: string): void {
    if (text.startsWith('want ')) this.#want(this.#oid(text, 'want '));
    else if (text.startsWith('have ')) this.takeHave(text);
    else if (isV2Flag(text)) this.#flags.add(text);
    else if (!this.#takeShared(text)) throw badInput(`unexpected line: ${quoteLine(text)}`);
  }

  /** One line of a v0 or v1 want list. */
  takeWantLine(text: string): void {
    if (text.startsWith('filter ') && !this.#flags.has('filter')) throw badInput('filtering capability not negotiated');
    if (this.#takeShared(text)) return;
    const end = 'want '.length + oidHexLength(this.#format);
    if (!text.startsWith('want ')) {
      throw badInput(`protocol error, expected to get object ID, not ${quoteLine(text)}`);
    }
    const oid = this.#oid(text.slice(0, end), 'want ');
    const features = text.slice(end);
    if (features !== '' && !/^[ \0]/.test(features)) throw badInput(`protocol error, bad want line ${quoteLine(text)}`);
    for (const word of features.split(/[ \0]/)) if (isV0Feature(word)) this.#flags.add(word);
    this.#want(oid);
  }

  takeHave(text: string): void {
    this.#haves.push(this.#oid(text, 'have '));
  }

  request(): FetchRequest {
    if (this.#deepen !== undefined && (this.#deepenSince !== undefined || this.#deepenNot.length > 0)) {
      throw badInput('deepen and deepen-since (or deepen-not) cannot be used together');
    }
    return {
      wants: [...this.#wants],
      haves: this.#haves,
      shallows: [...this.#shallows],
      deepen: this.#deepen,
      deepenSince: this.#deepenSince,
      deepenNot: this.#deepenNot,
      filter: this.#filter,
      flags: this.#flags,
    };
  }

  /** Lines that every protocol version has. */
  #takeShared(text: string): boolean {
    const [, word, value = ''] = /^(shallow|deepen|deepen-since|deepen-not|filter) (.*)$/s.exec(text) ?? [];
    if (word === 'shallow') this.#shallows.add(this.#oid(text, 'shallow '));
    else if (word === 'deepen') this.#deepen = parseDepth(value, text);
    else if (word === 'deepen-since') this.#deepenSince = parseTimestamp(value, text);
    else if (word === 'deepen-not') this.#addDeepenNot(value);
    else if (word === 'filter') this.#setFilter(value);
    else return false;
    return true;
  }

  #want(oid: Oid): void {
    this.#wants.add(oid);
    if (this.#wants.size > BOUNDS.fetchWantsMax) throw badInput(`more than ${BOUNDS.fetchWantsMax} wants in one fetch`);
  }

  #addDeepenNot(name: string): void {
    if (this.#deepenNot.length >= BOUNDS.refPrefixesMax) throw badInput('too many deepen-not lines');
    this.#deepenNot.push(name);
  }

  #setFilter(value: string): void {
    if (this.#filter !== undefined) throw badInput('multiple filter-specs cannot be combined');
    const parsed = parseFilterSpec(value);
    if (parsed.kind === 'refused') throw badInput(parsed.reason);
    this.#filter = parsed.value;
  }

  #oid(text: string, word: string): Oid {
    // git reads oids in either case; the wire of every known client has lower case.
    const oid = parseOid(text.slice(word.length).toLowerCase(), this.#format);
    if (oid === undefined)
      throw badInput(`protocol error, expected ${word}<${this.#format} oid>, got ${quoteLine(text)}`);
    return oid;
  }
}

function parseDepth(value: string, text: string): number {
  const depth = /^\d{1,10}$/.test(value) ? Number(value) : 0;
  if (depth < 1 || depth > INFINITE_DEPTH) throw badInput(`invalid deepen: ${quoteLine(text)}`);
  return depth;
}

function parseTimestamp(value: string, text: string): string {
  if (!/^\d{1,15}$/.test(value)) throw badInput(`invalid deepen-since: ${quoteLine(text)}`);
  return value;
}

/** The arguments of v2's `fetch` as git gets them. */
export function* argumentLines(request: FetchRequest): Generator<string> {
  for (const flag of request.flags) if (flag !== 'done') yield `${flag}\n`;
  for (const oid of request.wants) yield `want ${oid}\n`;
  yield* sharedLines(request);
  for (const oid of request.haves) yield `have ${oid}\n`;
  if (request.flags.has('done')) yield 'done\n';
}

/** A v0 want list as git gets it: the first want carries the features. */
export function* wantLines(request: FetchRequest): Generator<string> {
  let features = [...request.flags].map((flag) => ` ${flag}`).join('');
  for (const oid of request.wants) {
    yield `want ${oid}${features}\n`;
    features = '';
  }
  yield* sharedLines(request);
}

function* sharedLines(request: FetchRequest): Generator<string> {
  for (const oid of request.shallows) yield `shallow ${oid}\n`;
  if (request.deepen !== undefined) yield `deepen ${request.deepen}\n`;
  if (request.deepenSince !== undefined) yield `deepen-since ${request.deepenSince}\n`;
  for (const name of request.deepenNot) yield `deepen-not ${name}\n`;
  if (request.filter !== undefined) yield `filter ${request.filter}\n`;
}
