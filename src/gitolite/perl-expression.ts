/** Values as a settings file writes them: texts, numbers, lists, hashes, variables, and what joins them. */
import { interpolate, unescapeSingle } from './perl-string.ts';
import { HERE_DOCUMENT, PerlText } from './perl-text.ts';
import { broken, hashOf, isUnclear, numberText, type PerlValue, textOf, unclear } from './perl-value.ts';
import { type PlaceOptions, readPlace } from './perl-place.ts';
import type { PerlVariables, Place } from './perl-variables.ts';

/** Written `file:line: what` by whoever has the file's name. */
export type Complain = (line: number, what: string) => void;

const DEPTH_MAX = 64;
const WORD = /[A-Za-z_]\w*/y;
const KEY = /-?[A-Za-z_]\w*/y;
const NUMBER =
  /0[xX][\da-fA-F_]+|0[bB][01_]+|\d[\d_]*(?:\.(?!\.)[\d_]*)?(?:[eE][-+]?\d+)?|\.\d[\d_]*(?:[eE][-+]?\d+)?/y;

export class PerlExpressions {
  readonly source: PerlText;
  readonly variables: PerlVariables;
  readonly #complain: Complain;
  #depth: number;

  constructor(source: PerlText, variables: PerlVariables, complain: Complain, depth = 0) {
    this.source = source;
    this.variables = variables;
    this.#complain = complain;
    this.#depth = depth;
  }

  /**
   * Items up to `closer`, which stays before us. One that is not understood is complained about and left out, with the
   * key that it is the value of; the others stand.
   */
  list(closer: string): PerlValue[] {
    const items: PerlValue[] = [];
    for (;;) {
      this.source.skipBlank();
      if (this.source.isOver) {
        if (closer === ';') return items;
        throw broken(this.source.line, `${closer} is missing`);
      }
      if (this.source.peek() === closer) return items;
      // No Perl: `( A => 1; B => 2 )`.
      if (this.source.peek() === ';') throw broken(this.source.line, `${closer} is missing before ;`);
      if (closer === ';' && this.#isModifier()) return items;
      if (this.source.takeText(',') || this.source.takeText('=>')) continue;
      this.#item(items, closer);
    }
  }

  #item(items: PerlValue[], closer: string): void {
    const { source } = this;
    const { line, at } = source;
    const before = items.length;
    try {
      // One by one: a list may be longer than what a call takes.
      for (const value of this.value()) items.push(value);
      source.skipBlank();
      if (source.isOver || ',;'.includes(source.peek()) || source.peek() === closer || source.peek(2) === '=>') return;
      if (closer === ';' && this.#isModifier()) return;
      items.length = before;
      throw unclear(line, 'an operation that is not one of . || // && ?:');
    } catch (error) {
      if (!isUnclear(error)) throw error;
      source.at = at;
      const key = items.length % 2 === 1 ? items.pop() : undefined;
      const about = typeof key === 'string' ? `${key}: ` : '';
      this.#complain(Number(error.context['line']), `${about}${String(error.context['what'])}`);
      source.skipTo(`,;${closer}`);
    }
  }

  /** One item: more than one value where it is a list or a variable that holds one. */
  value(): readonly PerlValue[] {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw broken(this.source.line, 'it is nested too deeply');
    try {
      return this.#choice();
    } finally {
      this.#depth -= 1;
    }
  }

  scalar(): PerlValue {
    const { line } = this.source;
    const values = this.value();
    if (values.length > 1) throw unclear(line, 'a list stands where one value is needed');
    return values[0];
  }

  #choice(): readonly PerlValue[] {
    const condition = this.#either();
    if (!this.#operator(/\?/y)) return condition;
    const yes = this.value();
    this.source.skipBlank();
    if (!this.source.takeText(':')) throw unclear(this.source.line, '? without its :');
    const no = this.value();
    return isTruthy(condition.at(-1)) ? yes : no;
  }

  #either(): readonly PerlValue[] {
    let left = this.#joined();
    for (;;) {
      const operator = this.#operator(/\|\||\/\/|&&/y);
      if (operator === undefined) return left;
      const right = this.#joined();
      const value = left.at(-1);
      const keepsLeft =
        operator === '//' ? value !== undefined : operator === '||' ? isTruthy(value) : !isTruthy(value);
      if (!keepsLeft) left = right;
    }
  }

