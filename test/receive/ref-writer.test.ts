/** Refs written by the gate itself: the same verdicts and the same files as git's own, and nothing lost beside a real git. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import type { Odb, RawHeader } from '../../src/git/odb/odb.ts';
import { parseOid, zeroOid, type ObjectFormat, type Oid } from '../../src/git/oid.ts';
import { parseRefname, type Refname } from '../../src/git/refname.ts';
import { startGitProcesses } from '../../src/git/spawner.ts';
import { realDurable } from '../../src/receive/durable.ts';
import type { LoggedUpdate } from '../../src/receive/log-entry.ts';
import { prepareInFiles } from '../../src/receive/ref-writer-files.ts';
import { createGitRefWriter } from '../../src/receive/ref-writer-git.ts';
import type { RefWriter } from '../../src/receive/ref-writer.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { cleanEnvironment, run, workspace } from '../support/workspace.ts';
import { git, gitOk } from './site.ts';

interface Ground {
  readonly path: string;
  readonly format: ObjectFormat;
  readonly commits: readonly Oid[];
  readonly blob: Oid;
  readonly tag: Oid;
  readonly objects: Pick<Odb, 'header'>;
}

async function makeGround(t: TestContext, format: ObjectFormat = 'sha1'): Promise<Ground> {
  const path = join(workspace(t), 'a.git');
  mkdirSync(path);
  await gitOk(path, 'init', '-q', '--bare', '-b', 'main', `--object-format=${format}`);
  const oid = (text: string): Oid => parseOid(text, format) ?? assert.fail(text);
  writeFileSync(join(path, 'blob'), 'blob\n');
  const blob = oid(await gitOk(path, 'hash-object', '-w', 'blob'));
  rmSync(join(path, 'blob'));
  const tree = await gitOk(path, 'write-tree');
  const commits: Oid[] = [];
  for (const name of ['one', 'two', 'three']) commits.push(oid(await gitOk(path, 'commit-tree', '-m', name, tree)));
  await gitOk(path, 'tag', '-a', '-m', 'A tag', 'seed', commits[0] ?? '');
  const tag = oid(await gitOk(path, 'rev-parse', 'seed'));
  await gitOk(path, 'update-ref', '-d', 'refs/tags/seed');
  const types = new Map<Oid, RawHeader['type']>([
    [blob, 'blob'],
    [tag, 'tag'],
  ]);
  for (const commit of commits) types.set(commit, 'commit');
  const header = (asked: Oid): Promise<RawHeader | undefined> => {
    const type = types.get(asked);
    return Promise.resolve(type && { type, size: 1 });
  };
  return { path, format, commits, blob, tag, objects: { header } };
}

function asRepository(path: string, objectFormat: ObjectFormat): Repository {
  return { id: path, path, objectFormat } as Repository;
}

function writerOf(ground: Pick<Ground, 'objects'>, durable = realDurable): RefWriter {
  const parts = { durable, clock: systemClock, objects: () => ground.objects };
  return {
    async prepare(repository, updates) {
      return (await prepareInFiles(parts, repository, updates)) ?? assert.fail('left to git');
    },
  };
}

function refname(text: string): Refname {
  return parseRefname(text) ?? assert.fail(text);
}

/** Every file that says anything about refs, locks included. */
function filesOf(path: string): Record<string, string> {
  const files: Record<string, string> = {};
  for (const entry of readdirSync(join(path, 'refs'), { recursive: true, withFileTypes: true })) {
    const full = join(entry.parentPath, entry.name);
    if (!entry.isDirectory()) files[full.slice(path.length)] = readFileSync(full, 'utf8');
  }
  for (const name of readdirSync(path).filter((name) => /^(?:packed-refs|HEAD)/.test(name))) {
    files[name] = readFileSync(join(path, name), 'utf8');
  }
  return files;
}

