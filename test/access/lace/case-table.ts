/**
 * The Lace case table: reads it strictly, runs each case on the language as the table's `harness` says
 * and answers the mismatches, each starting with the case's id.
 */
import { isDeepStrictEqual } from 'node:util';
import { compileLace } from '../../../src/access/lace/compiler.ts';
import { traceOf, type LaceError } from '../../../src/access/lace/error.ts';
import { wrong, type Host, type MatchType } from '../../../src/access/lace/language.ts';
import { lexRuleset } from '../../../src/access/lace/lexer.ts';
import { runLace } from '../../../src/access/lace/runner.ts';

type Context = Readonly<Record<string, unknown>>;

interface Case {
  readonly id: string;
  readonly files: Readonly<Record<string, string>>;
  readonly context: Context;
  readonly expect: Expectation;
}

interface Expectation {
  readonly stage: string;
  readonly outcome: string;
  readonly reason?: string;
  readonly message?: string;
  readonly trace?: unknown;
}

interface LexCase {
  readonly id: string;
  readonly input: string;
  readonly lines: readonly unknown[];
}

export interface CaseTable {
  readonly lex: readonly LexCase[];
  readonly cases: readonly Case[];
}

const CASE_KEYS = new Set(['id', 'files', 'context', 'expect', 'note']);
const LEX_KEYS = new Set(['id', 'input', 'lines', 'note']);
const EXPECT_KEYS = new Set(['stage', 'outcome', 'reason', 'message', 'trace', 'upstream_says']);
const OUTCOMES = new Set(['allow', 'deny', 'error', 'crash']);
const STAGES = new Set(['compile', 'run']);

/** @throws Error where the table has not the known shape or holds no case. */
export function readCaseTable(text: string): CaseTable {
  const table = record(JSON.parse(text), 'the table');
  for (const key of Object.keys(table)) {
    if (!['about', 'harness', 'lex', 'cases'].includes(key)) throw new Error(`unknown key in the table: ${key}`);
  }
  checkHarness(table['harness']);
  const lex = list(table['lex'], 'lex').map(readLexCase);
  const cases = list(table['cases'], 'cases').map(readCase);
  if (lex.length === 0 || cases.length === 0) throw new Error('the table holds no cases');
  const ids = [...lex, ...cases].map((one) => one.id);
  if (new Set(ids).size !== ids.length) throw new Error('two cases share an id');
  return { lex, cases };
}

/** The harness below registers exactly these: another table may not silently rely on more. */
function checkHarness(value: unknown): void {
  const harness = record(value, 'harness');
  const types = Object.keys(record(harness['match_types'], 'harness.match_types')).toSorted();
  const commands = Object.keys(record(harness['commands'], 'harness.commands')).toSorted();
  if (!isDeepStrictEqual(types, ['badcompile', 'eq', 'fails']))
    throw new Error(`unknown match types: ${types.join(' ')}`);
  if (!isDeepStrictEqual(commands, ['turnedoff'])) throw new Error(`unknown commands: ${commands.join(' ')}`);
}

function readLexCase(value: unknown): LexCase {
  const one = record(value, 'a lex case');
  const id = text(one['id'], 'id');
  onlyKeys(one, LEX_KEYS, id);
  return { id, input: text(one['input'], id), lines: list(one['lines'], id) };
}

function readCase(value: unknown): Case {
  const one = record(value, 'a case');
  const id = text(one['id'], 'id');
  onlyKeys(one, CASE_KEYS, id);
  const expect = record(one['expect'], id);
  onlyKeys(expect, EXPECT_KEYS, id);
  const outcome = text(expect['outcome'], id);
  const stage = text(expect['stage'], id);
  if (!OUTCOMES.has(outcome) || !STAGES.has(stage)) throw new Error(`${id}: unknown outcome or stage`);
  if ((outcome === 'allow' || outcome === 'deny') && typeof expect['reason'] !== 'string')
    throw new Error(`${id}: no reason`);
  if (outcome === 'error' && (typeof expect['message'] !== 'string' || !Array.isArray(expect['trace']))) {
    throw new Error(`${id}: no message or trace`);
  }
  const files = Object.entries(record(one['files'], id)).map(([name, content]) => [name, text(content, id)] as const);
  return {
    id,
    files: Object.fromEntries(files),
    context: record(one['context'], id),
    expect: { stage, outcome, ...pick(expect) },
  };
}

