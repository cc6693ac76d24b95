import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Attempt } from '../../../src/access/gitolite/conf-access.ts';
import { asked, conf, notThere, there } from './site.ts';

test('the first rule whose refex and permission match decides, and is told by its refex', () => {
  const site = conf('repo foo\n  RW+ dev/ = ann\n  - master = ann\n  RW = @all\n  R = bob');
  assert.equal(asked(site, 'foo', 'ann + dev/x'), 'refs/heads/dev/');
  assert.equal(asked(site, 'foo', 'ann W master'), 'W refs/heads/master foo ann DENIED by refs/heads/master');
  assert.equal(asked(site, 'foo', 'bob W master'), 'refs/.*');
  assert.equal(asked(site, 'foo', 'bob + master'), '+ refs/heads/master foo bob DENIED by fallthru');
  assert.equal(asked(site, 'other', 'ann R'), 'R any other ann DENIED by fallthru');
});

test('a refusing rule does not count before the ref is known, unless deny-rules says so', () => {
  const rules = '  - = bob\n  R = @all';
  assert.equal(asked(conf(`repo foo\n${rules}`), 'foo', 'bob R'), 'refs/.*');
  assert.equal(
    asked(conf(`repo foo\n${rules}`), 'foo', 'bob R master'),
    'R refs/heads/master foo bob DENIED by refs/.*',
  );
  for (const value of ['1', 'yes'])
    assert.match(asked(conf(`repo foo\noption deny-rules = ${value}\n${rules}`), 'foo', 'bob R'), /DENIED by refs/);
  for (const value of ['0', '""'])
    assert.equal(asked(conf(`repo foo\noption deny-rules = ${value}\n${rules}`), 'foo', 'bob R'), 'refs/.*');
});

test('C, D and M are asked for only where some rule of the repository has the suffix', () => {
  const lax = conf('repo foo\n  RW = ann\n  RW+ = bob');
  assert.equal(asked(lax, 'foo', 'ann C x'), 'refs/.*');
  assert.equal(asked(lax, 'foo', 'bob D x'), 'refs/.*');
  assert.equal(asked(lax, 'foo', 'ann D x'), '+ refs/heads/x foo ann DENIED by fallthru');
  const strict = conf('repo foo\n  RW = ann\n  RW+CDM = bob');
  for (const attempt of ['C', 'D', 'M']) {
    assert.equal(asked(strict, 'foo', `ann ${attempt} x`), `${attempt} refs/heads/x foo ann DENIED by fallthru`);
    assert.equal(asked(strict, 'foo', `bob ${attempt} x`), 'refs/.*');
  }
});

test('a merge within a push is asked for together with what the push does', () => {
  const { access } = conf('repo foo\n  RWM = ann\n  RW+ = bob\n  RW+M = cid');
  const ask = (name: string, attempt: Attempt) =>
    access.access({ repository: there('foo'), user: { name }, attempt, ref: 'refs/heads/x' }).kind;
  assert.deepEqual(
    ['ann', 'bob', 'cid'].map((name) => ask(name, 'WM')),
    ['allowed', 'denied', 'allowed'],
  );
  assert.deepEqual(
    ['ann', 'bob', 'cid'].map((name) => ask(name, '+M')),
    ['denied', 'denied', 'allowed'],
  );
});

test('what does not exist is first asked about as a creation', () => {
  const site = conf('repo home/CREATOR/..*\n  C = ann @staff\n  RW+ = CREATOR\n  R = @all\n@staff = bob');
  assert.equal(asked(site, notThere('home/ann/x', 'ann'), 'ann ^C'), 'refs/.*');
  assert.equal(asked(site, notThere('home/ann/x', 'ann'), 'ann R'), 'refs/.*');
  // A role is nobody's before there is a repository, and neither is CREATOR.
  assert.match(asked(site, notThere('home/ann/x', 'ann'), 'ann W'), /^W any home\/ann\/x ann DENIED by fallthru$/);
  assert.match(asked(site, notThere('home/ann/x', 'ann'), 'eve R'), /^R any home\/ann\/x eve DENIED by fallthru$/);
  assert.equal(
    asked(site, there('home/ann/x', { creator: 'ann' }), 'ann ^C'),
    '^C any home/ann/x ann DENIED by existence',
  );
  assert.equal(asked(site, there('home/ann/x', { creator: 'ann' }), 'ann +'), 'refs/.*');
  assert.match(asked(site, there('home/ann/x', { creator: 'bob' }), 'ann +'), /DENIED by fallthru/);
});

