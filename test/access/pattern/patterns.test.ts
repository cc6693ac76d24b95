import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Meter } from '../../../src/access/meter.ts';
import { parseLuaPattern, quoteLua } from '../../../src/access/pattern/lua-pattern.ts';
import { buildPattern, PATTERN_CHARS_MAX, type Pattern } from '../../../src/access/pattern/nfa.ts';
import { parsePcre, quotePcre } from '../../../src/access/pattern/pcre.ts';

const lua = (text: string): Pattern => buildPattern(parseLuaPattern(text));
const pcre = (text: string): Pattern => buildPattern(parsePcre(text));

function finds(pattern: Pattern, text: string): boolean {
  assert.equal(pattern.kind, 'ok', pattern.kind === 'wrong' ? pattern.message : '');
  return pattern.kind === 'ok' && pattern.automaton.find(text, new Meter());
}

const LUA_TABLE: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['^refs/heads/', ['refs/heads/x'], ['xrefs/heads/']],
  ['v%d+%.%d+$', ['refs/tags/v1.20'], ['refs/tags/v1x2', 'v1.2-rc']],
  ['^[%w_-]+$', ['a_b-c'], ['a b', '']],
  ['[^/]', ['a'], ['/', '']],
  ['[]]', [']'], ['[']],
  ['[a-]', ['-', 'a'], ['b']],
  ['a-b', ['b', 'aab'], ['aa']],
  ['^(a)(b?)$', ['a', 'ab'], ['b']],
  ['%f[%w]main%f[%W]', ['x/main', 'main'], ['domain', 'mainly']],
  ['a$b', ['a$b'], ['ab']],
  ['^%u%l*$', ['Main'], ['main']],
  ['', ['', 'x'], []],
  ['.', ['\n'], ['']],
  // The end of a range may be a %, which hides the ] behind it all the same.
  ['^[a-%]x]$', [']', 'x'], ['a', ']x]']],
  ['^[%a-z]$', ['q', '-', 'z'], ['1']],
  ['^[a-c-e]$', ['b', '-', 'e'], ['d']],
  ['^[^]%-]$', ['a'], [']', '-']],
  ['(a)*', ['a*'], ['a']],
  ['^*a', ['*a'], ['a']],
];

test('Lua patterns match as Lua does', () => {
  for (const [pattern, good, bad] of LUA_TABLE) {
    for (const text of good) assert.equal(finds(lua(pattern), text), true, `${pattern} ${text}`);
    for (const text of bad) assert.equal(finds(lua(pattern), text), false, `${pattern} ${text}`);
  }
});

test('Lua patterns that are malformed or not regular are refused with words', () => {
  for (const pattern of [
    '%',
    '[a',
    '(',
    ')',
    '%b()',
    '(a)%1',
    '%fx',
    '%g',
    '[%G]',
    'a\0',
    '[a-%]',
    'x'.repeat(PATTERN_CHARS_MAX + 1),
  ]) {
    assert.equal(lua(pattern).kind, 'wrong', pattern);
  }
});

test('a character is what is written, not half of it', () => {
  const table: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['^.$', ['é', '\u{1f41b}'], ['\u{1f41b}\u{1f41b}', '']],
    ['^.{1,3}$', ['\u{1f41b}\u{1f41b}\u{1f41b}'], ['\u{1f41b}\u{1f41b}\u{1f41b}a']],
    ['[\u{1f41b}\u{2728}]', ['\u{1f41b}', '\u{2728}'], ['\u{1f680}', '\u{1f41c}']],
    ['^[^\u{1f41b}]$', ['\u{1f680}', 'a'], ['\u{1f41b}']],
    ['^[\u{1f41a}-\u{1f41c}]$', ['\u{1f41b}'], ['\u{1f419}', '\u{1f41d}']],
    ['^\u{1f41b}?$', ['', '\u{1f41b}'], ['\u{1f680}']],
    ['(?i)ärger', ['Ärger', 'ÄRGER'], ['arger']],
    ['(?i)[k]', ['K', '\u{212a}'], ['s']],
    ['(?i)ς', ['σ', 'Σ'], ['s']],
    ['(?i)i', ['I'], ['\u0131', '\u0130']],
    ['^[^a]$', ['\ud83d'], ['a']],
  ];
  for (const [pattern, good, bad] of table) {
    for (const text of good) assert.equal(finds(pcre(pattern), text), true, `${pattern} ${text}`);
    for (const text of bad) assert.equal(finds(pcre(pattern), text), false, `${pattern} ${text}`);
  }
});

