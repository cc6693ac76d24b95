import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { glExtra, glLog, glWarn, logFileOf, siteEnv } from '../../src/gitolite/gl-log.ts';
import { type Ground, newGround } from './ground.ts';

async function groundWith(settings: string): Promise<Ground> {
  const ground = await newGround();
  await mkdir(join(ground.home, '.gitolite/logs'), { recursive: true });
  await writeFile(join(ground.home, '.gitolite.rc'), `%RC = ( ${settings} );\n1;\n`);
  return ground;
}

async function logOf(ground: Ground): Promise<string> {
  const { run } = await ground.newRun();
  return await readFile(run.env['GL_LOGFILE'] ?? '', 'utf8').catch(() => '');
}

void test('a log line is time, transaction and fields, with tabs between them and no line ends in them', async () => {
  await using ground = await groundWith('LOG_EXTRA => 1');
  const { run } = await ground.newRun({ env: { GL_TID: '42' } });
  const at = new Date(2026, 0, 2, 3, 4, 5).getTime();
  await glLog({ ...run, clock: { ...run.clock, now: () => at } }, 'update', 'a\nb\r\n\nc', '', 'd');
  assert.equal(await logOf(ground), '2026-01-02.03:04:05\t42\tupdate\ta<<newline>>b<<newline>>c\t\td\n');
});

void test('a log can be read by whom the settings let read', async () => {
  await using ground = await groundWith('UMASK => 0027');
  const { run } = await ground.newRun();
  await glLog(run, 'END');
  assert.equal((await stat(run.env['GL_LOGFILE'] ?? '')).mode & 0o777, 0o640);
});

void test('extra detail is logged where the site asks for it', async () => {
  await using asking = await groundWith('LOG_EXTRA => 1');
  await glExtra((await asking.newRun()).run, 'system', 'x', 'y');
  assert.match(await logOf(asking), /\t\tsystem,x,y\n$/);
  await using silent = await groundWith('UMASK => 0077');
  await glExtra((await silent.newRun()).run, 'system', 'x', 'y');
  assert.equal(await logOf(silent), '');
});

void test('a warning is said and logged', async () => {
  await using ground = await groundWith('');
  const { run, stderr } = await ground.newRun();
  await glWarn(run, 'careful');
  assert.equal(stderr(), 'WARNING: careful\n');
  assert.match(await logOf(ground), /\twarn\tcareful\n$/);
});

void test('updates go to a log in the repository too where the site asks for it', async () => {
  await using ground = await groundWith(`LOG_DEST => 'repo-log,normal'`);
  const repository = join(ground.home, 'repositories/some/r.git');
  await mkdir(repository, { recursive: true });
  const { run } = await ground.newRun({ env: { GL_REPO: 'some/r' } });
  await glLog(run, 'update', 'some/r', 'u1');
  await glLog(run, 'END');
  assert.match(await readFile(join(repository, 'gl-log'), 'utf8'), /^[^\t]+\t\d+\tupdate\tsome\/r\tu1\n$/);
  assert.equal((await logOf(ground)).split('\n').length, 3);
});

void test('with syslog alone nothing goes to the file; with normal beside it, to both', async () => {
  for (const [destination, lines] of [
    ['syslog', 0],
    ['syslog,normal', 1],
  ] as const) {
    await using ground = await groundWith(`LOG_DEST => '${destination}', LOG_FACILITY => 'local4'`);
    await glLog((await ground.newRun()).run, 'END');
    assert.equal((await logOf(ground)).split('\n').length - 1, lines);
  }
});

void test('a log that cannot be written is told to the caller and ends nothing', async (t) => {
  if (process.getuid?.() === 0) return t.skip('root writes everywhere');
  await using ground = await groundWith('');
  await chmod(join(ground.home, '.gitolite/logs'), 0o500);
  const { run, stderr } = await ground.newRun();
  await glLog(run, 'END');
  assert.match(stderr(), /^WARNING: the log /);
});

void test('the environment of a site’s programs: its places, its log, its settings’ own, and one transaction for all children', async () => {
  await using ground = await groundWith(`GL_REPO_BASE => '/srv/r', LOG_TEMPLATE => '/l/%y/%m-%d%y'`);
  await writeFile(
    join(ground.home, '.gitolite.rc'),
    `$ENV{MORE} = 'more'; %RC = ( GL_REPO_BASE => '/srv/r', LOG_TEMPLATE => '/l/%y/%m-%d%y' );\n1;\n`,
  );
  const rc = await ground.site.rc(ground.env);
  const now = new Date(2026, 8, 7).getTime();
  assert.equal(logFileOf(rc, now), '/l/2026/09-072026');
  const env = siteEnv(rc, { PATH: '/bin', KEPT: 'kept' }, { tid: 7, now });
  assert.deepEqual(env, {
    PATH: `${rc.binDirectory}:/bin`,
    KEPT: 'kept',
    MORE: 'more',
    HOME: ground.home,
    GL_BINDIR: rc.binDirectory,
    GL_LIBDIR: join(rc.binDirectory, 'lib'),
    GL_REPO_BASE: '/srv/r',
    GL_ADMIN_BASE: join(ground.home, '.gitolite'),
    GL_TID: '7',
    GL_LOGFILE: '/l/2026/09-072026',
  });
  assert.deepEqual(siteEnv(rc, env, { tid: 8, now: now + 40 * 86_400_000 }), env);
});
