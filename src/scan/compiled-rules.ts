/** A rule set ready to run: patterns compiled, literals in one automaton. Made once in each thread. */
import { Fault } from '../base/fault.ts';
import { findCheck, type SecretCheck } from './default-rules/checks.ts';
import { buildAutomaton, type KeywordAutomaton } from './keyword-automaton.ts';
import { emit } from './regex/emit.ts';
import { findProbes } from './regex/probes.ts';
import { addReach, NO_REACH, reachOf, type Reach } from './regex/reach.ts';
import { compileSearch, type Search } from './regex/search.ts';
import type { Allowlist, GlobalAllowlist, Rule, RuleSet } from './rule-set.ts';

export interface CompiledProbe {
  readonly before: Reach;
  /** From the literal's start to the end of any match around it. */
  readonly whole: Reach;
  /** Sticky: whether the rest of the pattern matches from the literal on. */
  readonly tail: RegExp | undefined;
  /** The tail's groups are the pattern's. */
  readonly grouped: boolean;
}

export interface CompiledAllowlist {
  readonly list: Allowlist;
  readonly paths: readonly Search[];
  readonly regexes: readonly Search[];
}

export interface CompiledRule {
  readonly index: number;
  readonly rule: Rule;
  readonly search: Search | undefined;
  readonly path: Search | undefined;
  /** Empty: the pattern has no literal to look for, and runs over everything (once `gated` words were seen). */
  readonly probes: readonly CompiledProbe[];
  /** One of the keywords must be in the text as well, since a match may not contain one. */
  readonly gated: boolean;
  readonly reach: Reach;
  readonly verify: SecretCheck | undefined;
  readonly allowlists: readonly CompiledAllowlist[];
}

/** What a word of the automaton means: a literal of a rule's probe, or (probe -1) a keyword that opens its gate. */
export interface WordUse {
  readonly rule: number;
  readonly probe: number;
}

export interface CompiledRules {
  readonly rules: readonly CompiledRule[];
  /** Rules that run over everything. */
  readonly roaming: readonly CompiledRule[];
  /** Rules about paths alone. */
  readonly pathRules: readonly CompiledRule[];
  readonly automaton: KeywordAutomaton;
  readonly uses: readonly (readonly WordUse[])[];
  readonly wordBytes: readonly number[];
  /** Bytes to keep before what comes next: a match may begin there. */
  readonly backBytes: number;
  /** Who is at work, for whoever ends the thread: item, and rule counted from 1 (0: none). */
  readonly progress: Int32Array;
}

/** Bytes that a match may take before its literal where nothing bounds it, and in all. */
export const BACK_BYTES_MAX = 8 * 1024;

/** @throws Fault 'internal' where a pattern does not compile: `loadRules` has tried them all. */
export function compileRules(set: RuleSet, progress: Int32Array = new Int32Array(2)): CompiledRules {
  const words = new Map<string, WordUse[]>();
  const use = (word: string, entry: WordUse): void => {
    const uses = words.get(word) ?? [];
    if (!uses.some((one) => one.rule === entry.rule && one.probe === entry.probe)) uses.push(entry);
    words.set(word, uses);
  };
  const global = set.allowlists.map((list) => ({ list, compiled: compileAllowlist(list) }));
  const rules = set.rules.map((rule, index) => compileRule({ rule, index, global }, use));
  const texts = [...words.keys()];
  const backs = rules.flatMap(({ probes }) =>
    probes.map(({ before }) => (before.loops ? BACK_BYTES_MAX : before.bytes)),
  );
  return {
    rules,
    roaming: rules.filter((rule) => rule.search !== undefined && rule.probes.length === 0),
    pathRules: rules.filter((rule) => rule.search === undefined && rule.path !== undefined),
    progress,
    automaton: buildAutomaton(texts),
    uses: texts.map((text) => words.get(text) ?? []),
    wordBytes: texts.map((text) => Buffer.byteLength(text)),
    backBytes: Math.min(Math.max(256, ...backs, ...texts.map((text) => Buffer.byteLength(text))), BACK_BYTES_MAX) + 16,
  };
}

interface RuleParts {
  readonly rule: Rule;
  readonly index: number;
  readonly global: readonly { readonly list: GlobalAllowlist; readonly compiled: CompiledAllowlist }[];
}

function compileRule({ rule, index, global }: RuleParts, use: (word: string, entry: WordUse) => void): CompiledRule {
  const search = rule.regex === undefined ? undefined : compile(rule.regex);
  const found = search === undefined ? undefined : findProbes(search.pattern);
  const literals = found?.flatMap((probe) => probe.literals) ?? [];
  const implied = found !== undefined && literals.every((text) => rule.keywords.some((word) => text.includes(word)));
  const gated = rule.keywords.length > 0 && !implied;
  for (const [probe, { literals }] of (found ?? []).entries())
    for (const word of literals) use(word, { rule: index, probe });
  if (gated && search !== undefined) for (const word of rule.keywords) use(word, { rule: index, probe: -1 });
  const shared = global.filter(({ list }) => list.targetRules.length === 0 || list.targetRules.includes(rule.id));
  return {
    index,
    rule,
    search,
    path: rule.path === undefined ? undefined : compile(rule.path),
    probes: (found ?? []).map(({ before, after, tail, grouped }) => ({
      before,
      grouped,
      whole: addReach(before, after),
      tail: tail === undefined ? undefined : new RegExp(emit(tail).source, 'uy'),
    })),
    gated,
    reach: search === undefined ? NO_REACH : reachOf(search.pattern),
    verify: rule.verify === undefined ? undefined : findCheck(rule.verify),
    allowlists: [...rule.allowlists.map(compileAllowlist), ...shared.map(({ compiled }) => compiled)],
  };
}

function compileAllowlist(list: Allowlist): CompiledAllowlist {
  return { list, paths: list.paths.map(compile), regexes: list.regexes.map(compile) };
}

function compile(source: string): Search {
  const compiled = compileSearch(source);
  if (compiled.kind === 'ok') return compiled.value;
  throw new Fault('internal', 'a checked pattern does not compile', { context: { reason: compiled.reason } });
}
