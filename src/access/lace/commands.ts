/** The commands of the language: each turns the words of its line into rules, or says which words are wrong. */
import type { LineWrong } from './compiler.ts';
import type { LaceError } from './error.ts';
import {
  wrong,
  type Condition,
  type Host,
  type LaceCommand,
  type LaceResult,
  type Match,
  type ResultRule,
  type Rule,
  type Wrong,
} from './language.ts';
import type { LexedSource } from './lexer.ts';
import type { LaceLimits } from './limits.ts';

/** What a command may see and change of the compilation around it. */
export interface LineCompiler<C> {
  readonly host: Host<C>;
  readonly limits: LaceLimits;
  readonly source: LexedSource;
  readonly line: number;
  /** Names defined so far, with how deep each nests. */
  readonly defined: Map<string, number>;
  readonly file: { hasUnconditional: boolean; last: 'allow' | 'deny' | undefined };
  readonly isDefaultSet: boolean;
  default: ResultRule | undefined;
  slotOf(name: string): number;
  include(
    name: string,
    text: string,
  ):
    | { readonly kind: 'ok'; readonly rules: readonly Rule<C>[] }
    | { readonly kind: 'wrong'; readonly error: LaceError };
}

type Made<C> = { readonly kind: 'ok'; readonly rules: readonly Rule<C>[] } | LineWrong;

interface CommandOptions {
  /** A definition made from brackets. */
  readonly isAnonymous?: boolean;
}

/** @param args the line's words, the command first. */
export function compileCommand<C>(
  at: LineCompiler<C>,
  command: LaceCommand,
  args: readonly string[],
  options: CommandOptions = {},
): Made<C> {
  switch (command) {
    case 'allow':
    case 'deny':
    case 'hold':
      return compileResult(at, command, args);
    case 'default':
      return compileDefault(at, args);
    case 'define':
    case 'def':
      return compileDefine(at, args, options.isAnonymous ?? false);
    case 'include':
    case 'include?':
      return compileInclude(at, args, command === 'include?');
    default:
      return command satisfies never;
  }
}

function compileResult<C>(at: LineCompiler<C>, result: LaceResult, args: readonly string[]): Made<C> {
  const [, reason, ...names] = args;
  if (reason === undefined) return wrong('Expected reason, got nothing', [1]);
  if (names.length === 0) at.file.hasUnconditional = true;
  const found = conditionsOf(at, names, { what: 'condition', firstWord: 3 });
  if (found.kind === 'wrong') return found;
  // A hold grants something, with somebody's word: behind it stands what stands behind an allow, a no.
  at.file.last = result === 'hold' ? 'allow' : result;
  const { source, line } = at;
  return one({ kind: 'result', result, reason, conditions: found.conditions, isDefault: false, source, line });
}

function compileDefault<C>(at: LineCompiler<C>, args: readonly string[]): Made<C> {
  const [, result, reason, surplus] = args;
  if (result === undefined) return wrong('Expected result, got nothing', [1]);
  if (result !== 'allow' && result !== 'deny') return wrong("Result wasn't allow or deny", [2]);
  if (surplus !== undefined) return wrong('Unexpected additional content', [4]);
  if (at.isDefaultSet) return wrong('Cannot change the default', [1, 2]);
  const { source, line } = at;
  at.default = {
    kind: 'result',
    result,
    reason: reason ?? 'Default behaviour',
    conditions: [],
    isDefault: true,
    source,
    line,
  };
  return { kind: 'ok', rules: [] };
}

