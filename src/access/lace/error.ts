/**
 * A Lace error: a message and the guilty words. Words are counted from 1 and may lead into brackets or
 * to another line, where a definition was at fault. Which lines are shown and which columns are marked
 * follows Lace 1.4 to the letter, since sites and its case table know them; `place` is the exact spot.
 */
import type { LexedLine, LexedSource, Token } from './lexer.ts';

/** A guilty word by number, or the guilty words of what that word stands for. */
export type Word = number | { readonly nr: number; readonly sub: Words };

/** `source` and `line` absent: those of the words around. */
export interface Words {
  readonly list: readonly Word[];
  readonly source?: LexedSource;
  readonly line?: number;
}

/** First and last column, from 1. */
export type Span = readonly [number, number];

export interface Frame {
  readonly words: Words;
  /** The frame's line includes what failed, under this name. */
  readonly including?: string;
}

/** One shown line. */
export interface TraceLine {
  readonly source: string;
  readonly line: number;
  /** The line as written; `???` where the source has no such line. */
  readonly text: string;
  readonly marked: readonly Span[];
}

export interface LaceError {
  readonly message: string;
  /** Innermost first. */
  readonly frames: readonly Frame[];
  readonly place: TraceLine;
}

const MISSING_LINE: LexedLine = {
  kind: 'rule',
  text: '???',
  tokens: [{ first: 1, last: 3, text: '???' }],
  warnings: [],
  tooDeep: false,
};

/** Adds to every word's number. */
export function offsetWords(words: Words, by: number): Words {
  const moved = words.list.map((word) => (typeof word === 'number' ? word + by : { nr: word.nr + by, sub: word.sub }));
  return { ...words, list: moved };
}

/** The word numbered `nr`, with the guilty words inside what it names where there are any. */
export function wordWithin(nr: number, sub: Words): Word {
  return sub.list.length > 0 ? { nr, sub } : nr;
}

/** Innermost first: every line shown for the error. */
export function traceOf(error: LaceError): readonly TraceLine[] {
  return error.frames.flatMap((frame) => linesOf(frame.words));
}

/** The lines that `words` leads to. `source` and `line` must be set at its top. */
export function linesOf(words: Words): readonly TraceLine[] {
  const lines: TraceLine[] = [];
  collect(resolve(words, undefined), undefined, lines);
  return lines;
}

/** Message, then for each line `source :: line`, the line, and carets under the guilty words. */
export function renderLaceError(error: LaceError): string {
  const lines = [error.message];
  for (const frame of error.frames) {
    if (frame.including !== undefined) lines.push(`while including ${frame.including}`);
    for (const shown of linesOf(frame.words)) {
      lines.push(`${shown.source} :: ${shown.line}`, shown.text, carets(shown.marked));
    }
  }
  return lines.join('\n');
}

/** `^` under each marked column. */
export function carets(marked: readonly Span[]): string {
  let text = '';
  for (const [first, last] of marked)
    text = text.padEnd(first - 1) + '^'.repeat(Math.max(0, last - Math.max(first - 1, text.length)));
  return text;
}

/** Words with their line known and numbers as keys. */
interface Marks {
  readonly source: LexedSource;
  readonly line: number;
  readonly at: ReadonlyMap<number, true | Marks>;
}

const NOWHERE: LexedSource = { name: '???', lines: [] };

function resolve(words: Words, around: Marks | undefined): Marks {
  const source = words.source ?? around?.source ?? NOWHERE;
  const line = words.line ?? around?.line ?? 0;
  const at = new Map<number, true | Marks>();
  const marks: Marks = { source, line, at };
  for (const word of words.list) {
    if (typeof word === 'number') at.set(word, true);
    else at.set(word.nr, resolve(word.sub, marks));
  }
  return marks;
}

/** A line that differs from the one around it is shown; only words in brackets are followed further. */
function collect(marks: Marks, around: Marks | undefined, lines: TraceLine[]): void {
  const line = marks.source.lines[marks.line - 1] ?? MISSING_LINE;
  if (around === undefined || around.source !== marks.source || around.line !== marks.line) {
    const marked = spansIn(caretText(line.tokens, marks).text);
    lines.push({ source: marks.source.name, line: marks.line, text: line.text, marked });
  }
  for (const [index, token] of line.tokens.entries()) {
    const inner = marks.at.get(index + 1);
    if (inner !== undefined && inner !== true && 'sub' in token) collect(inner, marks, lines);
  }
}

/**
 * The caret line under `tokens`. One space stands for the opening bracket whatever was glued before it,
 * and the column behind a bracket counts one too many: Lace 1.4 does so.
 */
function caretText(tokens: readonly Token[], marks: Marks): { readonly text: string; readonly column: number } {
  let text = '';
  let column = 1;
  const fill = (to: number, mark: string): void => {
    if (column >= to) return;
    text += mark.repeat(to - column);
    column = to;
  };
  for (const [index, token] of tokens.entries()) {
    const mark = marks.at.get(index + 1);
    fill(token.first, ' ');
    if ('sub' in token && mark !== undefined && mark !== true && isSameLine(mark, marks)) {
      const inner = caretText(token.sub, mark);
      text += ` ${inner.text} `;
      column += inner.column + 2;
    } else {
      fill(token.last + 1, mark === undefined ? ' ' : '^');
    }
  }
  return { text, column };
}

function isSameLine(a: Marks, b: Marks): boolean {
  return a.source === b.source && a.line === b.line;
}

function spansIn(text: string): readonly Span[] {
  return [...text.matchAll(/\^+/g)].map((run): Span => [run.index + 1, run.index + run[0].length]);
}
