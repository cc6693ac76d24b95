import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { findGit } from '../../src/git/git-program.ts';
import type { GitSpec } from '../../src/git/processes.ts';
import { runGit, runGitOk } from '../../src/git/run.ts';
import { findConfinement } from '../../src/git/sandbox.ts';
import { startGitProcesses } from '../../src/git/spawner.ts';
import { addCommits, git, initBare, openGround, openProcesses } from './ground.ts';

const found = await findConfinement({ mode: 'auto', git: await findGit() });
const skip = found.confinesFiles ? false : `NOT TESTED HERE: ${found.describe().join('; ')}`;

interface Place extends AsyncDisposable {
  readonly a: string;
  readonly b: string;
  readonly secret: string;
  run(spec: Omit<GitSpec, 'deadlineMs'>, input?: string): Promise<{ code: number; text: string }>;
}

async function openPlace(): Promise<Place> {
  const ground = await openGround();
  const open = await openProcesses({ isolation: 'auto' });
  const a = await initBare(join(ground.path, 'a.git'));
  const b = await initBare(join(ground.path, 'b.git'));
  await addCommits(a, 2);
  const secret = await git(b, ['hash-object', '-w', '--stdin'], 'the secret of b\n');
  return {
    a,
    b,
    secret,
    async run(spec, input = '') {
      const { code, stdout } = await runGit(open.processes, { ...spec, deadlineMs: 30_000 }, Buffer.from(input));
      return { code, text: stdout.toString() };
    },
    async [Symbol.asyncDispose]() {
      await open[Symbol.asyncDispose]();
      await ground[Symbol.asyncDispose]();
    },
  };
}

test('a confined git cannot read another repository by its path', { skip }, async () => {
  await using place = await openPlace();
  const { code } = await place.run({ subcommand: 'upload-pack', gitDir: place.a, operands: [place.b] });
  assert.equal(code, 128);
  const allowed = { subcommand: 'upload-pack', gitDir: place.a, operands: [place.b], readable: [place.b] } as const;
  assert.equal((await place.run(allowed, '0000')).code, 0);
});

test('a confined git cannot read another repository through planted alternates', { skip }, async () => {
  await using place = await openPlace();
  await writeFile(join(place.a, 'objects/info/alternates'), `${place.b}/objects\n`);
  assert.equal(await git(place.a, ['cat-file', '-t', place.secret]), 'blob');
  const spec = { subcommand: 'cat-file', options: ['--batch-check'], gitDir: place.a } as const;
  assert.equal((await place.run(spec, `${place.secret}\n`)).text, `${place.secret} missing\n`);
  assert.match((await place.run({ ...spec, readable: [place.b] }, `${place.secret}\n`)).text, / blob /);
});

test('a confined git cannot read another repository through a planted symbolic link', { skip }, async () => {
  await using place = await openPlace();
  const directory = place.secret.slice(0, 2);
  await symlink(join(place.b, 'objects', directory), join(place.a, 'objects', directory));
  assert.equal(await git(place.a, ['cat-file', '-t', place.secret]), 'blob');
  const spec = { subcommand: 'cat-file', options: ['--batch-check'], gitDir: place.a } as const;
  assert.equal((await place.run(spec, `${place.secret}\n`)).text, `${place.secret} missing\n`);
});

test('a confined git reads no file of the machine through its configuration', { skip }, async () => {
  await using place = await openPlace();
  await writeFile(join(place.a, 'objects/info/alternates'), '/etc\n');
  await git(place.a, ['config', 'include.path', '/etc/passwd']).catch(() => {});
  await symlink('/etc/passwd', join(place.a, 'packed-refs'));
  const { text } = await place.run({ subcommand: 'for-each-ref', gitDir: place.a });
  assert(!text.includes('root:'));
});

test('a confined git writes to its repository only where it may', { skip }, async () => {
  await using place = await openPlace();
  const main = await git(place.a, ['rev-parse', 'refs/heads/main']);
  const spec = { subcommand: 'update-ref', gitDir: place.a, operands: ['refs/heads/x', main] } as const;
  assert.notEqual((await place.run(spec)).code, 0);
  assert.notEqual((await place.run({ ...spec, writable: [place.b] })).code, 0);
  await assert.rejects(git(place.a, ['rev-parse', '--verify', '-q', 'refs/heads/x']));
  assert.equal((await place.run({ ...spec, writable: [place.a] })).code, 0);
  assert.equal(await git(place.a, ['rev-parse', 'refs/heads/x']), main);
});

