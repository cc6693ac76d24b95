/**
 * Gitano's match types: every variable is one. `VAR KIND VALUE`, the older `VAR VALUE` and `VAR ~PATTERN`,
 * `!` in front of KIND (or of the older value) for the opposite. A variable with several entries matches
 * if any does; an unset one never matches, not even with `!`.
 */
import { didYouMean } from '../../base/nearest.ts';
import { wrong, type MatchFailure, type MatchType, type Test } from '../lace/language.ts';
import type { Automaton } from '../pattern/automaton.ts';
import type { Asked } from './asked.ts';
import type { PatternKind, PatternStore } from './pattern-store.ts';
import { entriesOf, expandAll, parseTemplate, type Template } from './template.ts';
import { VARIABLE_NAMES, type Reader, type Value, type Variable } from './variables.ts';

const KINDS = ['is', 'exact', 'prefix', 'suffix', 'pattern', 'pcre'] as const;
type Kind = (typeof KINDS)[number];

interface Wanted {
  readonly kind: Kind;
  readonly isNegated: boolean;
  readonly value: string;
  /** Which of the rule's words the value is. */
  readonly word: number;
}

/** What a match names, told as it compiles: the policy asks for paths or refs only if some rule does. */
export interface Mention {
  readonly variable: string;
  readonly value: string;
  readonly inValue: readonly string[];
}

/** A rule about paths was not told them though objects change: it cannot be told, so it is refused. */
const PATHS_UNKNOWN: MatchFailure = { message: 'the changed paths of this update are not known', words: [1] };

const SPENT: MatchFailure = { message: 'the rules look at too much for one decision', words: [1] };

export interface MatchHost {
  readonly patterns: PatternStore;
  readonly mention: (mention: Mention) => void;
}

export function matchTypeOf(variable: Variable, host: MatchHost): MatchType<Asked> {
  const { read, isAboutPaths } = variable;
  return (words) => {
    const wanted = parseWords(words);
    if ('message' in wanted) return wanted;
    const template = parseTemplate(wanted.value);
    const [unknown] = template.unknown;
    if (unknown !== undefined)
      return wrong(`No such variable: \${${unknown}}${didYouMean(unknown, VARIABLE_NAMES)}`, [wanted.word]);
    host.mention({ variable: words[0] ?? '', value: wanted.value, inValue: template.names });
    const made = makeTest(read, { wanted, template, patterns: host.patterns });
    if (typeof made === 'string') return wrong(made, [wanted.word]);
    return {
      kind: 'test',
      test: isAboutPaths ? (asked) => (arePathsUnknown(read, asked) ? PATHS_UNKNOWN : made(asked)) : made,
    };
  };
}

function arePathsUnknown(read: Reader, asked: Asked): boolean {
  const { ref } = asked.question;
  return (ref?.oldOid !== undefined || ref?.newOid !== undefined) && read(asked) === undefined;
}

function parseWords(words: readonly string[]): Wanted | ReturnType<typeof wrong> {
  const [, first, second, surplus] = words;
  if (first === undefined) return wrong('Expected something to compare with, got nothing', [1]);
  if (surplus !== undefined) return wrong('Unexpected additional content', [4]);
  const isNegated = first.startsWith('!');
  const bare = isNegated ? first.slice(1) : first;
  if (second === undefined) {
    if (bare.startsWith('~')) return { kind: 'pattern', isNegated, value: bare.slice(1), word: 2 };
    return { kind: 'is', isNegated, value: bare, word: 2 };
  }
  const kind = KINDS.find((known) => known === bare.toLowerCase());
  if (kind === undefined)
    return wrong(`Unknown comparison: ${first} (known: ${KINDS.join(', ')}, each also with ! in front)`, [2]);
  return { kind, isNegated, value: second, word: 3 };
}

interface Making {
  readonly wanted: Wanted;
  readonly template: Template;
  readonly patterns: PatternStore;
}

/** The test, or why the value is wrong. */
function makeTest(read: Reader, making: Making): Test<Asked> | string {
  const { wanted, template } = making;
  switch (wanted.kind) {
    case 'is':
    case 'exact':
      return compareTest(read, wanted, template, EQUAL);
    case 'prefix':
      return compareTest(read, wanted, template, STARTS);
    case 'suffix':
      return compareTest(read, wanted, template, ENDS);
    case 'pattern':
    case 'pcre':
      return patternTest(read, wanted.kind, making);
    default:
      return wanted.kind satisfies never;
  }
}

