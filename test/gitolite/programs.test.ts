import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { findProgram, runProgram } from '../../src/gitolite/programs.ts';
import type { Run } from '../../src/gitolite/run.ts';
import { type Ground, newGround } from './ground.ts';

async function script(path: string, text: string, mode = 0o755): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${text}`);
  await chmod(path, mode);
  return path;
}

/** A program of the ground's site, and what running it gives. */
async function program(ground: Ground, text: string): Promise<string> {
  return script(join(ground.home, 'program'), text);
}

function isFault(code: string): (error: unknown) => boolean {
  return (error) => error instanceof Fault && error.code === code;
}

void test('a program gets its arguments, the environment of the invocation and a directory', async () => {
  await using ground = await newGround();
  const file = await program(ground, 'echo "$# $2 $GL_BINDIR $MORE $PWD"; echo oops >&2; exit 3');
  const { run, stdout, stderr } = await ground.newRun();
  const end = await runProgram(run, { file, args: ['a', 'b c'], env: { MORE: 'more' } });
  assert.deepEqual(end, { code: 3, stdout: '' });
  assert.equal(stdout(), `2 b c ${run.rc.binDirectory} more ${ground.home}\n`);
  assert.equal(stderr(), 'oops\n');
});

void test('what a program makes has the permissions that the settings say, and the server keeps its own umask', async () => {
  await using ground = await newGround();
  const { run } = await ground.newRun();
  const before = process.umask();
  const file = await program(ground, 'echo x > "$HOME/made"');
  await runProgram({ ...run, rc: { ...run.rc, umask: 0o027 } }, { file, args: [] });
  assert.equal((await stat(join(ground.home, 'made'))).mode & 0o777, 0o640);
  assert.equal(process.umask(), before);
});

void test('what a program says is shown, collected or sent to standard error', async () => {
  await using ground = await newGround();
  const file = await program(ground, 'echo said');
  const { run, stdout, stderr } = await ground.newRun();
  assert.equal((await runProgram(run, { file, args: [], stdout: 'collect' })).stdout, 'said\n');
  assert.equal(stdout(), '');
  await runProgram(run, { file, args: [], stdout: 'stderr' });
  assert.equal(stderr(), 'said\n');
});

void test('a program reads what it is given: nothing, bytes, a stream, or what the invocation has', async () => {
  await using ground = await newGround();
  const file = await program(ground, 'cat');
  const { run } = await ground.newRun({ stdin: 'inherited' });
  const read = async (stdin: Parameters<typeof runProgram>[1]['stdin']): Promise<string> =>
    (await runProgram(run, { file, args: [], stdout: 'collect', ...(stdin === undefined ? {} : { stdin }) })).stdout;
  assert.equal(await read(undefined), '');
  assert.equal(await read(Buffer.from('bytes')), 'bytes');
  assert.equal(await read(Readable.from([Buffer.from('a '), Buffer.from('stream')])), 'a stream');
  assert.equal(await read('inherit'), 'inherited');
});

void test('a program that stops reading early is not waited for, nor is the input that it leaves', async () => {
  await using ground = await newGround();
  const file = await program(ground, 'exit 0');
  const { run } = await ground.newRun();
  const endless = new Readable({
    read() {
      this.push(Buffer.alloc(65_536));
    },
  });
  assert.equal((await runProgram(run, { file, args: [], stdin: endless })).code, 0);
  endless.destroy();
});

void test('large output arrives whole, in order', async () => {
  await using ground = await newGround();
  const file = await program(ground, 'i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done');
  const { run, stdout } = await ground.newRun();
  await runProgram(run, { file, args: [] });
  assert.equal(stdout().split('\n').length, 20_001);
  assert.ok(stdout().endsWith('line 19999\n'));
});

void test('a program that leaves a child with its output open is over when it ends itself', async () => {
  await using ground = await newGround();
  const file = await program(ground, 'sleep 1000 & echo $! > "$HOME/pid"; echo done');
  const { run, stdout } = await ground.newRun();
  await runProgram(run, { file, args: [] });
  assert.equal(stdout(), 'done\n');
  process.kill(Number(await readFile(join(ground.home, 'pid'), 'utf8')));
});

void test('a program is ended with its whole tree at its deadline, and with its invocation', async () => {
  await using ground = await newGround();
  const file = await program(ground, 'sleep 1000; echo survived');
  const { run, stdout } = await ground.newRun();
  await assert.rejects(runProgram(run, { file, args: [], timeoutMs: 50 }), isFault('timeout'));
  const abort = new AbortController();
  const running = runProgram({ ...run, signal: abort.signal }, { file, args: [] });
  abort.abort();
  await assert.rejects(running);
  assert.equal(stdout(), '');
});

void test('a program whose listener is gone is ended', async () => {
  await using ground = await newGround();
  const file = await program(ground, 'echo $$ > "$HOME/pid"; echo hello; exec sleep 1000');
  const { run } = await ground.newRun();
  const gone: Run = { ...run, print: () => Promise.reject(new Fault('aborted', 'peer is gone')) };
  await assert.rejects(runProgram(gone, { file, args: [] }), isFault('aborted'));
  await ended(Number(await readFile(join(ground.home, 'pid'), 'utf8')));
});

/** Until the process is gone or only waits to be counted: signalled is not dead yet. */
async function ended(pid: number): Promise<void> {
  for (;;) {
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (state === '' || /\) Z /.test(state)) return;
    await new Promise(setImmediate);
  }
}

void test('a program that cannot be started is a fault', async () => {
  await using ground = await newGround();
  const { run } = await ground.newRun();
  await assert.rejects(runProgram(run, { file: join(ground.home, 'none'), args: [] }), isFault('process'));
});

void test('a confined program reads the site, writes only what it may, and leaves no temporary files', async (t) => {
  await using ground = await newGround();
  const file = await program(
    ground,
    `cat "$HOME/program" > /dev/null && echo read
     (echo x > "$HOME/written") 2>/dev/null && echo wrote
     echo x > "$HOME/open/written" && echo allowed
     echo x > "$TMPDIR/x" && echo "$TMPDIR" && echo "$1 $MORE"`,
  );
  await mkdir(join(ground.home, 'open'));
  const { run, stdout, stderr } = await ground.newRun();
  const spec = { file, args: ['arg'], env: { MORE: 'more' }, confined: true, writable: [join(ground.home, 'open')] };
  const { code } = await runProgram(run, spec);
  if (stdout().includes('wrote')) return t.skip('this machine does not let us confine programs (bubblewrap)');
  assert.equal(code, 0, stderr());
  const [read, allowed, temporary = '', last] = stdout().split('\n');
  assert.deepEqual([read, allowed, last], ['read', 'allowed', 'arg more']);
  await assert.rejects(stat(temporary));
});

void test('a site’s own program stands before ours, if it can be run and lies below its directory', async () => {
  await using ground = await newGround();
  await writeFile(join(ground.home, '.gitolite.rc'), `%RC = ( LOCAL_CODE => "$ENV{HOME}/local" );\n1;\n`);
  const rc = { ...(await ground.site.rc(ground.env)), binDirectory: join(ground.home, 'bin') };
  const ours = await script(join(ground.home, 'bin/commands/both'), '');
  const theirs = await script(join(ground.home, 'local/commands/both'), '');
  await script(join(ground.home, 'local/commands/off'), '', 0o644);
  await script(join(ground.home, 'outside'), '');
  assert.equal(await findProgram(rc, 'commands', 'both'), theirs);
  assert.equal(await findProgram({ ...rc, localCode: undefined }, 'commands', 'both'), ours);
  const missing = ['off', 'none', '../../outside', '', '.', 'both\0'];
  for (const name of missing) assert.equal(await findProgram(rc, 'commands', name), undefined, name);
});
