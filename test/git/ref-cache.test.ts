import assert from 'node:assert/strict';
import { appendFile, mkdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as fc from 'fast-check';
import { Fault } from '../../src/base/fault.ts';
import { OdbPool } from '../../src/git/odb/pool.ts';
import type { ObjectFormat } from '../../src/git/oid.ts';
import { RefCache, type RefSnapshot } from '../../src/git/ref-cache.ts';
import type { ConfinedGitProcesses } from '../../src/git/spawner.ts';
import {
  addCommits,
  ENV,
  git,
  type Ground,
  initBare,
  openGround,
  openProcesses,
  type ProcessGround,
} from './ground.ts';

let open: ProcessGround;
let processes: ConfinedGitProcesses;
before(async () => {
  open = await openProcesses({ isolation: 'off' });
  ({ processes } = open);
});
after(() => open[Symbol.asyncDispose]());

interface Place extends AsyncDisposable {
  readonly path: string;
  readonly commits: readonly string[];
  readonly cache: RefCache;
  readonly log: string[];
  look(): Promise<RefSnapshot>;
  git(...argv: string[]): Promise<string>;
}

async function openPlace(objectFormat: ObjectFormat = 'sha1', commitCount = 3): Promise<Place> {
  const ground: Ground = await openGround();
  const path = await initBare(join(ground.path, 'r.git'), objectFormat);
  const commits = commitCount > 0 ? await addCommits(path, commitCount) : [];
  const log: string[] = [];
  const odb = new OdbPool();
  const cache = new RefCache({ processes, odb, log: (line) => log.push(line) });
  return {
    path,
    commits,
    cache,
    log,
    look: () => cache.snapshot({ id: 'r', path, objectFormat }),
    git: (...argv) => git(path, argv),
    [Symbol.asyncDispose]() {
      odb.close();
      return ground[Symbol.asyncDispose]();
    },
  };
}

/** What git itself advertises: `OID NAME` lines with HEAD and peeled tags. */
async function oracle(path: string): Promise<string> {
  return git(path, ['ls-remote', path]).then((text) => text.replaceAll('\t', ' '));
}

function linesOf({ head, refs }: RefSnapshot): string {
  const lines = refs.flatMap(({ refname, oid, peeled }) => [
    `${oid} ${refname}`,
    ...(peeled ? [`${peeled} ${refname}^{}`] : []),
  ]);
  return [...(head.oid ? [`${head.oid} HEAD`] : []), ...lines].join('\n');
}

async function assertAsGit(place: Place): Promise<void> {
  assert.equal(linesOf(await place.look()), await oracle(place.path));
}

for (const objectFormat of ['sha1', 'sha256'] as const) {
  test(`RefCache shows what git shows while git changes refs behind its back (${objectFormat})`, async () => {
    await using place = await openPlace(objectFormat, 5);
    const [c1 = '', c2 = '', c3 = ''] = place.commits;
    await assertAsGit(place);
    const steps: (readonly string[])[] = [
      ['update-ref', 'refs/heads/topic', c1],
      ['update-ref', 'refs/heads/topic', c2],
      ['update-ref', 'refs/heads/a/b/c', c1],
      ['tag', '-a', '-m', 'one', 'v1', c1],
      ['tag', '-a', '-m', 'nested', 'v1-nested', 'v1'],
      ['tag', '-a', '-m', 'deeper', 'v1-deeper', 'v1-nested'],
      ['tag', '-a', '-m', 'a tree', 'tree', `${c1}^{tree}`],
      ['pack-refs', '--all'],
      ['update-ref', 'refs/heads/topic', c3],
      ['symbolic-ref', 'refs/heads/alias', 'refs/heads/topic'],
      ['symbolic-ref', 'refs/heads/dangling', 'refs/heads/gone'],
      ['update-ref', '-d', 'refs/heads/a/b/c'],
      ['update-ref', 'refs/heads/a', c1],
      ['symbolic-ref', 'HEAD', 'refs/heads/topic'],
      ['symbolic-ref', 'HEAD', 'refs/heads/unborn'],
      ['pack-refs', '--all', '--no-prune'],
      ['update-ref', '-d', 'refs/tags/v1'],
      ['update-ref', '--no-deref', 'HEAD', c2],
      ['symbolic-ref', 'HEAD', 'refs/heads/alias'],
      ['update-ref', '-d', 'refs/heads/main'],
      ['update-ref', 'refs/notes/commits', c1],
      ['gc', '-q'],
    ];
    for (const argv of steps) {
      await place.git(...argv);
      assert.equal(linesOf(await place.look()), await oracle(place.path), argv.join(' '));
    }
    assert.deepEqual((await place.look()).head.target, 'refs/heads/topic');
    assert.equal((await place.look()).byName.get('refs/heads/alias')?.symref, 'refs/heads/topic');
  });
}

test('RefCache shows what git shows after random changes', { timeout: 300_000 }, async () => {
  await using place = await openPlace('sha1', 4);
  const oid = fc.constantFrom(...place.commits);
  const refname = fc.constantFrom('refs/heads/a', 'refs/heads/b', 'refs/heads/x/y', 'refs/tags/t', 'refs/notes/n');
  const step = fc.oneof(
    fc.tuple(refname, oid).map(([name, to]) => ['update-ref', name, to]),
    refname.map((name) => ['update-ref', '-d', name]),
    refname.map((name) => ['symbolic-ref', 'HEAD', name]),
    fc.constant(['pack-refs', '--all']),
    fc.tuple(refname, oid).map(([name, to]) => ['write', name, to]),
  );
  const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 5 }), async (steps) => {
    for (const argv of steps) {
      const [verb, name = '', to = ''] = argv;
      if (verb === 'write') {
        await mkdir(join(place.path, name, '..'), { recursive: true });
        await writeFile(join(place.path, name), `${to}\n`);
      } else await place.git(...argv);
      await assertAsGit(place);
    }
  });
  await fc.assert(property, { numRuns: 25 });
});

