import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { copyRepository } from '../../src/gitolite/copy-repository.ts';
import type { Run } from '../../src/gitolite/run.ts';
import { newGround, type Ground } from './ground.ts';

const CONF = `
repo gitolite-admin
    RW+ = admin
repo testing
    RW+ = @all
repo foo/CREATOR/..*
    C = u1
    RW+ = CREATOR
`;

async function newSite(): Promise<Ground> {
  const ground = await newGround();
  await ground.gitolite(['setup', '-a', 'admin']);
  await writeFile(join(ground.home, '.gitolite/conf/gitolite.conf'), CONF);
  await ground.gitolite(['compile']);
  return ground;
}

test("a copy that was cut short is nobody's repository, and goes when it is old", async () => {
  await using ground = await newSite();
  const folder = join(ground.home, 'repositories/foo/u1');
  await mkdir(join(folder, '.gatehouse-copy-0123/refs'), { recursive: true });
  assert.equal((await ground.gitolite(['list-phy-repos'])).stdout, 'gitolite-admin\ntesting\n');
  const { run } = await ground.newRun({ env: { GL_USER: 'u1' } });
  assert.equal(await copyRepository(run, { from: 'testing', to: 'foo/u1/a', user: 'u1' }), 0);
  assert.deepEqual((await readdir(folder)).sort(), ['.gatehouse-copy-0123', 'a.git']);
  const later: Run = { ...run, clock: { ...run.clock, now: () => Date.now() + 48 * 3_600_000 } };
  assert.equal(await copyRepository(later, { from: 'testing', to: 'foo/u1/b', user: 'u1' }), 0);
  assert.deepEqual((await readdir(folder)).sort(), ['a.git', 'b.git']);
});

test('of two copies to one name one is made, and the other leaves nothing behind', async () => {
  await using ground = await newSite();
  const ends = await Promise.all(
    ['u1', 'u2'].map(async (user) => {
      const { run, stderr } = await ground.newRun({ env: { GL_USER: user } });
      const code = await copyRepository(run, { from: 'testing', to: 'foo/u1/a', user });
      return { user, code, stderr: stderr() };
    }),
  );
  const made = ends.filter(({ code }) => code === 0);
  assert.equal(made.length, 1);
  const other = ends.find(({ code }) => code !== 0);
  assert.match(other?.stderr ?? '', /'foo\/u1\/a' already exists or you are not allowed to create it/);
  const folder = join(ground.home, 'repositories/foo/u1');
  assert.deepEqual(await readdir(folder), ['a.git']);
  assert.equal(await readFile(join(folder, 'a.git/gl-creator'), 'utf8'), `${made[0]?.user ?? ''}\n`);
});

test('a command that already runs and is waited for is not run a third time', async () => {
  await using ground = await newSite();
  const gate = join(ground.home, 'gate');
  const said = join(ground.home, 'said');
  const script = `echo run >> ${said}; while [ ! -e ${gate} ]; do sleep 0.02; done`;
  const call = (): ReturnType<Ground['gitolite']> => ground.gitolite(['1plus1', 'lock', 'sh', '-c', script]);
  const calls = [call(), call(), call(), call()];
  const early = await Promise.race(calls);
  assert.match(early.stderr, /^INFO: nothing to do\/queue; 'lock' already running and 1 in queue\n$/);
  await writeFile(gate, '');
  const ends = await Promise.all(calls);
  assert.deepEqual(
    ends.map(({ code }) => code),
    [0, 0, 0, 0],
  );
  assert.equal(await readFile(said, 'utf8'), 'run\nrun\n');
});