  #joined(): readonly PerlValue[] {
    let left = this.#primary();
    while (this.#operator(/\.(?![.=\d])/y) !== undefined) {
      const { line } = this.source;
      const right = this.#primary();
      left = [textOf(left.at(-1), line) + textOf(right.at(-1), line)];
    }
    return left;
  }

  /** An operator that is no assignment. */
  #operator(pattern: RegExp): string | undefined {
    const { source } = this;
    source.skipBlank();
    const { at } = source;
    const found = source.take(pattern)?.[0];
    if (found === undefined || source.peek() !== '=' || source.peek(2) === '=>') return found;
    source.at = at;
    return undefined;
  }

  #primary(): readonly PerlValue[] {
    const { source } = this;
    source.skipBlank();
    const key = this.#bareKey();
    if (key !== undefined) return [key];
    const char = source.peek();
    if ('$@%'.includes(char) && char !== '') return this.#variable();
    if (/^[\d.]$/.test(char)) return [this.#number()];
    if (char === '-' && source.takeText('-')) return [this.#negated()];
    if (source.takeText('(')) return this.#closed(')');
    if (source.takeText('[')) return [[...this.#closed(']')]];
    if (source.takeText('{')) return [hashOf(this.#closed('}'), source.line)];
    if (source.takeText("'")) return [unescapeSingle(source.quoted("'"), "'")];
    if (source.takeText('"')) return [this.#double('"')];
    if (source.peek(2) === '<<') return [this.#hereDocument()];
    return this.#word();
  }

  /** A word before `=>`, which may stand in another line. */
  #bareKey(): string | undefined {
    const { source } = this;
    const { at } = source;
    const key = source.take(KEY)?.[0];
    if (key === undefined) return undefined;
    const end = source.at;
    source.skipBlank();
    const isKey = source.peek(2) === '=>';
    source.at = isKey ? end : at;
    return isKey ? key : undefined;
  }

  #variable(): readonly PerlValue[] {
    const place = this.place();
    if (place.sigil === '$') return [this.variables.get(place)];
    return this.variables.list(place);
  }

  #negated(): PerlValue {
    const { line } = this.source;
    const value = Number(textOf(this.#primary().at(-1), line));
    if (Number.isNaN(value)) throw unclear(line, '- stands before a text');
    return numberText(-value);
  }

  #number(): string {
    const text = this.source.take(NUMBER)?.[0].replaceAll('_', '');
    if (text === undefined) throw unclear(this.source.line, 'a dot without number');
    if (/^0\d/.test(text)) return numberText(Number.parseInt(text, 8));
    return numberText(Number(text));
  }

  #closed(closer: string): PerlValue[] {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw broken(this.source.line, 'it is nested too deeply');
    const items = this.list(closer);
    this.source.takeText(closer);
    this.#depth -= 1;
    return items;
  }

  #double(delimiter: string): string {
    const { line } = this.source;
    return this.#interpolated(this.source.quoted(delimiter), line);
  }

  #interpolated(raw: string, line: number): string {
    const text = new PerlText(raw, line);
    const inner = new PerlExpressions(text, this.variables, this.#complain, this.#depth);
    return interpolate(text, {
      scalar: () => textOf(this.variables.get(inner.place({ isInText: true })), line),
      list: () => this.variables.list(inner.place({ isInText: true })).map((item) => textOf(item, line)),
    });
  }

  #hereDocument(): string {
    const { line } = this.source;
    const match = this.source.take(HERE_DOCUMENT);
    if (match === undefined) throw unclear(line, 'an operation that is not one of . || // && ?:');
    const [, indent, double, single, bare] = match;
    const body = this.source.hereDocument(double ?? single ?? bare ?? '', indent === '~');
    return single === undefined ? this.#interpolated(body, line + 1) : body;
  }

  #word(): readonly PerlValue[] {
    const { source } = this;
    const { line } = source;
    const word = source.take(WORD)?.[0];
    if (word === undefined) throw unclear(line, `${source.peek() || 'the end'} is not expected here`);
    if (word === 'undef') return [undefined];
    if (!/^q[qrw]?$/.test(word)) throw unclear(line, `${word} is not one of the words known here`);
    source.skipBlank();
    const opener = source.peek();
    source.at += 1;
    if (word === 'qq') return [this.#double(opener)];
    const raw = source.quoted(opener);
    if (word === 'qr') return [this.#pattern(raw, opener)];
    if (word === 'q') return [unescapeSingle(raw, opener)];
    return raw.split(/\s+/).filter((item) => item !== '');
  }

  /** As the text that Perl makes of it. */
  #pattern(raw: string, opener: string): string {
    const flags = this.source.take(/[a-z]*/y)?.[0] ?? '';
    // In pairs: what is escaped is no variable.
    const isPlain = raw.replaceAll(/\\[\s\S]/g, '').match(/[$@][\w{:]/) === null;
    if (!isPlain && opener !== "'") throw unclear(this.source.line, 'a variable in a pattern');
    return `(?^${flags}:${raw})`;
  }

  /** A variable, and what leads from it: before us, with its sigil. */
  place(options: PlaceOptions = {}): Place {
    return readPlace(this.source, () => this.scalar(), options);
  }

  /** `... if CONDITION;` */
  #isModifier(): boolean {
    const { source } = this;
    const { at } = source;
    const isOne = source.take(/(?:if|unless|for|foreach|while|until|and|or)\b(?!\s*=>)/y) !== undefined;
    source.at = at;
    return isOne;
  }
}

function isTruthy(value: PerlValue): boolean {
  return value !== undefined && value !== '' && value !== '0';
}