test('RefCache asks git nothing while nothing changes, and gives the same snapshot', async () => {
  await using place = await openPlace();
  const first = await place.look();
  const started = processes.started;
  const all = await Promise.all(Array.from({ length: 100 }, () => place.look()));
  assert(all.every((snapshot) => snapshot === first));
  assert.equal(processes.started, started);
});

test('RefCache keeps the snapshot and its memo over a pack-refs, and drops it at a change', async () => {
  await using place = await openPlace();
  const first = await place.look();
  first.memo.set('x', 1);
  await place.git('pack-refs', '--all');
  assert.equal(await place.look(), first);
  await place.git('update-ref', 'refs/heads/new', place.commits[0] ?? '');
  const second = await place.look();
  assert.notEqual(second.fingerprint, first.fingerprint);
  assert.equal(second.memo.size, 0);
});

test('RefCache notices a file rewritten in place with the same size and the same times', async () => {
  await using place = await openPlace();
  const [c1 = '', c2 = ''] = place.commits;
  const file = join(place.path, 'refs/heads/main');
  const times = new Date(1_600_000_000_000);
  await writeFile(file, `${c1}\n`);
  await utimes(file, times, times);
  assert.equal((await place.look()).byName.get('refs/heads/main')?.oid, c1);
  await writeFile(file, `${c2}\n`);
  await utimes(file, times, times);
  assert.equal((await place.look()).byName.get('refs/heads/main')?.oid, c2);
});

test('RefCache notices packed-refs rewritten in place within one tick of the clock', async () => {
  await using place = await openPlace();
  const [c1 = '', c2 = '', c3 = ''] = place.commits;
  await place.git('pack-refs', '--all');
  const file = join(place.path, 'packed-refs');
  for (let n = 0; n < 30; n += 1) {
    const text = await readFile(file, 'utf8');
    const [from, to] = text.includes(c3) ? [c3, c2] : text.includes(c2) ? [c2, c1] : [c1, c3];
    await writeFile(file, text.replace(from, to));
    assert.equal((await place.look()).byName.get('refs/heads/main')?.oid, to);
  }
});

