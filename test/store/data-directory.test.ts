/** Who owns a data directory, and which directories are refused. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test, type TestContext } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { claimDataDirectory, LAYOUT_VERSION, type DataDirectory } from '../../src/store/data-directory.ts';
import { scratch } from './scratch.ts';

const CHILD = fileURLToPath(new URL('./claiming-child.ts', import.meta.url));

async function dataPath(t: TestContext): Promise<string> {
  return join(await scratch(t), 'data');
}

async function claim(t: TestContext, path: string): Promise<DataDirectory> {
  const claimed = await claimDataDirectory(path);
  t.after(() => claimed.release());
  return claimed;
}

/** What the first start makes. */
async function initialise(path: string): Promise<void> {
  await writeFile(join(path, 'gatehouse.db'), '');
  await mkdir(join(path, 'repositories'), { recursive: true });
  await mkdir(join(path, 'journal'), { recursive: true });
}

async function ready(path: string): Promise<void> {
  const claimed = await claimDataDirectory(path);
  await initialise(path);
  await claimed.finish();
  await claimed.release();
}

async function refusal(path: string): Promise<{ code: string; text: string }> {
  const error: unknown = await claimDataDirectory(path).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(error instanceof Fault, 'the claim is refused with a fault');
  assert.match(error.publicMessage ?? '', /^\/.*data/, 'the message names the directory');
  return { code: error.code, text: error.publicMessage ?? '' };
}

/** A process that claims and holds; resolves with its first line: a state, or what it was told. */
async function startChild(t: TestContext, path: string): Promise<{ child: ChildProcess; line: string }> {
  const child = spawn(process.execPath, [CHILD, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, line: chunk.toString().trim() };
}

test('a missing directory is made for its owner only, with its parents, and is new', async (t) => {
  const path = join(await scratch(t), 'a', 'data');
  const claimed = await claim(t, path);
  assert.equal(claimed.state, 'new');
  assert.equal(claimed.path, path);
  assert.equal((await stat(path)).mode & 0o077, 0);
});

test('a directory is ready only after finish, and unfinished until then', async (t) => {
  const path = await dataPath(t);
  const first = await claimDataDirectory(path);
  await initialise(path);
  await first.release();
  const second = await claimDataDirectory(path);
  assert.equal(second.state, 'unfinished');
  await second.finish();
  await second.finish();
  await second.release();
  const third = await claim(t, path);
  assert.equal(third.state, 'ready');
  assert.deepEqual((await readdir(path)).includes('initialising'), false);
});

test('finish before everything is there is a fault, and the directory stays unfinished', async (t) => {
  const path = await dataPath(t);
  const first = await claimDataDirectory(path);
  await assert.rejects(first.finish(), Fault);
  await first.release();
  assert.equal((await claim(t, path)).state, 'unfinished');
});

test('what a site puts there before the first start does not make it less new', async (t) => {
  const path = await dataPath(t);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'gatehouse.toml'), '');
  await mkdir(join(path, 'lost+found'));
  assert.equal((await claim(t, path)).state, 'new');
});

test('a live owner is named by its pid, and a second claim changes nothing', async (t) => {
  const path = await dataPath(t);
  const { child, line } = await startChild(t, path);
  assert.equal(line, 'new');
  const { code, text } = await refusal(path);
  assert.equal(code, 'busy');
  assert.match(text, new RegExp(`pid ${child.pid}\\b`));
  assert.match((await startChild(t, path)).line, new RegExp(`pid ${child.pid}\\b`));
});

test('a second claim in the same process is refused, and the first stays the owner', async (t) => {
  const path = await dataPath(t);
  await claim(t, path);
  assert.match((await refusal(path)).text, new RegExp(`pid ${process.pid}\\b`));
  assert.match((await startChild(t, path)).line, new RegExp(`pid ${process.pid}\\b`));
});

