import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Fault } from '../../src/base/fault.ts';
import { innerProcesses, type GitSpec } from '../../src/git/processes.ts';
import { runGit, runGitOk } from '../../src/git/run.ts';
import { readChunk } from '../../src/git/stream.ts';
import { startGitProcesses } from '../../src/git/spawner.ts';
import { addCommits, git, type Ground, initBare, openGround, openProcesses } from './ground.ts';

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof Fault && error.code === code;
}

/** A git that waits for input for ever. */
function waiting(gitDir: string, more: Partial<GitSpec> = {}): GitSpec {
  return { subcommand: 'cat-file', options: ['--batch-check'], gitDir, deadlineMs: 60_000, ...more };
}

/** Processes whose environment names `mark` in GIT_DIR: what a spawner started for that repository, and only that. */
function alive(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`GIT_DIR=${mark}\0`);
      } catch {
        return false;
      }
    });
}

async function untilGone(mark: string): Promise<void> {
  while (alive(mark).length > 0) await new Promise((resolve) => setImmediate(resolve));
}

async function repository(ground: Ground): Promise<string> {
  const gitDir = await initBare(join(ground.path, 'r.git'));
  await addCommits(gitDir, 3);
  return gitDir;
}

for (const isolation of ['auto', 'off'] as const) {
  test(`runGit (${isolation}) gives input, output and exit code as git does`, async () => {
    await using ground = await openGround();
    await using open = await openProcesses({ isolation });
    const gitDir = await repository(ground);
    const main = await git(gitDir, ['rev-parse', 'refs/heads/main']);
    const spec = waiting(gitDir);
    const { code, stdout, stderr } = await runGit(open.processes, spec, Buffer.from('refs/heads/main\nnothing\n'));
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.match(stdout.toString(), new RegExp(`^${main} commit \\d+\nnothing missing\n$`));
    const failed = await runGit(open.processes, { ...spec, subcommand: 'rev-list', options: [], operands: ['gone'] });
    assert.equal(failed.code, 128);
    assert.match(failed.stderr, /gone/);
    assert.equal(open.processes.started, 2);
  });

  test(`50 clones at once (${isolation}) are whole, while one reader that stands still stops nobody`, async () => {
    await using ground = await openGround();
    await using open = await openProcesses({ isolation });
    const gitDir = await initBare(join(ground.path, 'r.git'));
    const big = Buffer.alloc(3_000_000, 'incompressible? no').toString('latin1');
    const blob = await git(gitDir, ['hash-object', '-w', '--stdin'], big);
    const still = await open.processes.start({ ...waiting(gitDir), options: ['--batch'] });
    still.stdin.write(`${blob}\n`.repeat(20));
    const clone = async (): Promise<void> => {
      const spec: GitSpec = { ...waiting(gitDir), options: ['--batch'] };
      const output = await runGitOk(open.processes, spec, Buffer.from(`${blob}\n`));
      assert.equal(output.length, big.length + blob.length + ` blob ${big.length}\n\n`.length);
    };
    await Promise.all(Array.from({ length: 50 }, clone));
    await still[Symbol.asyncDispose]();
    assert.equal(open.processes.running, 0);
  });

  test(`a deadline (${isolation}) ends the whole process tree, and says so`, async () => {
    await using ground = await openGround();
    await using open = await openProcesses({ isolation });
    const gitDir = await repository(ground);
    const child = await open.processes.start(waiting(gitDir, { deadlineMs: 50 }));
    assert.equal((await child.exit).ended, 'deadline');
    assert.equal(await readChunk(child.stdout), undefined);
    await untilGone(gitDir);
    await assert.rejects(runGit(open.processes, waiting(gitDir, { deadlineMs: 50 }), never()), hasCode('timeout'));
  });

  test(`an abort (${isolation}) ends the whole process tree, and says so`, async () => {
    await using ground = await openGround();
    await using open = await openProcesses({ isolation });
    const gitDir = await repository(ground);
    const abort = new AbortController();
    const child = await open.processes.start(waiting(gitDir, { signal: abort.signal }));
    child.stdin.write('refs/heads/main\n');
    assert.match(String(await readChunk(child.stdout)), /commit/);
    abort.abort();
    assert.equal((await child.exit).ended, 'aborted');
    await untilGone(gitDir);
    await assert.rejects(open.processes.start(waiting(gitDir, { signal: abort.signal })), hasCode('aborted'));
  });
}

