/** Expressions over refexes, as Perl would evaluate them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Expressions, REFEX_EXPR, valueOf } from '../../../src/gitolite/vref/refex-expr.ts';

test('an expression binds as in Perl', () => {
  const value = (text: string): number => valueOf(text.split(' '));
  assert.equal(value('1 and 0 or 2'), 2);
  assert.equal(value('not 0 and 3'), 3);
  assert.equal(value('not 1 or 0'), 0);
  assert.equal(value('1 + 2 > 2 == 1'), 1);
  assert.equal(value('5 - 2 - 2'), 1);
  assert.equal(value('1 xor 1'), 0);
  assert.equal(value('not not 4'), 1);
  assert.equal(value('-3 < -2'), 1);
});

test('what is no expression dies in gitolite’s way', () => {
  for (const text of ['', 'and', '1 1', '1 +', 'not']) {
    assert.throws(
      () => valueOf(text.split(' ').filter((word) => word !== '')),
      { publicMessage: `eval '${text}' -> 'syntax error'` },
      text,
    );
  }
});

test('refexes that allowed something are counted, by their exact text or as a branch', () => {
  const expressions = new Expressions(
    new Map([
      ['gitolite-options.refex-expr.both', 'main and VREF/NAME/Makefile'],
      ['gitolite-options.refex-expr.many', 'VREF/NAME/conf/ -gt 1'],
      ['gitolite-options.other', 'x'],
    ]),
  );
  assert.equal(expressions.results.size, 0);
  expressions.pass('refs/heads/main');
  assert.deepEqual(
    [...expressions.results],
    [
      ['both', ''],
      ['many', ''],
    ],
  );
  expressions.pass('VREF/NAME/Makefile');
  expressions.pass('VREF/NAME/conf/');
  expressions.pass('VREF/NAME/conf/');
  assert.deepEqual(
    [...expressions.results],
    [
      ['both', "'main and VREF/NAME/Makefile' -> '1 and 1'"],
      ['many', "'VREF/NAME/conf/ -gt 1' -> '2 > 1'"],
    ],
  );
});

test('where nobody counts, the virtual ref refuses and says what is missing', async () => {
  const question = { refex: 'VREF/refex-expr/sugar1', args: ['sugar1'], expressions: undefined };
  const answer = await REFEX_EXPR(question as unknown as Parameters<typeof REFEX_EXPR>[0]);
  assert.equal(answer.code, 255);
  assert.match(answer.said ?? '', /FATAL: GL_REFEX_EXPR_ doesn't exist/);
});
