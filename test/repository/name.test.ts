/** Repository names: whatever passes is safe as a path, in a shell, in a log and in a configuration. */
import assert from 'node:assert/strict';
import { isAbsolute, join, normalize, relative } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { foldName, parseRepositoryName, parseRequestedName } from '../../src/repository/name.ts';
import { must } from './fixture.ts';

const HOSTILE = [
  ['', '/', '.', '..', '../a', 'a/..', 'a/../b', 'a..b', 'a//b', '/a', 'a/', './a', 'a/./b', '.a', 'a/.b', '-a'],
  ['a/-b', '_a', 'a b', 'a\tb', 'a\nb', 'a\n', 'a\rb', 'a\0b', 'a\\b', 'a;b', 'a$b', 'a`b', 'a|b', 'a&b', "a'b"],
  ['a"b', 'a*b', 'a?b', 'a[b', 'a~b', 'a:b', 'a@{b', 'a%2e', 'a.git', 'a.GIT', 'a.git/b', 'a.lock', 'a.Lock/b'],
  ['é', 'ａ', 'a\u200bb', 'a\u202eb', 'a\u0301', '\ud800', 'a'.repeat(256), 'CON\u00b2'],
].flat();

test('parseRepositoryName refuses what would leave its place or mean something to somebody else', () => {
  for (const text of HOSTILE) assert.equal(parseRepositoryName(text).kind, 'refused', JSON.stringify(text));
});

test('parseRepositoryName takes nested names as they are written', () => {
  for (const text of ['a', 'team/api', 'a/b/c/d', 'A.b_c+d-e', '0', 'a.gitx', 'x'.repeat(255)]) {
    assert.equal(must(parseRepositoryName(text)), text);
  }
});

test('whatever parseRepositoryName lets through is safe', () => {
  const piece = fc.oneof(
    fc.constantFrom('a', 'B', '0', '.', '..', '/', '-', '_', '+', '.git', '.lock', '~', ' ', '\n'),
    fc.string(),
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(piece, { maxLength: 12 }).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (given) => {
      const parsed = parseRepositoryName(given);
      if (parsed.kind === 'refused') return;
      const name = parsed.value;
      const path = join('/root', name);
      assert.match(name, /^[A-Za-z0-9._+/-]+$/);
      assert.equal(normalize(name), name);
      assert.equal(relative('/root', path), name);
      assert.ok(!isAbsolute(name) && !name.split('/').some((part) => part.startsWith('.') || part.startsWith('-')));
      assert.equal(must(parseRepositoryName(foldName(name))), foldName(name));
    }),
    { numRuns: 5_000 },
  );
});

test('parseRequestedName takes off what clients put around a name, once', () => {
  for (const text of ['team/api', '/team/api', '/team/api.git', 'team/api/', '/~/team/api', '/team/api.git/']) {
    assert.equal(must(parseRequestedName(text)), 'team/api', text);
  }
  for (const text of ['//team/api', 'team/api.git.git', '/', '/../team', '~root/x', '/.git', 'team//', '/%2e%2e/x']) {
    assert.equal(parseRequestedName(text).kind, 'refused', text);
  }
});