test('a refex that holds the word DENIED refuses every repository that it lets be created', () => {
  const site = conf('repo w/..*\n  C DENIED = ann\n  RW = ann');
  assert.equal(asked(site, notThere('w/x'), 'ann W'), 'refs/heads/DENIED');
  assert.equal(asked(site, notThere('w/x'), 'ann ^C'), 'refs/heads/DENIED');
});

test('roles come from the permissions of the repository, for users and groups', () => {
  const site = conf('repo w/..*\n  RW = WRITERS\n  R = READERS @TESTERS\n@staff = bob', {
    roles: new Set(['READERS', 'WRITERS']),
  });
  const permissions = '  WRITERS = ann @staff \n# READERS eve\nNOSUCH eve\n@READERS @all\nREADERS bad!name\n';
  const repository = there('w/x', { permissions });
  for (const user of ['ann', 'bob']) assert.equal(asked(site, repository, `${user} W`), 'refs/.*');
  assert.match(asked(site, repository, 'eve W'), /DENIED/);
  assert.equal(asked(site, repository, 'eve R'), 'refs/.*');
  assert.match(asked(site, there('w/y'), 'ann R'), /DENIED/);
});

test('the order of the file decides, over names, groups and patterns', () => {
  const site = conf('repo @all\n  - = eve\nrepo foo\n  RW = eve\nrepo f.*\n  RW = ann\nrepo @g\n  - = ann\n@g = foo');
  assert.match(asked(site, 'foo', 'eve W x'), /DENIED by refs/);
  assert.equal(asked(site, 'foo', 'ann W x'), 'refs/.*');
});

test('members that a group gets later count on lines before, but not within other groups', () => {
  const site = conf('@a = ann\n@b = @a\nrepo foo\n  R = @a\nrepo bar\n  R = @b\n@a = bob');
  assert.equal(asked(site, 'foo', 'bob R'), 'refs/.*');
  assert.match(asked(site, 'bar', 'bob R'), /DENIED/);
  assert.match(asked(conf('@a = @all\nrepo foo\n  R = @a'), 'foo', 'bob R'), /DENIED/);
});

test('groups from outside the conf count, with or without @', () => {
  const site = conf('repo foo\n  R = @outer', { hasOuterGroups: true });
  assert.equal(asked(site, 'foo', 'ann R', ['outer']), 'refs/.*');
  assert.equal(asked(site, 'foo', 'ann R', ['@outer']), 'refs/.*');
});

test('the alternatives of a pattern are not held together by its anchors', () => {
  const repositories = conf('repo foo|bar\n  R = ann');
  assert.equal(asked(repositories, 'foolish', 'ann R'), 'refs/.*');
  assert.equal(asked(repositories, 'crowbar', 'ann R'), 'refs/.*');
  assert.match(asked(repositories, 'xfoo', 'ann R'), /DENIED/);
  assert.equal(asked(conf('repo foo\n  RW a|b = ann'), 'foo', 'ann W xbx'), 'refs/heads/a|b');
});

test('a name with a dot or a plus is that name only', () => {
  const site = conf('repo a.b foo/.+\n  R = ann');
  assert.equal(asked(site, 'a.b', 'ann R'), 'refs/.*');
  assert.match(asked(site, 'axb', 'ann R'), /DENIED/);
  assert.match(asked(site, 'foo/x', 'ann R'), /DENIED/);
});

