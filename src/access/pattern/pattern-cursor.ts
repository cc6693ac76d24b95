/** A place in a pattern that is being read. */

/** Carries what is wrong to the parser's entry, and no further. */
export class PatternProblem extends Error {}

export class PatternCursor {
  readonly text: string;
  next = 0;

  constructor(text: string) {
    this.text = text;
  }

  get isDone(): boolean {
    return this.next >= this.text.length;
  }

  peek(part: string): boolean {
    return this.text.startsWith(part, this.next);
  }

  /** Steps over `part` if it is next. */
  take(part: string): boolean {
    if (!this.peek(part)) return false;
    this.next += part.length;
    return true;
  }

  /** What a sticky expression finds here; steps over it. */
  match(expression: RegExp): RegExpExecArray | undefined {
    const found = this.look(expression);
    if (found !== undefined) this.next += found[0].length;
    return found;
  }

  /** The same without a step. */
  look(expression: RegExp): RegExpExecArray | undefined {
    expression.lastIndex = this.next;
    return expression.exec(this.text) ?? undefined;
  }

  read(): string {
    if (this.isDone) throw new PatternProblem('the pattern ends too soon');
    this.next += 1;
    return this.text.charAt(this.next - 1);
  }
}
