/** What is wrong with a policy, for the person who wrote it: file, line, the line's text and carets. */
import { didYouMean } from '../base/nearest.ts';
import { VARIABLE_NAMES } from './gitano/variables.ts';
import { carets, type LaceError } from './lace/error.ts';

export interface Problem {
  /** `rules/house.lace`, `scenarios/people.yarn`. */
  readonly file: string;
  /** From 1; 0: the file as a whole. */
  readonly line: number;
  readonly message: string;
  /** The line as written; empty where there is none. */
  readonly text: string;
  /** `^` under the guilty columns; empty where the whole line is meant. */
  readonly carets: string;
  /** The files that include this one, innermost first, as `rules/main.lace:7`. */
  readonly includedFrom: readonly string[];
}

export function problemOf(error: LaceError): Problem {
  const { place } = error;
  const includedFrom = error.frames
    .filter((frame) => frame.including !== undefined)
    .map(({ words }) => `${words.source?.name ?? '?'}:${words.line ?? 0}`);
  const type = /second parameter \((.*)\)/.exec(error.message)?.[1];
  const message = error.message + (type === undefined ? '' : didYouMean(type, VARIABLE_NAMES));
  return {
    file: place.source,
    line: place.line,
    message,
    text: place.text,
    carets: carets(place.marked),
    includedFrom,
  };
}

export function fileProblem(file: string, message: string): Problem {
  return { file, line: 0, message, text: '', carets: '', includedFrom: [] };
}

/** One to five lines, safe to show on a terminal. */
export function renderProblem(problem: Problem): string {
  const where = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}`;
  const lines = [`${where}: ${problem.message.slice(0, MESSAGE_CHARS_MAX)}`];
  if (problem.text.trim() !== '') {
    const start = Math.max(0, problem.carets.search(/\^/) - 60);
    lines.push(`    ${problem.text.slice(start, start + SHOWN_MAX)}`);
    const marks = problem.carets.slice(start, start + SHOWN_MAX);
    if (marks.trim() !== '') lines.push(`    ${marks}`);
  }
  for (const place of problem.includedFrom.slice(0, 4)) lines.push(`    included from ${place}`);
  return lines.map(printable).join('\n');
}

const MESSAGE_CHARS_MAX = 400;

/** Columns of a line that are shown: a hostile line does not fill a terminal. */
const SHOWN_MAX = 160;

/** Tabs and control characters become one space each, so that carets stay in place and no escape gets out. */
export function printable(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, ' ');
}
