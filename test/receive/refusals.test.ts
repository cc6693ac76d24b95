/** What a push is refused for, and the words that the client reads. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeFile } from 'node:fs/promises';
import type { Question } from '../../src/access/decision.ts';
import { converse, EMPTY_PACK, pkt, ZERO } from './raw-client.ts';
import { ALLOW, commitFile, git, gitOk, openSite, type Site } from './site.ts';

/** A site with one commit on main and topic, and the tree it came from. */
async function settled(t: Parameters<typeof openSite>[0], options: Parameters<typeof openSite>[1] = {}) {
  const site = await openSite(t, options);
  const tree = await site.workTree();
  const first = await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main', 'main:refs/heads/topic');
  return { site, tree, first };
}

async function refused(site: Site, tree: string, reason: RegExp, ...refspecs: readonly string[]): Promise<string> {
  const before = await site.refs();
  const { code, stderr } = await git(tree, 'push', site.gitUrl, ...refspecs);
  assert.notEqual(code, 0);
  assert.match(stderr, reason);
  assert.equal(await site.refs(), before);
  assert.deepEqual(site.leftovers(), []);
  const last = (await site.journalLines()).at(-1);
  assert.equal(last?.event, 'push');
  assert.equal(last?.outcome, 'refused');
  return stderr;
}

