import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { lexLine, lexRuleset, type Token } from '../../../src/access/lace/lexer.ts';
import { LACE_LIMITS } from '../../../src/access/lace/limits.ts';

const PIECES = [
  'a',
  'b ',
  ' ',
  '\t',
  "'",
  '"',
  '\\',
  '[',
  ']',
  '!',
  '#',
  '//',
  '--',
  '\r',
  '\0',
  'é',
  '😀',
  '${x}',
  'define',
  'allow ',
];
const line = fc.array(fc.constantFrom(...PIECES), { maxLength: 60 }).map((parts) => parts.join(''));

function checkColumns(tokens: readonly Token[], width: number): void {
  let last = 0;
  for (const token of tokens) {
    assert.ok(token.first >= last, 'tokens do not overlap');
    assert.ok(token.last <= width, 'a token ends within its list');
    last = token.first;
    if ('sub' in token) checkColumns(token.sub, token.last - token.first + 1);
  }
}

test('lexing any line ends, twice the same, with columns inside the line', () => {
  fc.assert(
    fc.property(line, (text) => {
      const lexed = lexLine(text);
      assert.deepEqual(lexed, lexLine(text));
      checkColumns(lexed.tokens, text.length);
      if (lexed.kind !== 'rule') assert.deepEqual(lexed.tokens, []);
    }),
    { numRuns: 2_000 },
  );
});

test('a ruleset has as many lines as newlines, and one more for what follows the last', () => {
  fc.assert(
    fc.property(fc.array(line), fc.boolean(), (lines, endsWithNewline) => {
      const text = lines.join('\n') + (endsWithNewline ? '\n' : '');
      const wanted = text === '' ? 0 : text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
      assert.equal(lexRuleset(text, 'x').lines.length, wanted);
    }),
  );
});

test('a word that is quoted means what it holds', () => {
  fc.assert(
    fc.property(fc.string(), (word) => {
      const quoted = `"${word.replaceAll(/["\\]/g, String.raw`\$&`).replaceAll('\n', String.raw`\n`)}"`;
      const [token, ...more] = lexLine(quoted).tokens;
      assert.ok(token !== undefined && 'text' in token);
      assert.equal(token.text, word);
      assert.equal(more.length, 0);
    }),
  );
});

test('a dangling backslash is a warning, and the word stands', () => {
  const lexed = lexLine('allow a\\');
  assert.deepEqual(lexed.warnings, ['Un-used escape at end']);
  assert.equal(lexed.tokens.length, 2);
});

test('100,000 brackets are marked as too deep and cost no stack', () => {
  const lexed = lexLine(`allow x ${'['.repeat(100_000)}`);
  assert.equal(lexed.tooDeep, true);
  assert.equal(lexLine(`allow x ${'['.repeat(LACE_LIMITS.bracketDepthMax)}`).tooDeep, false);
  assert.equal(lexLine(`allow x ${'[a] '.repeat(20_000)}`).tooDeep, false);
});
