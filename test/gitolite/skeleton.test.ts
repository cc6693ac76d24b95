import assert from 'node:assert/strict';
import { lstat, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { newGround, type Ground } from './ground.ts';

async function compile(site: Ground, conf: string): Promise<string> {
  await writeFile(join(site.home, '.gitolite/conf/gitolite.conf'), `repo gitolite-admin\n  RW+ = admin\n${conf}`);
  const said = await site.gitolite(['compile']);
  assert.equal(said.code, 0, said.stderr);
  return said.stderr;
}

/** Path -> mode and content, sample hooks and what the conf says of it aside. */
async function treeOf(path: string): Promise<Record<string, string>> {
  const tree: Record<string, string> = {};
  for (const name of await readdir(path, { recursive: true })) {
    if (name.endsWith('.sample') || name === 'gl-conf') continue;
    const stat = await lstat(join(path, name));
    const content = stat.isSymbolicLink()
      ? await readlink(join(path, name))
      : stat.isFile()
        ? await readFile(join(path, name), 'utf8')
        : '';
    tree[name] = `${(stat.mode & 0o7777).toString(8)} ${content}`;
  }
  return tree;
}

test('a repository made like the first one is what git would have made', async () => {
  await using site = await newGround();
  const template = join(site.home, 'template');
  await mkdir(join(template, 'info'), { recursive: true });
  await writeFile(join(template, 'info/exclude'), '*.own\n');
  await writeFile(join(site.home, '.gitconfig'), `[init]\n\ttemplateDir = ${template}\n\tdefaultBranch = trunk\n`);
  assert.equal((await site.gitolite(['setup', '-a', 'admin'])).code, 0);
  const said = await compile(site, 'repo one two deep/er/three\n  RW = @all\n');
  const path = (name: string): string => join(site.home, 'repositories', `${name}.git`);
  assert.match(said, new RegExp(`Initialized empty Git repository in .*/deep/er/three.git/\n(.*\n)*.*/two.git/\n`));
  const first = await treeOf(path('deep/er/three'));
  assert.deepEqual(await treeOf(path('one')), first);
  assert.deepEqual(await treeOf(path('two')), first);
  assert.match(first['HEAD'] ?? '', /refs\/heads\/trunk/);
  assert.match(first['info/exclude'] ?? '', /own/);
  assert.ok(first['hooks/update']?.endsWith('/hooks/common/update'));
});

test('a repository whose making was cut short is made again', async () => {
  await using site = await newGround();
  assert.equal((await site.gitolite(['setup', '-a', 'admin'])).code, 0);
  await compile(site, 'repo one two\n  RW = @all\n');
  const path = join(site.home, 'repositories/two.git');
  for (const file of ['HEAD', 'gl-conf']) await rm(join(path, file));
  await compile(site, 'repo one two\n  RW = @all\n');
  assert.match(await readFile(join(path, 'HEAD'), 'utf8'), /^ref: /);
});

test('what a compile changed is kept until the steps behind it came to their end', async () => {
  await using site = await newGround();
  assert.equal((await site.gitolite(['setup', '-a', 'admin'])).code, 0);
  await compile(site, 'repo one two\n  RW = ann\n');
  const first = site.site.unpublished;
  assert.equal(first?.repositories, 'all');
  site.site.published?.(first);
  await compile(site, 'repo one two\n  RW = ann\nrepo three\n  R = ann\n');
  await compile(site, 'repo one two\n  RW = ann\nrepo three\n  R = bob\n');
  assert.deepEqual(site.site.unpublished?.repositories, new Set(['three']));
});
