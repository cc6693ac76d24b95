/** Character classes of regular expressions: `[...]` with all that may stand in it. */
import { CLASSES, foldCase, inverse, range, single, union, type CharSet } from './char-set.ts';
import { PatternProblem, type PatternCursor } from './pattern-cursor.ts';
import { escaped, type Reading } from './regex-escape.ts';

interface ClassReading extends Reading {
  /** Letters of either case. */
  readonly isFolded: boolean;
  /** `(?xx)`: blanks say nothing. */
  readonly skipsBlanks: boolean;
}

/** Behind the opening bracket. A `]` in first place is ordinary. */
export function readClass(cursor: PatternCursor, reading: ClassReading): CharSet {
  const skip = (): void => {
    if (reading.skipsBlanks) cursor.match(/[ \t]*/y);
  };
  skip();
  const isInverse = cursor.take('^');
  skip();
  const sets: CharSet[] = [];
  for (let isFirst = true; isFirst || !cursor.peek(']'); isFirst = false) {
    const first = member(cursor, reading);
    skip();
    if (!cursor.take('-')) {
      sets.push(asSet(first));
      continue;
    }
    skip();
    if (cursor.peek(']')) sets.push(asSet(first), single(45));
    else if (typeof first !== 'number') sets.push(first, single(45));
    else sets.push(...upTo(first, member(cursor, reading)));
    skip();
  }
  cursor.read();
  const has = reading.isFolded ? foldCase(union(sets), reading) : union(sets);
  return isInverse ? inverse(has) : has;
}

function asSet(one: number | CharSet): CharSet {
  return typeof one === 'number' ? single(one) : one;
}

/** A range to a set is none: the hyphen stands for itself. */
function upTo(first: number, last: number | CharSet): readonly CharSet[] {
  if (typeof last !== 'number') return [single(first), single(45), last];
  if (last < first) throw new PatternProblem('range out of order in []');
  return [range(first, last)];
}

function member(cursor: PatternCursor, reading: ClassReading): number | CharSet {
  const posix = posixClass(cursor, reading);
  if (posix !== undefined) return posix;
  const c = cursor.read();
  return c === '\\' ? escaped(cursor, cursor.read(), { ...reading, inBrackets: true }) : c.charCodeAt(0);
}

/** `[:alpha:]`. What only looks like one is refused: the engines take it apart in ways of their own. */
function posixClass(cursor: PatternCursor, { isFolded }: ClassReading): CharSet | undefined {
  const opening = cursor.look(/\[([:.=])/y);
  if (opening === undefined) return undefined;
  const mark = opening[1] ?? '';
  const [, not, name = ''] = cursor.match(/\[:(\^?)([a-z]+):\]/y) ?? [];
  const found = Object.entries(CLASSES).find(([known]) => known === name)?.[1];
  if (found === undefined) {
    if (mark !== ':' && !cursor.text.includes(`${mark}]`, cursor.next + 2)) return undefined;
    throw new PatternProblem(`unknown class ${name === '' ? `[${mark}` : `[:${name}:]`}`);
  }
  // Without regard to case a capital is a letter, and what is none is none.
  const has = isFolded && (name === 'upper' || name === 'lower') ? CLASSES.alpha : found;
  return not === '' ? has : inverse(has);
}
