/** Matches in a text that comes in pieces: the same as RE2's port finds in the whole, wherever the pieces end. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { compileRules, type CompiledRules } from '../../src/scan/compiled-rules.ts';
import { compileSearch } from '../../src/scan/regex/search.ts';
import { runGuarded } from '../../src/scan/step-guard.ts';
import { TextScan } from '../../src/scan/text-scan.ts';
import { rulesOf } from './support.ts';

/** In the manner of rule files: context before, bounded and unbounded tails, ends that look at what follows. */
const PATTERNS = [
  String.raw`(?i)[\w.-]{0,5}?(?:key|pass(?:word)?)(?:[ \t\w.-]{0,4})[\s'"]{0,3}(?:=|:)['"\s]{0,3}([a-z0-9]{4,8})(?:['"\s;]|$)`,
  String.raw`\b(tok_[a-z0-9]{4,})\b`,
  String.raw`-----BEGIN[ A-Z]{0,8}KEY-----[\s\S]{2,}?-----END KEY-----`,
  String.raw`(?:^|[^a-z])(id\d+)(?:$|[^0-9])`,
  String.raw`(?m)^pass: ([^\n]+)$`,
  String.raw`é+key`,
  String.raw`(?:key|tok)_?(?:a|b)*$`,
  String.raw`(?s)key.*?pass`,
  String.raw`[^k]key|pass[^s]`,
];

function rulesFrom(patterns: readonly string[]): CompiledRules {
  const set = rulesOf(
    patterns.map((regex, index) => `[[rules]]\nid = "r${index}"\nregex = '''${regex}'''\n`).join('\n'),
  );
  return compileRules(set);
}

/** `rule:start-end` for all that is found. */
function found(rules: CompiledRules, pieces: readonly Buffer[], slow = new Set<number>()): readonly string[] {
  const results: string[] = [];
  const text = new TextScan({
    rules,
    concerns: () => true,
    found: ({ rule, window, match }) => {
      const group = match.groups[0] ?? match;
      results.push(
        `${rule.rule.id}:${window.text.slice(match.start, match.end)}:${window.text.slice(group.start, group.end)}`,
      );
    },
  });
  for (const [index, piece] of pieces.entries()) {
    text.feed(piece, index === pieces.length - 1);
    runGuarded([{ text, slow }]);
  }
  return results.sort();
}

function expected(patterns: readonly string[], subject: string): readonly string[] {
  const results: string[] = [];
  for (const [index, source] of patterns.entries()) {
    const search = compileSearch(source);
    assert.ok(search.kind === 'ok');
    for (let from = 0; from <= subject.length;) {
      const match = search.value.findLinear(subject, from);
      if (match === undefined) break;
      const group = match.groups[0] ?? match;
      results.push(`r${index}:${subject.slice(match.start, match.end)}:${subject.slice(group.start, group.end)}`);
      from = Math.max(match.end, match.start + 1);
    }
  }
  return results.sort();
}

const word = fc.constantFrom(
  'key',
  'Key',
  'pass',
  'password',
  ' ',
  '=',
  '"',
  "'",
  ':',
  '\n',
  'tok_',
  'abc1',
  'a',
  'b',
  'é',
  'id',
  '42',
  '.',
  '-----BEGIN KEY-----',
  '-----END KEY-----',
  ';',
  'ü',
  '😀',
  '\r\n',
  'zz9zz9',
);

describe('text scan', () => {
  const set = rulesFrom(PATTERNS);

  test('finds what RE2 finds in the whole text, in pieces cut anywhere', () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 40 }), fc.array(fc.nat(200), { maxLength: 3 }), (words, cuts) => {
        const subject = words.join('');
        const bytes = Buffer.from(subject);
        const places = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        assert.deepEqual(found(set, pieces), expected(PATTERNS, subject));
      }),
      { numRuns: 300 },
    );
  });

  test('finds the same by the linear engine', () => {
    const all = new Set(PATTERNS.keys());
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), fc.nat(100), (words, cut) => {
        const subject = words.join('');
        const bytes = Buffer.from(subject);
        const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)];
        assert.deepEqual(found(set, pieces, all), expected(PATTERNS, subject));
      }),
      { numRuns: 150 },
    );
  });

  test('a piece that ends within a character does not change what stands before it', () => {
    const subject = 'ékeykeykeykey😀';
    const bytes = Buffer.from(subject);
    const all = new Set(PATTERNS.keys());
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)];
      assert.deepEqual(found(set, pieces, all), expected(PATTERNS, subject), `cut at ${cut}`);
      assert.deepEqual(found(set, pieces), expected(PATTERNS, subject), `cut at ${cut}`);
    }
  });

  test('finds a secret at every cut of a long text', () => {
    const subject = Buffer.from(`${'lorem ipsum\n'.repeat(100)}user key = "abcd1234"; é\n${'dolor sit\n'.repeat(100)}`);
    const whole = found(set, [subject]);
    assert.equal(whole.length, 2);
    for (let cut = 1_150; cut < 1_300; cut += 1) {
      assert.deepEqual(found(set, [subject.subarray(0, cut), subject.subarray(cut)]), whole, `cut at ${cut}`);
    }
  });

  test('a window that begins near the start of the text does not cut its first character', () => {
    const patterns = ['[^k]key'];
    assert.deepEqual(found(rulesFrom(patterns), [Buffer.from('😀keyükey')]), ['r0:ükey:ükey', 'r0:😀key:😀key']);
  });
});
