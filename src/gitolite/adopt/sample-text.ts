/**
 * Texts that a Perl expression is likely to match, made without matching anything: they are questions to ask, and a
 * question that misses is one too.
 */

/** How often a repetition is taken, and which alternative: each variant takes other ways through the expression. */
const VARIANTS = [0, 1, 2] as const;
const LENGTH_MAX = 200;
const COUNT_MAX = 20;
const DEPTH_MAX = 50;

const CLASS_LETTERS: Readonly<Record<string, string>> = { d: '1', w: 'a', s: ' ', h: ' ', D: 'x', W: '-', S: 'x' };
/** Tried in this order for what a set leaves open. */
const CANDIDATES = 'x1a-Z/._';

/** Distinct; the expression itself among them where it is plain text. */
export function samplesOf(expression: string): readonly string[] {
  const texts = VARIANTS.map((variant) => new Sampler(expression, variant).text().slice(0, LENGTH_MAX));
  return [...new Set(texts)].filter((text) => text !== '');
}

class Sampler {
  readonly #source: string;
  readonly #variant: number;
  #at = 0;
  #depth = 0;

  constructor(source: string, variant: number) {
    this.#source = source;
    this.#variant = variant;
  }

  text(): string {
    return this.#alternatives();
  }

  /** One of those that `|` parts, up to the end or a closing bracket. */
  #alternatives(): string {
    const found = [this.#sequence()];
    while (this.#source[this.#at] === '|') {
      this.#at += 1;
      found.push(this.#sequence());
    }
    return found[this.#variant % found.length] ?? '';
  }

  #sequence(): string {
    let out = '';
    while (this.#at < this.#source.length && this.#source[this.#at] !== '|' && this.#source[this.#at] !== ')') {
      const atom = this.#atom();
      out += this.#repeated(atom);
      if (out.length > LENGTH_MAX) out = out.slice(0, LENGTH_MAX);
    }
    return out;
  }

  #atom(): string {
    const char = this.#source[this.#at] ?? '';
    this.#at += 1;
    if (char === '^' || char === '$') return '';
    if (char === '.') return 'x';
    if (char === '[') return this.#set();
    if (char === '(') return this.#group();
    if (char !== '\\') return char;
    const letter = this.#source[this.#at] ?? '';
    this.#at += 1;
    if (/[bBAzZG]/.test(letter)) return '';
    return CLASS_LETTERS[letter] ?? letter;
  }

  #group(): string {
    this.#depth += 1;
    const flags = /^\?[\^a-z-]*([:)]|\|)?/.exec(this.#source.slice(this.#at))?.[0] ?? '';
    this.#at += flags.length;
    // `(?i)` is over with its flags.
    const inside = flags.endsWith(')') || this.#depth > DEPTH_MAX ? '' : this.#alternatives();
    if (!flags.endsWith(')') && this.#source[this.#at] === ')') this.#at += 1;
    this.#depth -= 1;
    return inside;
  }

  #set(): string {
    const found = /^\^?\]?(?:\\.|[^\]\\])*\]?/.exec(this.#source.slice(this.#at))?.[0] ?? '';
    this.#at += found.length;
    try {
      const set = new RegExp(`^[${found.replace(/^(\^?)\]/, '$1\\]')}$`);
      const listed = found.startsWith('^') ? [] : found.split('').filter((char) => set.test(char));
      return (
        listed[this.#variant % Math.max(listed.length, 1)] ?? CANDIDATES.split('').find((char) => set.test(char)) ?? ''
      );
    } catch {
      return 'x';
    }
  }

  /** The quantifier behind an atom, taken as often as it asks, and once more in some variants. */
  #repeated(atom: string): string {
    const quantifier = /^(?:[*+?]|\{\d*,?\d*\})[+?]?/.exec(this.#source.slice(this.#at))?.[0] ?? '';
    this.#at += quantifier.length;
    if (quantifier === '') return atom;
    const [, low, comma, high] = /^\{(\d*)(,?)(\d*)/.exec(quantifier) ?? [];
    const least = quantifier.startsWith('+') ? 1 : Number(low ?? 0);
    const isOpen = comma === ',' && high === '';
    const bound = quantifier.startsWith('{') ? (isOpen ? COUNT_MAX : Number(high || low)) : COUNT_MAX;
    const most = quantifier.startsWith('?') ? 1 : Math.min(least + this.#variant, bound);
    return atom.repeat(Math.min(Math.max(most, least), COUNT_MAX));
  }
}
