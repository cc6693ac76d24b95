/** What is changed so that a mirror's refs are those of its upstream. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Oid } from '../../src/git/oid.ts';
import type { RefEntry, RefSnapshot } from '../../src/git/ref-cache.ts';
import { parseRefname, type Refname } from '../../src/git/refname.ts';
import {
  DEFAULT_REFS,
  matchesPatterns,
  parseRefPatterns,
  planRefs,
  prefixesOf,
  type RefPlan,
} from '../../src/upstream/ref-plan.ts';

const NONE = '0'.repeat(40);

function oid(digit: string): Oid {
  return digit.repeat(40) as Oid;
}

function refname(text: string): Refname {
  const parsed = parseRefname(text);
  assert.ok(parsed, text);
  return parsed;
}

function snapshot(refs: Readonly<Record<string, string>>, head = 'refs/heads/main'): RefSnapshot {
  const entries: RefEntry[] = Object.entries(refs).map(([name, digit]) => ({
    refname: refname(name),
    oid: oid(digit),
  }));
  const byName = new Map(entries.map((entry) => [entry.refname as string, entry]));
  return { head: { target: refname(head) }, refs: entries, byName, fingerprint: '1', memo: new Map() };
}

interface Question {
  readonly local?: Readonly<Record<string, string>>;
  readonly remote: Readonly<Record<string, string>>;
  readonly head?: string;
  readonly patterns?: readonly string[];
}

function plan({ local = {}, remote, head, patterns = DEFAULT_REFS }: Question): Promise<RefPlan> {
  const refs = new Map(Object.entries(remote).map(([name, digit]) => [name, oid(digit)]));
  return planRefs({ local: snapshot(local), remote: { refs, head, objectFormat: 'sha1' }, patterns });
}

function shown(changes: RefPlan['changes']): readonly string[] {
  return changes.map((change) => `${change.refname} ${change.oldOid[0] ?? ''}>${change.newOid[0] ?? ''}`);
}

test('nothing changes where both have the same', async () => {
  const refs = { 'refs/heads/main': 'a', 'refs/tags/v1': 'b' };
  const same = await plan({ local: refs, remote: refs, head: 'refs/heads/main' });
  assert.deepEqual([same.changes, same.clearing, same.wants, same.head], [[], [], [], undefined]);
  assert.equal(same.mirrored, 2);
});

test('new, moved and deleted refs follow; what is here already is not wanted again', async () => {
  const local = { 'refs/heads/main': 'a', 'refs/heads/old': 'b' };
  const found = await plan({ local, remote: { 'refs/heads/main': 'c', 'refs/heads/copy': 'a' } });
  assert.deepEqual(shown(found.changes), ['refs/heads/main a>c', 'refs/heads/copy 0>a', 'refs/heads/old b>0']);
  assert.deepEqual(found.wants, [oid('c')]);
});

test('refs outside the patterns are neither taken nor deleted', async () => {
  const found = await plan({
    local: { 'refs/notes/own': 'a', 'refs/gatehouse/x': 'b' },
    remote: { 'refs/pull/1/head': 'c', 'refs/heads/main': 'd' },
  });
  assert.deepEqual(shown(found.changes), ['refs/heads/main 0>d']);
});

test('refs/pull is taken where it is asked for', async () => {
  const remote = { 'refs/pull/1/head': 'c', 'refs/pull/1/merge': 'd' };
  const found = await plan({ remote, patterns: ['refs/pull/*/head'] });
  assert.deepEqual(shown(found.changes), ['refs/pull/1/head 0>c']);
});

test('HEAD follows to a mirrored branch, born or not, and stays for anything else', async () => {
  const remote = { 'refs/heads/trunk': 'a' };
  assert.equal((await plan({ remote, head: 'refs/heads/trunk' })).head, 'refs/heads/trunk');
  assert.equal((await plan({ remote, head: 'refs/heads/unborn' })).head, 'refs/heads/unborn');
  assert.equal((await plan({ remote })).head, undefined);
  assert.equal((await plan({ remote, head: 'refs/tags/v1' })).head, undefined);
  assert.equal((await plan({ remote, head: 'refs/heads/trunk', patterns: ['refs/tags/*'] })).head, undefined);
});

test('a branch that stands in the way of another goes first', async () => {
  const found = await plan({
    local: { 'refs/heads/a': 'a', 'refs/heads/z': 'b' },
    remote: { 'refs/heads/a/b': 'c' },
  });
  assert.deepEqual(shown(found.clearing), ['refs/heads/a a>0']);
  assert.deepEqual(shown(found.changes), ['refs/heads/a/b 0>c', 'refs/heads/z b>0']);
});

test('names that no ref can have here are counted, not taken', async () => {
  const remote = {
    'refs/heads/-x': 'a',
    'refs/heads/x..y': 'a',
    'refs/gatehouse/y': 'a',
    'refs/heads/\u202eevil': 'a',
  };
  const found = await plan({ remote, patterns: ['refs/*'] });
  assert.deepEqual(found.changes, []);
  assert.equal(found.skipped, 4);
});

test('a deletion names what is here as its old value, a creation that there is nothing', async () => {
  const found = await plan({ local: { 'refs/heads/x': 'a' }, remote: { 'refs/heads/y': 'b' } });
  assert.deepEqual(
    found.changes.map(({ oldOid, newOid }) => [oldOid, newOid]),
    [
      [NONE, oid('b')],
      [oid('a'), NONE],
    ],
  );
});

test('patterns have one star at most and name refs', () => {
  for (const text of ['refs/heads/*', 'refs/heads/main', 'refs/pull/*/head', 'refs/heads/team-*'])
    assert.equal(parseRefPatterns([text]).kind, 'ok', text);
  for (const text of [
    '*',
    'heads/*',
    'refs/*/*',
    'refs/heads/**',
    'refs/heads/a b',
    'refs/gatehouse/*',
    '',
    '^refs/x/*',
  ])
    assert.equal(parseRefPatterns([text]).kind, 'refused', text);
  const none = parseRefPatterns([]);
  assert.deepEqual(none.kind === 'ok' && none.value, DEFAULT_REFS);
});

test('a pattern matches as a refspec does, and its prefix asks for no less', () => {
  assert.ok(matchesPatterns('refs/heads/a/b', ['refs/heads/*']));
  assert.ok(matchesPatterns('refs/pull/7/head', ['refs/pull/*/head']));
  assert.ok(!matchesPatterns('refs/pull/head', ['refs/pull/*/head']));
  assert.ok(!matchesPatterns('refs/headsx', ['refs/heads/*']));
  assert.ok(!matchesPatterns('refs/heads/main2', ['refs/heads/main']));
  assert.deepEqual(prefixesOf(['refs/pull/*/head', 'refs/heads/main', 'refs/pull/*/merge']), [
    'refs/pull/',
    'refs/heads/main',
  ]);
});
