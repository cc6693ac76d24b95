import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { runInstalled } from '../../src/gitolite/installed.ts';
import { ProgramHost } from '../../src/gitolite/program-host.ts';
import { findProgram, runProgram } from '../../src/gitolite/programs.ts';
import type { Run } from '../../src/gitolite/run.ts';
import { type Ground, newGround } from './ground.ts';

/** Each test with programs started in this process, and with those of a process for that, as a gate does it. */
const GROUNDS: Readonly<Record<string, () => Promise<Ground>>> = {
  'by this process': () => newGround(),
  'by a host': async () => {
    const host = new ProgramHost(() => {});
    const ground = await newGround({ programs: host });
    return {
      ...ground,
      async [Symbol.asyncDispose]() {
        await host[Symbol.asyncDispose]();
        await ground[Symbol.asyncDispose]();
      },
    };
  },
};

function testEach(name: string, body: (ground: Ground, t: TestContext) => Promise<void>): void {
  for (const [how, make] of Object.entries(GROUNDS)) {
    void test(`${name}, started ${how}`, async (t) => {
      await using ground = await make();
      await body(ground, t);
    });
  }
}

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

testEach('a program that this server lacks is named to who asked for its work', async (ground) => {
  const { run } = await ground.newRun();
  await assert.rejects(
    runInstalled(run, { file: 'no-such-program', args: [] }),
    (error) => error instanceof Fault && error.publicMessage === 'no-such-program is not installed on this server',
  );
});

testEach('a program gets its arguments, the environment of the invocation and a directory', async (ground) => {
  const file = await program(ground, 'echo "$# $2 $GL_BINDIR $MORE $PWD"; echo oops >&2; exit 3');
  const { run, stdout, stderr } = await ground.newRun();
  const end = await runProgram(run, { file, args: ['a', 'b c'], env: { MORE: 'more' } });
  assert.deepEqual(end, { code: 3, stdout: '' });
  assert.equal(stdout(), `2 b c ${run.rc.binDirectory} more ${ground.home}\n`);
  assert.equal(stderr(), 'oops\n');
});

testEach(
  'what a program makes has the permissions that the settings say, and the server keeps its own umask',
  async (ground) => {
    const { run } = await ground.newRun();
    const before = process.umask();
    const file = await program(ground, 'echo x > "$HOME/made"');
    await runProgram({ ...run, rc: { ...run.rc, umask: 0o027 } }, { file, args: [] });
    assert.equal((await stat(join(ground.home, 'made'))).mode & 0o777, 0o640);
    assert.equal(process.umask(), before);
  },
);

testEach('what a program says is shown, collected or sent to standard error', async (ground) => {
  const file = await program(ground, 'echo said');
  const { run, stdout, stderr } = await ground.newRun();
  assert.equal((await runProgram(run, { file, args: [], stdout: 'collect' })).stdout, 'said\n');
  assert.equal(stdout(), '');
  await runProgram(run, { file, args: [], stdout: 'stderr' });
  assert.equal(stderr(), 'said\n');
});

testEach('a program reads what it is given: nothing, bytes, a stream, or what the invocation has', async (ground) => {
  const file = await program(ground, 'cat');
  const { run } = await ground.newRun({ stdin: 'inherited' });
  const read = async (stdin: Parameters<typeof runProgram>[1]['stdin']): Promise<string> =>
    (await runProgram(run, { file, args: [], stdout: 'collect', ...(stdin === undefined ? {} : { stdin }) })).stdout;
  assert.equal(await read(undefined), '');
  assert.equal(await read(Buffer.from('bytes')), 'bytes');
  assert.equal(await read(Readable.from([Buffer.from('a '), Buffer.from('stream')])), 'a stream');
  assert.equal(await read('inherit'), 'inherited');
});