test('a killed owner leaves nothing that blocks', async (t) => {
  const path = await dataPath(t);
  for (let round = 0; round < 3; round += 1) {
    const { child, line } = await startChild(t, path);
    assert.equal(line, round === 0 ? 'new' : 'unfinished');
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
  assert.equal((await claim(t, path)).state, 'unfinished');
});

test('a pid file of a live process that does not own the directory blocks nothing', async (t) => {
  const path = await dataPath(t);
  await ready(path);
  await writeFile(join(path, 'gatehouse.pid'), `${process.ppid} -\n`);
  const claimed = await claim(t, path);
  assert.equal(claimed.state, 'ready');
  assert.match(await readFile(join(path, 'gatehouse.pid'), 'utf8'), new RegExp(`^${process.pid} `));
});

test('the owner of a reused pid is not named as the owner', async (t) => {
  const path = await dataPath(t);
  await claim(t, path);
  await writeFile(join(path, 'gatehouse.pid'), `${process.pid} 1\n`);
  assert.match((await refusal(path)).text, /in use by another process/);
});

test('of many that claim at once exactly one gets it', async (t) => {
  const path = await dataPath(t);
  const lines = await Promise.all(Array.from({ length: 4 }, async () => (await startChild(t, path)).line));
  assert.equal(lines.filter((line) => line === 'new').length, 1, lines.join('\n'));
  assert.equal(lines.filter((line) => line.includes('is in use by')).length, 3, lines.join('\n'));
});

test('a released directory can be claimed again at once', async (t) => {
  const path = await dataPath(t);
  const first = await claimDataDirectory(path);
  await first.release();
  await first.release();
  assert.equal((await readdir(path)).includes('gatehouse.pid'), false);
  await claim(t, path);
});

test('a directory of a newer layout is refused', async (t) => {
  const path = await dataPath(t);
  await ready(path);
  await writeFile(join(path, 'version'), `gatehouse ${LAYOUT_VERSION + 1}\n`);
  const { code, text } = await refusal(path);
  assert.equal(code, 'corrupt');
  assert.match(text, /newer Gatehouse \(layout 2; this one knows 1\)/);
});

test('a version file that is empty or another program’s is refused', async (t) => {
  const path = await dataPath(t);
  await ready(path);
  for (const content of ['', 'gatehouse', 'gatehouse 1', 'postgres 15\n', 'gatehouse -1\n', '\0'.repeat(12)]) {
    await writeFile(join(path, 'version'), content);
    assert.equal((await refusal(path)).code, 'corrupt', JSON.stringify(content));
  }
});

test('a directory that lost a part is refused and names it, never shown as an empty server', async (t) => {
  for (const name of ['gatehouse.db', 'repositories', 'journal']) {
    const path = await dataPath(t);
    await ready(path);
    await rm(join(path, name), { recursive: true });
    const { code, text } = await refusal(path);
    assert.equal(code, 'corrupt');
    assert.match(text, new RegExp(`but ${name.replace('.', '\\.')} is missing`));
  }
});

test('a directory in use that lost its version file is refused', async (t) => {
  const path = await dataPath(t);
  await ready(path);
  await rm(join(path, 'version'));
  assert.match((await refusal(path)).text, /holds gatehouse\.db, repositories, journal, but no file "version"/);
});

test('a file in the place of the directory, or above it, is refused', async (t) => {
  const directory = await scratch(t);
  await writeFile(join(directory, 'data'), '');
  assert.match((await refusal(join(directory, 'data'))).text, /is not a directory/);
  assert.match((await refusal(join(directory, 'data', 'below'))).text, /is not a directory/);
});

test('a lock file that is no database is refused with what to do', async (t) => {
  const path = await dataPath(t);
  await mkdir(path);
  await writeFile(join(path, 'lock.db'), 'x'.repeat(4096));
  assert.match((await refusal(path)).text, /remove that file if nothing uses it/);
});
