/** The want list of v0, the arguments of v2 and filter specifications: what is taken, what is refused, what git gets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BOUNDS } from '../../src/base/bounds.ts';
import { Fault } from '../../src/base/fault.ts';
import { FetchRequestReader, INFINITE_DEPTH, argumentLines, wantLines } from '../../src/upload/fetch-request.ts';
import { parseFilterSpec } from '../../src/upload/filter-spec.ts';

const A = 'a'.repeat(40);
const B = 'b'.repeat(40);

function argumentsOf(...lines: readonly string[]): FetchRequestReader {
  const reader = new FetchRequestReader('sha1');
  for (const text of lines) reader.takeArgument(text);
  return reader;
}

function reasonOf(action: () => unknown): string {
  let reason = '';
  assert.throws(action, (error) => {
    assert.ok(error instanceof Fault);
    assert.equal(error.code, 'bad-input');
    reason = error.publicMessage ?? '';
    return true;
  });
  return reason;
}

test('a v2 request is written for git as it was understood, each want once', () => {
  const lines = [
    'thin-pack',
    'ofs-delta',
    `want ${A}`,
    `want ${B}`,
    `want ${A}`,
    `shallow ${B}`,
    'deepen 3',
    'filter blob:none',
  ];
  const request = argumentsOf(...lines, `have ${A}`, 'done').request();
  assert.deepEqual(
    [...argumentLines(request)].map((line) => line.trimEnd()),
    [
      'thin-pack',
      'ofs-delta',
      `want ${A}`,
      `want ${B}`,
      `shallow ${B}`,
      'deepen 3',
      'filter blob:none',
      `have ${A}`,
      'done',
    ],
  );
});

test('a v0 want list keeps the features we know, of whichever line, and drops the others', () => {
  const reader = new FetchRequestReader('sha1');
  reader.takeWantLine(`want ${A} multi_ack_detailed side-band-64k agent=git/2 wibble`);
  reader.takeWantLine(`want ${B} thin-pack filter`);
  reader.takeWantLine('filter tree:0');
  assert.deepEqual(
    [...wantLines(reader.request())].map((line) => line.trimEnd()),
    [`want ${A} multi_ack_detailed side-band-64k thin-pack filter`, `want ${B}`, 'filter tree:0'],
  );
});

test('an argument that git does not know either is refused by name', () => {
  for (const line of [
    'wibble',
    'want-ref refs/heads/main',
    'sideband-all',
    'packfile-uris http',
    'want',
    'deepen',
    '',
  ]) {
    assert.match(
      reasonOf(() => argumentsOf(line)),
      /^unexpected line: /,
      line,
    );
  }
});

test('an oid that is none, or of the other format, is refused', () => {
  for (const word of ['want', 'have', 'shallow']) {
    for (const oid of ['', 'main', A.slice(1), `${A}0`, 'g'.repeat(40), 'a'.repeat(64), `${A} `, `${A}\n`]) {
      assert.match(
        reasonOf(() => argumentsOf(`${word} ${oid}`)),
        /protocol error/,
        `${word} ${oid}`,
      );
    }
  }
  assert.match(
    reasonOf(() => new FetchRequestReader('sha256').takeWantLine(`want ${A}`)),
    /protocol error/,
  );
});

test('depths and times outside their ranges are refused', () => {
  for (const value of ['0', '-1', '1e3', ' 1', '2147483648', '99999999999999999999', 'x']) {
    assert.match(
      reasonOf(() => argumentsOf(`deepen ${value}`)),
      /invalid deepen/,
    );
  }
  assert.equal(argumentsOf(`deepen ${INFINITE_DEPTH}`).request().deepen, INFINITE_DEPTH);
  for (const value of ['-1', 'yesterday', '9'.repeat(16)]) {
    assert.match(
      reasonOf(() => argumentsOf(`deepen-since ${value}`)),
      /invalid deepen-since/,
    );
  }
  assert.match(
    reasonOf(() => argumentsOf('deepen 1', 'deepen-since 1').request()),
    /cannot be used together/,
  );
  assert.match(
    reasonOf(() => argumentsOf('deepen-not main', 'deepen 1').request()),
    /cannot be used together/,
  );
});

test('a filter of v0 needs its capability, and a second filter is refused', () => {
  const reader = new FetchRequestReader('sha1');
  reader.takeWantLine(`want ${A}`);
  assert.match(
    reasonOf(() => reader.takeWantLine('filter blob:none')),
    /not negotiated/,
  );
  assert.match(
    reasonOf(() => argumentsOf('filter blob:none', 'filter tree:0')),
    /cannot be combined/,
  );
});

test('more wants than the bound are refused', () => {
  const reader = new FetchRequestReader('sha1');
  const take = (index: number): void => reader.takeArgument(`want ${index.toString(16).padStart(40, '0')}`);
  for (let index = 1; index <= BOUNDS.fetchWantsMax; index += 1) take(index);
  assert.match(
    reasonOf(() => take(BOUNDS.fetchWantsMax + 1)),
    /wants in one fetch/,
  );
});

test('no error message carries control characters of the client back', () => {
  const reason = reasonOf(() => argumentsOf(`\u001b[31m${'x'.repeat(10_000)}`));
  assert.match(reason, /^[\x20-\x7e]{1,200}$/);
});

test('filters that git serves are passed on as written', () => {
  for (const spec of [
    'blob:none',
    'blob:limit=0',
    'blob:limit=10k',
    'blob:limit=1G',
    'tree:0',
    'tree:12',
    'object:type=blob',
  ]) {
    assert.deepEqual(parseFilterSpec(spec), { kind: 'ok', value: spec });
  }
  assert.equal(parseFilterSpec('combine:blob:none+tree:3').kind, 'ok');
  assert.equal(parseFilterSpec('combine:blob%3anone+combine:tree:3%2bblob:none').kind, 'ok');
});

test('filters that name objects by expression, nest without end or are none are refused', () => {
  const nested = 'combine:'.repeat(5);
  const bad = [
    '',
    'blob',
    'blob:limit=',
    'blob:limit=-1',
    'blob:limit=1t',
    'tree:',
    'tree:x',
    'sparse:oid=main:spec',
    'sparse:path=x',
  ];
  const combined = [
    'combine:',
    'combine:+',
    'combine:sparse:oid=x',
    'combine:sparse%3aoid=x',
    'combine:%',
    'combine:a b',
    'combine:%0a',
  ];
  for (const spec of [...bad, ...combined, `${nested}blob:none`, 'object:type=x', `blob:limit=${'1'.repeat(2_000)}`]) {
    assert.equal(parseFilterSpec(spec).kind, 'refused', spec);
  }
});

test('whatever a line holds, it is taken or refused with a message, and what is taken reads back the same', () => {
  const word = fc.constantFrom(
    'want ',
    'have ',
    'shallow ',
    'deepen ',
    'deepen-since ',
    'deepen-not ',
    'filter ',
    'done',
    '',
  );
  const rest = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(A, B, '5', 'main', 'blob:none'));
  fc.assert(
    fc.property(fc.array(fc.tuple(word, rest)), (lines) => {
      const reader = new FetchRequestReader('sha1');
      for (const [start, end] of lines) {
        try {
          reader.takeArgument(start + end);
        } catch (error) {
          assert.ok(error instanceof Fault && error.code === 'bad-input');
        }
      }
      try {
        const request = reader.request();
        const again = argumentsOf(...[...argumentLines(request)].map((line) => line.slice(0, -1))).request();
        assert.deepEqual(again, request);
      } catch (error) {
        assert.ok(error instanceof Fault && error.publicMessage?.includes('together'));
      }
    }),
  );
});
