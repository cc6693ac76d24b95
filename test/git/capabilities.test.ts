import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { capabilityValue, formatCapabilities, parseCapabilities } from '../../src/git/capabilities.ts';

test('parseCapabilities reads names, values and repeated names', () => {
  const parsed = parseCapabilities(
    ' report-status side-band-64k agent=git/2.39.5 symref=HEAD:refs/heads/main symref=a:b',
  );
  assert(parsed.kind === 'ok');
  assert.deepEqual(parsed.value.get('report-status'), []);
  assert.deepEqual(parsed.value.get('symref'), ['HEAD:refs/heads/main', 'a:b']);
  assert.equal(capabilityValue(parsed.value, 'agent'), 'git/2.39.5');
  assert.equal(capabilityValue(parsed.value, 'object-format'), undefined);
});

test('parseCapabilities refuses control characters, a word without a name, and what is too long or too many', () => {
  for (const text of ['a\nb', 'a\0b', 'a\u001bb', '=x', 'a '.repeat(300), 'x'.repeat(9_000)]) {
    assert.equal(parseCapabilities(text).kind, 'refused', JSON.stringify(text.slice(0, 10)));
  }
});

test('parseCapabilities reads back what formatCapabilities wrote', () => {
  const word = fc.stringMatching(/^[a-z0-9-]{1,10}(=[!-~]{0,20})?$/);
  fc.assert(
    fc.property(fc.array(word, { maxLength: 50 }), (words) => {
      const parsed = parseCapabilities(formatCapabilities(words));
      assert(parsed.kind === 'ok');
      for (const one of words) assert(parsed.value.has(one.split('=')[0] ?? ''));
    }),
  );
});

test('formatCapabilities faults on a word that would break the line', () => {
  for (const one of ['', 'a b', 'agent=x\n', '=a', 'a\0']) assert.throws(() => formatCapabilities([one]));
});

test('a capability named like a property of objects is only a word', () => {
  const parsed = parseCapabilities('__proto__ constructor=x toString');
  assert(parsed.kind === 'ok');
  assert.deepEqual([...parsed.value.keys()], ['__proto__', 'constructor', 'toString']);
});
