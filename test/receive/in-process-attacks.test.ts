/** Pushes that lie about what they need, judged by the gate alone and by git: the verdict is one, and never the attacker's. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { deflateSync } from 'node:zlib';
import { converse, EMPTY_PACK, entryHeader, pack, pkt, ZERO } from './raw-client.ts';
import { commitFile, GIT_ENV, gitOk, openSite, type Site } from './site.ts';

interface Ground {
  readonly site: Site;
  /** A work tree with main checked out, as the server has it. */
  readonly tree: string;
  readonly main: string;
  readonly secret: string;
  /** How each push was judged that came as far: `taken`, or why git was asked. */
  readonly judged: string[];
  /** Bytes as an object of that type in the work tree's database, whatever they are. */
  readonly make: (type: string, bytes: string | Buffer) => string;
  readonly commit: (tree: string, ...parents: readonly string[]) => string;
  /** The report's line on refs/heads/x. */
  readonly push: (newOid: string, sent: readonly string[] | Buffer, refname?: string) => Promise<string>;
  readonly read: (name: string) => string;
}

let pushes = 0;

/** Those that needed no git. */
function withoutGit({ judged }: Ground): number {
  return judged.filter((how) => how === 'taken').length;
}

async function openGround(t: TestContext, isOwn: boolean, mayRead?: (refname: string) => boolean): Promise<Ground> {
  const judged: string[] = [];
  const metrics = {
    push: () => {},
    pushInProcess: (answer: string, why: string) => judged.push(why === '' ? answer : why),
  };
  const parts = isOwn ? { metrics } : { odb: undefined };
  const site = await openSite(t, { parts, ...(mayRead === undefined ? {} : { mayRead }) });
  const tree = await site.workTree();
  await commitFile(tree, 'old', 'only in history');
  await gitOk(tree, 'rm', '-q', 'old');
  const main = await commitFile(tree, 'dir/file', 'main');
  await gitOk(tree, 'switch', '-q', '-c', 'secret');
  await commitFile(tree, 'hidden/first', 'first secret');
  const secret = await commitFile(tree, 'hidden/second', 'second secret');
  await gitOk(site.repository.path, 'fetch', '-q', tree, 'main:refs/heads/main', 'secret:refs/heads/secret');
  const make = (type: string, bytes: string | Buffer): string => {
    const args = ['hash-object', '-w', '--literally', '-t', type, '--stdin'];
    return execFileSync('git', args, { cwd: tree, env: GIT_ENV, input: bytes }).toString().trim();
  };
  return {
    site,
    tree,
    main,
    secret,
    judged,
    make,
    commit(treeOid, ...parents) {
      const who = 'A <a@example.com> 1700000001 +0000';
      const lines = [`tree ${treeOid}`, ...parents.map((oid) => `parent ${oid}`), `author ${who}`, `committer ${who}`];
      return make('commit', `${lines.join('\n')}\n\n${++pushes}\n`);
    },
    async push(newOid, sent, refname = 'refs/heads/x') {
      const packed = Buffer.isBuffer(sent) ? sent : packOf(tree, sent);
      const command = `${ZERO} ${newOid} ${refname}\0report-status`;
      const { report } = await converse(site, [pkt(command), '0000', packed]);
      const line = report.find((one) => one.startsWith('ok') || one.startsWith('ng')) ?? report.join('|');
      if (line.startsWith('ng')) assert.notEqual(judged.at(-1), 'taken', 'what is proved is taken');
      judged.push('');
      await gitOk(site.repository.path, 'update-ref', '-d', refname).catch(() => '');
      return line.trim();
    },
    read: (name) => execFileSync('git', ['rev-parse', name], { cwd: tree, env: GIT_ENV }).toString().trim(),
  };
}

function packOf(tree: string, oids: readonly (string | number)[]): Buffer {
  if (oids.length === 0) return EMPTY_PACK;
  const input = oids.map((oid) => `${oid}\n`).join('');
  return execFileSync('git', ['pack-objects', '-q', '--stdout'], { cwd: tree, env: GIT_ENV, input });
}

/** A tree object of `[mode, name, oid]`. */
function treeBytes(...entries: readonly (readonly [string, string, string])[]): Buffer {
  return Buffer.concat(
    entries.map(([mode, name, oid]) => Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(oid, 'hex')])),
  );
}