test('USER in a refex is who asks, as a pattern and once', () => {
  const site = conf('repo foo\n  RW dev/USER/USER/ = @all');
  assert.equal(asked(site, 'foo', 'u.1 W dev/ux1/USER/x'), 'refs/heads/dev/u.1/USER/');
  assert.match(asked(site, 'foo', 'u.1 W dev/u1/USER/x'), /DENIED/);
});

test('the creator is taken for a pattern where the generic name is made', () => {
  const site = conf('repo home/CREATOR/..*\n  R = ann');
  const may = (name: string, creator: string) => !asked(site, there(name, { creator }), 'ann R').includes('DENIED');
  assert.equal(may('home/u.1/x', 'u.1'), true);
  assert.equal(may('home/ux1/x', 'u.1'), true);
  assert.equal(may('home/uuu/x', 'u+'), true);
  assert.equal(may('home/u.12/x', 'u.1'), false);
  assert.equal(may(`home/${'a'.repeat(60)}_/x`, 'a+'.repeat(30)), false);
  assert.equal(may('home/bob/x', ''), false);
});

test('groups that lie with a repository count for it', () => {
  const site = conf('repo @g\n  R = ann');
  assert.equal(asked(site, there('x', { groups: ['g', 'bad/one'] }), 'ann R'), 'refs/.*');
  assert.match(asked(site, there('x', { groups: ['g/'] }), 'ann R'), /DENIED/);
});

test('questions that gitolite dies of are fatal', () => {
  const site = conf('repo foo\n  RW = @all');
  const table = [
    ['foo', 'a!b R', "invalid user 'a!b'"],
    ['foo', '0 R', "invalid user '0'"],
    ['a!b', 'ann R', "invalid repo 'a!b'"],
    ['foo/', 'ann R', "'foo/' ends with a '/'"],
    ['a/../b', 'ann R', "'a/../b' contains '..'"],
    ['a.git/b', 'ann R', "'a.git/b' contains '.git/'"],
    ['a.git', 'ann R', "'a.git' ends with '.git'"],
    ['foo', 'ann W a~b', 'invalid ref name'],
  ] as const;
  for (const [repository, words, text] of table) assert.equal(asked(site, repository, words), text);
});

test('names of files with other characters are matched as they are and shown without them', () => {
  const { access } = conf('repo foo\n  - NAME/a = ann\n  RW = ann');
  const ref = 'VREF/NAME/a b\u00e9!';
  const answer = access.access({ repository: there('foo'), user: { name: 'ann' }, attempt: 'W', ref });
  assert.equal(answer.text, 'W VREF/NAME/a b.. foo ann DENIED by VREF/NAME/a');
  assert.deepEqual(access.virtualRefs(there('foo'), { name: 'ann' }), ['VREF/NAME/a']);
});

test('the last setting of a key counts, 0 and an empty one unset it, names are filled in', () => {
  const { access } = conf(
    'repo @all\nconfig x.a = 1\nconfig x.b = %GL_REPO by %GL_CREATOR\nrepo w/..*\nconfig x.a = 0\ndesc = "a b"\nrepo @all\nconfig x.c = 1\nrepo w/x\nconfig x.c = ""',
    { configKeys: ['x\\..*', 'gitweb.description'] },
  );
  assert.deepEqual(
    [...access.config(there('w/x', { creator: 'ann' }))],
    [
      ['x.b', 'w/x by ann'],
      ['gitweb.description', 'a b'],
    ],
  );
  assert.equal(access.config(there('w/y')).get('x.b'), 'w/y by %GL_CREATOR');
});

test('the steps tell every rule that was looked at, in order, with file and line', () => {
  const { access } = conf('repo foo\n  - dev = ann\n  R = ann\n  RW = bob\n  RW = ann');
  const answer = access.access({ repository: there('foo'), user: { name: 'ann' }, attempt: 'W', ref: 'refs/heads/m' });
  assert.ok(answer.kind === 'allowed');
  assert.deepEqual(
    answer.steps.map(({ rule, fate }) => [rule.line, fate]),
    [
      [2, 'ref differs'],
      [3, 'permission differs'],
      [5, 'allows'],
    ],
  );
});
