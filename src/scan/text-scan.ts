/**
 * One text, fed piece by piece: literals looked up, patterns run where a literal is. A piece's end is no text's end:
 * what a match around a literal could still reach waits for the next piece, so a border is never seen in what is found.
 */
import { isAscii } from 'node:buffer';
import { BACK_BYTES_MAX, type CompiledProbe, type CompiledRule, type CompiledRules } from './compiled-rules.ts';
import { couldBeSecret } from './judge.ts';
import type { Match } from './regex/search.ts';
import { openWindow, reachEnd, reachStart, type Window } from './window.ts';

/** A match is cut off here where nothing bounds it. */
const REACH_BYTES_MAX = 64 * 1024;

/** A match in its text. The secret is still to be judged. */
export interface Candidate {
  readonly rule: CompiledRule;
  readonly window: Window;
  readonly match: Match;
  readonly text: TextScan;
}

/** A literal found: where, and what it is part of. */
interface Spot {
  readonly start: number;
  readonly probe: CompiledProbe;
}

export interface TextScanParts {
  readonly rules: CompiledRules;
  /** Whether the rule looks at this item at all; asked once a rule. */
  readonly concerns: (rule: CompiledRule) => boolean;
  /** Called twice for the same match where a rule had to be begun anew. */
  readonly found: (candidate: Candidate) => void;
  /** Lines before the text's first byte. */
  readonly linesBefore?: number;
  /** Number of the item, for `progress`. Default 0. */
  readonly item?: number;
}

export class TextScan {
  readonly #parts: TextScanParts;
  #bytes: Buffer = Buffer.alloc(0);
  /** Offset in the text of `#bytes[0]`, and lines before it. */
  #base = 0;
  #lines: number;
  #state: number;
  #last = false;
  #open: Uint8Array | undefined;
  /** Places of literals by rule: probe number and offset in the text, in turn. */
  readonly #pending = new Map<number, number[]>();
  /** Offset behind each rule's last match, or where it goes on. */
  readonly #next = new Map<number, number>();
  #queue: readonly CompiledRule[] = [];
  #turn = 0;
  #flat: string | undefined;
  #ascii = false;
  #beyondAscii: Uint8Array | undefined;
  #carried = 0;

  constructor(parts: TextScanParts) {
    this.#parts = parts;
    this.#state = parts.rules.automaton.start;
    this.#lines = parts.linesBefore ?? 0;
  }

  /** The rule at work: whom to blame where time runs out. */
  get current(): CompiledRule | undefined {
    return this.#queue[this.#turn];
  }

