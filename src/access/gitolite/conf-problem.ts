/** What is wrong with a conf, collected while it compiles: every fatal error, not only the first. */
import { fileProblem, type Problem } from '../problem.ts';
import type { ConfLine } from './conf-line.ts';

const PROBLEMS_MAX = 100;

export class ConfProblems {
  readonly #folder: string;
  readonly #texts: ReadonlyMap<string, readonly string[]>;
  readonly fatal: Problem[] = [];
  readonly warnings: Problem[] = [];
  /** How many there were, those that are not kept among them. */
  told = 0;

  /** @param folder in front of the file names: `conf/`. @param texts the lines of each file, to show the guilty one. */
  constructor(folder: string, texts: ReadonlyMap<string, readonly string[]>) {
    this.#folder = folder;
    this.#texts = texts;
  }

  die(at: Pick<ConfLine, 'file' | 'line'>, message: string): void {
    this.told += 1;
    if (this.fatal.length < PROBLEMS_MAX) this.fatal.push(this.#problem(at, message));
  }

  warn(at: Pick<ConfLine, 'file' | 'line'>, message: string): void {
    this.told += 1;
    if (this.warnings.length < PROBLEMS_MAX) this.warnings.push(this.#problem(at, message));
  }

  #problem({ file, line }: Pick<ConfLine, 'file' | 'line'>, message: string): Problem {
    return {
      ...fileProblem(`${this.#folder}${file}`, message),
      line,
      text: this.#texts.get(file)?.[line - 1]?.trim() ?? '',
    };
  }
}
