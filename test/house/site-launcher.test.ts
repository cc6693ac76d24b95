/** The launchers of a site's programs, in Perl and in Node, against a gate of the test's own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { describe, test, type TestContext } from 'node:test';
import { startControlSocket } from '../../src/api/control-server.ts';
import type { SiteInvocation } from '../../src/api/site-call.ts';
import { systemClock } from '../../src/base/clock.ts';
import { refuse } from '../../src/base/fault.ts';
import { cleanEnvironment, hasProgram, run, workspace, type Ended, type RunOptions } from '../support/workspace.ts';

const BIN = join(import.meta.dirname, '..', '..', 'bin');
const MEGABYTES = 5 * 1024 * 1024;

interface Ground {
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
  readonly launch: (program: string, argv: readonly string[], options?: RunOptions) => Promise<Ended>;
}

describe('the launcher in Perl', { skip: hasProgram('perl') ? false : 'perl is not installed' }, () => {
  converse('perl');
});
describe('the launcher in Node', () => {
  converse('node');
});

function converse(language: 'perl' | 'node'): void {
  async function ground(
    t: TestContext,
    invoke: (invocation: SiteInvocation) => Promise<number>,
    home = workspace(t, 'gatehouse-launcher-'),
  ): Promise<Ground> {
    const data = join(home, '.gitolite', 'gatehouse');
    mkdirSync(data, { recursive: true });
    const gate = await startControlSocket({
      path: join(data, 'control.sock'),
      commands: { run: async () => 0 },
      principal: async () => refuse('nobody'),
      site: { serves: async (asked) => asked === home, invoke },
      clock: systemClock,
    });
    t.after(() => gate.close());
    const env = { ...cleanEnvironment(home), GATEHOUSE_LAUNCHER: language };
    return {
      home,
      env,
      launch: (program, argv, options) =>
        run(join(BIN, program), argv, { cwd: home, deadlineMs: 60_000, ...options, env: { ...env, ...options?.env } }),
    };
  }

  test('hands over words, directory, environment and number, and gives back output and exit code', async (t) => {
    const calls: SiteInvocation[] = [];
    const { home, launch } = await ground(t, async (invocation) => {
      calls.push(invocation);
      invocation.stdout.write('out\n');
      invocation.stderr.write('err\n');
      return 117;
    });
    const argv = ['one', '', 'two words', 'line\nbreak', 'grün'];
    for (const program of ['gitolite', 'gitolite-shell', 'gatehouse-shell'] as const) {
      const ended = await launch(program, argv, { env: { COLOUR: 'grün=blau\n' } });
      assert.deepEqual(ended, { code: 117, stdout: 'out\n', stderr: 'err\n' });
      const call = calls.pop();
      assert.equal(call?.program, program);
      assert.deepEqual(call.argv, argv);
      assert.equal(call.cwd, realpathSync(home));
      assert.equal(call.env['COLOUR'], 'grün=blau\n');
      assert.equal(call.env['HOME'], home);
      assert.ok(call.pid > 1);
    }
  });

  test('takes the home that a web server names, for the shell', async (t) => {
    const { home, launch } = await ground(t, async () => 3);
    const env = { HOME: '/nonexistent', GITOLITE_HTTP_HOME: home };
    assert.equal((await launch('gitolite-shell', [], { env })).code, 3);
  });

  test('carries megabytes of both, and the end of the input', async (t) => {
    const { launch } = await ground(t, async ({ stdin, stdout }) => {
      for await (const chunk of stdin) if (!stdout.write(chunk)) await once(stdout, 'drain');
      stdout.write('end');
      return 0;
    });
    const ended = await launch('gitolite', ['cat'], { stdin: Buffer.alloc(MEGABYTES, 'x') });
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal(ended.stdout.length, MEGABYTES + 3);
    assert.ok(ended.stdout.endsWith('xend'));
  });

  test('leaves the input to the next command where nobody reads it', async (t) => {
    const { env } = await ground(t, async ({ argv, stdin, stdout }) => {
      stdout.write(argv[0] === 'read' ? `[${(await text(stdin)).trim()}]\n` : 'passed\n');
      return 0;
    });
    const script = `while read -r line; do echo "$line"; ${BIN}/gitolite pass; done; echo rest | ${BIN}/gitolite read`;
    const ended = await run('sh', ['-c', script], { env, stdin: 'a\nb\n' });
    assert.deepEqual(ended, { code: 0, stdout: 'a\npassed\nb\npassed\n[rest]\n', stderr: '' });
  });

  test('reads an empty input where it has none', async (t) => {
    const { env } = await ground(t, async ({ stdin }) => (await buffer(stdin)).length);
    assert.equal((await run('sh', ['-c', `${BIN}/gitolite read <&-`], { env })).code, 0);
  });

  test('ends the program when it is ended itself, and when its reader goes', async (t) => {
    const began = Promise.withResolvers<void>();
    const aborted: string[] = [];
    const both = Promise.withResolvers<void>();
    const { env, home } = await ground(t, async ({ argv, stdout, signal }) => {
      const ended = once(signal, 'abort');
      if (argv[0] === 'flood') while (!signal.aborted && !stdout.destroyed) await written(stdout, 'x'.repeat(65_536));
      began.resolve();
      await ended;
      if (aborted.push(argv[0] ?? '') === 2) both.resolve();
      return 1;
    });
    const waiting = spawn(join(BIN, 'gitolite-shell'), ['wait'], { env, cwd: home, stdio: 'ignore' });
    await began.promise;
    waiting.kill('SIGTERM');
    const [, signal] = (await once(waiting, 'exit')) as [number | null, string | null];
    assert.equal(signal, 'SIGTERM');
    const flood = await run('sh', ['-c', `${BIN}/gitolite flood | head -c 10`], { env, deadlineMs: 30_000 });
    assert.equal(flood.stdout, 'xxxxxxxxxx');
    await both.promise;
    assert.deepEqual(aborted, ['wait', 'flood']);
  });

  test('hands on an environment of many frames, and says what is too large for it', async (t) => {
    const { launch } = await ground(t, async ({ env, stdout }) => {
      stdout.write(`${env['BIG']?.length ?? 0} ${env['OTHER']?.length ?? 0}`);
      return 0;
    });
    const kept = await launch('gitolite', [], { env: { BIG: 'x'.repeat(130_000), OTHER: 'y'.repeat(130_000) } });
    assert.deepEqual(kept, { code: 0, stdout: '130000 130000', stderr: '' });
  });

  test('says so where the gate goes away in the middle', async (t) => {
    const { launch } = await ground(t, async () => {
      throw new Error('unreachable');
    });
    const home = workspace(t, 'gatehouse-launcher-');
    const { createServer } = await import('node:net');
    const { encodeFrame } = await import('../../src/api/frames.ts');
    mkdirSync(join(home, '.gitolite', 'gatehouse'), { recursive: true });
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write(encodeFrame('accepted'));
      socket.end(encodeFrame('stdout', 'half'));
    }).listen(join(home, '.gitolite', 'gatehouse', 'control.sock'));
    t.after(() => server.close());
    await once(server, 'listening');
    const ended = await launch('gitolite', ['x'], { env: { HOME: home } });
    assert.equal(ended.code, 25);
    assert.equal(ended.stdout, 'half');
    assert.match(ended.stderr, /^FATAL: the (running )?gate went away before it (was done|answered)\n$/);
  });

  test('reaches a gate whose path is too long for a socket', async (t) => {
    const home = join(workspace(t, 'gatehouse-launcher-'), 'x'.repeat(120));
    mkdirSync(home);
    const bound = await bindShort(t, home);
    const env = { ...cleanEnvironment(home), GATEHOUSE_LAUNCHER: language };
    assert.equal((await run(join(BIN, 'gitolite'), [], { env })).code, bound);
  });
}

async function written(stdout: SiteInvocation['stdout'], chunk: string): Promise<void> {
  await new Promise<void>((resolve) => {
    stdout.write(chunk, () => {
      resolve();
    });
  });
}

/** A gate in a directory of a long name. The exit code that it gives. */
async function bindShort(t: TestContext, home: string): Promise<number> {
  const { controlPath } = await import('../../src/house/control-path.ts');
  const data = join(home, '.gitolite', 'gatehouse');
  mkdirSync(data, { recursive: true });
  const socket = await controlPath(data);
  const gate = await startControlSocket({
    path: socket.path,
    commands: { run: async () => 0 },
    principal: async () => refuse('nobody'),
    site: { serves: async () => true, invoke: async () => 42 },
    clock: systemClock,
  });
  t.after(async () => {
    await gate.close();
    await socket[Symbol.asyncDispose]();
  });
  return 42;
}
