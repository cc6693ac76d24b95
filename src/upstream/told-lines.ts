/** What an upstream says over its sideband, cut into whole lines and marked as the upstream's before a client reads it. */

/** A line that has no end is cut here, in characters. */
const LINE_MAX = 1_000;

export class ToldLines {
  readonly #tell: (text: string) => void;
  #held = '';

  constructor(tell: (text: string) => void) {
    this.#tell = tell;
  }

  take(text: string): void {
    const lines = (this.#held + text).split('\n');
    this.#held = lines.pop() ?? '';
    for (const line of lines) this.#say(line);
    while (this.#held.length > LINE_MAX) {
      this.#say(this.#held.slice(0, LINE_MAX));
      this.#held = this.#held.slice(LINE_MAX);
    }
  }

  /** What came without a line end. */
  end(): void {
    if (this.#held !== '') this.#say(this.#held);
    this.#held = '';
  }

  /** A carriage return starts the line again: of a progress meter the last state counts. */
  #say(line: string): void {
    const last = line.split('\r').findLast((part) => part.trim() !== '');
    if (last !== undefined) this.#tell(`upstream: ${last.trimEnd()}`);
  }
}
