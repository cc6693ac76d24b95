/** Cleaned lines, each written text once: confs repeat themselves, and the next one is mostly this one. */
import { cleanLine } from './conf-line.ts';

export class CleanLines {
  readonly #cleaned = new Map<string, string>();
  #before: ReadonlyMap<string, string> | undefined;

  constructor(previous?: CleanLines) {
    this.#before = previous === undefined ? undefined : previous.#cleaned;
  }

  of(raw: string): string {
    const known = this.#cleaned.get(raw);
    if (known !== undefined) return known;
    const cleaned = this.#before?.get(raw) ?? cleanLine(raw);
    this.#cleaned.set(raw, cleaned);
    return cleaned;
  }

  /** Nothing more is taken over: the one before may go. */
  settle(): void {
    this.#before = undefined;
  }
}
