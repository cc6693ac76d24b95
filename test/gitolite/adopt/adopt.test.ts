/** `gatehouse gitolite adopt` on a home that looks like gitolite's: what it plans, changes, refuses, puts back and compares. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readlinkSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { adoptSite } from '../../../src/commands/gitolite-adopt.ts';
import { hasProgram, run } from '../../support/workspace.ts';
import { newGround, type Ground } from '../ground.ts';

const BIN = join(import.meta.dirname, '../../../bin');
const OLD = '/opt/nowhere/gitolite-shell';
const PATH = '/usr/bin:/bin';

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function adopt({ home }: Pick<Ground, 'home'>, argv: readonly string[], stdin = ''): Promise<Said> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const said = Promise.all([text(stdout), text(stderr)]);
  const { signal } = new AbortController();
  const env = { HOME: home, PATH, USER: 'tester' };
  const code = await adoptSite({ argv, env, cwd: home, stdin: Readable.from([stdin]), stdout, stderr, signal });
  stdout.end();
  stderr.end();
  const [out, err] = await said;
  return { code, stdout: out, stderr: err };
}

/** As gitolite leaves an account: keys that start its shell, a link in `bin`, hooks of its own. */
async function oldSite(): Promise<Ground> {
  const ground = await newGround();
  const made = await ground.gitolite(['setup', '-a', 'admin']);
  assert.equal(made.code, 0, made.stderr);
  for (const folder of ['.ssh', 'bin']) mkdirSync(join(ground.home, folder), { recursive: true });
  writeFileSync(join(ground.home, '.ssh/authorized_keys'), keys(OLD, ['admin', 'ann']), { mode: 0o600 });
  symlinkSync('/opt/nowhere/gitolite', join(ground.home, 'bin/gitolite'));
  for (const hook of ['common/update', 'gitolite-admin/post-update'])
    writeFileSync(join(ground.home, '.gitolite/hooks', hook), '#!/usr/bin/perl\n', { mode: 0o755 });
  return ground;
}

function keys(shell: string, users: readonly string[]): string {
  const lines = users.map((user) => `command="${shell} ${user}",no-pty ssh-ed25519 AAAA${user} ${user}\n`);
  return `ssh-ed25519 AAAA own\n# gitolite start\n${lines.join('')}# gitolite end\n`;
}

test('adopt asks, changes what it said, finds nothing left to do, and puts it back', async () => {
  await using ground = await oldSite();
  const { home } = ground;
  const keysFile = join(home, '.ssh/authorized_keys');
  const refused = await adopt(ground, [], 'n\n');
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /Will be changed\n {2}\S+authorized_keys +2 generated lines start /);
  assert.match(refused.stdout, /Nothing was changed\.\n$/);
  assert.equal((await adopt(ground, [])).code, 1, 'no answer is a no');
  assert.equal(readFileSync(keysFile, 'utf8'), keys(OLD, ['admin', 'ann']));
  const taken = await adopt(ground, [home], 'y\n');
  assert.equal(taken.code, 0, taken.stderr);
  assert.equal(readFileSync(keysFile, 'utf8'), keys(join(BIN, 'gitolite-shell'), ['admin', 'ann']));
  assert.equal(readlinkSync(join(home, 'bin/gitolite')), join(BIN, 'gitolite'));
  assert.match(readFileSync(join(home, '.gitolite/hooks/common/update'), 'utf8'), /^#!\/bin\/sh/);
  assert.match((await adopt(ground, ['--yes'])).stdout, /Nothing has to be changed/);
  writeFileSync(keysFile, keys(join(BIN, 'gitolite-shell'), ['admin', 'bob']));
  const undone = await adopt(ground, ['--undo', '--json']);
  assert.equal(undone.code, 0, undone.stderr);
  assert.equal(readFileSync(keysFile, 'utf8'), keys(OLD, ['admin', 'bob']), 'people who came meanwhile stay');
  assert.equal(readlinkSync(join(home, 'bin/gitolite')), '/opt/nowhere/gitolite');
  assert.equal(readFileSync(join(home, '.gitolite/hooks/common/update'), 'utf8'), '#!/usr/bin/perl\n');
  assert.match((await adopt(ground, ['--undo'])).stderr, /was not taken over, or that was undone/);
});

test('adopt refuses what would not work: no site, a wrong conf, a Perl module among the triggers', async () => {
  await using ground = await oldSite();
  assert.match((await adopt({ home: join(ground.home, 'bin') }, [])).stderr, /there is no gitolite site in /);
  const rc = join(ground.home, '.gitolite.rc');
  const settings = readFileSync(rc, 'utf8');
  writeFileSync(rc, settings.replace(/^( *)ENABLE =>/m, `$1PRE_GIT => ['Own::pre_git', 'lost'],\n$1ENABLE =>`));
  const module = await adopt(ground, ['--yes']);
  assert.equal(module.code, 1);
  assert.match(module.stdout, /In the way\n.*PRE_GIT: Own::pre_git, which is a Perl module/);
  assert.match(module.stdout, /Not supported\n(?:.*\n)*.*PRE_GIT: lost: there is no program triggers\/lost/);
  writeFileSync(rc, settings);
  writeFileSync(join(ground.home, '.gitolite/conf/gitolite.conf'), 'repo x\n  RW = a!b\n');
  const wrong = await adopt(ground, ['--yes', '--json']);
  assert.equal(wrong.code, 1);
  assert.deepEqual(JSON.parse(wrong.stdout).plan.blockers, ["conf/gitolite.conf:2: bad username 'a!b'"]);
  assert.equal(JSON.parse(wrong.stdout).done, false);
});

test('adopt tells what its flags are where they are wrong', async () => {
  for (const argv of [['--dry-run', '--undo'], ['a', 'b'], ['--decisions', 'many'], ['--what']]) {
    const said = await adopt({ home: '/nonexistent' }, argv);
    assert.equal(said.code, 2, argv.join(' '));
    assert.match(said.stderr, /usage: gatehouse gitolite adopt/);
  }
});

test(
  '--dry-run shows a difference with both answers and the lines that decided',
  { skip: hasProgram('gitolite') ? false : 'gitolite is not installed', timeout: 120_000 },
  async () => {
    await using ground = await newGround();
    const { home } = ground;
    const real = (args: readonly string[]): ReturnType<typeof run> =>
      run('gitolite', args, { cwd: home, env: { HOME: home, PATH, USER: 'tester' } });
    assert.equal((await real(['setup', '-a', 'admin'])).code, 0);
    const conf = join(home, '.gitolite/conf/gitolite.conf');
    writeFileSync(conf, 'repo gitolite-admin\n    RW+ = admin\n\nrepo lab\n    -  main = ann\n    RW = ann\n');
    assert.equal((await real(['compile'])).code, 0);
    // The old one still answers from what it compiled.
    writeFileSync(conf, 'repo gitolite-admin\n    RW+ = admin\n\nrepo lab\n    RW = ann\n');
    utimesSync(conf, new Date(), new Date(Date.now() + 5_000));
    const compared = await adopt(ground, ['--dry-run', '--decisions', '3000']);
    assert.equal(compared.code, 1);
    assert.match(compared.stdout, /the conf is newer than what the old gitolite compiled/);
    assert.match(
      compared.stdout,
      / {2}gitolite access lab ann 'W' 'refs\/heads\/main'\n {4}gitolite: {2}W refs\/heads\/main lab ann DENIED by refs\/heads\/main \(gitolite\.conf:5\)\n {4}gatehouse: refs\/\.\* \(gitolite\.conf:5\)\n/,
    );
  },
);