test('RefCache never loses a ref while git packs and updates refs', { timeout: 120_000 }, async () => {
  await using place = await openPlace();
  const [c1 = '', c2 = ''] = place.commits;
  for (let n = 0; n < 20; n += 1) await place.git('update-ref', `refs/heads/b${n}`, c1);
  const over = new AbortController();
  const churn = (async () => {
    for (let n = 0; n < 40; n += 1) {
      await place.git('pack-refs', '--all');
      await place.git('update-ref', `refs/heads/b${n % 20}`, n % 2 === 0 ? c2 : c1);
    }
    over.abort();
  })();
  while (!over.signal.aborted) {
    const { refs } = await place.look();
    assert.equal(refs.length, 21);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await churn;
  await assertAsGit(place);
});

test('RefCache answers an unborn HEAD in an empty repository', async () => {
  await using place = await openPlace('sha1', 0);
  const { head, refs } = await place.look();
  assert.deepEqual({ head, refs }, { head: { target: 'refs/heads/main' }, refs: [] });
});

test('RefCache leaves out, with a line in the log, what git leaves out', async () => {
  await using place = await openPlace();
  const [c1 = ''] = place.commits;
  const write = (name: string, text: string): Promise<void> => writeFile(join(place.path, name), text);
  await write('refs/heads/garbage', 'not an oid\n');
  await write('refs/heads/empty', '');
  await write('refs/heads/zero', `${'0'.repeat(40)}\n`);
  await write('refs/heads/absent', `${'1'.repeat(40)}\n`);
  await write('refs/heads/short', c1.slice(0, 39));
  await write('refs/heads/long', `${c1}0\n`);
  await write('refs/heads/huge', 'x'.repeat(1_000_000));
  await write('refs/heads/bad..name', `${c1}\n`);
  await write('refs/heads/escape', 'ref: ../../../etc/passwd\n');
  await write('refs/heads/circle', 'ref: refs/heads/circle\n');
  await write('refs/heads/held.lock', `${c1}\n`);
  await write('refs/heads/fine', `${c1}\n`);
  await write('refs/heads/upper', `${c1.toUpperCase()}  \n`);
  await symlink('/etc/passwd', join(place.path, 'refs/heads/link'));
  await symlink('refs/heads/main', join(place.path, 'refs/heads/old-symref'));
  await symlink('..', join(place.path, 'refs/heads/loop'));
  const { byName } = await place.look();
  const names = ['refs/heads/fine', 'refs/heads/main', 'refs/heads/old-symref', 'refs/heads/upper'];
  assert.deepEqual([...byName.keys()], names);
  for (const name of ['garbage', 'empty', 'zero', 'absent', 'short', 'huge', 'bad..name', 'escape', 'link']) {
    assert(
      place.log.some((line) => line.includes(name)),
      name,
    );
  }
});

test('RefCache sees a missing object come, without a change to any ref', async () => {
  await using ground = await openGround();
  await using place = await openPlace();
  const other = await initBare(join(ground.path, 'other.git'));
  const blob = await git(other, ['hash-object', '-w', '--stdin'], 'later');
  await writeFile(join(place.path, 'refs/heads/later'), `${blob}\n`);
  let now = Date.now();
  const cache = new RefCache({ processes, clock: { now: () => now } });
  const look = (): Promise<RefSnapshot> => cache.snapshot({ id: 'r', path: place.path, objectFormat: 'sha1' });
  assert.equal((await look()).byName.has('refs/heads/later'), false);
  await git(place.path, ['hash-object', '-w', '--stdin'], 'later');
  now += 60_000;
  assert.equal((await look()).byName.has('refs/heads/later'), true);
});

test('RefCache faults where packed-refs is malformed or cut, and shows no refs deleted', async () => {
  const isCorrupt = (error: unknown): boolean => error instanceof Fault && error.code === 'corrupt';
  const c1 = 'a'.repeat(40);
  for (const text of [
    `${c1} refs/heads/x`,
    `${c1}\n`,
    `${c1}  `,
    'garbage\n',
    `^${c1}\n`,
    '\n',
    `${c1.slice(1)} refs/heads/x\n`,
    '# one\n# two\n',
  ]) {
    await using place = await openPlace();
    await place.look();
    await writeFile(join(place.path, 'packed-refs'), text);
    await assert.rejects(place.look(), isCorrupt, JSON.stringify(text));
    await rm(join(place.path, 'packed-refs'));
    await assertAsGit(place);
  }
});

test('RefCache reads packed-refs of every age: without header, unsorted, with and without peeled values', async () => {
  await using place = await openPlace();
  const [c1 = '', c2 = ''] = place.commits;
  await place.git('tag', '-a', '-m', 'one', 'v1', c1);
  await place.git('tag', '-a', '-m', 'two', 'v2', 'v1');
  const tag = await place.git('rev-parse', 'v2');
  for (const name of ['v1', 'v2']) await place.git('update-ref', '-d', `refs/tags/${name}`);
  for (const header of ['', '# pack-refs with: peeled \n', '# pack-refs with:\n']) {
    await writeFile(
      join(place.path, 'packed-refs'),
      `${header}${c2} refs/heads/z\n${tag} refs/tags/v2\n${c1} refs/heads/b\n`,
    );
    const { refs } = await place.look();
    assert.deepEqual(
      refs.map(({ refname }) => refname),
      ['refs/heads/b', 'refs/heads/main', 'refs/heads/z', 'refs/tags/v2'],
    );
    assert.equal(refs[3]?.peeled, c1);
  }
});

test('RefCache faults where HEAD is missing or garbage, or refs is gone', async () => {
  await using place = await openPlace();
  const isCorrupt = (error: unknown): boolean => error instanceof Fault && error.code === 'corrupt';
  await writeFile(join(place.path, 'HEAD'), 'garbage');
  await assert.rejects(place.look(), isCorrupt);
  await rm(join(place.path, 'HEAD'));
  await assert.rejects(place.look(), isCorrupt);
  await writeFile(join(place.path, 'HEAD'), 'ref: refs/heads/main\n');
  await assertAsGit(place);
  await rename(join(place.path, 'refs'), join(place.path, 'refs-away'));
  await assert.rejects(place.look(), isCorrupt);
  await rename(join(place.path, 'refs-away'), join(place.path, 'refs'));
  await assertAsGit(place);
});

test('RefCache says that it reads no reftable', async () => {
  await using place = await openPlace();
  await mkdir(join(place.path, 'reftable'));
  await assert.rejects(place.look(), (error) => error instanceof Fault && /reftable/.test(error.publicMessage ?? ''));
});

test('RefCache shows 20,000 refs as git shows them, loose and packed', { timeout: 300_000 }, async () => {
  await using place = await openPlace();
  const [c1 = '', c2 = ''] = place.commits;
  const create = Array.from({ length: 20_000 }, (_, n) => `create refs/heads/many/${n} ${n % 2 === 0 ? c1 : c2}\n`);
  await git(place.path, ['update-ref', '--stdin'], create.join(''));
  await assertAsGit(place);
  await place.git('pack-refs', '--all');
  await assertAsGit(place);
  await place.git('update-ref', 'refs/heads/many/777', c1);
  await assertAsGit(place);
});

test('RefCache stays within its bound and forgets the least recently used', async () => {
  await using ground = await openGround();
  const cache = new RefCache({ processes, bytesMax: 30_000 });
  const repositories = await Promise.all(
    Array.from({ length: 6 }, async (_, n) => {
      const path = await initBare(join(ground.path, `${n}.git`));
      await addCommits(path, 1);
      return { id: String(n), path, objectFormat: 'sha1' as const };
    }),
  );
  for (const repository of repositories) {
    await cache.snapshot(repository);
    assert(cache.bytes <= 30_000, String(cache.bytes));
  }
  for (const { id } of repositories) cache.forget(id);
  assert.equal(cache.bytes, 0);
});

test('a caller that comes while the disk is looked at sees what changed before its call', async () => {
  await using place = await openPlace();
  const [c1 = ''] = place.commits;
  const names: string[] = [];
  const looks: Promise<void>[] = [];
  for (let n = 0; n < 30; n += 1) {
    const name = `refs/heads/n${n}`;
    await writeFile(join(place.path, name), `${c1}\n`);
    names.push(name);
    const expected = names.length + 1;
    looks.push(place.look().then(({ refs }) => assert(refs.length >= expected, `${refs.length} of ${expected}`)));
  }
  await Promise.all(looks);
});

test('refs are sorted by bytes, also beyond the basic plane', async () => {
  await using place = await openPlace();
  const [c1 = ''] = place.commits;
  for (const name of ['\u{1f600}', '\uffee', 'z', 'ä', 'a.b', 'a-b', 'a/b'])
    await place.git('update-ref', `refs/heads/${name}`, c1);
  await appendFile(join(place.path, 'description'), '');
  await assertAsGit(place);
  assert.equal(ENV['LC_ALL'], 'C');
});

test('a look serves those who asked before it, and nobody who asks later', async () => {
  await using place = await openPlace();
  const { cache, commits, path } = place;
  const repository = { id: 'r', path, objectFormat: 'sha1' } as const;
  const shown = async (since?: number): Promise<string | undefined> =>
    (await cache.snapshot(repository, since)).byName.get('refs/heads/main')?.oid;
  const [first = '', , last = ''] = commits;
  await place.git('update-ref', 'refs/heads/main', first);
  assert.equal(await shown(), first);
  const asked = cache.moment();
  assert.equal(await shown(), first);
  await place.git('update-ref', 'refs/heads/main', last);
  // It was on disk as it is told when this was asked for, and nobody who asked was told otherwise.
  assert.equal(await shown(asked), first);
  assert.equal(await shown(cache.moment()), last);
  assert.equal(await shown(asked), last);
  await place.git('update-ref', '-d', 'refs/heads/main');
  assert.equal(await shown(), undefined);
});
