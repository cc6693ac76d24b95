import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRange } from '../../src/transport/http-range.ts';

test('one range of bytes is understood, anything else is all of it or nothing', () => {
  assert.deepEqual(parseRange('bytes=0-9', 100), { start: 0, end: 10 });
  assert.deepEqual(parseRange('bytes=90-', 100), { start: 90, end: 100 });
  assert.deepEqual(parseRange('bytes=-10', 100), { start: 90, end: 100 });
  assert.deepEqual(parseRange('bytes=-1000', 100), { start: 0, end: 100 });
  assert.deepEqual(parseRange('bytes=50-1000', 100), { start: 50, end: 100 });
  for (const all of [undefined, '', 'bytes=-', 'bytes=9-0', 'lines=0-1', 'bytes=0-1,2-3', 'bytes=a-b']) {
    assert.equal(parseRange(all, 100), undefined);
  }
  for (const none of ['bytes=100-', 'bytes=-0']) assert.equal(parseRange(none, 100), 'none');
  assert.equal(parseRange('bytes=0-', 0), 'none');
});