async function* never(): AsyncGenerator<Buffer> {
  yield Buffer.from('refs/heads/main\n');
  await new Promise(() => {});
}

test('disposing of a git that runs kills it and waits for it', async () => {
  await using ground = await openGround();
  await using open = await openProcesses();
  const gitDir = await repository(ground);
  {
    await using child = await open.processes.start(waiting(gitDir));
    child.stdin.write('refs/heads/main\n');
    await readChunk(child.stdout);
    assert.notEqual(alive(gitDir).length, 0);
  }
  assert.equal(open.processes.running, 0);
  await untilGone(gitDir);
});

test('close ends what runs, refuses what comes and leaves no process and no file', async () => {
  await using ground = await openGround();
  const gitDir = await repository(ground);
  const processes = await startGitProcesses({ isolation: 'auto' });
  const spawner = processes.spawnerPid;
  const running = await Promise.all(Array.from({ length: 5 }, () => processes.start(waiting(gitDir))));
  await processes.close();
  for (const one of running) assert.equal((await one.exit).ended, 'aborted');
  await untilGone(gitDir);
  assert.throws(() => process.kill(spawner ?? 0, 0));
  await assert.rejects(processes.start(waiting(gitDir)), hasCode('aborted'));
});

test('a spawner that dies is replaced; what ran under it faults and is gone', async () => {
  await using ground = await openGround();
  await using open = await openProcesses();
  const gitDir = await repository(ground);
  const lost = await open.processes.start(waiting(gitDir));
  lost.stdin.write('refs/heads/main\n');
  await readChunk(lost.stdout);
  process.kill(open.processes.spawnerPid ?? 0, 'SIGKILL');
  await assert.rejects(lost.exit, hasCode('process'));
  await untilGone(gitDir);
  for (let restarts = 1; restarts <= 3; restarts += 1) {
    const { code } = await runGit(open.processes, waiting(gitDir), Buffer.from('refs/heads/main\n'));
    assert.equal(code, 0);
    assert.equal(open.processes.restarts, restarts);
    const last = await open.processes.start(waiting(gitDir));
    process.kill(open.processes.spawnerPid ?? 0, 'SIGKILL');
    await assert.rejects(last.exit, hasCode('process'));
  }
  await untilGone(gitDir);
});

test('a git started in the last moment of its spawner ends, though nobody heard of its pid', async () => {
  await using ground = await openGround();
  const gitDir = await repository(ground);
  for (let round = 0; round < 4; round += 1) {
    await using open = await openProcesses();
    const started = await Promise.all(Array.from({ length: 6 }, () => open.processes.start(waiting(gitDir))));
    // Not waited for: some orders were carried out whose reports never came.
    setImmediate(() => process.kill(open.processes.spawnerPid ?? 0, 'SIGKILL'));
    for (const one of started) await assert.rejects(one.exit, hasCode('process'));
    await untilGone(gitDir);
  }
});

test('a gate that is killed takes its spawner and every git with it', async () => {
  await using ground = await openGround();
  const gitDir = await repository(ground);
  const module = fileURLToPath(new URL('../../src/git/spawner.ts', import.meta.url));
  const script = `
    const { startGitProcesses } = await import(${JSON.stringify(module)});
    const processes = await startGitProcesses({ isolation: 'auto' });
    const git = await processes.start(JSON.parse(process.argv[1]));
    git.stdin.write('refs/heads/main\\n');
    git.stdout.once('data', () => console.log(processes.spawnerPid));`;
  const gate = spawn(process.execPath, ['--input-type=module', '-e', script, JSON.stringify(waiting(gitDir))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TMPDIR: ground.path },
  });
  const [line] = (await once(gate.stdout.setEncoding('utf8'), 'data')) as [string];
  assert.notEqual(alive(gitDir).length, 0);
  gate.kill('SIGKILL');
  await untilGone(gitDir);
  const spawner = Number(line);
  while (isAlive(spawner)) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(readdirSync(ground.path), ['r.git']);
});

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}

test('a git that stops reading, or whose reader goes, brings nobody down', async () => {
  await using ground = await openGround();
  await using open = await openProcesses();
  const gitDir = await repository(ground);
  const deaf = await open.processes.start({ ...waiting(gitDir), options: ['-e'], operands: ['refs/heads/main'] });
  for (let n = 0; n < 100; n += 1) deaf.stdin.write(Buffer.alloc(65_536));
  assert.equal((await deaf.exit).code, 0);
  const chatty = await open.processes.start({ ...waiting(gitDir), options: ['--batch'] });
  chatty.stdin.write('refs/heads/main\n'.repeat(50_000));
  chatty.stdout.destroy();
  const { code } = await chatty.exit;
  assert.notEqual(code, 0);
  assert.equal((await runGit(open.processes, waiting(gitDir))).code, 0);
});