test('the policy is asked for each update by its operation, and its reason reaches the client', async (t) => {
  const asked: Question[] = [];
  const { site, tree } = await settled(t, {
    decide(question) {
      asked.push(question);
      return question.operation === 'rewind-ref' || question.ref?.refname === 'refs/heads/no'
        ? {
            kind: 'refused',
            reason: 'rules/house.lace:41: guests keep to refs/heads/alice/',
            rule: 'rules/house.lace:41',
            trace: [],
          }
        : ALLOW;
    },
  });
  asked.length = 0;
  await gitOk(tree, 'commit', '-q', '--amend', '-m', 'Another');
  const stderr = await refused(
    site,
    tree,
    /remote rejected.* \(rules\/house\.lace:41: guests keep/,
    '+main',
    'main:refs/heads/no',
  );
  assert.equal(stderr.match(/remote rejected/g)?.length, 2);
  assert.deepEqual(asked.map(({ operation }) => operation).sort(), ['create-ref', 'rewind-ref']);
  assert.equal(asked[0]?.ref?.newType, 'commit');
  assert.equal((await site.journalLines()).at(-1)?.rule, 'rules/house.lace:41');
});

test('a refused ref does not hold up the others, but an atomic push fails as a whole', async (t) => {
  const { site, tree } = await settled(t, {
    decide: ({ ref }) =>
      ref?.refname === 'refs/heads/no'
        ? { kind: 'refused', reason: 'x.lace:1: no', rule: 'x.lace:1', trace: [] }
        : ALLOW,
  });
  await commitFile(tree, 'b');
  await refused(site, tree, /main -> main \(atomic push: refs\/heads\/no was refused\)/, '--atomic', 'main', 'main:no');
  const { code, stderr } = await git(tree, 'push', site.gitUrl, 'main', 'main:no');
  assert.notEqual(code, 0);
  assert.match(stderr, /main -> main\n/);
  assert.match(stderr, /no \(x\.lace:1: no\)/);
  assert.equal((await site.journalLines()).at(-1)?.outcome, 'served');
});

test('a tag that moves is a rewind, also along history', async (t) => {
  const operations: string[] = [];
  const { site, tree } = await settled(t, {
    decide(question) {
      operations.push(`${question.operation} ${question.ref?.refname ?? ''}`);
      return ALLOW;
    },
  });
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:refs/tags/t');
  await commitFile(tree, 'b');
  await gitOk(tree, 'push', '-q', '-f', site.gitUrl, 'main:refs/tags/t', 'main');
  assert.deepEqual(operations.slice(-2).sort(), ['rewind-ref refs/tags/t', 'update-ref refs/heads/main']);
});

test('names that no ref should have are refused', async (t) => {
  const { site, tree, first } = await settled(t);
  const before = await site.refs();
  const cases: readonly (readonly [string, string])[] = [
    ['refs/gatehouse/x', 'refs/gatehouse/ belongs to the gate'],
    [`refs/heads/${first}`, 'the name of a branch or tag does not look like an object id'],
    ['refs/heads/-x', 'the name of a branch or tag does not start with "-"'],
    ['refs/heads/HEAD', 'a branch or tag is not named HEAD'],
    ['refs/heads/a\u200bb', 'the refname has characters that do not show'],
    ['refs/heads/\u202egnp', 'the refname has characters that do not show'],
    ['refs/heads/e\u0301', 'the refname is not in Unicode normal form C'],
    ['refs/heads/main/below', 'refs/heads/main exists: both cannot be'],
    ...['HEAD', 'refs/heads', 'main', 'refs/heads/../x', 'refs/heads/a..b', 'refs/heads/a b', 'refs/heads/x.lock'].map(
      invalid,
    ),
    ...['refs/heads/a:b', 'refs/heads/a~1', 'refs/heads/a^', 'refs/heads/a?', 'refs/heads/.x', 'refs/heads/@{x'].map(
      invalid,
    ),
    ...['/etc/passwd', '../../x', 'refs/heads/x/', 'refs//heads/x', 'refs/heads/x\\y'].map(invalid),
  ];
  for (const [name, reason] of cases) {
    const { report } = await converse(site, [pkt(`${ZERO} ${first} ${name}\0report-status`), '0000', EMPTY_PACK]);
    assert.deepEqual(report, ['unpack ok', `ng ${name} ${reason.replace('\u202e', '?')}`]);
  }
  assert.equal(await site.refs(), before);
  assert.deepEqual(site.leftovers(), []);
  await gitOk(
    tree,
    'push',
    '-q',
    site.gitUrl,
    'main:refs/heads/deep/one',
    "main:refs/heads/$(touch${IFS}x);'&|",
    'main:refs/heads/ünï',
  );
  await refused(site, tree, /refs\/heads\/deep\/one exists: both cannot be/, 'main:refs/heads/deep');
});

function invalid(name: string): readonly [string, string] {
  return [name, 'this is not a valid refname below refs/'];
}

test('the default branch is not deleted, another one is', async (t) => {
  const { site, tree } = await settled(t);
  await refused(site, tree, /default branch: it is not deleted/, ':main');
  await gitOk(tree, 'push', '-q', site.gitUrl, ':topic');
});

test('a branch holds commits only, another ref anything', async (t) => {
  const { site, tree } = await settled(t);
  const blob = await gitOk(tree, 'rev-parse', 'main:a');
  await gitOk(tree, 'push', '-q', site.gitUrl, `${blob}:refs/tags/blob`, `${blob}:refs/notes/blob`);
  const { report } = await converse(site, [pkt(`${ZERO} ${blob} refs/heads/y\0report-status`), '0000', EMPTY_PACK]);
  assert.deepEqual(report, ['unpack ok', 'ng refs/heads/y a branch holds a commit, not a blob']);
});

test('a symbolic ref is not pushed to', async (t) => {
  const { site, tree } = await settled(t);
  await gitOk(site.repository.path, 'symbolic-ref', 'refs/heads/alias', 'refs/heads/main');
  await commitFile(tree, 'b');
  await refused(site, tree, /stands for refs\/heads\/main: push to that/, 'main:alias');
});

test('a push from a shallow clone is taken when its history is here, and refused when it is not', async (t) => {
  const { site, tree } = await settled(t);
  await commitFile(tree, 'b');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  const shallow = join(site.root, 'shallow');
  await gitOk(site.root, 'clone', '-q', '--depth=1', `file://${site.repository.path}`, shallow);
  await commitFile(shallow, 'c');
  await gitOk(shallow, 'push', '-q', site.gitUrl, 'main');
  const other = join(site.root, 'other');
  await commitFile(tree, 'd');
  await commitFile(tree, 'e');
  await gitOk(site.root, 'clone', '-q', '--depth=1', `file://${tree}`, other);
  await refused(site, other, /shallow clone and lacks history/, 'HEAD:refs/heads/cut');
  await gitOk(site.repository.path, 'fsck', '--strict');
});

test('trees that would escape or trick a check-out are refused with the reason', async (t) => {
  const { site, tree } = await settled(t);
  const blob = await gitOk(tree, 'rev-parse', 'main:a');
  const subtree = await gitOk(tree, 'rev-parse', 'main^{tree}');
  const entries: readonly (readonly [string, string, string, RegExp])[] = [
    ['100644 blob', blob, '.git', /hasDotgit/],
    ['040000 tree', subtree, '.GIT', /hasDotgit/],
    ['040000 tree', subtree, 'git~1', /hasDotgit/],
    ['040000 tree', subtree, '.g\u200cit', /hasDotgit/],
    ['040000 tree', subtree, '..', /hasDotdot/],
    ['040000 tree', subtree, '.', /hasDot/],
    ['120000 blob', blob, '.gitmodules', /gitmodulesSymlink/],
  ];
  for (const [mode, oid, name, reason] of entries) {
    const file = await rawTree(site, mode, oid, name);
    const made = await gitOk(tree, 'hash-object', '-t', 'tree', '-w', '--literally', file);
    const commit = await gitOk(tree, 'commit-tree', '-m', 'Hostile', made);
    const stderr = await refused(site, tree, reason, `${commit}:refs/heads/evil`);
    assert.match(stderr, /unpacker error/);
  }
});

/** A file with the bytes of a tree of one entry. */
async function rawTree(site: Site, mode: string, oid: string, name: string): Promise<string> {
  const file = join(site.root, 'raw-tree');
  const digits = (mode.split(' ')[0] ?? '').replace(/^0/, '');
  await writeFile(file, Buffer.concat([Buffer.from(`${digits} ${name}\0`), Buffer.from(oid, 'hex')]));
  return file;
}

test('an old defect passes with a warning, and a repository may make it an error', async (t) => {
  const push = async (settings: Readonly<Record<string, string>>): Promise<string> => {
    const { site, tree } = await settled(t, { settings });
    const subtree = await gitOk(tree, 'rev-parse', 'main^{tree}');
    const file = join(site.root, 'padded');
    await writeFile(file, Buffer.concat([Buffer.from('040000 dir\0'), Buffer.from(subtree, 'hex')]));
    const made = await gitOk(tree, 'hash-object', '-t', 'tree', '-w', '--literally', file);
    const commit = await gitOk(tree, 'commit-tree', '-m', 'Old', made);
    return (await git(tree, 'push', site.gitUrl, `${commit}:refs/heads/old`)).stderr;
  };
  assert.match(await push({}), /warning.*zeroPaddedFilemode[^]*\[new branch\]/);
  assert.match(await push({ 'fsck.zeropaddedfilemode': 'error' }), /zeroPaddedFilemode[^]*remote rejected/);
});

test('limits are named: an object, a pack, all objects unpacked, a path, a name', async (t) => {
  const large = Buffer.alloc(70_000, 'x');
  const cases = [
    [{ objectBytesMax: 60_000 }, /has 70000 bytes: at most 60000 are taken/],
    [{ unpackedBytesMax: 60_000 }, /bytes unpacked: at most 60000 are taken/],
    [{ packBytesMax: 200 }, /larger than 200 bytes|exceeds maximum allowed size/],
    [{ pathBytesMax: 10 }, /a path has 14 bytes: at most 10 are taken: some\/deep\/path/],
    [{ nameBytesMax: 3 }, /a file name has 4 bytes: at most 3 are taken/],
    [{ packObjectsMax: 2 }, /the pack says that it has \d+ objects; at most 2 are taken/],
  ] as const;
  for (const [limits, reason] of cases) {
    const site = await openSite(t, { parts: { limits } });
    const tree = await site.workTree();
    await commitFile(tree, 'some/deep/path', large);
    await refused(site, tree, reason, 'main');
  }
});

test('a repository has narrower limits of its own', async (t) => {
  const site = await openSite(t, { settings: { 'limits.object-bytes': '1000' } });
  const tree = await site.workTree();
  await commitFile(tree, 'a', 'x'.repeat(2_000));
  await refused(site, tree, /has 2000 bytes: at most 1000/, 'main');
});

test('who may not read every ref cannot make a hidden object readable by naming it', async (t) => {
  const { site, tree, first } = await settled(t, { mayRead: (refname) => !refname.startsWith('refs/heads/hidden') });
  // What is hidden comes in beside the gate.
  const secret = await commitFile(tree, 'secret');
  await gitOk(tree, 'push', '-q', site.repository.path, 'main:refs/heads/hidden');
  const ask = async (command: string): Promise<readonly string[]> =>
    (await converse(site, [pkt(`${command}\0report-status`), '0000', EMPTY_PACK])).report;
  // A client that believes the server to have the secret sends nothing of it.
  assert.deepEqual(await ask(`${ZERO} ${secret} refs/heads/stolen`), [
    'unpack ok',
    'ng refs/heads/stolen the push lacks objects that it needs',
  ]);
  const hidden = ['unpack ok', 'ng refs/heads/hidden you may not read this ref'];
  assert.deepEqual(await ask(`${ZERO} ${first} refs/heads/hidden`), hidden);
  assert.deepEqual(await ask(`${secret} ${first} refs/heads/hidden`), hidden);
  assert.deepEqual(await ask(`${ZERO} ${first} refs/heads/hidden2`), [
    'unpack ok',
    'ng refs/heads/hidden2 you may not read this ref',
  ]);
  const { refs } = await converse(site, ['0000']);
  assert.ok(refs.length === 2 && !refs.join().includes('hidden'), refs.join());
  // Who has the objects may push them.
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:refs/heads/own');
});
