/** The gate that launchers start on demand: one for all of them, gone with its account, and a message where it cannot be. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, test, type TestContext } from 'node:test';
import { Account, OWN_PROGRAMS } from '../support/account.ts';
import { startGate } from '../support/gate.ts';
import { hasProgram } from '../support/workspace.ts';

const LAUNCHERS = hasProgram('perl') ? (['perl', 'node'] as const) : (['node'] as const);

function dataOf(account: Account): string {
  return join(account.home, '.gitolite', 'gatehouse');
}

function gateOf(account: Account): number {
  return Number.parseInt(readFileSync(join(dataOf(account), 'gatehouse.pid'), 'utf8'), 10);
}

/** How many gates became ready: each says so as soon as it answers, or right after. */
function readyGates(account: Account): number {
  return readFileSync(join(dataOf(account), 'gate.log'), 'utf8').match(/gatehouse ready/g)?.length ?? 0;
}

/** What never comes true ends the test by its deadline. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await delay(20);
}

function gone(pid: number): Promise<void> {
  return until(() => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  });
}

function account(t: TestContext): Account {
  return new Account(t, OWN_PROGRAMS);
}

for (const launcher of LAUNCHERS) {
  const env = { GATEHOUSE_LAUNCHER: launcher };

  describe(`a gate that the launcher in ${launcher} starts`, { timeout: 120_000 }, () => {
    test('is one for twenty callers at once', async (t) => {
      const site = account(t);
      const calls = Array.from({ length: 20 }, () => site.gitolite(['query-rc', '-n', 'GL_REPO_BASE'], { env }));
      const base = join(site.home, 'repositories');
      for (const ended of await Promise.all(calls)) assert.deepEqual(ended, { code: 0, stdout: base, stderr: '' });
      await until(() => readyGates(site) > 0);
      assert.equal(readyGates(site), 1);
    });

    test('ends where its account was removed, and the next call finds a new one', async (t) => {
      const site = account(t);
      assert.equal((await site.gitolite(['setup', '-a', 'first'], { env })).code, 0);
      const old = gateOf(site);
      for (const name of ['.gitolite', '.gitolite.rc', 'repositories']) {
        await rm(join(site.home, name), { recursive: true, maxRetries: 5 });
      }
      const again = await site.gitolite(['setup', '-a', 'second'], { env });
      assert.equal(again.code, 0, again.stderr);
      assert.equal((await site.gitolite(['access', '-q', 'gitolite-admin', 'second', 'W'], { env })).code, 0);
      assert.equal((await site.gitolite(['access', '-q', 'gitolite-admin', 'first', 'W'], { env })).code, 1);
      assert.notEqual(gateOf(site), old);
      await gone(old);
      assert.ok(existsSync(join(dataOf(site), 'control.sock')), 'the old gate leaves the new one its socket');
    });

    test('is replaced where it was killed', async (t) => {
      const site = account(t);
      assert.equal((await site.gitolite(['setup', '-a', 'admin'], { env })).code, 0);
      const old = gateOf(site);
      process.kill(old, 'SIGKILL');
      await gone(old);
      assert.equal((await site.gitolite(['access', '-q', 'gitolite-admin', 'admin', 'W'], { env })).code, 0);
      assert.notEqual(gateOf(site), old);
    });

    test('gives way to one that a person starts at the same time, whoever is first', async (t) => {
      const site = account(t);
      const started = { data: dataOf(site), home: site.home, args: ['--gitolite', site.home] };
      mkdirSync(dataOf(site), { recursive: true });
      const calls = Array.from({ length: 3 }, () => site.gitolite(['query-rc', '-n', 'GL_REPO_BASE'], { env }));
      const [gate, ...ended] = await Promise.all([startGate(t, started), ...calls]);
      const base = join(site.home, 'repositories');
      for (const each of ended) assert.deepEqual(each, { code: 0, stdout: base, stderr: '' });
      assert.equal(gateOf(site), gate.pid);
    });

    test('cannot start in a directory that is somebody else’s: the caller hears why', async (t) => {
      const site = account(t);
      mkdirSync(dataOf(site), { recursive: true });
      writeFileSync(join(dataOf(site), 'version'), 'something else\n');
      const ended = await site.gitolite(['query-rc', 'GL_REPO_BASE'], { env });
      assert.equal(ended.code, 25);
      assert.match(
        ended.stderr,
        /^FATAL: the gate for .* did not start:\n[^]*has a file "version" that is not Gatehouse's/,
      );
    });

    test('is refused to a caller without a home', async (t) => {
      const site = account(t);
      const ended = await site.gitolite(['query-rc', 'GL_REPO_BASE'], { env: { ...env, HOME: join(site.home, 'no') } });
      assert.equal(ended.code, 25);
      assert.match(ended.stderr, /^FATAL: the home directory '.*\/no' does not exist\n$/);
    });
  });
}

test('a gate that nobody asks ends, and the next call starts another', { timeout: 60_000 }, async (t) => {
  const site = account(t);
  site.put('.gitolite/gatehouse/gatehouse.toml', '[gitolite]\nidle-end = "1s"\n');
  assert.equal((await site.gitolite(['query-rc', 'GL_REPO_BASE'])).code, 0);
  // It may have ended before anybody could look who it was.
  await until(() => !existsSync(join(dataOf(site), 'gatehouse.pid')));
  assert.equal(existsSync(join(dataOf(site), 'control.sock')), false);
  assert.equal((await site.gitolite(['query-rc', 'GL_REPO_BASE'])).code, 0);
  await until(() => readyGates(site) === 2);
});

test('a gate that a person starts takes the place of one that nobody did', { timeout: 60_000 }, async (t) => {
  const site = account(t);
  assert.equal((await site.gitolite(['setup', '-a', 'admin'])).code, 0);
  const old = gateOf(site);
  const gate = await startGate(t, { data: dataOf(site), home: site.home, args: ['--gitolite', site.home] });
  await gone(old);
  assert.equal((await site.gitolite(['access', '-q', 'gitolite-admin', 'admin', 'W'])).code, 0);
  assert.equal(gateOf(site), gate.pid);
});
