/**
 * A scenario file, as Gitano's users write them: prose with SCENARIO headings and steps that begin with
 * GIVEN, WHEN, THEN, AND or FINALLY. Any other line that starts in the first column is prose.
 */
import { nearest } from '../../base/nearest.ts';
import type { Problem } from '../problem.ts';

export const STEP_KEYWORDS = ['GIVEN', 'WHEN', 'THEN', 'FINALLY'] as const;
export type StepKeyword = (typeof STEP_KEYWORDS)[number];

export interface Step {
  /** AND stands for the keyword before it. */
  readonly keyword: StepKeyword;
  /** What follows the keyword, blanks squeezed, lines that begin with `...` joined. */
  readonly text: string;
  readonly file: string;
  readonly line: number;
  /** The line as written. */
  readonly written: string;
}

export interface Scenario {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  readonly steps: readonly Step[];
}

export interface ScenarioFile {
  readonly scenarios: readonly Scenario[];
  readonly problems: readonly Problem[];
}

export const SCENARIOS_PER_FILE_MAX = 10_000;
export const STEP_CHARS_MAX = 2_000;

/** `ian, olive and steven`. */
export function listOf(text: string): readonly string[] {
  return text.split(/,\s*(?:and\s+)?|\s+and\s+/).filter((name) => name !== '');
}

const WORDS = ['SCENARIO', ...STEP_KEYWORDS, 'AND'];
const STEP_LINE = /^([ \t]*)([A-Z]+|\.\.\.)(?:[ \t]+(.*?))?[ \t\r]*$/;

export function parseScenarios(text: string, file: string): ScenarioFile {
  const reader = new FileReader(file);
  for (const [index, line] of text.split('\n').entries()) reader.line(line, index + 1);
  return reader.end();
}

interface OpenScenario {
  readonly name: string;
  readonly line: number;
  readonly written: string;
  readonly steps: Step[];
}

class FileReader {
  readonly #file: string;
  readonly #scenarios: Scenario[] = [];
  readonly #problems: Problem[] = [];
  #open: OpenScenario | undefined;
  #keyword: StepKeyword | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  line(written: string, line: number): void {
    const found = STEP_LINE.exec(written);
    const word = found?.[2] ?? '';
    const text = (found?.[3] ?? '').replaceAll(/[ \t]+/g, ' ');
    if (word === 'SCENARIO') return this.#begin(text, line, written);
    if (word === '...') return this.#continue(text, line, written);
    if (WORDS.includes(word)) return this.#step(word, text, line, written);
    const isIndented = /^(?: {4}|\t)/.test(written) && written.trim() !== '';
    const meant = word.length >= 3 ? nearest(word, WORDS) : undefined;
    if (meant !== undefined) this.#wrong(line, written, `unknown keyword ${word}; did you mean ${meant}?`);
    else if (isIndented && this.#open !== undefined) {
      this.#wrong(line, written, `an indented line is a step and begins with one of ${WORDS.join(', ')}`);
    }
  }

  end(): ScenarioFile {
    this.#close();
    if (this.#scenarios.length === 0 && this.#problems.length === 0)
      this.#wrong(0, '', 'there is no SCENARIO in this file');
    return { scenarios: this.#scenarios, problems: this.#problems };
  }

  #begin(name: string, line: number, written: string): void {
    this.#close();
    if (name === '') this.#wrong(line, written, 'a SCENARIO has a name');
    if (this.#scenarios.length >= SCENARIOS_PER_FILE_MAX) {
      this.#wrong(line, written, `a file has at most ${SCENARIOS_PER_FILE_MAX} scenarios`);
      return;
    }
    this.#open = { name, line, written, steps: [] };
  }

  /** A scenario that checks nothing is a mistake, not a success. */
  #close(): void {
    const open = this.#open;
    this.#open = undefined;
    this.#keyword = undefined;
    if (open === undefined) return;
    const { name, line, written, steps } = open;
    if (!steps.some((step) => step.keyword === 'THEN'))
      this.#wrong(line, written, `the scenario "${name}" has no THEN`);
    this.#scenarios.push({ name, file: this.#file, line, steps });
  }

  #step(word: string, text: string, line: number, written: string): void {
    if (this.#open === undefined) return this.#wrong(line, written, `${word} stands before the first SCENARIO`);
    const keyword = word === 'AND' ? this.#keyword : STEP_KEYWORDS.find((known) => known === word);
    if (keyword === undefined) return this.#wrong(line, written, 'AND follows another step');
    if (text === '') return this.#wrong(line, written, `${word} is followed by nothing`);
    if (text.length > STEP_CHARS_MAX)
      return this.#wrong(line, written, `a step has at most ${STEP_CHARS_MAX} characters`);
    this.#keyword = keyword;
    this.#open.steps.push({ keyword, text, file: this.#file, line, written });
  }

  #continue(text: string, line: number, written: string): void {
    const last = this.#open?.steps.pop();
    if (this.#open === undefined || last === undefined)
      return this.#wrong(line, written, '... continues a step, and there is none');
    const joined = `${last.text} ${text}`;
    if (joined.length > STEP_CHARS_MAX)
      return this.#wrong(line, written, `a step has at most ${STEP_CHARS_MAX} characters`);
    this.#open.steps.push({ ...last, text: joined });
  }

  #wrong(line: number, text: string, message: string): void {
    if (this.#problems.length < 100)
      this.#problems.push({ file: this.#file, line, message, text, carets: '', includedFrom: [] });
  }
}