test('output over the bound is a fault and the process is ended', async () => {
  await using ground = await openGround();
  await using open = await openProcesses();
  const gitDir = await initBare(join(ground.path, 'r.git'));
  const blob = await git(gitDir, ['hash-object', '-w', '--stdin'], 'x'.repeat(10_000_000));
  const spec = { ...waiting(gitDir), options: ['--batch'] };
  await assert.rejects(runGit(open.processes, spec, Buffer.from(`${blob}\n`.repeat(8))), hasCode('process'));
  assert.equal(open.processes.running, 0);
});

test('of standard error the last part is kept', async () => {
  await using ground = await openGround();
  await using open = await openProcesses();
  const gitDir = await repository(ground);
  for (let n = 0; n < 2_000; n += 1) await writeFile(join(gitDir, 'refs/heads', `broken-${n}`), 'nothing\n');
  const spec: GitSpec = { subcommand: 'for-each-ref', gitDir, deadlineMs: 60_000 };
  const { stderr, code } = await runGit(open.processes, spec);
  assert.equal(code, 0);
  assert.equal(stderr.length, 65_536);
  assert(stderr.endsWith('broken-999\n'));
});

test('a git that is not there is told at start', async () => {
  await assert.rejects(startGitProcesses({ isolation: 'off', gitPath: '/nonexistent/git' }), hasCode('missing'));
});

test('too many processes wait for their turn, in order; who is aborted leaves the queue', async () => {
  await using ground = await openGround();
  await using open = await openProcesses({ questionsMax: 2, conversationsMax: 1 });
  const gitDir = await repository(ground);
  const first = await Promise.all([open.processes.start(waiting(gitDir)), open.processes.start(waiting(gitDir))]);
  const abort = new AbortController();
  const third = open.processes.start(waiting(gitDir, { signal: abort.signal }));
  const fourth = open.processes.start(waiting(gitDir));
  assert.equal(open.processes.waiting, 2);
  // A conversation has places of its own: one that holds one may ask questions.
  await using talk = await open.processes.start({
    ...waiting(gitDir),
    subcommand: 'upload-pack',
    options: [],
    operands: [gitDir],
  });
  assert.notEqual(await readChunk(talk.stdout), undefined);
  abort.abort();
  await assert.rejects(third, hasCode('aborted'));
  await first[0][Symbol.asyncDispose]();
  await (await fourth)[Symbol.asyncDispose]();
  await first[1][Symbol.asyncDispose]();
  assert.equal(open.processes.waiting, 0);
});

test('a question is answered while a pack is made for a slow upstream, and while its asker holds another', async () => {
  await using ground = await openGround();
  await using open = await openProcesses({ questionsMax: 1 });
  const gitDir = await repository(ground);
  await using _ = await open.processes.start({
    subcommand: 'pack-objects',
    options: ['--stdout', '--revs', '-q'],
    gitDir,
    deadlineMs: 60_000,
  });
  await using outer = await open.processes.start(waiting(gitDir));
  const inner = await runGitOk(innerProcesses(open.processes), waiting(gitDir), Buffer.from('refs/heads/none\n'));
  assert.equal(String(inner), 'refs/heads/none missing\n');
  assert.equal(open.processes.waiting, 0);
  outer.stdin.end();
  assert.equal((await outer.exit).code, 0);
});