/** The same numbers in each run. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

const NAMES = [
  'refs/heads/main',
  'refs/heads/a',
  'refs/heads/a/b',
  'refs/heads/a/b/c',
  'refs/heads/a-b',
  'refs/heads/a.b',
  'refs/heads/ab',
  'refs/heads/deep/er/still',
  'refs/heads/\u00e9\u{1f600}',
  'refs/heads/$(id)',
  'refs/tags/t',
  'refs/tags/a',
  'refs/x/y',
  'refs/notes/commits',
].map(refname);

for (const format of ['sha1', 'sha256'] as const) {
  test(`random transactions end as those of git update-ref do, in ${format}`, async (t) => {
    const ground = await makeGround(t, format);
    const processes = await startGitProcesses({ isolation: 'off' });
    t.after(() => processes.close());
    const other = `${ground.path}-of-git`;
    cpSync(ground.path, other, { recursive: true });
    const roll = dice(format === 'sha1' ? 7 : 11);
    const missing = parseOid('1'.repeat(ground.blob.length), format) ?? assert.fail();
    const values = [...ground.commits, ...ground.commits, ground.tag, ground.blob, missing];
    const pick = <T>(from: readonly T[]): T => from[roll(from.length)] ?? assert.fail();
    const tally = { taken: 0, refused: 0, disposed: 0, left: 0 };
    for (let round = 0; round < 70; round += 1) {
      if (roll(6) === 0) {
        const options = pick([['--all'], ['--all', '--no-prune'], []]);
        for (const path of [ground.path, other]) await gitOk(path, 'pack-refs', ...options);
      }
      if (roll(8) === 0) mkdirs([ground.path, other], `${pick(NAMES)}/${pick(['x', 'y/z'])}`);
      const current = await valuesOf(ground.path);
      const updates = drawUpdates({ roll, pick, current, values, zero: zeroOid(format) });
      const parts = { durable: realDurable, clock: systemClock, objects: () => ground.objects };
      const ours = await prepareInFiles(parts, asRepository(ground.path, format), updates);
      const theirs = await createGitRefWriter(processes).prepare(asRepository(other, format), updates);
      const said = JSON.stringify({ round, updates, ours, theirs, current: [...current] });
      if (ours === undefined) {
        // Left to git, which must then be as free as if nobody had tried.
        tally.left += 1;
        const again = await createGitRefWriter(processes).prepare(asRepository(ground.path, format), updates);
        assert.equal(again.kind, theirs.kind, said);
        if (again.kind === 'prepared') await again[Symbol.asyncDispose]();
        if (theirs.kind === 'prepared') await theirs[Symbol.asyncDispose]();
        continue;
      }
      assert.equal(ours.kind, theirs.kind, said);
      if (ours.kind === 'prepared' && theirs.kind === 'prepared') {
        const isGivenUp = roll(5) === 0;
        tally[isGivenUp ? 'disposed' : 'taken'] += 1;
        if (!isGivenUp) {
          await ours.sync();
          await ours.commit();
          await theirs.commit();
        }
        await ours[Symbol.asyncDispose]();
        await theirs[Symbol.asyncDispose]();
      } else tally.refused += 1;
      assert.deepEqual(filesOf(ground.path), filesOf(other), said);
    }
    assert.ok(tally.taken > 15 && tally.refused > 15 && tally.disposed > 2, JSON.stringify(tally));
    assert.ok(tally.left < 15, JSON.stringify(tally));
    await gitOk(ground.path, 'fsck', '--strict', '--no-dangling');
  });
}

function mkdirs(paths: readonly string[], name: string): void {
  for (const path of paths) {
    try {
      mkdirSync(join(path, name), { recursive: true });
    } catch {
      // A ref is in the way.
    }
  }
}

async function valuesOf(path: string): Promise<ReadonlyMap<string, string>> {
  const lines = await gitOk(path, 'for-each-ref', '--format=%(refname) %(objectname)');
  return new Map(
    lines
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' ') as [string, string]),
  );
}

interface Draw {
  readonly roll: (sides: number) => number;
  readonly pick: <T>(from: readonly T[]) => T;
  readonly current: ReadonlyMap<string, string>;
  readonly values: readonly Oid[];
  readonly zero: Oid;
}

function drawUpdates({ roll, pick, current, values, zero }: Draw): readonly LoggedUpdate[] {
  const count = pick([1, 1, 1, 2, 3]);
  const names = new Set<Refname>();
  while (names.size < count) names.add(pick(NAMES));
  return [...names].map((name) => {
    const is = (current.get(name) ?? zero) as Oid;
    const oldOid = roll(6) === 0 ? pick([zero, ...values]) : is;
    const newOid = oldOid !== zero && roll(3) === 0 ? zero : pick(values);
    return { refname: name, oldOid, newOid };
  });
}

test('no ref is made above or below one that lies in packed-refs alone', async (t) => {
  const ground = await makeGround(t);
  const [one = ground.blob] = ground.commits;
  const packed = ['refs/heads/a/b', 'refs/heads/a/b0', 'refs/heads/k', 'refs/heads/z/y'];
  for (const name of packed) await gitOk(ground.path, 'update-ref', name, one);
  await gitOk(ground.path, 'update-ref', 'refs/tags/t', ground.tag);
  await gitOk(ground.path, 'pack-refs', '--all', '--prune');
  for (const [name, isFree] of [
    ['refs/heads/a', false],
    ['refs/heads/a/b/c', false],
    ['refs/heads/k/l/m', false],
    ['refs/heads/z', false],
    ['refs/tags/t/u', false],
    ['refs/heads/a/a', true],
    ['refs/heads/a0', true],
    ['refs/heads/y', true],
    ['refs/tags/s', true],
    ['refs/zz/z', true],
  ] as const) {
    const update = { refname: refname(name), oldOid: zeroOid('sha1'), newOid: one };
    const prepared = await writerOf(ground).prepare(asRepository(ground.path, 'sha1'), [update]);
    if (prepared.kind === 'prepared') await prepared[Symbol.asyncDispose]();
    assert.equal(prepared.kind, isFree ? 'prepared' : 'refused', name);
  }
});

test('what is not plain is left to git, and nothing of ours stays', async (t) => {
  const ground = await makeGround(t);
  const [one = ground.blob, two = ground.blob] = ground.commits;
  const zero = zeroOid('sha1');
  const odd: Record<string, (path: string) => Promise<unknown> | void> = {
    'a log of the ref': (path) => {
      mkdirSync(join(path, 'logs/refs/heads'), { recursive: true });
      writeFileSync(join(path, 'logs/refs/heads/main'), '');
    },
    'a log of HEAD': (path) => {
      mkdirSync(join(path, 'logs'));
      writeFileSync(join(path, 'logs/HEAD'), '');
    },
    'a linked directory': (path) => {
      rmSync(join(path, 'refs/heads'), { recursive: true });
      mkdirSync(join(path, 'elsewhere'));
      symlinkSync('../elsewhere', join(path, 'refs/heads'));
    },
    'a linked ref': (path) => {
      symlinkSync('other', join(path, 'refs/heads/main'));
    },
    'a symbolic ref': (path) => gitOk(path, 'symbolic-ref', 'refs/heads/main', 'refs/heads/other'),
    'a broken ref': (path) => {
      writeFileSync(join(path, 'refs/heads/main'), 'nonsense\n');
    },
    'files for a group': (path) => gitOk(path, 'config', 'core.sharedRepository', 'group'),
    'an inclusion': (path) => gitOk(path, 'config', 'include.path', 'more'),
    'packed-refs of another kind': (path) => {
      writeFileSync(join(path, 'packed-refs'), `${one} refs/heads/z\n${one} refs/heads/b\n`);
    },
    'a linked packed-refs': (path) => {
      symlinkSync('elsewhere', join(path, 'packed-refs'));
    },
  };
  for (const [name, make] of Object.entries(odd)) {
    const path = `${ground.path}-${name.replaceAll(' ', '-')}`;
    cpSync(ground.path, path, { recursive: true });
    await make(path);
    const before = filesOfSafe(path);
    const parts = { durable: realDurable, clock: systemClock, objects: () => ground.objects };
    const updates = [{ refname: refname('refs/heads/main'), oldOid: zero, newOid: two }];
    assert.equal(await prepareInFiles(parts, asRepository(path, 'sha1'), updates), undefined, name);
    assert.deepEqual(filesOfSafe(path), before, name);
  }
});

function filesOfSafe(path: string): readonly string[] {
  return readdirSync(path, { recursive: true })
    .map(String)
    .filter((name) => !name.startsWith('objects') && !name.startsWith('hooks'))
    .toSorted();
}

test('locks of others are respected: a ref, packed-refs, HEAD', async (t) => {
  const ground = await makeGround(t);
  const [one = ground.blob, two = ground.blob] = ground.commits;
  await gitOk(ground.path, 'update-ref', 'refs/heads/main', one);
  // Patience of seconds would make the test slow: the clock of the test runs fast.
  let now = 0;
  const clock = {
    ...systemClock,
    monotonicMs: () => (now += 400),
    after: (_ms: number, callback: () => void) => systemClock.after(1, callback),
  };
  const parts = { durable: realDurable, clock, objects: () => ground.objects };
  const main = refname('refs/heads/main');
  for (const [lock, newOid] of [
    ['refs/heads/main.lock', two],
    ['HEAD.lock', two],
    ['packed-refs.lock', zeroOid('sha1')],
  ] as const) {
    writeFileSync(join(ground.path, lock), '');
    const before = filesOf(ground.path);
    const refused = await prepareInFiles(parts, asRepository(ground.path, 'sha1'), [
      { refname: main, oldOid: one, newOid },
    ]);
    assert.ok(refused?.kind === 'refused' && refused.reason.startsWith(`./${lock} exists`), JSON.stringify(refused));
    assert.deepEqual(filesOf(ground.path), before);
    rmSync(join(ground.path, lock));
  }
});

test('while refs are prepared git can change none of them, and HEAD not either', async (t) => {
  const ground = await makeGround(t);
  const [one = ground.blob, two = ground.blob, three = ground.blob] = ground.commits;
  await gitOk(ground.path, 'update-ref', 'refs/heads/main', one);
  await gitOk(ground.path, 'update-ref', 'refs/heads/gone', one);
  await gitOk(ground.path, 'pack-refs', '--all');
  const prepared = await writerOf(ground).prepare(asRepository(ground.path, 'sha1'), [
    { refname: refname('refs/heads/main'), oldOid: one, newOid: two },
    { refname: refname('refs/heads/gone'), oldOid: one, newOid: zeroOid('sha1') },
  ]);
  assert.ok(prepared.kind === 'prepared');
  await prepared.sync();
  const quick = ['-c', 'core.filesRefLockTimeout=0', '-c', 'core.packedRefsTimeout=0'];
  for (const command of [
    ['update-ref', 'refs/heads/main', three],
    ['update-ref', '-d', 'refs/heads/gone'],
    ['symbolic-ref', 'HEAD', 'refs/heads/gone'],
    ['pack-refs', '--all'],
  ]) {
    assert.notEqual((await git(ground.path, ...quick, ...command)).code, 0, command.join(' '));
  }
  assert.equal(await gitOk(ground.path, 'rev-parse', 'main', 'gone'), `${one}\n${one}`);
  await prepared.commit();
  assert.equal(await gitOk(ground.path, 'for-each-ref', '--format=%(objectname) %(refname)'), `${two} refs/heads/main`);
  for (const command of [
    ['update-ref', 'refs/heads/main', three],
    ['pack-refs', '--all'],
  ])
    await gitOk(ground.path, ...quick, ...command);
});

test('beside git update-ref and git pack-refs no update is lost and none comes back', async (t) => {
  const ground = await makeGround(t);
  const { path } = ground;
  const stream = Array.from(
    { length: 600 },
    (_, mark) => `commit refs/heads/seed\nmark :${mark + 1}\ncommitter A <a@b> ${mark} +0000\ndata 0\n`,
  );
  const marks = join(dirname(path), 'marks');
  const imported = await run('git', ['-C', path, 'fast-import', '--quiet', `--export-marks=${marks}`], {
    env: cleanEnvironment(path),
    stdin: stream.join(''),
  });
  assert.equal(imported.code, 0, imported.stderr);
  const oids = readFileSync(marks, 'utf8')
    .trim()
    .split('\n')
    .map((line) => parseOid(line.split(' ')[1] ?? '', 'sha1') ?? assert.fail());
  const objects = { header: () => Promise.resolve({ type: 'commit', size: 1 } as const) };
  const zero = zeroOid('sha1');
  const names = ['refs/heads/r0', 'refs/heads/r1', 'refs/heads/d/r2'].map(refname);
  const done: LoggedUpdate[] = [];
  let fresh = 0;
  const over = new AbortController();
  const next = async (name: Refname, turn: number): Promise<LoggedUpdate> => {
    const is = await git(path, 'rev-parse', '--verify', '-q', name);
    const oldOid = parseOid(is.stdout.trim(), 'sha1') ?? zero;
    const newOid = oldOid !== zero && turn % 4 === 3 ? zero : (oids[(fresh += 1)] ?? assert.fail('too few commits'));
    return { refname: name, oldOid, newOid };
  };
  const won = { gate: 0, git: 0 };
  const gate = async (): Promise<void> => {
    const writer = writerOf({ objects }, { ...realDurable, syncFile: async () => {}, syncDirectory: async () => {} });
    for (let turn = 0; turn < 90; turn += 1) {
      const update = await next(names[turn % names.length] ?? assert.fail(), turn);
      const prepared = await writer.prepare(asRepository(path, 'sha1'), [update]);
      if (prepared.kind === 'refused') continue;
      await prepared.sync();
      await prepared.commit();
      done.push(update);
      won.gate += 1;
    }
    over.abort();
  };
  const rival = async (): Promise<void> => {
    for (let turn = 1; !over.signal.aborted; turn += 1) {
      const { refname: name, oldOid, newOid } = await next(names[turn % names.length] ?? assert.fail(), turn);
      const change = newOid === zero ? ['-d', name, oldOid] : [name, newOid, oldOid];
      const { code } = await git(path, '-c', 'core.logAllRefUpdates=false', 'update-ref', ...change);
      if (code !== 0) continue;
      done.push({ refname: name, oldOid, newOid });
      won.git += 1;
    }
  };
  const packer = async (): Promise<void> => {
    while (!over.signal.aborted) await git(path, 'pack-refs', '--all', '--prune');
  };
  await Promise.all([gate(), rival(), packer()]);
  assert.ok(won.gate > 30 && won.git > 5, JSON.stringify(won));
  const values = await valuesOf(path);
  for (const name of names)
    assertChain(
      done.filter((update) => update.refname === name),
      values.get(name) ?? zero,
      zero,
    );
  assert.ok(!existsSync(join(path, 'packed-refs.lock')) && !existsSync(join(path, 'packed-refs.new')));
});

/** Each value but zero is used once, so that every change has to go on from what another one left. */
function assertChain(changes: readonly LoggedUpdate[], end: string, zero: string): void {
  const made = changes.map(({ newOid }) => newOid).filter((oid) => oid !== zero);
  const left = changes.map(({ oldOid }) => oldOid).filter((oid) => oid !== zero);
  assert.equal(new Set(left).size, left.length, 'two changes went on from the same value');
  const ends = made.filter((oid) => !left.includes(oid));
  assert.deepEqual(ends, end === zero ? [] : [end]);
  for (const oid of left) assert.ok(made.includes(oid), 'a change from a value that nobody made');
}
