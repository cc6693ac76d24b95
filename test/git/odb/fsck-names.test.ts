import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOfName } from '../../../src/git/odb/fsck-names.ts';

const kind = (name: string): string => kindOfName(Buffer.from(name).toString('latin1'));

/** Names that git refuses, or looks at twice, on one of the file systems that it knows. */
const ODD = [
  '',
  '.',
  '..',
  '.git',
  '.GIT',
  '.gIt',
  '.git ',
  '.git.',
  '.git. .',
  '.git::$INDEX_ALLOCATION',
  '.git:x',
  'git~1',
  'GIT~1',
  '.g‌it',
  '.gi‍t',
  '⁪.git',
  '.git﻿',
  'x\\.git',
  '.git\\x',
  'a\\b',
  'a/b',
  '.gitmodules ',
  '.GITMODULES',
  '.gitmodules:x',
  'gitmod~1',
  'GITMOD~4',
  'gi7eba~1',
  'GI7EBA~99',
  'gi7eb~10',
  '.gitmodul‌es',
  '.gitattributes.',
  'gi7d29~1',
  '.GitAttributes',
  'gitatt~1',
  '.gitignore ',
  'gi250a~1',
  'gitign~2',
  '.mailmap ',
  '.MAILMAP',
  'maba30~1',
  'mailma~1',
  'gi~12345',
  'g~123456',
  'G~999999 .',
  'ma~12345',
  'm~123456',
  '~1234567',
  '~1000000:x',
  'n'.repeat(1001),
];
const PLAIN = [
  'a',
  'README.md',
  'é',
  'read me',
  'x.git',
  'git',
  'gitmodules',
  'a~',
  'lib.c~',
  'go~1',
  'con',
  '.gitignore',
  '.github',
  '.gitlab-ci.yml',
  '.git-blame-ignore-revs',
  '.gi',
  '.g',
  '.config',
  '.mailmap',
  'a:b',
  'tab	here',
];

test('kindOfName leaves every look-alike of the names of git to git', () => {
  for (const name of ODD) assert.equal(kind(name), 'odd', JSON.stringify(name));
});

test('kindOfName calls ordinary names plain', () => {
  for (const name of PLAIN) assert.equal(kind(name), 'plain', JSON.stringify(name));
  assert.equal(kind('.gitmodules'), 'modules');
  assert.equal(kind('.gitattributes'), 'attributes');
});
