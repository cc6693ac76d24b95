/** The wire parsers and writers on their own: every input ends in a value or in a fault that blames the client. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Fault } from '../../src/base/fault.ts';
import { PktReader } from '../../src/git/pkt-line.ts';
import { eachLine, wholeLines } from '../../src/receive/lines.ts';
import { readPushRequest, type PushRequest } from '../../src/receive/push-request.ts';
import { encodeReport, oneLine, plainLines } from '../../src/receive/report.ts';
import { conflictsAmong, creationProblem } from '../../src/receive/ref-names.ts';
import { parseRefname } from '../../src/git/refname.ts';
import { fsckOption } from '../../src/receive/fsck-rules.ts';
import type { RepositoryFacts } from '../../src/repository/repository.ts';
import { pkt, ZERO } from './raw-client.ts';

const OID = 'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391';

async function read(chunks: readonly Buffer[]): Promise<PushRequest | undefined> {
  const reader = new PktReader(Readable.from(chunks, { objectMode: false }));
  return readPushRequest(reader, { format: 'sha1', onAbilities: () => {} });
}

test('readPushRequest reads commands, abilities, shallow lines and options', async () => {
  const request = await read([
    pkt(`shallow ${OID}`),
    pkt(`${ZERO} ${OID} refs/heads/a\0 report-status-v2 side-band-64k atomic push-options quiet agent=x`),
    pkt(`${OID} ${ZERO} refs/heads/b\n`),
    Buffer.from('0000'),
    pkt('one\n'),
    pkt('tab\tand ünï'),
    Buffer.from('0000'),
  ]);
  assert.deepEqual(request, {
    commands: [
      { name: 'refs/heads/a', oldOid: ZERO, newOid: OID },
      { name: 'refs/heads/b', oldOid: OID, newOid: ZERO },
    ],
    repeated: new Set(),
    abilities: { report: true, sideband: true, quiet: true, atomic: true, pushOptions: true },
    options: ['one', 'tab\tand ünï'],
    shallow: [OID],
    expectsPack: true,
  });
});

test('readPushRequest knows an empty request and a push of deletions only', async () => {
  assert.equal(await read([]), undefined);
  assert.equal(await read([Buffer.from('0000')]), undefined);
  const request = await read([pkt(`${OID} ${ZERO} refs/heads/b\0delete-refs`), Buffer.from('0000')]);
  assert.equal(request?.expectsPack, false);
});

test('readPushRequest answers any bytes with a request or a bad-input fault', async () => {
  const words = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => pkt(Buffer.from(bytes))),
    fc.constantFrom(
      Buffer.from('0000'),
      Buffer.from('0001'),
      pkt(`${ZERO} ${OID} refs/heads/x\0push-options`),
      pkt('push-cert\0'),
    ),
    fc.string({ unit: 'binary', maxLength: 60 }).map((name) => pkt(`${ZERO} ${OID} ${name}`)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(words, { maxLength: 8 }), async (chunks) => {
      try {
        const request = await read(chunks);
        for (const { name } of request?.commands ?? []) assert.doesNotMatch(name, /[\0-\x1f\x7f]/);
      } catch (error) {
        assert.ok(
          error instanceof Fault && error.code === 'bad-input' && error.publicMessage !== undefined,
          String(error),
        );
      }
    }),
    { numRuns: 300 },
  );
});

test('encodeReport keeps each fate in one line that a terminal can show', () => {
  const hostile = 'no\nok refs/heads/stolen\x1b[2J\u202e\u0085';
  const report = encodeReport('ok', [
    { name: 'refs/heads/a', reason: undefined },
    { name: 'refs/heads/b', reason: hostile },
  ]).toString();
  assert.equal(report.split('\n').length, 4);
  assert.ok(report.includes('ng refs/heads/b no; ok refs/heads/stolen?[2J??\n'), report);
});

test('oneLine cuts a long text at a character, plainLines keeps lines and tabs', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 3_000 }), (text) => {
      const line = oneLine(text);
      assert.ok(Buffer.byteLength(line) <= 1_003);
      assert.doesNotMatch(line, /[\0-\x08\n-\x1f\x7f]/);
    }),
  );
  assert.equal(oneLine('ü'.repeat(600)), `${'ü'.repeat(500)}...`);
  assert.equal(plainLines('a\tb\n\x1b[1mc'), 'a\tb\n?[1mc');
});

test('wholeLines and eachLine give the same lines at every split', async () => {
  const text = Buffer.from('one\n\nthree and more\nx\n');
  for (let at = 0; at <= text.length; at += 1) {
    const lines: string[] = [];
    for await (const chunk of wholeLines(Readable.from([text.subarray(0, at), text.subarray(at)]))) {
      eachLine(chunk, (start, end) => lines.push(chunk.toString('utf8', start, end)));
    }
    assert.deepEqual(lines, ['one', '', 'three and more', 'x']);
  }
  const cut = async (): Promise<void> => {
    for await (const chunk of wholeLines(Readable.from([Buffer.from('a\nb')]))) assert.equal(chunk.toString(), 'a\n');
  };
  await assert.rejects(cut, /cut off/);
});

test('conflictsAmong finds names that are directories of others', () => {
  assert.deepEqual(
    [...conflictsAmong(['refs/heads/a', 'refs/heads/a/b', 'refs/heads/ab'])],
    [
      ['refs/heads/a/b', 'refs/heads/a'],
      ['refs/heads/a', 'refs/heads/a/b'],
    ],
  );
});

test('creationProblem lets ordinary names of any script pass', () => {
  for (const name of ['main', 'feature/ünïcödé', '日本語', 'v1.0-rc.1', 'emoji-🎉', 'עברית']) {
    const refname = parseRefname(`refs/heads/${name}`);
    assert.ok(refname !== undefined);
    assert.equal(creationProblem(refname), undefined, name);
  }
});

test('fsckOption lets a repository relax old defects, never what escapes a check-out', () => {
  const settings = {
    'fsck.hasdotgit': 'ignore',
    'fsck.badtimezone': 'error',
    'fsck.baddate': 'ignore',
    'fsck.bademail': 'x=y',
  };
  const option = fsckOption({ settings } as unknown as RepositoryFacts);
  assert.match(option, /hasDotgit=error/);
  assert.match(option, /badTimezone=error/);
  assert.match(option, /badDate=ignore/);
  assert.doesNotMatch(option, /badEmail|x=y/);
});
