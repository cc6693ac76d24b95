/** A site on a file system without hard links, or where a file can have no more of them: everything works, by copies. */
import { links } from './without-links.ts';
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ok } from '../../src/base/fault.ts';
import type { Principal } from '../../src/identity/principal.ts';
import { realDurable } from '../../src/receive/durable.ts';
import { installObjects, releaseEveryPack, releasePacks } from '../../src/receive/install.ts';
import { commit, git as gitHere, must, named, openCatalogue } from '../repository/fixture.ts';
import { workspace } from '../support/workspace.ts';
import { HOLD_ALL, roomyHolding } from './hold-ground.ts';
import { commitFile, git, gitOk, openSite, PRINCIPAL, type Site } from './site.ts';

const CODES = ['EPERM', 'EMLINK', 'EXDEV', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/** Until the test is over links fail so. */
function without(t: { after: (cleanup: () => void) => void }, code: string): void {
  t.after(() => Object.assign(links, { code: undefined }));
  Object.assign(links, { code, refused: 0 });
}

for (const code of CODES) {
  test(`pushes are taken where a link fails with ${code}, to a new repository and to one that has its keep text`, async (t) => {
    const site = await openSite(t);
    const tree = await site.workTree();
    without(t, code);
    const tips: string[] = [];
    for (const name of ['first', 'second']) {
      await commitFile(tree, name);
      await gitOk(tree, 'push', '-q', site.gitUrl, `main:refs/heads/${name}`);
    }
    links.code = undefined;
    await commitFile(tree, 'third');
    await gitOk(tree, 'push', '-q', site.gitUrl, 'main:refs/heads/third');
    assert.ok(existsSync(join(site.repository.path, 'gatehouse/keep')));
    links.code = code;
    await commitFile(tree, 'fourth');
    await gitOk(tree, 'push', '-q', site.gitUrl, 'main:refs/heads/fourth');
    assert.ok(links.refused >= 3, String(links.refused));
    for (const line of (await site.refs()).split('\n')) tips.push(line);
    assert.equal(tips.length, 4);
    const packs = readdirSync(join(site.repository.path, 'objects/pack'));
    assert.deepEqual(
      packs.filter((name) => name.endsWith('.keep') || name.startsWith('tmp_')),
      [],
    );
    assert.equal(packs.filter((name) => name.endsWith('.idx')).length, 4);
    assert.equal((await git(site.repository.path, 'fsck', '--strict')).code, 0);
  });
}

test('without links a pack is kept by a text of its own, which a crash leaves to be found, and nobody else’s is replaced', async (t) => {
  const root = workspace(t);
  const packs = join(root, 'repository/objects/pack');
  await mkdir(packs, { recursive: true });
  await mkdir(join(root, 'repository/gatehouse'));
  const install = async (name: string): Promise<readonly string[]> => {
    const objectDirectory = join(root, `incoming-${name}`);
    await mkdir(join(objectDirectory, 'pack'), { recursive: true });
    for (const part of ['pack', 'idx']) await writeFile(join(objectDirectory, `pack/pack-${name}.${part}`), name);
    const kept: string[] = [];
    await installObjects({
      objectDirectory,
      repositoryPath: join(root, 'repository'),
      onKept: (pack) => kept.push(pack),
    });
    assert.deepEqual(readdirSync(objectDirectory), ['pack'], 'no text is left behind');
    return kept;
  };
  without(t, 'EPERM');
  assert.deepEqual(await install('11'), ['pack-11']);
  const ours = join(packs, 'pack-11.keep');
  assert.match(readFileSync(ours, 'utf8'), /^gatehouse /);
  assert.equal(statSync(ours).mode & 0o222, 0);
  await writeFile(join(packs, 'pack-22.keep'), 'somebody’s reason\n');
  assert.deepEqual(await install('22'), [], 'not ours to release');
  assert.deepEqual(await install('33'), ['pack-33']);
  await releasePacks(join(root, 'repository'), ['pack-11']);
  assert.ok(!existsSync(ours));
  // As a start does where a crash left the rest.
  await releaseEveryPack(join(root, 'repository'));
  const left = readdirSync(packs).filter((name) => name.endsWith('.keep'));
  assert.deepEqual(left, ['pack-22.keep']);
  assert.equal(readFileSync(join(packs, 'pack-22.keep'), 'utf8'), 'somebody’s reason\n');
});

test('a push is held and approved without links: its objects are copied, and on disk before its record is', async (t) => {
  let holder: Site | undefined;
  const synced: string[] = [];
  const site = await openSite(t, {
    decide: HOLD_ALL,
    parts: {
      durable: {
        ...realDurable,
        async syncFile(path) {
          synced.push(path);
          await realDurable.syncFile(path);
        },
      },
      holding: roomyHolding(() => {
        assert.ok(holder);
        return holder;
      }),
    },
  });
  holder = site;
  const tree = await site.workTree();
  const tip = await commitFile(tree, 'a');
  without(t, 'EPERM');
  const { stderr } = await git(tree, 'push', site.gitUrl, 'main');
  const id = /held for approval as (\w+)/.exec(stderr)?.[1] ?? '';
  const area = join(site.repository.path, 'gatehouse/held', id, 'objects/pack');
  const files = readdirSync(area);
  assert.ok(files.some((name) => name.endsWith('.pack')));
  for (const name of files) {
    assert.ok(synced.includes(join(area, name)), name);
    assert.equal(statSync(join(area, name)).nlink, 1);
  }
  const desk = site.receive.holds;
  assert.ok(desk);
  const found = await desk.find(id);
  assert.ok(found);
  const before = synced.length;
  const done = await desk.approve(found.held, {
    principal: { ...PRINCIPAL, name: 'olive' } as Principal,
    reason: 'looks right',
    requestId: 'approval',
    signal: new AbortController().signal,
    tell: () => {},
    confirm: async () => ok(true),
  });
  assert.equal(done.kind, 'ok');
  assert.ok(
    synced.slice(before).some((path) => path.endsWith('.pack')),
    'the copy that is installed is on disk, too',
  );
  assert.equal(await site.refs(), `${tip} refs/heads/main`);
});

test('a repository is copied without links', async (t) => {
  const { catalogue } = await openCatalogue(t);
  const source = must(await catalogue.create({ name: named('a'), owner: 'alice' }));
  const tip = await commit(source.path, 'refs/heads/main', 'one');
  await gitHere(source.path, 'repack', '-adq');
  without(t, 'EOPNOTSUPP');
  const copy = must(await catalogue.copy(source, { to: named('b'), owner: 'bob' }));
  assert.ok(links.refused > 0);
  assert.equal(await gitHere(copy.path, 'rev-parse', 'main'), tip);
  assert.equal(await gitHere(copy.path, 'fsck', '--strict'), '');
});