test('in Lua and in Lace a character is a byte', () => {
  const bytes = (text: string): Pattern => buildPattern(parsePcre(text, { isBytes: true }));
  for (const [pattern, text, isFound] of [
    [lua('^.$'), 'é', false],
    [lua('^..$'), 'é', true],
    [lua('^[é]$'), 'é', false],
    [lua('é$'), 'é', true],
    [lua('^%W%W%W%W$'), '\u{1f41b}', true],
    [bytes('^.$'), 'é', false],
    [bytes('^..$'), 'é', true],
    [bytes('(?i)é'), 'É', false],
    [bytes('\\xc3'), 'é', true],
    [bytes('\\xe9'), 'é', false],
  ] as const)
    assert.equal(finds(pattern, text), isFound, text);
  assert.equal(bytes('\\x{100}').kind, 'wrong');
});

/** What both engines understand alike, to be compared with the one of JavaScript. */
const regexPart = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom('a', 'b', 'c', '.', '[ab]', '[^a]', '\\w', '\\d', '\\W', '^', '$', '\\b', '\\B', '-'),
    fc.tuple(tie('node'), tie('node')).map((parts) => parts.join('')),
    fc.tuple(tie('node'), tie('node')).map(([x, y]) => `(?:${x}|${y})`),
    fc
      .tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{2,}', '*?', '+?'))
      .map(([x, times]) => `(?:${x})${times}`),
  ),
})).node;
const word = fc
  .array(fc.constantFrom('a', 'b', 'c', '1', '-', ' '), { maxLength: 12 })
  .map((letters) => letters.join(''));

test('regular expressions find what JavaScript finds', () => {
  fc.assert(
    fc.property(regexPart, word, (source, text) => {
      const pattern = pcre(source);
      if (pattern.kind === 'wrong') return; // too large
      assert.equal(finds(pattern, text), new RegExp(source).test(text), `/${source}/ on ${JSON.stringify(text)}`);
    }),
    { numRuns: 3_000 },
  );
});

test('the rest of PCRE that is regular works', () => {
  const table: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['(?i)main', ['MAIN'], ['mian']],
    ['(?i:m)ain', ['Main'], ['MAIN']],
    ['^[[:alpha:]_]+$', ['a_b'], ['a1']],
    ['^[[:^digit:]]$', ['a'], ['1']],
    ['\\Qa.b\\E', ['a.b'], ['axb']],
    ['\\x41\\x{42}', ['AB'], ['ab']],
    ['^a$', ['a', 'a\n'], ['a\n\n']],
    ['^a$[^b]', ['a\n'], ['a', 'ab', 'ac']],
    ['\\Aa\\z', ['a'], ['a\n']],
    ['(?m)^b$', ['a\nb\nc'], ['ab']],
    ['(?s)a.b', ['a\nb'], []],
    ['a.b', [], ['a\nb']],
    ['(?<name>a)(?P<n>b)(?#comment)c', ['abc'], []],
    ['a{,2}', ['a{,2}'], ['aa']],
    ['[]a]', [']'], ['b']],
    ['(?:)', [''], []],
    ['(?m)^$', ['', 'a\n\n'], ['a\n']],
    ['(?m)a\\n^', ['a\nb'], ['a\n']],
    ['^\\R$', ['\r\n', '\n', '\u2028'], ['\r\r']],
    ['\\R\\n', ['\n\n'], ['\r\n']],
    ['\\101\\o{102}\\cA', ['AB\x01'], ['101']],
    ['[\\01]', ['\x01'], ['1', '0']],
    ['^\\Qab\\E+$', ['abb'], ['abab']],
    ['^\\Q*\\E+$', ['**'], ['']],
    ['(?x) a # b', ['a'], ['b']],
    ['^a(?#many)*$', ['aa'], ['b']],
    ['(?i)[[:^upper:]]', ['1'], ['a', 'A']],
    ['a\\Kb', ['ab'], ['b']],
    ['(?|(a)|(b))', ['b'], ['c']],
    ['[\\w-/]', ['-', '/'], ['.']],
  ];
  for (const [pattern, good, bad] of table) {
    for (const text of good) assert.equal(finds(pcre(pattern), text), true, `${pattern} ${JSON.stringify(text)}`);
    for (const text of bad) assert.equal(finds(pcre(pattern), text), false, `${pattern} ${JSON.stringify(text)}`);
  }
});

test('one character repeated possessively gives nothing back', () => {
  const table: readonly [string, readonly string[], readonly string[]][] = [
    ['^a++b$', ['ab', 'aaab'], ['b', 'aa']],
    ['^a++a', [], ['a', 'aa', 'aaa']],
    ['^a*+b', ['b', 'aab'], ['a']],
    ['^a?+ab', ['aab'], ['ab']],
    ['^a{1,2}+a$', ['aaa'], ['a', 'aa']],
    ['^[a-c]{2}+c$', ['abc'], ['ab', 'bc']],
    ['(?i)^a++A', [], ['aA', 'aaa']],
    ['^(?:a|b)*+b', [], ['ab', 'b']],
    ['^(a)?+a', ['aa'], ['a']],
  ];
  for (const [pattern, good, bad] of table) {
    for (const text of good) assert.equal(finds(pcre(pattern), text), true, `${pattern} ${text}`);
    for (const text of bad) assert.equal(finds(pcre(pattern), text), false, `${pattern} ${text}`);
  }
});