function compileDefine<C>(at: LineCompiler<C>, args: readonly string[], isAnonymous: boolean): Made<C> {
  const [command = 'define', name, type, ...rest] = args;
  if (name === undefined) return wrong('Expected name, got nothing', [1]);
  if (name === '' || name.startsWith('!')) return wrong('Bad name for definition', [2]);
  if (type === undefined) return wrong('Expected control type, got nothing', [1, 2]);
  const words = [type, ...rest];
  const made = compileMatch(at, words);
  if (made === undefined) {
    return wrong(`${command}'s second parameter (${type}) must be a control type such as anyof`, [3]);
  }
  if (made.kind === 'wrong')
    return wrong(
      made.message,
      made.words.map((word) => word + 2),
    );
  const depth = depthOf(at, made);
  if (depth > at.limits.definitionDepthMax)
    return wrong(`Definitions nest deeper than ${at.limits.definitionDepthMax}`, [2]);
  at.defined.set(name, Math.max(at.defined.get(name) ?? 0, depth));
  const { source, line } = at;
  return one({ kind: 'define', slot: at.slotOf(name), match: made.match, isAnonymous, source, line });
}

type MadeMatch<C> = { readonly kind: 'match'; readonly match: Match<C>; readonly names: readonly string[] } | Wrong;

/** The host's match types come first; undefined: no such type. */
function compileMatch<C>(at: LineCompiler<C>, words: readonly string[]): MadeMatch<C> | undefined {
  const [type = '', ...names] = words;
  const hosts = at.host.matchType(type);
  if (hosts !== undefined) {
    const made = hosts(words);
    return made.kind === 'wrong' ? made : { kind: 'match', match: made, names: [] };
  }
  if (type !== 'anyof' && type !== 'allof') return undefined;
  if (names.length === 0) return wrong('Expected at least two names, got none', [1]);
  if (names.length === 1) return wrong('Expected at least two names, only got one', [1, 2]);
  const found = conditionsOf(at, names, { what: type, firstWord: 2 });
  if (found.kind === 'wrong') return found;
  return { kind: 'match', match: { kind: type, conditions: found.conditions }, names };
}

function depthOf<C>(at: LineCompiler<C>, made: { readonly names: readonly string[] }): number {
  let depth = 0;
  for (const name of made.names) depth = Math.max(depth, at.defined.get(bareName(name)) ?? 0);
  return depth + 1;
}

function compileInclude<C>(at: LineCompiler<C>, args: readonly string[], isOptional: boolean): Made<C> {
  const [, name, ...names] = args;
  if (name === undefined) return wrong('No ruleset named for inclusion', [1]);
  // One less than the condition's own place: where Lace 1.4 puts its mark.
  const found = conditionsOf(at, names, { what: 'include condition', firstWord: 2 });
  if (found.kind === 'wrong') return found;
  const { conditions } = found;
  const { source, line } = at;
  const loaded = at.host.load(name);
  switch (loaded.kind) {
    case 'missing':
      return isOptional ? { kind: 'ok', rules: [] } : wrong(loaded.message, [2]);
    case 'late':
      return one({ kind: 'include', conditions, rules: loaded.resolve, source, line });
    case 'text': {
      const compiled = at.include(loaded.name, loaded.text);
      if (compiled.kind === 'wrong') {
        return { kind: 'wrong', message: compiled.error.message, words: [2], inner: { error: compiled.error, name } };
      }
      return one({ kind: 'include', conditions, rules: compiled.rules, source, line });
    }
    default:
      return loaded satisfies never;
  }
}

type Found = { readonly kind: 'ok'; readonly conditions: readonly Condition[] } | Wrong;

/** Every name must be defined on an earlier line; `!` in front turns it round. */
function conditionsOf<C>(
  at: LineCompiler<C>,
  names: readonly string[],
  words: { readonly what: string; readonly firstWord: number },
): Found {
  const conditions: Condition[] = [];
  for (const [index, name] of names.entries()) {
    const bare = bareName(name);
    if (!at.defined.has(bare))
      return wrong(`Undefined name used in ${words.what} (${bare})`, [words.firstWord + index]);
    conditions.push({ slot: at.slotOf(bare), isNegated: bare !== name });
  }
  return { kind: 'ok', conditions };
}

function bareName(name: string): string {
  return name.startsWith('!') ? name.slice(1) : name;
}

function one<C>(rule: Rule<C>): Made<C> {
  return { kind: 'ok', rules: [rule] };
}
