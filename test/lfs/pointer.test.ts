import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLfsOid, parseLfsSize, parsePointer } from '../../src/lfs/pointer.ts';
import { pointerText } from '../support/lfs.ts';

const OID = 'ab'.repeat(32);

function parse(text: string): unknown {
  return parsePointer(Buffer.from(text));
}

test('a pointer has a version, an oid and a size, whatever else stands between them', () => {
  const pointer = { oid: OID, size: 12_345 };
  const text = pointerText(OID, 12_345);
  assert.deepEqual(parse(text), pointer);
  assert.deepEqual(parse(text.replaceAll('\n', '\r\n')), pointer);
  assert.deepEqual(parse(`\n${text}\n\n`), pointer);
  assert.deepEqual(parse(text.replace('\noid', `\next-0-foo sha256:${OID}\noid`)), pointer);
  assert.deepEqual(parse(text.replace('git-lfs.github.com', 'hawser.github.com')), pointer);
  const [version, oid, size] = text.trim().split('\n');
  assert.deepEqual(parse([version, size, oid].join('\n')), pointer);
});

test('what only looks like a pointer is none', () => {
  const text = pointerText(OID, 1);
  for (const other of [
    '',
    'version https://git-lfs.github.com/spec/v1\n',
    text.replace('v1', 'v2'),
    text.replace('sha256:', 'sha512:'),
    text.replace(OID, OID.toUpperCase()),
    text.replace(OID, `../${OID.slice(3)}`),
    text.replace('size 1', 'size -1'),
    text.replace('size 1', 'size 1e3'),
    text.replace('size 1', 'size 99999999999999999999'),
    `${text}size 2\n`,
    `prose first\n${text}`,
    text + 'x'.repeat(1_024),
  ]) {
    assert.equal(parse(other), undefined, other);
  }
});

test('an oid is 64 lower-case hexadecimal digits, a size a whole number of bytes', () => {
  assert.equal(parseLfsOid(OID), OID);
  for (const text of ['', OID.slice(1), `${OID}0`, `${OID.slice(1)}\n`, '../'.repeat(22).slice(0, 64)]) {
    assert.equal(parseLfsOid(text), undefined);
  }
  assert.equal(parseLfsSize('0'), 0);
  for (const value of ['01', '-1', '1.5', '', 1.5, -1, Number.NaN, null, {}, [1]])
    assert.equal(parseLfsSize(value), undefined);
});
