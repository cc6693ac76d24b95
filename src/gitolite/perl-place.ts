/** A variable as a settings file writes it, and what leads from it: `$rc{X}{Y}[0]`, `@{ $rc{X} }`, `%RC`, `@names`. */
import type { PerlText } from './perl-text.ts';
import { type PerlValue, textOf, unclear } from './perl-value.ts';
import type { Place, Sigil } from './perl-variables.ts';

export interface PlaceOptions {
  /** Between quotes a blank ends the variable. */
  readonly isInText?: boolean;
}

const NAME = /(?:::)?[A-Za-z_]\w*(?:::\w+)*/y;

/**
 * The place before us; its sigil is the next character.
 * @param scalar reads the value of a key or an index.
 * @throws `unclear`
 */
export function readPlace(source: PerlText, scalar: () => PerlValue, { isInText = false }: PlaceOptions = {}): Place {
  return new PlaceReader(source, scalar, isInText).place();
}

class PlaceReader {
  readonly #source: PerlText;
  readonly #scalar: () => PerlValue;
  readonly #isInText: boolean;

  constructor(source: PerlText, scalar: () => PerlValue, isInText: boolean) {
    this.#source = source;
    this.#scalar = scalar;
    this.#isInText = isInText;
  }

  place(): Place {
    const source = this.#source;
    const { line } = source;
    const sigil = source.take(/[$@%]/y)?.[0] as Sigil | undefined;
    if (sigil === undefined) throw unclear(line, 'a variable is needed here');
    const inner = this.#inner(sigil);
    if (sigil !== '$') return inner ?? { sigil, root: sigil + this.#name(), keys: [], line };
    const start = inner ?? this.#named(line);
    const keys = [...start.keys];
    for (let key = this.#subscript(); key !== undefined; key = this.#subscript()) keys.push(key);
    return { sigil, root: start.root, keys, line };
  }

  /** `@{ $rc{X} }`, `@$name`, `${name}`. */
  #inner(sigil: Sigil): Place | undefined {
    const source = this.#source;
    const { line } = source;
    if (sigil !== '$' && source.peek() === '$') return { ...this.place(), sigil };
    if (!source.takeText('{')) return undefined;
    source.skipBlank();
    const name = source.take(NAME)?.[0];
    // Behind the bracket blanks separate nothing, not even in a text.
    const place = name === undefined ? readPlace(source, this.#scalar) : { root: sigil + name, keys: [], line };
    source.skipBlank();
    if (!source.takeText('}')) throw unclear(line, `${sigil}{...} with more than a variable in it`);
    return { ...place, sigil };
  }

  /** `$name{key}` is in `%name`, `$name[0]` in `@name`, all else in `$name`. */
  #named(line: number): Place {
    const name = this.#name();
    this.#skipBlank();
    const char = this.#source.peek();
    const root = (char === '{' ? '%' : char === '[' ? '@' : '$') + name;
    return { sigil: '$', root, keys: [], line };
  }

  #name(): string {
    const name = this.#source.take(NAME)?.[0];
    if (name === undefined) throw unclear(this.#source.line, 'one of Perl’s own variables');
    return name.replace(/^(?:::|main::|Gitolite::Rc::)/, '');
  }

  #subscript(): string | number | undefined {
    const source = this.#source;
    const { at } = source;
    this.#skipBlank();
    if (source.takeText('->')) this.#skipBlank();
    if (source.takeText('{')) return this.#hashKey();
    if (source.takeText('[')) return this.#arrayIndex();
    source.at = at;
    return undefined;
  }

  #hashKey(): string {
    const source = this.#source;
    const { line } = source;
    const key = source.take(/\s*(-?[A-Za-z_]\w*)\s*\}/y)?.[1];
    if (key !== undefined) return key;
    const value = textOf(this.#scalar(), line);
    source.skipBlank();
    if (!source.takeText('}')) throw unclear(line, 'a key that is more than one value');
    return value;
  }

  #arrayIndex(): number {
    const source = this.#source;
    const { line } = source;
    const value = Number(textOf(this.#scalar(), line));
    source.skipBlank();
    if (!source.takeText(']') || !Number.isInteger(value)) throw unclear(line, 'an index that is no number');
    return value;
  }

  #skipBlank(): void {
    if (!this.#isInText) this.#source.skipBlank();
  }
}
