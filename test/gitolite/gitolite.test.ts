import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Fault } from '../../src/base/fault.ts';
import { runGitolite } from '../../src/gitolite/gitolite.ts';
import { realPrograms } from '../support/account.ts';
import { type Ground, newGround, type RunOptions, type Said } from './ground.ts';

const runFile = promisify(execFile);
const REAL = realPrograms();
const skip = REAL === undefined ? 'gitolite is not installed' : false;

const SETTINGS = `%RC = ( LOCAL_CODE => "$ENV{HOME}/local", LOG_EXTRA => 1, SITE_INFO => 'ask the host', MY_LIST => [ 'mine x' ],
  ENABLE => [ 'help', 'info', 'own', 'not-there', 'print-default-rc' ] );\n1;\n`;

async function newSite(): Promise<Ground> {
  const ground = await newGround();
  await mkdir(join(ground.home, '.gitolite/logs'), { recursive: true });
  await writeFile(join(ground.home, '.gitolite.rc'), SETTINGS);
  const programs = {
    'commands/own': 'echo "own $*"; cat; echo said >&2; exit 4',
    'commands/info': 'echo mine instead',
    'commands/query-rc': 'echo never',
    'commands/deep/er': 'echo deep',
    'triggers/mine': 'echo "mine $*"',
  };
  for (const [name, text] of Object.entries(programs)) {
    const path = join(ground.home, 'local', name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `#!/bin/sh\n${text}\n`);
    await chmod(path, 0o755);
  }
  return ground;
}

/** As the account's own shell calls it: nobody's child. */
async function askOurs(ground: Ground, args: readonly string[], options: RunOptions = {}): Promise<Said> {
  const { run, stdout, stderr } = await ground.newRun(options);
  const code = await runGitolite(run, args, { isFirst: true });
  return { code, stdout: stdout(), stderr: stderr() };
}

async function askReal(ground: Ground, args: readonly string[], { env, stdin = '' }: RunOptions = {}): Promise<Said> {
  const running = runFile(REAL?.gitolite ?? '', args, { env: { ...ground.env, ...env }, cwd: ground.home });
  running.child.stdin?.end(stdin);
  try {
    const { stdout, stderr } = await running;
    return { code: 0, stdout, stderr };
  } catch (error) {
    if (!(error instanceof Error) || !('stdout' in error) || !('stderr' in error) || !('code' in error)) throw error;
    return { code: Number(error.code), stdout: String(error.stdout), stderr: String(error.stderr) };
  }
}

/** The log's lines without times and transactions; the log begins anew. */
async function takeLog(ground: Ground): Promise<readonly string[]> {
  const { run } = await ground.newRun();
  const path = run.env['GL_LOGFILE'] ?? '';
  const text = await readFile(path, 'utf8').catch(() => '');
  await rm(path, { force: true });
  return text.split('\n').map((line) => line.replace(/^\d{4}-\d\d-\d\d\.\d\d:\d\d:\d\d\t\d+\t/, ''));
}

void test('gitolite answers as the real one does, and leaves the same lines in the log', { skip }, async (t) => {
  await using ground = await newSite();
  const calls: readonly (readonly string[])[] = [
    ['nothing'],
    ['list-nothing'],
    ['own', 'a b', 'c'],
    ['info'],
    ['deep/er'],
    ['not-there'],
    ['query-rc', '-n', 'SITE_INFO'],
    ['query-rc', 'NOT_THERE'],
    ['query-rc', '-a', '-n'],
    ['trigger', 'MY_LIST', 'x y'],
    ['trigger', 'MY_LIST'],
    ['trigger', 'NO_LIST'],
    ['trigger', 'POST_CREATE'],
    ['trigger', 'constructor'],
    ['../own'],
  ];
  for (const args of calls) {
    await t.test(args.join(' '), async () => {
      const options = { stdin: 'input\n' };
      const real = await askReal(ground, args, options);
      const realLog = await takeLog(ground);
      const ours = await askOurs(ground, args, options);
      assert.deepEqual(ours, real);
      assert.deepEqual(await takeLog(ground), realLog);
    });
  }
});

void test('help lists the remote commands that are on, as the real one does', { skip }, async () => {
  await using ground = await newSite();
  const asked = { env: { GL_USER: 'u1' } };
  const real = await askReal(ground, ['help'], asked);
  const ours = await askOurs(ground, ['help'], asked);
  assert.equal(ours.code, real.code);
  const [greeting = '', ...lines] = ours.stdout.split('\n');
  assert.deepEqual(lines, real.stdout.split('\n').slice(1));
  assert.match(greeting, /^hello u1, this is tester@\S+ running gitolite3 \S+ .* on git \d/);
});

void test('help on the server lists what the real one lists, and the site’s own', { skip }, async () => {
  await using ground = await newSite();
  const namesIn = ({ stdout }: Said): readonly string[] =>
    stdout.split('\n').flatMap((line) => (line.startsWith('\t') ? [line.slice(1)] : []));
  const ours = namesIn(await askOurs(ground, ['help']));
  const real = namesIn(await askReal(ground, ['help']));
  const missing = real.filter((name) => !ours.includes(name));
  assert.deepEqual(missing, []);
  assert.ok(ours.includes('deep/er'));
  assert.deepEqual(
    ours.filter((name) => ['setup', 'compile', 'list-users'].includes(name)),
    [],
  );
});

void test('gitolite without a command says how to call it', async () => {
  await using ground = await newSite();
  for (const args of [[], ['-h'], ['']]) {
    const { code, stdout } = await askOurs(ground, args);
    assert.equal(code, 1);
    assert.match(stdout, /^\nUsage: +gitolite /);
  }
});

void test('every command says how to call it', async () => {
  await using ground = await newSite();
  for (const name of ['help', 'query-rc']) {
    const { code, stdout } = await askOurs(ground, [name, '-h']);
    assert.equal(code, 1);
    assert.match(stdout, /Usage: /);
  }
});

void test('a failure of ours is told in the log, not to the caller', async () => {
  await using ground = await newSite();
  const { run, stderr } = await ground.newRun();
  await takeLog(ground);
  const site = {
    ...run.site,
    conf: () =>
      Promise.reject(new Fault('corrupt', 'disk is broken', { context: { path: '/x' }, cause: new Error('EIO') })),
  };
  assert.equal(await runGitolite({ ...run, site }, ['list-repos']), 25);
  assert.equal(stderr(), 'FATAL: internal error\n');
  assert.deepEqual(await takeLog(ground), ['die\tinternal error\tdisk is broken\t{"path":"/x"}\tError: EIO', '']);
});

void test('before a site is set up, commands run without a log', async () => {
  await using ground = await newGround();
  assert.deepEqual(await askOurs(ground, ['query-rc', '-n', 'GL_REPO_BASE']), {
    code: 0,
    stdout: join(ground.home, 'repositories'),
    stderr: '',
  });
});