test('what no automaton can match is refused, and so is what is malformed', () => {
  const bad = [
    '(a)\\1',
    '(?=a)',
    '(?!a)',
    '(?<=a)',
    '(?<!a)',
    '(?>a)',
    '(ab)++',
    '(?:a|bc)*+',
    '(?R)',
    '(?1)',
    '\\k<n>',
    '(*ACCEPT)',
    '(',
    ')',
    '[a',
    'a{3,2}',
    'a{2000}',
    '*',
    '\\',
    '[b-a]',
    '(?y:a)',
    '(?x:a # )',
    '\\X',
    '{2}',
    '\\p{L}',
    '[[:nope:]]',
  ];
  for (const pattern of bad) assert.equal(pcre(pattern).kind, 'wrong', pattern);
});

test('any text is a pattern or a clean refusal, in both languages', () => {
  const text = fc
    .array(fc.constantFrom(...'()[]{}*+?|^$\\.-%afbQE0:<>=!i,1x'.split('')), { maxLength: 40 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, word, (source, subject) => {
      for (const pattern of [lua(source), pcre(source)]) {
        if (pattern.kind === 'ok') pattern.automaton.find(subject, new Meter());
      }
    }),
    { numRuns: 5_000 },
  );
});

test('quoted text matches itself and nothing else', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 30 }), fc.string({ maxLength: 30 }), (text, other) => {
      for (const pattern of [lua(`^${quoteLua(text)}$`), pcre(`\\A${quotePcre(text)}\\z`)]) {
        assert.equal(finds(pattern, text), true, JSON.stringify(text));
        assert.equal(finds(pattern, other), text === other);
      }
    }),
  );
});

test('patterns that hang a backtracking engine take steps in proportion to the text', () => {
  const text = `${'a'.repeat(10_000)}!`;
  for (const source of [
    '^(a+)+$',
    '^(a|a)*$',
    '^(a|aa)+$',
    '(.*)*x',
    '^(([a-z])+.)+[A-Z]([a-z])+$',
    '(a?){50}a{50}b',
  ]) {
    const pattern = pcre(source);
    assert.ok(pattern.kind === 'ok', source);
    const steps = (text.length + 1) * (2 * pattern.automaton.size + 1);
    const meter = new Meter(steps);
    assert.equal(pattern.automaton.find(text, meter), false, source);
    assert.equal(meter.isSpent, false, source);
  }
});

test('a pattern that would grow without bound is refused as it is built', () => {
  for (const source of [
    '((a{1000}){1000}){1000}',
    '((((){1000}){1000}){1000}){1000}',
    `${'('.repeat(40)}a${'{9})'.repeat(40)}`,
    '(a*)*'.repeat(180) + '{900}',
  ]) {
    const pattern = pcre(source);
    assert.ok(pattern.kind === 'wrong' || pattern.automaton.size < 5_000, source);
  }
  assert.equal(pcre('('.repeat(400) + ')'.repeat(400)).kind, 'wrong');
});

test('a spent meter ends a search', () => {
  const pattern = pcre('b$');
  const meter = new Meter(100);
  assert.ok(pattern.kind === 'ok');
  assert.equal(pattern.automaton.find('a'.repeat(1_000), meter), false);
  assert.equal(meter.isSpent, true);
});

test('a pattern finds the same by its table, in a new one and in one that is filled in, and by walking', () => {
  fc.assert(
    fc.property(regexPart, fc.array(word, { minLength: 1, maxLength: 6 }), (source, texts) => {
      const pattern = pcre(source);
      // An assertion about neighbours that always holds: with it there is no table.
      const walked = pcre(`(?:${source})(?:\\b|\\B)`);
      if (pattern.kind === 'wrong' || walked.kind === 'wrong') return; // too large
      for (const text of [
        ...texts,
        ...texts,
        ...texts.map((one) => `${one}\n`),
        ...texts.map((one) => `${one}\u00e9b`),
      ])
        assert.equal(finds(pattern, text), finds(walked, text), `/${source}/ on ${JSON.stringify(text)}`);
    }),
    { numRuns: 2_000 },
  );
});

test('a pattern whose table would grow without end stays within its steps', () => {
  // The letter nine before the end: as many sets of states as there are words of that length.
  const pattern = pcre('(?:a|b)*a(?:a|b){9}c');
  assert.ok(pattern.kind === 'ok');
  const letters = Array.from({ length: 20_000 }, (_none, i) =>
    (Math.imul(i, 2_654_435_761) >>> 16) % 2 === 0 ? 'a' : 'b',
  );
  const meter = new Meter();
  assert.equal(pattern.automaton.find(letters.join(''), meter), false);
  assert.equal(meter.isSpent, false);
  assert.equal(pattern.automaton.find(`${letters.join('')}a${'b'.repeat(9)}c`, new Meter()), true);
});
