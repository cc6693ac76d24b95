/**
 * A settings file is a Perl program. This follows what settings are made of, assignments above all, and says of everything
 * else that it did not: nothing is run, and nothing is guessed.
 */
import { PerlExpressions } from './perl-expression.ts';
import { PerlText } from './perl-text.ts';
import { hashOf, isUnclear, type PerlValue, textOf, unclear } from './perl-value.ts';
import type { PerlVariables, Place } from './perl-variables.ts';

export interface Complaint {
  readonly line: number;
  readonly what: string;
}

/** Of what is not followed, and cannot matter. */
const HARMLESS = /(?:use|no)\s+(?:strict|warnings|utf8|vars|v?[\d.]+)\b[^;]*;?/y;
const BLOCK = /(?:if|unless|for|foreach|while|until|sub|BEGIN|END|else|elsif|eval|do)\b|\{/y;
const COMPLAINTS_MAX = 1_000;

/** Changes `variables` as the program would. @throws `broken` where it is no Perl either. */
export function followProgram(text: string, variables: PerlVariables): readonly Complaint[] {
  const complaints: Complaint[] = [];
  const complain = (line: number, what: string): void => {
    if (complaints.length < COMPLAINTS_MAX) complaints.push({ line, what });
  };
  const program = new PerlProgram(new PerlText(text), variables, complain);
  while (program.statement()) {
    // The next one.
  }
  return complaints;
}

class PerlProgram {
  readonly #source: PerlText;
  readonly #variables: PerlVariables;
  readonly #expressions: PerlExpressions;
  readonly #complain: (line: number, what: string) => void;

  constructor(source: PerlText, variables: PerlVariables, complain: (line: number, what: string) => void) {
    this.#source = source;
    this.#variables = variables;
    this.#complain = complain;
    this.#expressions = new PerlExpressions(source, variables, complain);
  }

  /** False at the end of the program. */
  statement(): boolean {
    const source = this.#source;
    do source.skipBlank();
    while (source.takeText(';'));
    if (source.isOver || source.take(/__(?:END|DATA)__/y) !== undefined) return false;
    if (source.take(HARMLESS) !== undefined) return true;
    const { at, line } = source;
    try {
      this.#simple();
    } catch (error) {
      if (!isUnclear(error)) throw error;
      source.at = at;
      this.#complain(line, `${firstLine(source.text.slice(at))} (${String(error.context['what'])})`);
      this.#skip();
    }
    return true;
  }

  /** To the end of the statement. @throws `broken` where there is none: what follows might be a setting. */
  #skip(): void {
    const source = this.#source;
    const { at } = source;
    const endsAtBlock = source.take(BLOCK) !== undefined;
    source.at = at;
    source.skipTo(';', { endsAtBlock });
  }

  #simple(): void {
    const source = this.#source;
    const word = source.take(/(?:push|unshift|delete|undef|return)\b/y)?.[0];
    if (word === 'push' || word === 'unshift') return this.#grow(word);
    if (word === 'delete') return this.#delete();
    if (word === 'undef') return this.#undefine();
    if (word === 'return') return this.#ignored();
    const isDeclared = source.take(/(?:my|our|local)\b\s*/y) !== undefined;
    if (/^[$@%]/.test(source.peek())) return this.#assignment(isDeclared);
    if (/^[\d'"]/.test(source.peek())) return this.#ignored();
    throw unclear(source.line, 'only settings are followed');
  }

  /** A value that goes nowhere, as the `1;` that such a file ends with. */
  #ignored(): void {
    this.#expressions.value();
    this.#end();
  }

  #assignment(isDeclared: boolean): void {
    const source = this.#source;
    const place = this.#expressions.place();
    source.skipBlank();
    if (isDeclared && source.peek() === ';') return this.#variables.declare(place);
    const operator = source.take(/(?:\.|\|\||\/\/)?=(?![=~>])/y)?.[0];
    if (operator === undefined) throw unclear(source.line, 'a variable is used, not set');
    if (operator === '=') this.#assign(place);
    else this.#change(place, operator);
  }

  #assign(place: Place): void {
    const isList = place.sigil !== '$';
    const items = isList ? this.#items() : [this.#expressions.scalar()];
    this.#end();
    const value = place.sigil === '%' ? hashOf(items, place.line) : isList ? items : items[0];
    this.#variables.set(place, value);
  }

  #change(place: Place, operator: string): void {
    const value = this.#expressions.scalar();
    this.#end();
    const old = this.#variables.isKnown(place.root) ? this.#variables.get(place) : undefined;
    if (operator === '.=') this.#variables.set(place, textOf(old, place.line) + textOf(value, place.line));
    else if (operator === '//=' ? old === undefined : old === undefined || old === '' || old === '0') {
      this.#variables.set(place, value);
    }
  }

  /** `push @{ $rc{X} }, ...`, with or without brackets around it all. */
  #grow(how: 'push' | 'unshift'): void {
    const source = this.#source;
    source.skipBlank();
    const isBracketed = source.takeText('(');
    source.skipBlank();
    const place = this.#expressions.place();
    if (place.sigil !== '@') throw unclear(place.line, `${how} to something else than a list`);
    const items = this.#expressions.list(isBracketed ? ')' : ';');
    if (isBracketed) source.takeText(')');
    this.#end();
    const list = this.#variables.array(place);
    const whole = how === 'push' ? [...list, ...items] : [...items, ...list];
    list.length = 0;
    for (const item of whole) list.push(item);
  }

  #delete(): void {
    const source = this.#source;
    source.skipBlank();
    const place = this.#expressions.place();
    this.#end();
    this.#variables.remove(place);
  }

  /** `undef $rc{X}`, with or without brackets: without a value, or empty. */
  #undefine(): void {
    const source = this.#source;
    source.skipBlank();
    const isBracketed = source.takeText('(');
    source.skipBlank();
    const place = this.#expressions.place();
    source.skipBlank();
    if (isBracketed && !source.takeText(')')) throw unclear(source.line, 'more than one value');
    this.#end();
    this.#variables.set(place, place.sigil === '%' ? new Map() : place.sigil === '@' ? [] : undefined);
  }

  /** A list that is assigned: in brackets, or one item. */
  #items(): PerlValue[] {
    return [...this.#expressions.value()];
  }

  #end(): void {
    const source = this.#source;
    source.skipBlank();
    if (source.isOver || source.peek() === ';') return;
    throw unclear(source.line, 'a condition, or more than one value');
  }
}

function firstLine(text: string): string {
  const line = text.split('\n', 1)[0]?.trim() ?? '';
  return line.length > 100 ? `${line.slice(0, 100)}...` : line;
}
