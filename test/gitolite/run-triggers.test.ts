import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { inputTriggers, trigger, triggerNamed } from '../../src/gitolite/run-triggers.ts';
import { exitOf, fatalText } from '../../src/gitolite/words.ts';
import { realPrograms } from '../support/account.ts';
import { type Ground, newGround } from './ground.ts';

async function groundWith(lists: string, programs: Readonly<Record<string, string>> = {}): Promise<Ground> {
  const ground = await newGround();
  await mkdir(join(ground.home, '.gitolite/logs'), { recursive: true });
  await writeFile(join(ground.home, '.gitolite.rc'), `%RC = ( LOCAL_CODE => "$ENV{HOME}/local", ${lists} );\n1;\n`);
  for (const [name, text] of Object.entries(programs)) {
    const path = join(ground.home, 'local/triggers', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `#!/bin/sh\n${text}`);
    await chmod(path, 0o755);
  }
  return ground;
}

void test('programs of a point run in order with their own arguments, the point and its arguments', async () => {
  await using ground = await groundWith(`POST_CREATE => [ 'one a b', 'deep/two' ]`, {
    one: 'echo "one $*"',
    'deep/two': 'echo "two $*"; echo said >&2',
  });
  const { run, stdout, stderr } = await ground.newRun();
  await trigger(run, 'POST_CREATE', ['some/repo', 'u1', 'W']);
  assert.equal(stdout(), 'one a b POST_CREATE some/repo u1 W\ntwo POST_CREATE some/repo u1 W\n');
  assert.equal(stderr(), 'said\n');
});

void test('a program that is not there is skipped with a warning in the log too', async () => {
  await using ground = await groundWith(`PRE_GIT => [ 'none x', 'here' ]`, { here: 'echo here' });
  const { run, stdout, stderr } = await ground.newRun();
  await trigger(run, 'PRE_GIT', []);
  assert.equal(stderr(), "WARNING: skipped trigger 'none x' (not found or not executable)\n");
  assert.equal(stdout(), 'here\n');
  const log = await readFile(run.env['GL_LOGFILE'] ?? '', 'utf8');
  assert.match(log, /^[\d.:-]+\t\d+\twarn\tskipped trigger 'none x'/);
});

void test('a program that fails ends the invocation with its exit code and no word of ours', async () => {
  await using ground = await groundWith(`PRE_CREATE => [ 'no', 'after' ]`, { no: 'exit 7', after: 'echo after' });
  const { run, stdout } = await ground.newRun();
  await assert.rejects(trigger(run, 'PRE_CREATE', []), (error) => exitOf(error) === 7 && fatalText(error) === '');
  assert.equal(stdout(), '');
});

void test('a module that there is not, and a point that is no list, are fatal', async () => {
  await using ground = await groundWith(`PRE_GIT => [ 'Nothing::pre_git' ], POST_GIT => 'text'`);
  const { run } = await ground.newRun();
  const dies =
    (text: RegExp) =>
    (error: unknown): boolean =>
      error instanceof Fault && text.test(fatalText(error)) && exitOf(error) === 25;
  await assert.rejects(trigger(run, 'PRE_GIT', []), dies(/^FATAL: module 'Nothing' does not exist or does not have/));
  await assert.rejects(
    trigger(run, 'POST_GIT', []),
    dies(/^FATAL: 'POST_GIT' section in rc file is not a perl list\n$/),
  );
});

void test('a list of the site’s own is a point too', async () => {
  await using ground = await groundWith(`MY_POINT => [ 'mine' ]`, { mine: 'echo "$*"' });
  const { run, stdout } = await ground.newRun();
  await triggerNamed(run, 'MY_POINT', ['x']);
  assert.equal(stdout(), 'MY_POINT x\n');
});

void test('INPUT lets a caller through as it is where nothing changes it', async () => {
  await using ground = await groundWith(`INPUT => [ 'look' ]`, { look: 'echo "$* $SSH_ORIGINAL_COMMAND"' });
  const { run, stdout } = await ground.newRun();
  const end = await inputTriggers(run, { user: 'u1', command: 'info -lc' });
  assert.ok(end.kind === 'go');
  assert.deepEqual([end.user, end.command], ['u1', 'info -lc']);
  assert.equal(stdout(), 'INPUT info -lc\n');
});

void test('a program in Perl finds gitolite’s modules where the settings say they are', async (t) => {
  const real = realPrograms();
  if (real === undefined) return t.skip('gitolite is not installed');
  const library = join(dirname(real.shell), 'lib');
  await using ground = await groundWith(`POST_CREATE => [ 'perl' ], SITE_INFO => 'from the settings'`);
  const program = join(ground.home, 'local/triggers/perl');
  await mkdir(dirname(program), { recursive: true });
  const text = `use lib $ENV{GL_LIBDIR};\nuse Gitolite::Rc;\nuse Gitolite::Common;\nsay "$rc{SITE_INFO} $rc{GL_BINDIR}";\n`;
  await writeFile(program, `#!/usr/bin/perl\n${text}`);
  await chmod(program, 0o755);
  const settings = join(ground.home, '.gitolite.rc');
  await writeFile(settings, `$ENV{GL_LIBDIR} = '${library}';\n${await readFile(settings, 'utf8')}`);
  const { run, stdout, stderr } = await ground.newRun();
  await trigger(run, 'POST_CREATE', []);
  assert.equal(stdout(), `from the settings ${run.rc.binDirectory}\n`, stderr());
  assert.deepEqual((await ground.gitolite(['query-rc', '-n', 'GL_LIBDIR'])).stdout, library);
});