function pick(expect: Readonly<Record<string, unknown>>): { reason?: string; message?: string; trace?: unknown } {
  const { reason, message, trace } = expect;
  return {
    ...(typeof reason === 'string' ? { reason } : {}),
    ...(typeof message === 'string' ? { message } : {}),
    ...(trace === undefined ? {} : { trace }),
  };
}

/** One line for every case that does not come out as the table says. */
export function mismatchesOf(table: CaseTable): readonly string[] {
  return [...table.lex.flatMap(lexMismatch), ...table.cases.flatMap(caseMismatch)];
}

function lexMismatch(one: LexCase): string[] {
  const lines = lexRuleset(one.input, 'main').lines.map((line) =>
    line.kind === 'rule'
      ? { kind: line.kind, tokens: line.tokens, warnings: line.warnings }
      : { kind: line.kind, warnings: line.warnings },
  );
  return compare(one.id, lines, one.lines);
}

function caseMismatch(one: Case): string[] {
  const found = outcomeOf(one);
  if (one.expect.outcome !== 'crash') return compare(one.id, found, one.expect);
  // What crashed the reference is a clean error here, at the same stage, with some message.
  const clean = { outcome: found.outcome, stage: found.stage };
  const wanted = { outcome: 'error', stage: one.expect.stage };
  return (found.message ?? '') === '' ? [`${one.id}: no message`] : compare(one.id, clean, wanted);
}

function outcomeOf(one: Case): Expectation {
  const compiled = compileLace(hostOf(one.files), 'main');
  if (compiled.kind === 'wrong') return { stage: 'compile', ...errorOf(compiled.error) };
  const result = runLace(compiled.program, one.context);
  switch (result.kind) {
    case 'error':
      return { stage: 'run', ...errorOf(result.error) };
    case 'decided':
      return { stage: 'run', outcome: result.rule.result, reason: result.rule.reason };
    case 'undecided':
      return { stage: 'run', outcome: 'undecided' };
    default:
      return result satisfies never;
  }
}

function errorOf(error: LaceError): { outcome: string; message: string; trace: unknown } {
  const trace = traceOf(error).map(({ source, line, marked }) => ({ source, line, marked_columns: marked }));
  return { outcome: 'error', message: error.message, trace };
}

const MATCH_TYPES: Readonly<Record<string, MatchType<Context>>> = {
  // Without a VALUE a missing key is equal: nothing is nothing (case c-sub-ok).
  eq: ([, key = '', value]) => ({
    kind: 'test',
    test: (context) => (Object.hasOwn(context, key) ? context[key] : undefined) === value,
  }),
  fails: () => ({
    kind: 'test',
    test: (context) => (context['fail'] === undefined ? false : { message: 'fails: asked to', words: [1] }),
  }),
  badcompile: () => wrong('badcompile refuses', [2]),
};

function hostOf(files: Readonly<Record<string, string>>): Host<Context> {
  return {
    matchType: (name) => (Object.hasOwn(MATCH_TYPES, name) ? MATCH_TYPES[name] : undefined),
    command: (name) => (name === 'turnedoff' ? 'disabled' : undefined),
    load(name) {
      const content = Object.hasOwn(files, name) ? files[name] : undefined;
      if (content === undefined) return { kind: 'missing', message: `no such ruleset ${name}` };
      return { kind: 'text', name, text: content };
    },
  };
}

function compare(id: string, found: unknown, wanted: unknown): string[] {
  if (isDeepStrictEqual(plain(found), plain(wanted))) return [];
  return [`${id}: expected ${JSON.stringify(wanted)}\n      found ${JSON.stringify(found)}`];
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is not an object`);
  return value as Readonly<Record<string, unknown>>;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${what} is not a list`);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new Error(`${what} is not text`);
  return value;
}

function onlyKeys(value: Readonly<Record<string, unknown>>, known: ReadonlySet<string>, id: string): void {
  for (const key of Object.keys(value)) if (!known.has(key)) throw new Error(`${id}: unknown key ${key}`);
}