test('a confined git writes into its quarantine and nowhere else', { skip }, async () => {
  await using place = await openPlace();
  const objectDirectory = join(place.a, 'objects/incoming');
  await mkdir(objectDirectory);
  const spec = { subcommand: 'hash-object', options: ['-w', '--stdin'], gitDir: place.a } as const;
  assert.notEqual((await place.run(spec, 'new')).code, 0);
  const { code, text } = await place.run({ ...spec, objectDirectory }, 'new');
  assert.equal(code, 0);
  assert.equal(await git(place.a, ['cat-file', '-e', text.trim()]).catch(() => 'absent'), 'absent');
});

test('a confined init and a confined local clone work where they may write', { skip }, async () => {
  await using place = await openPlace();
  const parent = join(place.a, '..');
  const fresh = join(parent, 'fresh.git');
  const init = { subcommand: 'init', options: ['--bare', '--quiet', '--template='], operands: [fresh] } as const;
  assert.notEqual((await place.run(init)).code, 0);
  assert.equal((await place.run({ ...init, writable: [parent] })).code, 0);
  const copy = join(parent, 'copy.git');
  const clone = {
    subcommand: 'clone',
    options: ['--bare', '--quiet', '--no-hardlinks'],
    operands: [place.a, copy],
  } as const;
  const { code } = await place.run({ ...clone, readable: [place.a], writable: [parent] });
  assert.equal(code, 0);
  assert.equal(await git(copy, ['rev-parse', 'refs/heads/main']), await git(place.a, ['rev-parse', 'refs/heads/main']));
});

test(
  'a spawner in namespaces of its own has no network and is still reached',
  {
    skip: found.spawnerPrefix.some((word) => word.endsWith('unshare'))
      ? false
      : skip || 'NOT TESTED HERE: no namespaces for the spawner',
  },
  async () => {
    await using open = await openProcesses({ isolation: 'auto' });
    const devices = await readFile(`/proc/${open.processes.spawnerPid}/net/dev`, 'utf8');
    assert.deepEqual(
      devices.match(/^\s*\w+(?=:)/gm)?.map((name) => name.trim()),
      ['lo'],
    );
    const route = await readFile(`/proc/${open.processes.spawnerPid}/net/route`, 'utf8');
    assert.equal(route.trim().split('\n').length, 1);
  },
);

test('isolation off confines nothing and says so', async () => {
  await using open = await openProcesses({ isolation: 'off' });
  assert.match(open.processes.confinement.describe().join('\n'), /not confined: isolation is off/);
});

test('isolation required refuses to start where something is missing', async () => {
  const program = await findGit();
  const nothing = { ...program, path: '/nonexistent/git', execPath: '/usr/lib/git-core' };
  await assert.rejects(
    findConfinement({ mode: 'required', git: nothing }),
    (error) =>
      error instanceof Fault && error.code === 'usage' && /isolation is required/.test(error.publicMessage ?? ''),
  );
  const described = (await findConfinement({ mode: 'auto', git: nothing })).describe();
  assert(described.some((line) => line.startsWith('not confined: files and processes')));
});

test(
  'a confined git runs as the user it is given',
  { skip: process.getuid?.() === 0 ? skip : 'NOT TESTED HERE: needs root' },
  async () => {
    await using ground = await openGround();
    const owner = { uid: 65_534, gid: 65_534 };
    const gitDir = await initBare(join(ground.path, 'r.git'));
    const processes = await startGitProcesses({ isolation: 'auto', owner });
    try {
      await chmod(ground.path, 0o755);
      const spec = { subcommand: 'count-objects', options: ['-v'], gitDir, deadlineMs: 30_000 } as const;
      assert.match(String(await runGitOk(processes, spec)), /count: 0/);
      const write = { ...spec, subcommand: 'hash-object', options: ['-w', '--stdin'], writable: [gitDir] } as const;
      assert.notEqual((await runGit(processes, write, Buffer.from('x'))).code, 0);
    } finally {
      await processes.close();
    }
  },
);
