/** The patterns of a conf, compiled once each; those that the conf before this one had are taken over from it. */
import { compilePerl, type CompiledPerl } from './perl-pattern.ts';

export class ConfPatterns {
  readonly #compiled = new Map<string, CompiledPerl>();
  #before: ReadonlyMap<string, CompiledPerl> | undefined;
  #states = 0;

  constructor(previous?: ConfPatterns) {
    this.#before = previous === undefined ? undefined : previous.#compiled;
  }

  /** States of all of them together: some 40 bytes each. */
  get states(): number {
    return this.#states;
  }

  /** @param text the whole expression, anchors included. */
  of(text: string): CompiledPerl {
    const known = this.#compiled.get(text);
    if (known !== undefined) return known;
    const compiled = this.#before?.get(text) ?? compilePerl(text);
    this.#compiled.set(text, compiled);
    if (compiled.kind === 'ok') this.#states += compiled.pattern.size;
    return compiled;
  }

  /** Nothing more is taken over: the one before may go. */
  settle(): void {
    this.#before = undefined;
  }
}