/** A pack of one changed blob whose base is only named: a copy of all of it, and one more letter. */
function deltaPack(base: string, size: number, others: readonly (readonly [number, Buffer])[]): Buffer {
  const delta = Buffer.from([size, size + 1, 0x90, size, 1, 0x21]);
  const entries = others.map(([type, bytes]) => Buffer.concat([entryHeader(type, bytes.length), deflateSync(bytes)]));
  const changed = Buffer.concat([entryHeader(7, delta.length), Buffer.from(base, 'hex'), deflateSync(delta)]);
  return pack([...entries, changed]);
}

/** Name -> what the report says; the same names in each. */
async function attack(ground: Ground): Promise<Readonly<Record<string, string>>> {
  const { make, commit, push, read, main, secret, site } = ground;
  const said: Record<string, string> = {};
  const file = make('blob', 'a new file');
  const plain = make('tree', treeBytes(['100644', 'new', file]));
  const good = commit(plain, main);
  said['a missing file'] = await push(good, [good, plain]);
  said['a missing tree'] = await push(good, [good]);
  said['control'] = await push(good, [good, plain, file]);
  said['an old commit'] = await push(read('main~1'), []);
  const child = commit(plain, commit(plain, main));
  said['a missing parent'] = await push(child, [child, plain, file]);
  const wrong = make('tree', treeBytes(['100644', 'new', read('main:dir')]));
  const wrongCommit = commit(wrong, main);
  said['a tree as a file'] = await push(wrongCommit, [wrongCommit, wrong]);
  const upside = make('tree', treeBytes(['40000', 'new', file]));
  const upsideCommit = commit(upside, main);
  said['a file as a tree'] = await push(upsideCommit, [upsideCommit, upside, file]);
  const strange = commit(main, main);
  said['a commit as a tree'] = await push(strange, [strange]);
  const fileParent = commit(plain, file);
  said['a file as a parent'] = await push(fileParent, [fileParent, plain, file]);
  const tag = make('tag', `object ${file}\ntype commit\ntag x\ntagger A <a@example.com> 1700000001 +0000\n\nx\n`);
  said['a tag that lies about its type'] = await push(tag, [tag, file], 'refs/tags/x');
  said['a file beside the push'] = await push(good, [good, plain, file, make('blob', 'another')]);
  const dangling = make('tree', treeBytes(['100644', 'gone', make('blob', 'never sent')]));
  said['a tree with a hole beside the push'] = await push(good, [good, plain, file, dangling]);
  // There, and no ref leads to it.
  const stray = 'there, and no ref leads to it';
  execFileSync('git', ['hash-object', '-w', '--stdin'], { cwd: site.repository.path, env: GIT_ENV, input: stray });
  const strayTree = make('tree', treeBytes(['100644', 'stray', make('blob', stray)]));
  const strayCommit = commit(strayTree, main);
  said['a file that no ref leads to'] = await push(strayCommit, [strayCommit, strayTree]);
  for (const [name, entry] of [
    ['a hidden file', ['100644', 'f', read(`${secret}:hidden/first`)]],
    ['a hidden tree', ['40000', 'd', read(`${secret}:hidden`)]],
    ['a file of old history', ['100644', 'f', read('main~1:old')]],
    ['a file that moved', ['100644', 'f', read('main:dir/file')]],
  ] as const) {
    const named = make('tree', treeBytes(entry));
    const naming = commit(named, main);
    said[name] = await push(naming, [naming, named]);
  }
  const merge = commit(plain, main, secret);
  said['a hidden parent'] = await push(merge, [merge, plain, file]);
  const older = commit(plain, main, read(`${secret}~1`));
  said['a hidden parent of old'] = await push(older, [older, plain, file]);
  const hiddenRoot = commit(read(`${secret}^{tree}`), main);
  said['a hidden root'] = await push(hiddenRoot, [hiddenRoot]);
  said['a hidden commit'] = await push(secret, []);
  const hiddenTag = make(
    'tag',
    `object ${secret}\ntype commit\ntag x\ntagger A <a@example.com> 1700000001 +0000\n\nx\n`,
  );
  said['a tag of a hidden commit'] = await push(hiddenTag, [hiddenTag], 'refs/tags/x');
  for (const [name, base, text] of [
    ['a thin pack', read('main:dir/file'), 'main'],
    ['a change of a file of old history', read('main~1:old'), 'only in history'],
    ['a change of a hidden file', read(`${secret}:hidden/first`), 'first secret'],
  ] as const) {
    const changed = createHash('sha1')
      .update(`blob ${text.length + 1}\0${text}!`)
      .digest('hex');
    const changedTree = treeBytes(['100644', 'f', changed]);
    const thin = commit(make('tree', changedTree), main);
    const bytes = execFileSync('git', ['cat-file', 'commit', thin], { cwd: ground.tree, env: GIT_ENV });
    const whole = [[1, bytes] as const, [2, changedTree] as const];
    said[name] = await push(thin, deltaPack(base, text.length, whole));
  }
  return said;
}

