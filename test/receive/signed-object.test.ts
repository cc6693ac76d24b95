/** Commits and tags as somebody may have made them up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assert as assertProperty, nat, property, uint8Array } from 'fast-check';
import { BOUNDS } from '../../src/base/bounds.ts';
import { AddedNames } from '../../src/receive/checks/case-collisions.ts';
import { staysInside, submoduleUrls } from '../../src/receive/checks/path-rules.ts';
import { parseCommit, parseTag, subjectOf, trailersOf } from '../../src/receive/checks/signed-object.ts';
import { compileTextPattern, compileWord } from '../../src/receive/checks/text-pattern.ts';
import { must } from '../identity/fixture.ts';

const TREE = `tree ${'4'.repeat(40)}\n`;
const AUTHOR = 'author A U Thor <a@example.org> 1700000000 +0000\n';
const COMMITTER = 'committer C O Mitter <c@example.org> 1700000000 +0000\n';
const SIGNATURE = 'gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n -----END SSH SIGNATURE-----\n';
const PLAIN = `${TREE}${AUTHOR}${COMMITTER}\nSubject\n`;

function reason(text: string | Buffer): string {
  const read = parseCommit(Buffer.from(text), 'sha1');
  return read.kind === 'refused' ? read.reason : 'ok';
}

test('a commit is read with its people, its message, and what its signature signs', () => {
  const read = must(parseCommit(Buffer.from(`${TREE}${AUTHOR}${COMMITTER}${SIGNATURE}extra x\n\nSubject\n`), 'sha1'));
  assert.deepEqual(read.author, { name: 'A U Thor', email: 'a@example.org' });
  assert.equal(read.committer.email, 'c@example.org');
  assert.equal(read.signed?.payload.toString(), `${TREE}${AUTHOR}${COMMITTER}extra x\n\nSubject\n`);
  assert.equal(read.signed?.signature, '-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n');
  const other = `${TREE}${AUTHOR}${COMMITTER}${SIGNATURE.replace('gpgsig', 'gpgsig-sha256')}${SIGNATURE}\nx\n`;
  assert.equal(
    must(parseCommit(Buffer.from(other), 'sha1')).signed?.payload.toString(),
    `${TREE}${AUTHOR}${COMMITTER}\nx\n`,
  );
});

test('a commit that can be read in two ways is not read', () => {
  assert.equal(reason(PLAIN), 'ok');
  assert.match(reason(PLAIN.replace(AUTHOR, '')), /no tree, author and committer in this order/);
  assert.match(reason(PLAIN.replace(AUTHOR, AUTHOR + AUTHOR)), /in this order/);
  assert.match(reason(PLAIN.replace(COMMITTER, COMMITTER + AUTHOR)), /more than one header author/);
  assert.match(reason(PLAIN.replace(COMMITTER, COMMITTER + SIGNATURE + SIGNATURE)), /more than one header gpgsig/);
  assert.match(reason(PLAIN.replace(COMMITTER, `${COMMITTER}gpgsig2 x\n`)), /looks like a signature/);
  assert.match(reason(PLAIN.replace('A U Thor', 'A\0B')), /NUL in its headers/);
  assert.match(
    reason(PLAIN.replace('<a@example.org>', '<a@example.org> <b@example.org>')),
    /author that cannot be read/,
  );
  assert.match(
    reason(PLAIN.replace('1700000000 +0000\ncommitter', 'yesterday\ncommitter')),
    /author that cannot be read/,
  );
  assert.match(reason(PLAIN.slice(0, 60)), /ends within its headers/);
  assert.match(reason(` ${PLAIN}`), /continues nothing/);
  const bytes = Buffer.from(PLAIN);
  bytes[bytes.indexOf('a@example')] = 0xff;
  assert.match(reason(bytes), /author that cannot be read, or is not UTF-8/);
});

test('messages that cannot be read are told apart from the rest of the commit', () => {
  const messageOf = (text: string | Buffer): string => {
    const { message } = must(parseCommit(Buffer.concat([Buffer.from(PLAIN), Buffer.from(text)]), 'sha1'));
    return message.kind === 'refused' ? message.reason : message.value;
  };
  assert.equal(messageOf(''), 'Subject\n');
  assert.match(messageOf('a\0b'), /NUL in its message/);
  assert.match(messageOf(Buffer.from([0xe9])), /not in UTF-8/);
  assert.match(messageOf('x'.repeat(BOUNDS.checkMessageBytesMax)), /more than 16384 bytes/);
  const latin = Buffer.concat([
    Buffer.from(PLAIN.replace('\n\nSubject\n', '\nencoding ISO-8859-1\n\n')),
    Buffer.from([0xe9]),
  ]);
  const { message } = must(parseCommit(latin, 'sha1'));
  assert.equal(message.kind === 'ok' ? message.value : '', '\u00e9');
});

test('headers of a megabyte take no time', () => {
  const long = `${TREE}${AUTHOR}${COMMITTER}x ${'y'.repeat(1_000_000)}\n\nz\n`;
  const many = `${TREE}${AUTHOR}${COMMITTER}${'x y\n'.repeat(250_000)}\nz\n`;
  const continued = `${TREE}${AUTHOR}${COMMITTER}mergetag x\n${' y\n'.repeat(300_000)}\nz\n`;
  const begin = performance.now();
  assert.equal(reason(long), 'ok');
  assert.match(reason(many), /too many headers/);
  assert.equal(reason(continued), 'ok');
  assert.ok(performance.now() - begin < 5_000);
});

test('parsing never throws, whatever the bytes are', () => {
  assertProperty(
    property(uint8Array({ maxLength: 300 }), nat(200), (noise, at) => {
      const bytes = Buffer.from(PLAIN);
      Buffer.from(noise).copy(bytes, Math.min(at, bytes.length));
      parseCommit(bytes, 'sha1');
      parseTag(bytes);
      parseCommit(Buffer.from(noise), 'sha256');
    }),
  );
});

test('the signature of a tag is the one at its end', () => {
  const head = `object ${'4'.repeat(40)}\ntype commit\ntag v1\ntagger T <t@example.org> 1700000000 +0000\n\nText\n`;
  const signature = '-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n';
  const read = must(parseTag(Buffer.from(head + signature)));
  assert.equal(read.signed?.payload.toString(), head);
  assert.equal(read.signed?.signature, signature);
  assert.equal(must(parseTag(Buffer.from(head))).signed, undefined);
  const two = parseTag(Buffer.from(head + signature + signature));
  assert.match(two.kind === 'refused' ? two.reason : '', /more than one signature/);
  const header = parseTag(Buffer.from(head.replace('\n\n', '\ngpgsig x\n\n')));
  assert.match(header.kind === 'refused' ? header.reason : '', /other headers/);
});

test('subjects and trailers are those that git shows', () => {
  assert.equal(subjectOf('\nOne\ntwo\n\nbody\n'), 'One two');
  assert.equal(subjectOf(''), '');
  assert.deepEqual(trailersOf('Subject\n\nKey: value\nno trailer\nOther-Key:x\n'), [
    { key: 'Key', value: 'value' },
    { key: 'Other-Key', value: 'x' },
  ]);
  assert.deepEqual(trailersOf('Key: value\n'), [], 'the subject has none');
});

test('patterns match in time that no text makes long', () => {
  const evil = must(compileTextPattern('^(a+)+$'));
  const begin = performance.now();
  assert.notEqual(evil.find(`${'a'.repeat(15_000)}!`), true);
  assert.ok(performance.now() - begin < 3_000);
  assert.match(JSON.stringify(compileTextPattern('(?<=x)y')), /refused/);
  assert.equal(must(compileWord('c++')).find('we use C++ here'), true);
  assert.equal(must(compileWord('wip')).find('wipe'), false);
});

test('a link is followed by its name only, and has to stay inside', () => {
  for (const [path, target] of [
    ['a', 'b'],
    ['d/a', '../b'],
    ['d/a', './../b/../c'],
  ] as const) {
    assert.ok(staysInside(path, target), target);
  }
  for (const [path, target] of [
    ['a', '../b'],
    ['d/a', '../../b'],
    ['a', '/etc'],
    ['a', ''],
    ['a', 'C:\\x'],
    ['d/a', 'x/../../../y'],
  ] as const) {
    assert.ok(!staysInside(path, target), target);
  }
});

test('a .gitmodules is read where it is plain, and not guessed at where it is not', () => {
  assert.deepEqual(submoduleUrls('# x\n[submodule "a"]\n\tpath = a\n\tUrl = https://x/a\n'), ['https://x/a']);
  for (const sly of [
    '[submodule "a"] url = x',
    '[submodule "a"]\nurl = "x"',
    '[submodule "a"]\nurl = x\\\ny',
    '[include]\npath = x',
  ]) {
    assert.equal(submoduleUrls(sly), undefined, sly);
  }
});

test('names that are added are found whatever their case, and so are their directories', () => {
  const names = new AddedNames();
  names.add('Docs/Caf\u00e9', '1'.repeat(40) as never);
  assert.equal(names.find('docs/cafe\u0301')?.path, 'Docs/Caf\u00e9');
  assert.equal(names.find('DOCS')?.path, 'Docs');
  assert.equal(names.find('doc'), undefined);
});