test('no configuration and no file of a repository runs a program', async (t: TestContext) => {
  await using ground = await openGround();
  await using open = await openProcesses({ isolation: 'off' });
  const gitDir = await repository(ground);
  const proof = join(ground.path, 'proof');
  const program = join(ground.path, 'program');
  await writeFile(program, `#!/bin/sh\ntouch ${proof}\ncat\n`);
  await chmod(program, 0o755);
  await mkdir(join(gitDir, 'hooks'), { recursive: true });
  for (const hook of [
    'reference-transaction',
    'pre-auto-gc',
    'post-update',
    'update',
    'pre-receive',
    'post-checkout',
  ]) {
    await writeFile(join(gitDir, 'hooks', hook), await readFile(program));
    await chmod(join(gitDir, 'hooks', hook), 0o755);
  }
  const keys = ['core.fsmonitor', 'core.sshCommand', 'core.alternateRefsCommand', 'core.gitProxy', 'core.editor'];
  const more = ['uploadpack.packObjectsHook', 'gpg.program', 'diff.external', 'core.pager', 'credential.helper'];
  for (const key of [...keys, ...more]) await git(gitDir, ['config', key, program]);
  await git(gitDir, ['config', 'core.hooksPath', join(gitDir, 'hooks')]);
  await git(gitDir, ['config', 'remote.evil.url', `ext::${program}`]);
  await git(gitDir, ['config', 'remote.evil.promisor', 'true']);
  await git(gitDir, ['config', 'extensions.partialClone', 'evil']);
  await git(gitDir, ['config', 'protocol.ext.allow', 'always']);
  await git(gitDir, ['config', 'core.repositoryFormatVersion', '1']);
  const main = await git(gitDir, ['rev-parse', 'refs/heads/main']);
  const run = (spec: Omit<GitSpec, 'deadlineMs' | 'gitDir'>, input = ''): Promise<unknown> =>
    runGit(open.processes, { ...spec, gitDir, deadlineMs: 30_000, writable: [gitDir] }, Buffer.from(input));
  await run({ subcommand: 'update-ref', options: ['--stdin'] }, `create refs/heads/x ${main}\n`);
  await run({ subcommand: 'pack-refs', options: ['--all'] });
  await run({ subcommand: 'cat-file', options: ['--batch'] }, `${'1'.repeat(40)}\n`);
  await run({ subcommand: 'rev-list', options: ['--objects', '--all'] });
  await run({ subcommand: 'gc', options: ['--quiet'] });
  await run({ subcommand: 'fsck', options: ['--full'] });
  await run({ subcommand: 'diff-tree', options: ['-r', '--raw'], operands: [`${main}~1`, main] });
  const want = `0032want ${main}\n00000009done\n`;
  await run({ subcommand: 'upload-pack', options: ['--stateless-rpc'], operands: [gitDir] }, want);
  await run({ subcommand: 'upload-archive', operands: [gitDir] }, '0012argument HEAD\n0000');
  await assert.rejects(readFile(proof), 'a program ran');
  await t.test('and where a key cannot be overridden the repository is refused', async () => {
    await git(gitDir, ['config', 'filter.evil.smudge', program]);
    await assert.rejects(run({ subcommand: 'upload-archive', operands: [gitDir] }), hasCode('corrupt'));
    await assert.rejects(run({ subcommand: 'gc' }), hasCode('corrupt'));
  });
});

test('a quarantine holds new objects, sees the old ones, and no ref can be moved onto it', async () => {
  for (const objectFormat of ['sha1', 'sha256'] as const) {
    await using ground = await openGround();
    await using open = await openProcesses();
    const gitDir = await initBare(join(ground.path, 'with: colon.git'), objectFormat);
    const [commit = ''] = await addCommits(gitDir, 1);
    const objectDirectory = join(gitDir, 'objects', 'quarantine');
    await mkdir(objectDirectory);
    const spec = { gitDir, objectDirectory, deadlineMs: 30_000 } as const;
    const write: GitSpec = { ...spec, subcommand: 'hash-object', options: ['-w', '--stdin'] };
    const blob = (await runGitOk(open.processes, write, Buffer.from('new'))).toString().trim();
    const look: GitSpec = { ...spec, subcommand: 'cat-file', options: ['--batch-check=%(objecttype)'] };
    assert.equal(
      (await runGitOk(open.processes, look, Buffer.from(`${blob}\n${commit}\n`))).toString(),
      'blob\ncommit\n',
    );
    await assert.rejects(git(gitDir, ['cat-file', '-e', blob]));
    const move: GitSpec = { ...spec, subcommand: 'update-ref', operands: ['refs/heads/x', commit], writable: [gitDir] };
    assert.notEqual((await runGit(open.processes, move)).code, 0);
  }
});

test('input that fails, fails the run and ends the process', async () => {
  await using ground = await openGround();
  await using open = await openProcesses();
  const gitDir = await repository(ground);
  await assert.rejects(runGit(open.processes, waiting(gitDir), failing()), /the client broke off/);
  assert.equal(open.processes.running, 0);
});

async function* failing(): AsyncGenerator<Buffer> {
  yield Buffer.from('refs/heads/main\n');
  await Promise.reject(new Error('the client broke off'));
}
