/** Samples of expressions: what they are made for is to match. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compilePerl } from '../../../src/access/gitolite/perl-pattern.ts';
import { Meter } from '../../../src/access/meter.ts';
import { samplesOf } from '../../../src/gitolite/adopt/sample-text.ts';

const EXPRESSIONS = [
  'refs/heads/master$',
  'refs/tags/v[0-9]',
  'refs/.*',
  'refs/heads/(a|bc)+/x?',
  'refs/heads/[^m]{2,3}\\d+\\.\\w',
  'wild/(?i)AB.*',
  'wild/a{,2}b{2}',
  '[]x-]y',
  'home/\\Qab',
  'm(?:a|as)(ter)?$',
  'wild/[^/]*\\z',
  'CREATOR/[a-z]..*',
];

test('each sample matches the expression that it is of', () => {
  for (const expression of EXPRESSIONS) {
    const compiled = compilePerl(`^${expression}`);
    assert.ok(compiled.kind === 'ok', expression);
    const samples = samplesOf(expression);
    assert.ok(samples.length > 0, expression);
    for (const sample of samples) assert.ok(compiled.pattern.find(sample, new Meter()), `${expression}: ${sample}`);
  }
});

test('plain text is its own sample, and alternatives get one each', () => {
  assert.deepEqual(samplesOf('refs/heads/main'), ['refs/heads/main']);
  assert.deepEqual(samplesOf('foo|bar'), ['foo', 'bar']);
});

test('what is no expression, or a long one, still gives short texts', () => {
  for (const text of ['((((', '[', '\\', 'a{1000}'.repeat(100), '(a*)*'.repeat(1000), '('.repeat(5000)])
    for (const sample of samplesOf(text)) assert.ok(sample.length <= 200);
});
