/** Command lines cut into words, without a shell. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseProtocol, spoken } from '../../src/transport/door.ts';
import { parseShellWords } from '../../src/transport/shell-words.ts';

const TABLE: readonly (readonly [string, readonly string[]])[] = [
  ['', []],
  ['   ', []],
  ["git-upload-pack '/team/api.git'", ['git-upload-pack', '/team/api.git']],
  ["git-upload-pack '~/api'", ['git-upload-pack', '~/api']],
  [String.raw`git-upload-pack '/o'\''brien'`, ['git-upload-pack', "/o'brien"]],
  [String.raw`git-upload-pack '/a'\!'b'`, ['git-upload-pack', '/a!b']],
  ['a "b c" d', ['a', 'b c', 'd']],
  [String.raw`"a\"b\\c\$d" "e\f"`, ['a"b\\c$d', 'e\\f']],
  [String.raw`a\ b \'c`, ['a b', "'c"]],
  ["a '' b", ['a', '', 'b']],
  [`pre'mid'"post"`, ['premidpost']],
  ['ls team/* [a-z]? {x} #1 ~', ['ls', 'team/*', '[a-z]?', '{x}', '#1', '~']],
  ["'$HOME `id` ;|&<>()'", ['$HOME `id` ;|&<>()']],
  ['a\tb', ['a', 'b']],
  ["'a\nb'", ['a\nb']],
];
for (const [line, words] of TABLE) {
  test(`${JSON.stringify(line)} is ${words.length} words`, () => {
    assert.deepEqual(parseShellWords(line), { kind: 'ok', value: words });
  });
}

const REFUSED: readonly string[] = [
  "'open",
  '"open',
  'ends\\',
  'a;b',
  'a|b',
  'a&b',
  '$x',
  '`id`',
  '"$(id)"',
  '"`id`"',
  'a>b',
  'a<b',
  '(a)',
  'a\nb',
  'a\\\nb',
  'a\u0000b',
  "'a\u001b[2J'",
  'x'.repeat(8 * 1024 + 1),
  'x '.repeat(257),
];
for (const line of REFUSED) {
  test(`${JSON.stringify(line).slice(0, 30)} is refused`, () => {
    assert.equal(parseShellWords(line).kind, 'refused');
  });
}

test('what git quotes comes back as it was', () => {
  // git's quote.c, sq_quote_buf: single quotes and "!" leave the quotes with a backslash.
  const quote = (text: string): string => `'${text.replaceAll(/['!]/g, String.raw`'\$&'`)}'`;
  const visible = fc
    .string({ unit: 'grapheme', maxLength: 60 })
    .filter((text) => !/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text));
  fc.assert(
    fc.property(fc.array(visible, { minLength: 1, maxLength: 8 }), (words) => {
      assert.deepEqual(parseShellWords(words.map(quote).join(' ')), { kind: 'ok', value: words });
    }),
  );
});

test('any line is cut or refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (line) => {
      assert.ok(['ok', 'refused'].includes(parseShellWords(line).kind));
    }),
  );
});

test('parseProtocol takes the highest version that we speak and nothing else', () => {
  assert.equal(parseProtocol(undefined), 0);
  assert.equal(parseProtocol('version=2'), 2);
  assert.equal(parseProtocol('version=1'), 1);
  assert.equal(parseProtocol('side=x:version=1:version=2'), 2);
  for (const text of [
    '',
    'version=0',
    'version=3',
    'version=22',
    'VERSION=2',
    ' version=2',
    'version=2\n',
    'x'.repeat(2_000),
  ]) {
    assert.equal(parseProtocol(text), 0, text.slice(0, 20));
  }
  assert.equal(parseProtocol(`version=2:${'x'.repeat(2_000)}`), 0);
});

test('spoken names the speaker on each line', () => {
  assert.equal(spoken('one\ntwo'), 'gatehouse: one\ngatehouse: two\n');
});
