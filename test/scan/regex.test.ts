/** RE2's meaning on V8, held against RE2's port on patterns made at random and on the idioms of rule files. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { RE2JS } from 're2js';
import { IDIOMS, REFUSED } from './fixtures/idioms.ts';
import { compileSearch, type Match } from '../../src/scan/regex/search.ts';

/** All matches, as `FindAll` of Go: no empty match right behind the one before it. */
function all(find: (text: string, from: number) => Match | undefined, text: string): readonly unknown[] {
  const found: unknown[] = [];
  for (let from = 0; from <= text.length;) {
    const match = find(text, from);
    if (match === undefined) break;
    found.push([match.start, match.end, match.groups.map((span) => (span ? [span.start, span.end] : undefined))]);
    from = match.end > match.start ? match.end : match.end + (/^[\uD800-\uDBFF]/.test(text.slice(match.end)) ? 2 : 1);
  }
  return found;
}

const character = fc.constantFrom(
  'a',
  'b',
  'k',
  's',
  'S',
  'K',
  'Z',
  '0',
  '9',
  '_',
  '-',
  '.',
  ' ',
  '\n',
  'é',
  'É',
  'ſ',
  'K',
  'ß',
  'Σ',
  'ς',
  '😀',
);
const literal = fc.constantFrom(
  'a',
  'b',
  'k',
  'S',
  '0',
  '_',
  '\\.',
  ' ',
  '\\n',
  '\\x61',
  '\\x{212a}',
  'é',
  'Σ',
  '\\-',
  '😀',
  '\\141',
  '}',
  '{',
  '{,2}',
  '\\Qa.\\E',
  '\\/',
);
const set = fc.constantFrom(
  '.',
  '\\d',
  '\\D',
  '\\w',
  '\\W',
  '\\s',
  '\\S',
  '[a-c]',
  '[^a]',
  '[[:alnum:]]',
  '[^[:space:]]',
  '[[:^alpha:]k]',
  '\\pL',
  '\\PL',
  '\\p{Lu}',
  '\\P{^Greek}',
  '[\\w.-]',
  '[\\pN_]',
  '[]a]',
  '[^]a]',
  '[a-]',
  '[k-s]',
  '[^K]',
  '[\\x60\'"\\s;]',
  '[\\w-.]',
  '[é-ü]',
  '[\\S]',
  '[^\\W_]',
);
const assertion = fc.constantFrom('^', '$', '\\b', '\\B', '\\A', '\\z');
const { pattern } = fc.letrec<{ pattern: string; atom: string; piece: string }>((tie) => ({
  atom: fc.oneof(
    { weight: 4, arbitrary: literal },
    { weight: 4, arbitrary: set },
    { weight: 1, arbitrary: assertion },
    { weight: 2, arbitrary: tie('pattern').map((text) => `(${text})`) },
    { weight: 2, arbitrary: tie('pattern').map((text) => `(?:${text})`) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.constantFrom('i', 'm', 's', 'U', '-i', 'is-m', 'mU', 'i-s'), tie('pattern'))
        .map(([flags, text]) => `(?${flags}:${text})`),
    },
    { weight: 1, arbitrary: fc.constantFrom('(?i)', '(?-i)', '(?s)', '(?U)', '(?m)') },
  ),
  piece: fc
    .tuple(tie('atom'), fc.constantFrom('', '', '', '*', '+', '?', '*?', '+?', '??', '{2}', '{1,3}', '{0,2}?', '{2,}'))
    .map(([atom, times]) => (/^\(\?[a-zA-Z-]+\)$/.test(atom) ? atom : atom + times)),
  pattern: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.array(tie('piece'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
    fc.tuple(tie('piece'), tie('pattern')).map(([one, other]) => `${one}|${other}`),
  ),
}));

describe('RE2 patterns on V8', () => {
  test('random patterns find what RE2 finds, groups included', () => {
    const text = fc.array(character, { maxLength: 14 }).map((characters) => characters.join(''));
    let compared = 0;
    fc.assert(
      fc.property(pattern, text, (source, subject) => {
        const compiled = compileSearch(source);
        let peer: RE2JS;
        try {
          peer = RE2JS.compile(source);
        } catch {
          assert.equal(compiled.kind, 'refused', `RE2 refuses ${source}`);
          return;
        }
        assert.equal(compiled.kind, 'ok', `RE2 takes ${source}: ${compiled.kind === 'refused' ? compiled.reason : ''}`);
        assert.ok(compiled.kind === 'ok' && peer.groupCount() === compiled.value.groups);
        assert.deepEqual(all(compiled.value.find, subject), all(compiled.value.findLinear, subject), source);
        compared += 1;
      }),
      { numRuns: 2_500 },
    );
    assert.ok(compared > 1_500);
  });

  test('every idiom of rule files loads and finds what RE2 finds', () => {
    assert.ok(IDIOMS.length >= 60);
    const hex = 'abcdef0123456789';
    const words = fc.constantFrom(
      'acme',
      'ACME',
      'Emca',
      '_key',
      ' = ',
      '"',
      "'",
      ';',
      '\n',
      ': ',
      hex.repeat(2),
      `${hex}${hex}${hex.slice(0, 8)}`,
      hex.repeat(4),
      hex,
      'p8e-',
      'A3-',
      'sc_',
      'METER',
      '1Q~',
      'curl -u "a:bcdef"',
      '-----BEGIN PRIVATE KEY-----',
      '-----END PRIVATE KEY-----',
      'eyJ',
      '.',
      'straSSe',
      'K',
      'key',
      'ſ',
      'BEGIN',
      'END',
      'a.b*c',
      'aab',
      'xxyy',
      '\u{1F511}',
      'é',
      '\0',
      'user:x',
      '${1}',
      '{{ a }}',
      '/Users/me/x',
    );
    for (const source of IDIOMS) {
      const compiled = compileSearch(source);
      assert.ok(compiled.kind === 'ok', `${source}: ${compiled.kind === 'refused' ? compiled.reason : ''}`);
      const { find, findLinear } = compiled.value;
      fc.assert(
        fc.property(fc.array(words, { maxLength: 12 }), (list) => {
          assert.deepEqual(all(find, list.join('')), all(findLinear, list.join('')), source);
        }),
        { numRuns: 25 },
      );
    }
  });

  test('what RE2 does not have is refused with its reason, and RE2 refuses it too', () => {
    for (const [source, reason] of REFUSED) {
      const compiled = compileSearch(source);
      assert.ok(compiled.kind === 'refused', `${source} is refused`);
      assert.match(compiled.reason, reason, source);
      assert.throws(() => RE2JS.compile(source), source);
    }
  });

  test('groups nested without end are refused, not run into the stack', () => {
    const compiled = compileSearch('('.repeat(30_000) + ')'.repeat(30_000));
    assert.match(compiled.kind === 'refused' ? compiled.reason : '', /deeply/);
  });
});
