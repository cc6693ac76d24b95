/** A place in a pattern that is being read. */

/** Caught by `parsePattern`, which turns it into a refusal. */
export class SyntaxProblem extends Error {}

export class Cursor {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  get done(): boolean {
    return this.#at >= this.#source.length;
  }

  sees(text: string): boolean {
    return this.#source.startsWith(text, this.#at);
  }

  /** Steps over `text` if it is next. */
  take(text: string): boolean {
    if (!this.sees(text)) return false;
    this.#at += text.length;
    return true;
  }

  /** The next code point. */
  next(): number {
    const codePoint = this.#source.codePointAt(this.#at);
    if (codePoint === undefined) this.fail('the pattern ends too early');
    this.#at += codePoint > 0xff_ff ? 2 : 1;
    return codePoint;
  }

  /** What a sticky expression finds here; steps over it. */
  match(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.#at;
    const found = expression.exec(this.#source);
    if (found === null) return undefined;
    this.#at += found[0].length;
    return found;
  }

  ahead(count: number): string {
    return this.#source.slice(this.#at, this.#at + count);
  }

  fail(what: string): never {
    throw new SyntaxProblem(`${what}, at character ${this.#at + 1}`);
  }
}
