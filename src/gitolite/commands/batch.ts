/** What a command that answers line by line has to say, handed over in pages. */
import { Stint } from '../../base/stint.ts';
import { wordsOf } from '../rc-value.ts';
import type { Run } from '../run.ts';

/** Of the lines that a batch reads. */
export const BATCH_BYTES_MAX = 64 * 1024 * 1024;

const PAGE_CHARS = 32 * 1024;

/** Of a line as `inputLines` gives it, one character a byte: answers are written as UTF-8. */
export function batchWords(line: string): string[] {
  return [...wordsOf(Buffer.from(line, 'latin1').toString('utf8'))];
}

export class Pages {
  readonly #run: Run;
  readonly #stint = new Stint();
  #page = '';

  constructor(run: Run) {
    this.#run = run;
  }

  /** Adds one answer. Where there is none, those before it are said first. */
  async during(answer: () => Promise<string>): Promise<void> {
    try {
      this.#page += await answer();
    } catch (error) {
      await this.flush();
      throw error;
    }
    if (this.#page.length >= PAGE_CHARS) await this.flush();
    if (this.#stint.isOver) await this.#stint.rest();
  }

  async flush(): Promise<void> {
    const page = this.#page;
    this.#page = '';
    if (page !== '') await this.#run.print(page);
  }
}
