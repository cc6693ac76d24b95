/**
 * A compiled pattern: V8's engine on the translated pattern, or RE2's port where V8 would find something else or takes
 * too long. Both find the same (`docs/decisions/094-secret-scan-engine.md`).
 */
import { RE2JS } from 're2js';
import { ok, refuse, type Parsed } from '../../base/fault.ts';
import { emit } from './emit.ts';
import { parsePattern } from './parse.ts';
import type { Pattern } from './pattern.ts';

/** Offsets in UTF-16 units. */
export interface Match {
  readonly start: number;
  readonly end: number;
  /** Group 1 and up; undefined: took no part. */
  readonly groups: readonly (Span | undefined)[];
}

export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Search {
  readonly pattern: Pattern;
  /** Capturing groups. */
  readonly groups: number;
  /** The leftmost match that starts at `from` or behind it, what lies before `from` seen by `\b` and `^`. */
  readonly find: (text: string, from: number) => Match | undefined;
  /** The same by RE2's port: in time linear in the text, some fifty times slower on ordinary text. */
  readonly findLinear: (text: string, from: number) => Match | undefined;
  /** Whether it matches anywhere. */
  readonly test: (text: string) => boolean;
}

/** Never throws; the refusal says what is wrong with the pattern. */
export function compileSearch(source: string): Parsed<Search> {
  const parsed = parsePattern(source);
  if (parsed.kind !== 'ok') return parsed;
  const { pattern, groups } = parsed.value;
  const { source: emitted, fidelity } = emit(pattern);
  const linear = linearSearch(source);
  if (fidelity === 'different') {
    const problem = linear.compile();
    if (problem !== undefined) return refuse(problem);
    return ok({
      pattern,
      groups,
      find: linear.find,
      findLinear: linear.find,
      test: (text) => linear.find(text, 0) !== undefined,
    });
  }
  let fast: ReturnType<typeof fastSearch>;
  try {
    fast = fastSearch(emitted);
  } catch {
    return refuse('the pattern is too large');
  }
  const find = fidelity === 'same' ? fast.find : withGroups(fast.find, linear.find);
  return ok({ pattern, groups, find, findLinear: linear.find, test: fast.test });
}

type Find = Search['find'];

function fastSearch(source: string): { readonly find: Find; readonly test: (text: string) => boolean } {
  const expression = new RegExp(source, 'gu');
  let indexed: RegExp | undefined;
  const find: Find = (text, from) => {
    expression.lastIndex = from;
    let found = expression.exec(text);
    while (found !== null && splitsCharacter(text, found.index)) {
      expression.lastIndex = found.index + 1;
      found = expression.exec(text);
    }
    if (found === null) return undefined;
    if (found.length === 1) return { start: found.index, end: found.index + found[0].length, groups: [] };
    // Indices cost much, and only what is found needs them.
    indexed ??= new RegExp(source, 'duy');
    indexed.lastIndex = found.index;
    const indices = indexed.exec(text)?.indices ?? [];
    const spans = indices.map((pair) => (pair === undefined ? undefined : { start: pair[0], end: pair[1] }));
    return { start: found.index, end: found.index + found[0].length, groups: spans.slice(1) };
  };
  const test = (text: string): boolean => {
    expression.lastIndex = 0;
    return expression.test(text);
  };
  return { find, test };
}

/** V8 tries assertions in the middle of a surrogate pair. */
function splitsCharacter(text: string, index: number): boolean {
  const unit = text.charCodeAt(index);
  return unit >= 0xdc_00 && unit <= 0xdf_ff && index > 0 && (text.codePointAt(index - 1) ?? 0) > 0xff_ff;
}

/** Where it matches from V8, which groups took part from the port. */
function withGroups(find: Find, linear: Find): Find {
  return (text, from) => {
    const found = find(text, from);
    return found === undefined ? undefined : (linear(text, found.start) ?? found);
  };
}

function linearSearch(source: string): { readonly find: Find; readonly compile: () => string | undefined } {
  let compiled: RE2JS | undefined;
  const find: Find = (text, from) => {
    compiled ??= RE2JS.compile(source);
    const matcher = compiled.matcher(text);
    if (from > text.length || !matcher.find(from)) return undefined;
    const groups = Array.from({ length: compiled.groupCount() }, (_, index) => {
      const start = matcher.start(index + 1);
      return start < 0 ? undefined : { start, end: matcher.end(index + 1) };
    });
    return { start: matcher.start(), end: matcher.end(), groups };
  };
  const compile = (): string | undefined => {
    try {
      compiled = RE2JS.compile(source);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : 'the pattern is not RE2';
    }
  };
  return { find, compile };
}