testEach('a program that stops reading early is not waited for, nor is the input that it leaves', async (ground) => {
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

testEach('large output arrives whole, in order', async (ground) => {
  const file = await program(ground, 'i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done');
  const { run, stdout } = await ground.newRun();
  await runProgram(run, { file, args: [] });
  assert.equal(stdout().split('\n').length, 20_001);
  assert.ok(stdout().endsWith('line 19999\n'));
});

testEach('a program that leaves a child with its output open is over when it ends itself', async (ground) => {
  const file = await program(ground, 'sleep 1000 & echo $! > "$HOME/pid"; echo done');
  const { run, stdout } = await ground.newRun();
  await runProgram(run, { file, args: [] });
  assert.equal(stdout(), 'done\n');
  process.kill(Number(await readFile(join(ground.home, 'pid'), 'utf8')));
});

testEach('a program is ended with its whole tree at its deadline, and with its invocation', async (ground) => {
  const file = await program(ground, 'sleep 1000; echo survived');
  const { run, stdout } = await ground.newRun();
  await assert.rejects(runProgram(run, { file, args: [], timeoutMs: 50 }), isFault('timeout'));
  const abort = new AbortController();
  const running = runProgram({ ...run, signal: abort.signal }, { file, args: [] });
  abort.abort();
  await assert.rejects(running);
  assert.equal(stdout(), '');
});

testEach('a program whose listener is gone is ended', async (ground) => {
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

testEach('a program that cannot be started is a fault', async (ground) => {
  const { run } = await ground.newRun();
  await assert.rejects(runProgram(run, { file: join(ground.home, 'none'), args: [] }), isFault('process'));
});

testEach(
  'a confined program reads the site, writes only what it may, and leaves no temporary files',
  async (ground, t) => {
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
  },
);

testEach('a site’s own program stands before ours, if it can be run and lies below its directory', async (ground) => {
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

void test('a program opens its streams by their names', async () => {
  await using host = new ProgramHost(() => {});
  await using ground = await newGround({ programs: host });
  const file = await program(ground, 'cat < /dev/stdin > /dev/stdout; echo said > /dev/stderr');
  const { run, stdout, stderr } = await ground.newRun();
  const spec = { file, args: [], stdin: Buffer.from('input') };
  await runProgram(run, spec);
  assert.deepEqual([stdout(), stderr()], ['input', 'said\n']);
  await runProgram(run, { ...spec, confined: true });
  assert.deepEqual([stdout(), stderr()], ['inputinput', 'said\nsaid\n']);
});

void test('many programs run at once, each with its own streams', async () => {
  await using host = new ProgramHost(() => {});
  await using ground = await newGround({ programs: host });
  const file = await program(ground, 'cat; echo "$1"; echo "$1" >&2');
  const { run } = await ground.newRun();
  const ends = Array.from({ length: 60 }, async (_, index) => {
    const bytes = Buffer.from(`in ${index} `);
    const stdin = index % 2 === 0 ? bytes : Readable.from([bytes]);
    const spec = { file, args: [String(index)], stdin, stdout: 'collect' } as const;
    return (await runProgram(run, spec)).stdout;
  });
  assert.deepEqual(
    await Promise.all(ends),
    ends.map((_, index) => `in ${index} ${index}\n`),
  );
});

void test('a host that dies ends what it started, and the next program gets another', async () => {
  await using host = new ProgramHost(() => {});
  await using ground = await newGround({ programs: host });
  const kills = await program(ground, 'echo $$; read go; echo $$ > "$HOME/pid"; kill -9 $PPID; exec sleep 1000');
  const { run } = await ground.newRun();
  const input = new PassThrough();
  // It is known to run once it has said something.
  const hearing: Run = { ...run, print: () => Promise.resolve(void input.write('go\n')) };
  await assert.rejects(runProgram(hearing, { file: kills, args: [], stdin: input }), isFault('process'));
  await ended(Number(await readFile(join(ground.home, 'pid'), 'utf8')));
  const file = await program(ground, 'exit 5');
  assert.equal((await runProgram(run, { file, args: [] })).code, 5);
});

void test('a host that is closed starts nothing more', async () => {
  const host = new ProgramHost(() => {});
  await host[Symbol.asyncDispose]();
  await using ground = await newGround({ programs: host });
  const { run } = await ground.newRun();
  await assert.rejects(runProgram(run, { file: '/bin/sh', args: [] }), isFault('aborted'));
});
