import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compileLace, type CompileOptions } from '../../../src/access/lace/compiler.ts';
import { renderLaceError, traceOf } from '../../../src/access/lace/error.ts';
import type { Host, MatchType } from '../../../src/access/lace/language.ts';
import { runLace } from '../../../src/access/lace/runner.ts';

type Context = Readonly<Record<string, string>>;

const eq: MatchType<Context> = ([, key = '', value]) => ({ kind: 'test', test: (context) => context[key] === value });
const fails: MatchType<Context> = () => ({ kind: 'test', test: () => ({ message: 'asked to', words: [1] }) });

function hostOf(files: Readonly<Record<string, string>>): Host<Context> {
  return {
    matchType: (name) => (name === 'eq' ? eq : name === 'fails' ? fails : undefined),
    command: (name) => (name === 'include?' ? 'include?' : name === 'off' ? 'disabled' : undefined),
    load(name) {
      const text = Object.hasOwn(files, name) ? files[name] : undefined;
      return text === undefined ? { kind: 'missing', message: `no ${name}` } : { kind: 'text', name, text };
    },
  };
}

/** `allow reason`, `deny reason` or `error message`. */
function outcome(
  main: string,
  context: Context = {},
  files: Readonly<Record<string, string>> = {},
  options: CompileOptions = {},
): string {
  const compiled = compileLace(hostOf({ main, ...files }), 'main', options);
  if (compiled.kind === 'wrong') return `wrong ${compiled.error.message}`;
  const result = runLace(compiled.program, context);
  if (result.kind === 'decided') return `${result.rule.result} ${result.rule.reason}`;
  return result.kind === 'error' ? `error ${result.error.message}` : 'undecided';
}

function messageOf(main: string, files: Readonly<Record<string, string>> = {}): string {
  const compiled = compileLace(hostOf({ main, ...files }), 'main');
  assert.equal(compiled.kind, 'wrong');
  return compiled.kind === 'wrong' ? compiled.error.message : '';
}

test('an undecided include continues, and an include may be absent where it says so', () => {
  assert.equal(outcome('include two\ndeny z', {}, { two: 'define q eq a b\nallow y q' }), 'deny z');
  assert.equal(outcome('include? none\nallow z'), 'allow z');
  assert.equal(outcome('include? two\nallow z', {}, { two: 'deny y' }), 'deny y');
});

test('a name of a skipped include is unknown where it is used', () => {
  const files = { two: 'define r eq c d' };
  assert.equal(outcome('define q eq a b\ninclude two q\nallow z r', {}, files), 'error Unknown definition: r');
  assert.equal(outcome('define q eq a b\ninclude two q\nallow z r', { a: 'b', c: 'd' }, files), 'allow z');
});

test('a double negation, a lone exclamation mark and an undefined name do not compile', () => {
  assert.equal(messageOf('define q eq a b\nallow z !!q'), 'Undefined name used in condition (!q)');
  assert.equal(messageOf('allow z !'), 'Undefined name used in condition ()');
  assert.equal(messageOf('include x q', { x: 'allow z' }), 'Undefined name used in include condition (q)');
});

test('a disabled command is refused, and so is a line that begins with brackets or holds one backslash', () => {
  assert.equal(messageOf('off and on\nallow z'), 'Command is disabled by context');
  assert.match(messageOf('[eq a b] x'), /^Unknown command/);
  assert.match(messageOf('\\'), /^Unknown command/);
  assert.equal(messageOf("'' x"), 'Unknown command: ');
});

test('the result of an include does not count for the default of the file around it', () => {
  assert.equal(messageOf('include two', { two: 'define q eq a b\nallow y q' }), 'No result set whatsoever');
  assert.equal(
    outcome('include two\ndefine r eq a b\ndeny z r', {}, { two: 'define q eq a b\nallow y q' }),
    'allow Default behaviour',
  );
});

test('a circular include is a clean error at any distance', () => {
  assert.equal(messageOf('include main\nallow z'), 'Circular inclusion of main');
  assert.equal(messageOf('include a', { a: 'include b', b: 'include? a' }), 'Circular inclusion of a');
});

test('includes that double at each level are stopped', () => {
  const files = Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [`f${i}`, `include f${i + 1}\ninclude f${i + 1}`]),
  );
  assert.match(
    messageOf('include f0', { ...files, f30: 'define q eq a b' }),
    /^(More than \d+ includes|Includes nest)/,
  );
});