const OK = 'ok refs/heads/x';

test('a push that lacks objects, or lies about them, is refused as git refuses it', async (t) => {
  const [own, gits] = [await openGround(t, true), await openGround(t, false)];
  pushes = 0;
  const mine = await attack(own);
  pushes = 0;
  assert.deepEqual(mine, await attack(gits));
  const passed = Object.keys(mine).filter((name) => mine[name]?.startsWith('ok'));
  assert.deepEqual(passed, [
    'control',
    'an old commit',
    'a file beside the push',
    'a file that no ref leads to',
    'a hidden file',
    'a hidden tree',
    'a file of old history',
    'a file that moved',
    'a hidden parent',
    'a hidden parent of old',
    'a hidden root',
    'a hidden commit',
    'a tag of a hidden commit',
    'a thin pack',
    'a change of a file of old history',
    'a change of a hidden file',
  ]);
  assert.equal(mine['control'], OK);
  // The commit, the old one, the moved file, the parents that refs lead to, and so on; not what only exists.
  assert.equal(withoutGit(own), 10, own.judged.join());
});

test('who may not read a ref cannot reach what it hides by naming it', async (t) => {
  const mayRead = (refname: string): boolean => refname !== 'refs/heads/secret';
  const [own, gits] = [await openGround(t, true, mayRead), await openGround(t, false, mayRead)];
  pushes = 0;
  const mine = await attack(own);
  pushes = 0;
  assert.deepEqual(mine, await attack(gits));
  const passed = Object.keys(mine).filter((name) => mine[name]?.startsWith('ok'));
  assert.deepEqual(passed, ['control', 'an old commit', 'a file beside the push', 'a file that moved']);
  assert.equal(withoutGit(own), 3, own.judged.join());
});

for (const isOwn of [true, false]) {
  const by = isOwn ? 'the gate' : 'git';
  test(`what is in a hidden file cannot be guessed by changes of it; who is honest may push on (${by})`, async (t) => {
    const ground = await openGround(t, isOwn, (refname) => refname !== 'refs/heads/secret');
    const { commit, main, make, push, read, secret, site, tree } = ground;
    const text = 'first secret';
    const hidden = read(`${secret}:hidden/first`);
    /** A push of a file that is one letter of the hidden one, if that is `letter`. */
    const guess = (base: string, letter: string): Promise<string> => {
      const guessed = treeBytes(['100644', 'f', make('blob', letter)]);
      const naming = commit(make('tree', guessed), main);
      const bytes = execFileSync('git', ['cat-file', 'commit', naming], { cwd: tree, env: GIT_ENV });
      const delta = Buffer.from([text.length, 1, 0x90, 1]);
      const changed = Buffer.concat([entryHeader(7, delta.length), Buffer.from(base, 'hex'), deflateSync(delta)]);
      const whole = [[1, bytes] as const, [2, guessed] as const].map(([type, all]) =>
        Buffer.concat([entryHeader(type, all.length), deflateSync(all)]),
      );
      return push(naming, pack([...whole, changed]));
    };
    const nowhere = createHash('sha1').update('nowhere').digest('hex');
    const said = [await guess(hidden, 'f'), await guess(hidden, 'g'), await guess(nowhere, 'f')];
    assert.deepEqual(new Set(said), new Set(['ng refs/heads/x unpacker error']));

    await gitOk(tree, 'switch', '-q', 'main');
    const lines = Array.from({ length: 3_000 }, (_, index) => `line ${index}`);
    await commitFile(tree, 'long', lines.join('\n'));
    await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
    lines[7] = 'another line';
    const next = await commitFile(tree, 'long', lines.join('\n'));
    await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
    assert.match(await site.refs(), new RegExp(`^${next} refs/heads/main$`, 'm'));
  });
}