interface Comparison {
  readonly one: (text: string, wanted: string) => boolean;
  /** A set answers equality without a walk. */
  readonly inSet?: (set: ReadonlySet<string>, wanted: string) => boolean;
}

const EQUAL: Comparison = { one: (text, wanted) => text === wanted, inSet: (set, wanted) => set.has(wanted) };
const STARTS: Comparison = { one: (text, wanted) => text.startsWith(wanted) };
const ENDS: Comparison = { one: (text, wanted) => text.endsWith(wanted) };

function compareTest(read: Reader, wanted: Wanted, template: Template, comparison: Comparison): Test<Asked> {
  const { isNegated } = wanted;
  const { constant } = template;
  if (constant !== undefined) {
    return (asked) => {
      const value = read(asked);
      if (value === undefined) return false;
      if (typeof value === 'string') return comparison.one(value, constant) !== isNegated;
      const isFound = matchesAny(value, constant, comparison, asked);
      return asked.meter.isSpent ? SPENT : isFound !== isNegated;
    };
  }
  const [whole] = template.parts;
  // `group is ${config/readers}`: the commonest form, without making lists of lists.
  const other = template.parts.length === 1 && typeof whole === 'function' ? whole : undefined;
  return (asked) => {
    const value = read(asked);
    if (value === undefined) return false;
    const texts = other === undefined ? expandAll(template, asked) : listed(other(asked));
    if (texts === undefined) return SPENT;
    if (typeof texts === 'string') {
      const isEqual = matchesAny(value, texts, comparison, asked);
      return asked.meter.isSpent ? SPENT : isEqual !== isNegated;
    }
    if (texts.length === 0) return false;
    const isFound = texts.some((text) => matchesAny(value, text, comparison, asked));
    return asked.meter.isSpent ? SPENT : isFound !== isNegated;
  };
}

function listed(value: Value): string | readonly string[] {
  return typeof value === 'string' ? value : entriesOf(value);
}

function matchesAny(value: Exclude<Value, undefined>, wanted: string, comparison: Comparison, asked: Asked): boolean {
  if (typeof value === 'string') return asked.meter.spend(1) && comparison.one(value, wanted);
  if (comparison.inSet !== undefined && value instanceof Set) return comparison.inSet(value, wanted);
  const entries = entriesOf(value);
  return asked.meter.spend(entries.length) && entries.some((entry) => comparison.one(entry, wanted));
}

function patternTest(read: Reader, kind: PatternKind, making: Making): Test<Asked> | string {
  const { wanted, template, patterns } = making;
  const { isNegated } = wanted;
  // A pattern with variables is tried with a word in their place, so that a mistake shows when it compiles.
  const sample = template.parts.map((part) => (typeof part === 'string' ? part : 'word')).join('');
  const built = patterns.fixed(kind, sample);
  if (built.kind === 'wrong') return `Bad pattern: ${built.message}`;
  const fixed = [built.automaton];
  const automata =
    template.constant === undefined ? (asked: Asked) => expandedAutomata(kind, making, asked) : () => fixed;
  return (asked) => {
    const value = read(asked);
    if (value === undefined) return false;
    const found = automata(asked);
    if (found === undefined) return SPENT;
    if (found.length === 0) return false;
    const entries = entriesOf(value);
    const isFound = found.some((automaton) => entries.some((entry) => automaton.find(entry, asked.meter)));
    return asked.meter.isSpent ? SPENT : isFound !== isNegated;
  };
}

/** What variables hold is taken literally: a user called `a.b` is not a pattern. */
function expandedAutomata(kind: PatternKind, making: Making, asked: Asked): readonly Automaton[] | undefined {
  const { template, patterns } = making;
  const texts = expandAll(template, asked, patterns.quote(kind));
  if (texts === undefined) return undefined;
  const automata: Automaton[] = [];
  for (const text of texts) {
    const automaton = patterns.expanded(kind, text);
    // Too large with these values: it cannot be told, and what cannot be told is refused.
    if (automaton === undefined || !asked.meter.spend(automaton.size)) return undefined;
    automata.push(automaton);
  }
  return automata;
}