test('100,000 brackets, rules and nested definitions end in an error that says so', () => {
  assert.match(messageOf(`allow z ${'['.repeat(100_000)}`), /^Brackets nest deeper/);
  assert.match(messageOf('allow z\n'.repeat(100_001)), /^More than 100000 rules/);
  const chain = Array.from({ length: 1_000 }, (_, i) => `define d${i + 1} anyof d${i} d${i}`);
  assert.match(messageOf(['define d0 eq a b', ...chain, 'allow z d1000'].join('\n')), /^Definitions nest deeper/);
});

test('definitions that double at each level cost no more than their number', () => {
  const chain = Array.from({ length: 120 }, (_, i) => `define d${i + 1} anyof d${i} d${i}`);
  assert.equal(outcome(['define d0 eq a b', ...chain, 'allow z d120'].join('\n'), { a: 'b' }), 'allow z');
});

test('a name that comes to mean itself at run time is an error, not an endless loop', () => {
  const main = 'define q eq a b\ninclude two q\ndefine y anyof x x\ndefine x anyof y y\nallow z x';
  assert.equal(outcome(main, {}, { two: 'define x eq c d' }), 'error Circular definition: x');
});

test('an error in an include says the true place beside what Lace shows', () => {
  const compiled = compileLace(hostOf({ main: '\ninclude two', two: 'define q fails\nallow y q' }), 'main');
  assert.equal(compiled.kind, 'wrong'); // nothing decides in main
  const good = compileLace(hostOf({ main: '\ninclude two\ndeny z', two: 'define q fails\nallow y q' }), 'main');
  assert.ok(good.kind === 'ok');
  const result = runLace(good.program, {});
  assert.ok(result.kind === 'error');
  assert.deepEqual(result.error.place, { source: 'two', line: 2, text: 'allow y q', marked: [[9, 9]] });
  assert.equal(traceOf(result.error)[0]?.source, 'main');
});

test('a compile error within brackets within brackets knows its own columns', () => {
  const compiled = compileLace(hostOf({ main: 'allow z [anyof ![nosuch] [eq a b]]' }), 'main');
  assert.ok(compiled.kind === 'wrong');
  assert.deepEqual(compiled.error.place.marked, [[16, 24]]);
  assert.match(
    renderLaceError(compiled.error),
    /^define's second parameter \(nosuch\) must be .*\nmain :: 1\nallow z .*\n +\^+$/,
  );
});

test('an error through two includes renders every line on the way', () => {
  const compiled = compileLace(hostOf({ main: 'include a', a: '\ninclude b', b: '\n\nallow' }), 'main');
  assert.ok(compiled.kind === 'wrong');
  assert.equal(
    renderLaceError(compiled.error),
    [
      'Expected reason, got nothing',
      'b :: 3',
      'allow',
      '^^^^^',
      'while including b',
      'a :: 2',
      'include b',
      '        ^',
      'while including a',
      'main :: 1',
      'include a',
      '        ^',
    ].join('\n'),
  );
});

const WORDS = [
  'define',
  'def',
  'allow',
  'deny',
  'default',
  'include',
  'include?',
  'a',
  'b',
  '!a',
  '!',
  'eq',
  'anyof',
  'allof',
  'fails',
  'main',
  'two',
  "''",
  '[',
  ']',
  '[eq',
  'k]',
  '![',
  '"x',
  '\\',
  '#',
  'off',
  '__autodef1',
  'constructor',
  '__proto__',
];
const ruleset = fc
  .array(
    fc.array(fc.constantFrom(...WORDS), { maxLength: 8 }).map((words) => words.join(' ')),
    { maxLength: 12 },
  )
  .map((lines) => lines.join('\n'));

test('compiling and running any text ends in a value, twice the same', () => {
  fc.assert(
    fc.property(ruleset, ruleset, (main, two) => {
      const first = outcome(main, { k: 'v' }, { two });
      assert.equal(outcome(main, { k: 'v' }, { two }), first);
      assert.equal(typeof first, 'string');
    }),
    { numRuns: 3_000 },
  );
});

test('compiled as an include, a ruleset decides only what it says', () => {
  assert.equal(outcome('define q eq a b\ndeny z q', {}, {}, { asIncluded: true }), 'undecided');
  assert.equal(outcome('default allow', {}, {}, { asIncluded: true }), 'wrong Cannot change the default');
  assert.equal(outcome('', {}, {}, { asIncluded: true }), 'undecided');
});

test('hold is no command of the language where the host does not know it', () => {
  assert.equal(messageOf('hold wait'), 'Unknown command: hold');
  assert.equal(outcome('define hold eq a b\nallow z hold\ndeny y', { a: 'b' }), 'allow z');
});
