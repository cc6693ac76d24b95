/** Patterns made at random: whatever literal a rule is found by, and wherever pieces end, the same is found as in the whole. */
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { test } from 'node:test';
import { compileRules, type CompiledRules } from '../../src/scan/compiled-rules.ts';
import { compileSearch, type Match } from '../../src/scan/regex/search.ts';
import { runGuarded } from '../../src/scan/step-guard.ts';
import { TextScan } from '../../src/scan/text-scan.ts';
import { Chance } from '../compare/random.ts';
import { rulesOf } from './support.ts';

/** The same questions each time; `SEED=N` asks others, to hunt for what nobody thought of. */
const KNOWN_SEED = 20_261_122;

const PATTERNS = 100;
const TEXTS = 4;

const LITERALS = [
  'a',
  'b',
  'ab',
  'key',
  'tok',
  'pass',
  'id',
  '1',
  '_',
  '-',
  '\\.',
  ' ',
  '\\n',
  'é',
  '😀',
  '=',
] as const;
const SETS = [
  '.',
  '\\d',
  '\\w',
  '\\W',
  '\\s',
  '[a-c]',
  '[^a]',
  '[kK]',
  '[\\s\\S]',
  '[a-z0-9]',
  '\\pL',
  '[é-ü]',
] as const;
const ASSERTIONS = ['^', '$', '\\b', '\\B', '\\A', '\\z'] as const;
const COUNTS = ['*', '+', '?', '{2}', '{1,3}', '*?', '+?', '??', '{0,2}?', '{2,}', '{0}'] as const;
const HEADS = ['(', '(', '(?:', '(?i:', '(?s:', '(?m:', '(?U:'] as const;
const WORDS = [
  'key',
  'Key',
  'KEY',
  'pass',
  'tok',
  'ab',
  'a',
  'b',
  'id',
  '1',
  '_',
  '-',
  '.',
  ' ',
  '\n',
  'é',
  '😀',
  '=',
] as const;

function choice(chance: Chance, depth: number): string {
  const sequence = (): string =>
    chance
      .some(['piece'], 4)
      .map(() => piece(chance, depth))
      .join('');
  return sequence() + (chance.is(25) ? `|${sequence()}` : '');
}

function piece(chance: Chance, depth: number): string {
  const kind = chance.int(depth > 0 ? 10 : 7);
  const inner = kind < 3 ? chance.one(LITERALS) : kind < 6 ? chance.one(SETS) : chance.one(ASSERTIONS);
  const atom = kind < 7 ? inner : `${chance.one(HEADS)}${choice(chance, depth - 1)})`;
  return atom + (chance.is(33) ? chance.one(COUNTS) : '');
}

function told(text: string, { start, end, groups }: Match): string {
  const spans = [{ start, end }, ...groups];
  return JSON.stringify(spans.map((span) => span && text.slice(span.start, span.end)));
}

function inPieces(rules: CompiledRules, pieces: readonly Buffer[]): readonly string[] {
  const found = new Set<string>();
  const text = new TextScan({
    rules,
    concerns: () => true,
    found: ({ window, match }) => found.add(told(window.text, match)),
  });
  for (const [index, bytes] of pieces.entries()) {
    text.feed(bytes, index === pieces.length - 1);
    runGuarded([{ text, slow: new Set<number>() }]);
  }
  return [...found].sort();
}

function inWhole(pattern: string, text: string): readonly string[] {
  const search = compileSearch(pattern);
  assert.ok(search.kind === 'ok');
  const found = new Set<string>();
  for (let from = 0; from <= text.length;) {
    const match = search.value.findLinear(text, from);
    if (match === undefined) break;
    found.add(told(text, match));
    from = Math.max(match.end, match.start + 1);
  }
  return [...found].sort();
}

test('random patterns find in pieces what RE2 finds in the whole text', () => {
  const seed = Number(process.env['SEED'] ?? KNOWN_SEED);
  const chance = new Chance(seed);
  let some = 0;
  for (let count = 0; count < PATTERNS; count += 1) {
    const pattern = choice(chance, 2);
    if (compileSearch(pattern).kind !== 'ok') continue;
    const rules = compileRules(rulesOf(`[[rules]]\nid = "r"\nregex = ${JSON.stringify(pattern)}\n`));
    for (let turn = 0; turn < TEXTS; turn += 1) {
      const text = Array.from({ length: chance.int(16) }, () => chance.one(WORDS)).join('');
      const bytes = Buffer.from(text);
      const cuts = [0, chance.int(bytes.length + 1), bytes.length];
      const pieces = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
      const expected = inWhole(pattern, text);
      const about = `SEED=${seed}: ${JSON.stringify(pattern)} on ${JSON.stringify(text)} cut at ${cuts.join()}`;
      assert.deepEqual(inPieces(rules, pieces), expected, about);
      some += expected.length;
    }
  }
  assert.ok(some > 0, `SEED=${seed}: only ${some} matches`);
});
