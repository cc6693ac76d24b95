/** The gate as a process: how it starts, refuses to start, stops, and what the local command line does without it. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { startGate, type Gate } from '../support/gate.ts';
import { cleanEnvironment, run, workspace, type Ended } from '../support/workspace.ts';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'bin/gatehouse');
const closed = ['--ssh', 'off', '--git', 'off', '--http', '127.0.0.1:0', '--isolation', 'off'];

interface Place {
  readonly home: string;
  readonly data: string;
  readonly cli: (...words: readonly string[]) => Promise<Ended>;
  readonly gate: (...args: readonly string[]) => Promise<Gate>;
}

function place(t: TestContext): Place {
  const home = workspace(t, 'gatehouse-house-');
  const data = join(home, 'data');
  const env = cleanEnvironment(home);
  return {
    home,
    data,
    cli: (...words) => run(program, words[0] === 'serve' ? words : ['--data', data, ...words], { env }),
    gate: (...args) => startGate(t, { data, home, args: ['--isolation', 'off', ...args] }),
  };
}

test('a first start makes a site: private token, policy, journal; its commands work through the socket', async (t) => {
  const { data, cli, gate } = place(t);
  const running = await gate('--admin', 'olive');
  assert.match(running.ssh, /^127\.0\.0\.1:\d+$/);
  assert.equal(statSync(join(data, 'admin-token')).mode & 0o777, 0o600);
  assert.equal(statSync(join(data, 'control.sock')).mode & 0o777, 0o600);
  assert.match((await cli('whoami')).stdout, /^user:\s+olive\n/);
  assert.match((await cli('policy', 'check')).stdout, /gatehouse-admin at [0-9a-f]{8}: .* scenarios hold/);
  const token = readFileSync(join(data, 'admin-token'), 'utf8').trim();
  const answer = await fetch(`http://${running.http}/api/v1/commands`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ argv: ['whoami', '--json'] }),
  });
  assert.equal(answer.status, 200);
  assert.match(await answer.text(), /olive/);
  assert.equal(await running.stop(), 0);
  assert.match((await cli('audit', 'log')).stdout, /gatehouse start: ssh=[^]*gatehouse stop: /);
});

test('nothing below the data directory is for others to read, also in one that others may enter', async (t) => {
  const { data, cli, gate } = place(t);
  mkdirSync(data, { mode: 0o755 });
  const running = await gate('--admin', 'olive');
  assert.equal((await cli('create', 'hello')).code, 0);
  assert.equal((await cli('gc', 'gatehouse-admin')).code, 0);
  assert.equal(await running.stop(), 0);
  const open = readdirSync(data, { recursive: true, encoding: 'utf8' }).filter(
    (name) => (lstatSync(join(data, name)).mode & 0o077) !== 0,
  );
  assert.deepEqual(open, []);
});

test('--as is the command `as`: policy is asked, and the journal names both and the refusal', async (t) => {
  const { cli, gate } = place(t);
  const running = await gate('--admin', 'olive');
  assert.equal((await cli('user', 'add', 'ian', 'ian@example.org', 'Ian')).code, 0);
  assert.match((await cli('--as', 'ian', 'whoami')).stdout, /user:\s+ian\n[^]*asking:\s+olive/);
  const nobody = await cli('--as', 'nobody-here', 'whoami');
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /there is no active user "nobody-here"/);
  const log = (await cli('audit', 'log', '--event', 'command')).stdout;
  assert.match(log, /served local local ian \(asked by olive\) command as ian whoami\n/);
  assert.match(log, /refused local local olive command as nobody-here whoami: there is no active user/);
  await running.stop();
});

test('without a gate commands run on the store, under the same policy', async (t) => {
  const { data, cli, gate } = place(t);
  await (await gate()).stop();
  assert.ok(!existsSync(join(data, 'control.sock')));
  assert.equal((await cli('user', 'add', 'ian', 'ian@example.org', 'Ian')).code, 0);
  assert.equal((await cli('--as', 'ian', 'create', 'hello')).code, 0);
  const refused = await cli('--as', 'ian', 'user', 'list');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^gatehouse: refused: rules\/siteadmin\.lace:\d+/);
  assert.match((await cli('ls')).stdout, /hello/);
  assert.equal((await cli('--as', 'nobody-here', 'ls')).code, 1);
  assert.equal((await cli('serve', '--data', data, '--ssh', 'nonsense')).code, 2);
});

test('a data directory belongs to one gate; a second is refused and names the pid', async (t) => {
  const { data, cli, gate } = place(t);
  const running = await gate();
  const second = await cli('serve', '--data', data, ...closed);
  assert.equal(second.code, 1);
  assert.match(second.stderr, new RegExp(`in use by the process with pid ${running.pid}`));
  assert.equal(second.stdout, '');
  assert.equal(await running.stop(), 0);
});

test('an address in use ends the start with exit 1, and leaves the directory free', async (t) => {
  const { data, cli, gate } = place(t);
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.after(() => other.close());
  const bound = other.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const busy = await cli('serve', '--data', data, '--ssh', 'off', '--git', 'off', '--http', `127.0.0.1:${port}`);
  assert.equal(busy.code, 1);
  assert.match(busy.stderr, new RegExp(`cannot listen at 127\\.0\\.0\\.1:${port}: it is in use`));
  assert.equal(busy.stdout, '', 'no ready line');
  assert.equal(await (await gate()).stop(), 0);
});

test('a directory that is half a copy, and one with a wrong gatehouse.toml, are refused with the reason', async (t) => {
  const { data, cli } = place(t);
  mkdirSync(data);
  writeFileSync(join(data, 'gatehouse.db'), 'half');
  const half = await cli('serve', '--data', data, ...closed);
  assert.equal(half.code, 1);
  assert.match(half.stderr, /half a copy/);
  writeFileSync(join(data, 'gatehouse.toml'), '[ssh]\nlisten = "off"\nlisen = "off"\n');
  const wrong = await cli('serve', '--data', data);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /gatehouse\.toml:3: unknown key ssh\.lisen; did you mean ssh\.listen\?/);
});

test('config show prints effective values and where each came from', async (t) => {
  const { data, cli } = place(t);
  mkdirSync(data);
  writeFileSync(join(data, 'gatehouse.toml'), '\n[ssh]\nlisten = "off"\n');
  const shown = await cli('config', 'show', '--git', 'off');
  assert.match(shown.stdout, /ssh\.listen = off\s+# \S+gatehouse\.toml:3\n/);
  assert.match(shown.stdout, /git\.listen = off\s+# flag --git\n/);
  assert.match(shown.stdout, /http\.listen = 127\.0\.0\.1:8080\s+# default\n/);
  assert.match((await cli('config', 'show', '--json')).stdout, /"key": "ssh\.listen",\s+"value": "off"/);
});

test(
  'killed at any moment of its first start, the gate makes the site at the next one',
  { timeout: 180_000 },
  async (t) => {
    const { data, home, cli, gate } = place(t);
    for (const delayMs of [100, 250, 400, 550, 700]) {
      const child = spawn(program, ['serve', '--data', data, ...closed], {
        env: cleanEnvironment(home),
        stdio: 'ignore',
      });
      const timer = setTimeout(() => child.kill('SIGKILL'), delayMs);
      await once(child, 'exit');
      clearTimeout(timer);
    }
    const running = await gate();
    const token = readFileSync(join(data, 'admin-token'), 'utf8').trim();
    const answer = await fetch(`http://${running.http}/api/v1/commands`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ argv: ['policy', 'check'] }),
    });
    assert.match(await answer.text(), /"exit":0.*scenarios hold/);
    assert.match((await cli('audit', 'verify')).stdout, /whole/);
    assert.equal(await running.stop(), 0);
  },
);

test('a signal lets what runs go on; a second ends at once', async (t) => {
  const { data, home, gate } = place(t);
  const running = await gate();
  const following = spawn(program, ['--data', data, 'audit', 'log', '--follow'], { env: cleanEnvironment(home) });
  t.after(() => following.kill('SIGKILL'));
  await once(following.stdout, 'data');
  running.child.kill('SIGTERM');
  assert.ok(running.child.stderr !== null);
  while (!running.log().includes('no new requests')) await once(running.child.stderr, 'data');
  assert.equal(running.child.exitCode, null);
  running.child.kill('SIGTERM');
  await once(running.child, 'exit');
  assert.equal(running.child.exitCode, 1);
});

test('commands reach a gate whose directory has a path too long for a socket', async (t) => {
  const home = workspace(t, 'gatehouse-house-');
  const data = join(home, 'long-'.repeat(30));
  const running = await startGate(t, { data, home, args: ['--isolation', 'off'] });
  const asked = await run(program, ['--data', data, 'ls'], { env: cleanEnvironment(home) });
  assert.equal(asked.stdout, 'RW*  gatehouse-admin\n');
  assert.equal(await running.stop(), 0);
  assert.ok(!existsSync(join(data, 'control.sock')));
});

test('a command for a directory without a site says so, makes nothing, and still gives help', async (t) => {
  const { data, cli } = place(t);
  const asked = await cli('ls');
  assert.equal(asked.code, 1);
  assert.match(asked.stderr, /there is no site in/);
  assert.ok(!existsSync(data));
  assert.match((await cli('user', 'add', '--help')).stdout, /^usage: user add/);
  assert.match((await cli('help')).stdout, /whoami/);
});

test('bin/gatehouse runs through symlinks from any directory, and says what is missing without packages', async (t) => {
  const home = workspace(t, 'gatehouse-house-');
  const env = cleanEnvironment(home);
  mkdirSync(join(home, 'a b'));
  symlinkSync(program, join(home, 'first'));
  symlinkSync('../first', join(home, 'a b', 'gate'));
  const version = await run(join(home, 'a b', 'gate'), ['--version'], { cwd: home, env });
  assert.match(version.stdout, /^gatehouse \d+\.\d+\.\d+\n$/);
  const onPath = await run('sh', ['-c', 'gate --version'], {
    cwd: '/',
    env: { ...env, PATH: `${home}/a b:${env.PATH}` },
  });
  assert.equal(onPath.stdout, version.stdout);
  mkdirSync(join(home, 'bare', 'bin'), { recursive: true });
  copyFileSync(program, join(home, 'bare', 'bin', 'gatehouse'));
  const bare = await run('sh', [join(home, 'bare', 'bin', 'gatehouse'), '--version'], { env });
  assert.equal(bare.code, 1);
  assert.match(bare.stderr, /run npm ci in .*bare/);
});

test('npm start answers --version and --help, and set-up is silent where nothing is to be done', async (t) => {
  const env = cleanEnvironment(workspace(t, 'gatehouse-house-'));
  for (const [flag, expected] of [
    ['--version', /^gatehouse \d/],
    ['--help', /usage: gatehouse serve/],
  ] as const) {
    const ended = await run('npm', ['start', '--silent', '--', flag], { cwd: root, env });
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stdout, expected);
  }
  const setup = await run(process.execPath, [join(root, 'scripts/setup.mjs')], { env });
  assert.deepEqual(setup, { code: 0, stdout: '', stderr: '' });
});

test(
  'SIGTERM to npm or to the script it runs closes the gate, and so does the loss of either',
  { timeout: 120_000 },
  async (t) => {
    for (const [signal, target] of [
      ['SIGTERM', 'npm'],
      ['SIGKILL', 'npm'],
      ['SIGKILL', 'script'],
    ] as const) {
      const { data, home, cli } = place(t);
      const args = ['--data', data, ...closed];
      const child =
        target === 'npm'
          ? spawn('npm', ['start', '--silent', '--', ...args], { cwd: root, env: cleanEnvironment(home) })
          : spawn(process.execPath, [join(root, 'scripts/start.mjs'), ...args], {
              cwd: root,
              env: cleanEnvironment(home),
            });
      t.after(() => child.kill('SIGKILL'));
      await ready(child);
      const ended = once(child.stdout ?? child, 'close');
      child.kill(signal);
      // Standard output closes when the last process that holds it, the gate, has ended.
      await ended;
      assert.ok(!existsSync(join(data, 'gatehouse.pid')), 'it was closed, not cut off');
      assert.match((await cli('audit', 'log')).stdout, /gatehouse stop/);
    }
  },
);

async function ready(child: ChildProcess): Promise<void> {
  assert.ok(child.stdout !== null);
  child.stderr?.resume();
  const lines = createInterface(child.stdout);
  for await (const line of lines) if (line.startsWith('gatehouse ready ')) break;
  child.stdout.resume();
}