  /** Takes the next piece. `evaluate` must have ended since the last one. */
  feed(piece: Buffer, last: boolean): void {
    const { rules } = this.#parts;
    const carried = this.#bytes.length;
    this.#carried = carried;
    this.#bytes = carried === 0 ? piece : Buffer.concat([this.#bytes, piece]);
    this.#last = last;
    this.#flat = undefined;
    this.#beyondAscii = undefined;
    this.#ascii = isAscii(this.#bytes);
    this.#state = rules.automaton.run(
      this.#bytes,
      { from: carried, to: this.#bytes.length, state: this.#state },
      (word, end) => this.#note(word, end),
    );
    this.#queue = [...rules.rules.filter(({ index }) => this.#pending.has(index)), ...rules.roaming].filter((rule) =>
      this.#parts.concerns(rule),
    );
    this.#turn = 0;
  }

  /** Runs the patterns; where it is interrupted, calling again goes on. `slow` rules are left to `evaluateSlow`. */
  evaluate(slow: ReadonlySet<number>): void {
    for (; this.#turn < this.#queue.length; this.#turn += 1) {
      const rule = this.#queue[this.#turn];
      if (rule === undefined || slow.has(rule.index) || !this.#isOpen(rule)) continue;
      this.#announce(rule);
      if (rule.probes.length === 0) this.#roam(rule, { from: this.#next.get(rule.index) ?? 0, linear: false });
      else this.#visit(rule);
    }
  }

  /** What `evaluate` left out, by the engine that is linear in the text; then lets go of what is done with. */
  finish(slow: ReadonlySet<number>): void {
    for (const rule of this.#queue) {
      if (!slow.has(rule.index) || !this.#isOpen(rule)) continue;
      this.#announce(rule);
      const first = this.#pending.get(rule.index)?.[1];
      const start = first === undefined ? 0 : Math.max(0, first - BACK_BYTES_MAX);
      const until = this.#roam(rule, { from: Math.max(start, this.#next.get(rule.index) ?? 0), linear: true });
      this.#forget(rule, until);
    }
    this.#drop();
  }

  /** From 1: line and column of a place, and the lines that `[start, end)` touches. */
  place(start: number, end: number): { readonly line: number; readonly column: number; readonly lines: string } {
    const from = start === 0 ? 0 : this.#bytes.lastIndexOf(10, start - 1) + 1;
    const found = this.#bytes.indexOf(10, Math.max(start, end - 1));
    const to = found < 0 ? this.#bytes.length : found;
    const bounded = this.#bytes.toString(
      'utf8',
      Math.max(from, start - LINE_BYTES_MAX),
      Math.min(to, end + LINE_BYTES_MAX),
    );
    const column = this.#bytes.toString('utf8', Math.max(from, start - LINE_BYTES_MAX), start).length + 1;
    return { line: this.#lines + countLines(this.#bytes, start) + 1, column, lines: bounded };
  }

  /** Lines that end before the piece just fed. */
  get linesBeforePiece(): number {
    return this.#lines + countLines(this.#bytes, this.#carried);
  }

  #note(word: number, end: number): void {
    const { uses, wordBytes } = this.#parts.rules;
    for (const { rule, probe } of uses[word] ?? []) {
      if (probe < 0) {
        this.#open ??= new Uint8Array(this.#parts.rules.rules.length);
        this.#open[rule] = 1;
        continue;
      }
      const start = this.#base + end - (wordBytes[word] ?? 0);
      const places = this.#pending.get(rule);
      if (places === undefined) this.#pending.set(rule, [probe, start]);
      else places.push(probe, start);
    }
  }

  #announce(rule: CompiledRule): void {
    const { progress } = this.#parts.rules;
    progress[0] = this.#parts.item ?? 0;
    progress[1] = rule.index + 1;
  }

  #isOpen(rule: CompiledRule): boolean {
    return !rule.gated || this.#open?.[rule.index] === 1;
  }

  /** Every place of the rule's literals, as far as what lies around it is here. */
  #visit(rule: CompiledRule): void {
    const places = byPlace(this.#pending.get(rule.index) ?? []);
    const waiting: number[] = [];
    for (let at = 0; at + 1 < places.length; at += 2) {
      const probe = rule.probes[places[at] ?? 0];
      const start = (places[at + 1] ?? 0) - this.#base;
      if (probe === undefined || start + this.#base < (this.#next.get(rule.index) ?? 0)) continue;
      const length = this.#bytes.length;
      const near = !this.#last && start + REACH_BYTES_MAX >= length;
      // A character behind the match counts too (`\b`), and UTF-8 needs up to four bytes for it.
      if (near && reachEnd(this.#bytes, { from: start, reach: probe.whole, max: REACH_BYTES_MAX }) + 4 >= length) {
        waiting.push(places[at] ?? 0, places[at + 1] ?? 0);
        continue;
      }
      if (!this.#tailMatches(rule, { start, probe })) continue;
      this.#look(rule, { start, probe });
    }
    if (waiting.length > 0) this.#pending.set(rule.index, waiting);
    else this.#pending.delete(rule.index);
  }

  /** False: no match worth judging has its literal here. Asked of ASCII alone, where bytes are characters. */
  #tailMatches(rule: CompiledRule, { start, probe }: Spot): boolean {
    if (probe.tail === undefined || !this.#isAsciiAround(start, probe)) return true;
    this.#flat ??= this.#bytes.toString('latin1');
    probe.tail.lastIndex = start;
    if (!probe.grouped) return probe.tail.test(this.#flat);
    const found = probe.tail.exec(this.#flat);
    return found !== null && couldBeSecret(rule, found);
  }

  #isAsciiAround(start: number, probe: CompiledProbe): boolean {
    if (this.#ascii) return true;
    this.#beyondAscii ??= blocksBeyondAscii(this.#bytes);
    // As far as it reaches if all of that is ASCII: then it reaches no further.
    const reach = { bytes: probe.whole.chars, chars: probe.whole.chars, loops: probe.whole.loops };
    const end = reachEnd(this.#bytes, { from: start, reach, max: REACH_BYTES_MAX }) + 4;
    for (let block = Math.max(0, start - 4) >> BLOCK_BITS; block <= end >> BLOCK_BITS; block += 1) {
      if ((this.#beyondAscii[block] ?? 0) >= 0x80) return false;
    }
    return true;
  }

  /** Matches around one literal. */
  #look(rule: CompiledRule, { start, probe }: Spot): void {
    const { search } = rule;
    if (search === undefined) return;
    const first = reachStart(this.#bytes, { from: start, reach: probe.before, max: BACK_BYTES_MAX });
    const end = reachEnd(this.#bytes, { from: start, reach: probe.whole, max: REACH_BYTES_MAX });
    const window = openWindow(this.#bytes, first, end);
    for (;;) {
      const from = Math.max(first, (this.#next.get(rule.index) ?? 0) - this.#base);
      if (from > start) return;
      const match = search.find(window.text, Math.max(0, window.unitAt(from)));
      // What begins behind this literal belongs to another one, whose surroundings may not be in the window.
      if (match === undefined || window.offsetAt(match.start) > start) return;
      this.#parts.found({ rule, window, match, text: this });
      this.#next.set(rule.index, this.#base + Math.max(window.offsetAt(match.end), window.offsetAt(match.start) + 1));
    }
  }

  /** A rule that looks at everything from `from` on. @returns the offset up to which it is done. */
  #roam(rule: CompiledRule, how: { readonly from: number; readonly linear: boolean }): number {
    const { search } = rule;
    const { length } = this.#bytes;
    const start = Math.max(0, how.from - this.#base);
    const back = { from: Math.max(0, length - 4), reach: rule.reach, max: REACH_BYTES_MAX };
    const limit = this.#last ? length + 1 : reachStart(this.#bytes, back);
    if (search === undefined || start >= limit) return this.#base + Math.min(start, limit);
    const window = openWindow(this.#bytes, start, length);
    const find = how.linear ? search.findLinear : search.find;
    let unit = Math.max(0, window.unitAt(start));
    let reached = limit;
    for (;;) {
      const match = find(window.text, unit);
      if (match === undefined) break;
      const offset = window.offsetAt(match.start);
      if (offset >= limit) break;
      this.#parts.found({ rule, window, match, text: this });
      unit = Math.max(match.end, match.start + 1);
      reached = Math.max(limit, window.offsetAt(match.end));
      if (unit > window.text.length) break;
    }
    this.#next.set(rule.index, this.#base + reached);
    return this.#base + reached;
  }

  #forget(rule: CompiledRule, until: number): void {
    const places = this.#pending.get(rule.index) ?? [];
    const waiting: number[] = [];
    for (let at = 0; at + 1 < places.length; at += 2) {
      if ((places[at + 1] ?? 0) >= until) waiting.push(places[at] ?? 0, places[at + 1] ?? 0);
    }
    if (waiting.length > 0) this.#pending.set(rule.index, waiting);
    else this.#pending.delete(rule.index);
  }

  /** Keeps what a match to come may begin in, and no more. */
  #drop(): void {
    this.#queue = [];
    this.#turn = 0;
    const { length } = this.#bytes;
    let keep = Math.max(0, length - this.#parts.rules.backBytes);
    for (const [index, places] of this.#pending) {
      const rule = this.#parts.rules.rules[index];
      // A gate that opens later opens for what comes later.
      if (rule === undefined || !this.#isOpen(rule) || !this.#parts.concerns(rule)) this.#pending.delete(index);
      else keep = Math.min(keep, (places[1] ?? 0) - this.#base - this.#parts.rules.backBytes);
    }
    for (const rule of this.#parts.rules.roaming) {
      const next = this.#next.get(rule.index);
      if (next !== undefined) keep = Math.min(keep, next - this.#base - 8);
    }
    keep = Math.max(0, keep, length - REACH_BYTES_MAX - BACK_BYTES_MAX - 64);
    this.#flat = undefined;
    if (this.#last) {
      this.#pending.clear();
      return;
    }
    this.#lines += countLines(this.#bytes, keep);
    this.#base += keep;
    this.#bytes = Buffer.from(this.#bytes.subarray(keep));
  }
}

/** Bytes of a line shown to allow-lists on either side of a match. */
const LINE_BYTES_MAX = 4_096;

const BLOCK_BITS = 6;

/** For each 64 bytes: at least 0x80 where one of them is beyond ASCII. */
function blocksBeyondAscii(bytes: Buffer): Uint8Array {
  const blocks = new Uint8Array((bytes.length >> BLOCK_BITS) + 1);
  const size = 1 << BLOCK_BITS;
  for (let block = 0; block < blocks.length; block += 1) {
    const end = Math.min(bytes.length, (block + 1) * size);
    let all = 0;
    for (let index = block * size; index < end; index += 1) all |= bytes[index] ?? 0;
    blocks[block] = all;
  }
  return blocks;
}

/** Literals are told by their ends; their starts decide which match comes first. */
function byPlace(places: readonly number[]): readonly number[] {
  let sorted = true;
  for (let at = 3; at < places.length && sorted; at += 2) sorted = (places[at] ?? 0) >= (places[at - 2] ?? 0);
  if (sorted) return places;
  const pairs: [number, number][] = [];
  for (let at = 0; at + 1 < places.length; at += 2) pairs.push([places[at] ?? 0, places[at + 1] ?? 0]);
  return pairs.sort((a, b) => a[1] - b[1]).flat();
}

function countLines(bytes: Buffer, end: number): number {
  let lines = 0;
  for (let at = bytes.indexOf(10); at >= 0 && at < end; at = bytes.indexOf(10, at + 1)) lines += 1;
  return lines;
}
