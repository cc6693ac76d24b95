import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { execFile } from 'node:child_process';
import type { RawObject } from '../../src/git/odb/odb.ts';
import { OdbPool } from '../../src/git/odb/pool.ts';
import type { ObjectFormat, Oid } from '../../src/git/oid.ts';
import { RefCache, type RefSnapshot } from '../../src/git/ref-cache.ts';
import { reachesOf } from '../../src/receive/checks/reach.ts';
import type { Check } from '../../src/receive/checks/check.ts';
import { checkConnectivity } from '../../src/receive/connectivity.ts';
import { groundOf, proveConnected } from '../../src/receive/connectivity-proof.ts';
import { PushObjects } from '../../src/receive/connectivity-walk.ts';
import { newObjects, oidsBrought, type NewObjectsOptions } from '../../src/receive/new-objects.ts';
import type { RefUpdate } from '../../src/receive/step.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { ENV, git, initBare, openGround, shareProcesses } from '../git/ground.ts';
import { diceOf, grow, type Dice } from '../git/odb/histories.ts';

const run = promisify(execFile);
const open = shareProcesses();

interface Case {
  readonly server: string;
  readonly snapshot: RefSnapshot;
  readonly objectDirectory: string;
  readonly tips: readonly Oid[];
  readonly sent: ReadonlyMap<Oid, RawObject>;
  readonly isWhole: boolean;
}

/** A server, and in a quarantine of it what a client pushes, perhaps without one object. */
async function makeCase(root: string, dice: Dice, format: ObjectFormat, pool: OdbPool): Promise<Case> {
  const server = await initBare(join(root, 'server.git'), format);
  await grow(server, dice, { branches: 3, commits: 8 });
  const client = join(root, 'client.git');
  await git('/', ['clone', '-q', '--mirror', server, client]);
  await grow(client, dice, { branches: 4, commits: 6 });
  const changed = (await git(client, ['for-each-ref', '--format=%(objectname)', 'refs/heads/'])).split('\n');
  const tips = changed.filter(() => dice(3) > 0);
  if (tips.length === 0) tips.push(...changed.slice(0, 1));
  if (dice(3) === 0) {
    await git(client, ['tag', '-a', '-m', 'x', 'v1', tips[0] ?? '']);
    await git(client, ['tag', '-a', '-m', 'x', 'v1-again', 'v1']);
    tips.push(await git(client, ['rev-parse', 'v1-again']));
  }
  const old = (await git(server, ['rev-parse', '--all'])).split('\n').map((oid) => `^${oid}`);
  const listed = await git(client, ['rev-list', '--objects', '--stdin'], [...tips, ...old, ''].join('\n'));
  const oids = listed === '' ? [] : listed.split('\n').map((line) => line.split(' ')[0] ?? '');
  const isWhole = dice(3) > 0;
  if (!isWhole && oids.length > 0) oids.splice(dice(oids.length), 1);
  const objectDirectory = join(server, 'incoming', 'objects');
  await mkdir(join(objectDirectory, 'pack'), { recursive: true });
  if (oids.length > 0) {
    const pack = join(objectDirectory, 'pack', 'pack');
    const packing = run('git', ['pack-objects', '-q', pack], { cwd: client, env: ENV });
    packing.child.stdin?.end(oids.map((oid) => `${oid}\n`).join(''));
    await packing;
  }
  await using quarantined = pool.openDirectory(objectDirectory, format);
  const sent = new Map<Oid, RawObject>();
  for (const oid of oids as Oid[]) {
    const object = await quarantined.read(oid);
    assert.ok(object);
    sent.set(oid, object);
  }
  const refs = new RefCache({ processes: open.processes });
  const snapshot = await refs.snapshot({ id: server, path: server, objectFormat: format });
  return { server, snapshot, objectDirectory, tips: [...new Set(tips)] as Oid[], sent, isWhole };
}

async function itemsOf(options: NewObjectsOptions): Promise<readonly string[]> {
  const items: string[] = [];
  for await (const { content, ...item } of newObjects(options)) {
    items.push(JSON.stringify([item, content instanceof Uint8Array ? Buffer.from(content).toString('latin1') : '']));
  }
  return items;
}

async function seed(format: ObjectFormat, number: number): Promise<readonly string[]> {
  const outcomes: string[] = [];
  await using ground = await openGround();
  const pool = new OdbPool();
  const dice = diceOf(number);
  const { server, snapshot, objectDirectory, tips, sent, isWhole } = await makeCase(ground.path, dice, format, pool);
  const repository = { id: server, path: server, objectFormat: format } as Repository;
  const signal = new AbortController().signal;
  const common = { processes: open.processes, repository, objectDirectory, deadlineMs: 60_000, signal, requestId: 'r' };
  const mayRead = dice(2) === 0 ? undefined : (refname: string): boolean => refname === 'refs/heads/b0';
  const readable = snapshot.refs.filter(({ refname }) => mayRead?.(refname) === true).map(({ oid }) => oid);
  const horizon =
    mayRead === undefined ? undefined : { readable, sent: new Set<string>(sent.keys()), bases: new Set<string>() };
  const small = { objects: sent, bases: new Map<Oid, RawObject>() };
  const repositoryOdb = pool.of(server, format);
  const objects = new PushObjects(groundOf({ small, repository: repositoryOdb, snapshot, mayRead, olds: [] }));
  const expected = await checkConnectivity({ ...common, tips, horizon });
  const own = await proveConnected(objects, tips, signal).catch(() => undefined);
  outcomes.push(
    `${isWhole ? 'whole' : 'damaged'}${mayRead === undefined ? '' : ', restricted'}: ${own?.kind ?? expected.kind + ' by git'}`,
  );
  if (own !== undefined) {
    assert.deepEqual(own, expected, `seed ${number}`);
    const options: NewObjectsOptions = { ...common, tips, known: 'refs', objectsMax: 1_000 };
    const ways = [options, { ...options, blobsBelow: 30 }];
    for (const way of ways) {
      assert.deepEqual(await itemsOf({ ...way, brought: objects }), await itemsOf(way), `seed ${number}`);
    }
    const all = new Set<string>(sent.keys());
    for (const tip of tips) {
      const alone = { ...options, tips: [tip] };
      const brought = await oidsBrought({ ...alone, brought: objects }, all);
      assert.deepEqual([...brought], [...(await oidsBrought(alone, all))], `seed ${number}`);
    }
    const updates = tips.map((newOid, n) => ({ refname: `refs/heads/n${n}`, newOid })) as unknown as RefUpdate[];
    const check = { refs: [], exceptRefs: [], newTo: 'refs', knownCommits: [] } as unknown as Check;
    const place = { processes: open.processes, gitDir: server, objectDirectory };
    const reach = { place, deadlineMs: 60_000, snapshot: async () => snapshot };
    const [mine] = await reachesOf({ ...reach, brought: objects }, [check], updates);
    const [gits] = await reachesOf(reach, [check], updates);
    assert.deepEqual([...(mine?.commits ?? [])], [...(gits?.commits ?? [])], `seed ${number}`);
  }
  pool.close();
  return outcomes;
}

test('a push that is proved to be connected is so for git, with the same objects in the same order', async () => {
  const outcomes = new Map<string, number>();
  const first = Number(process.env['GATEHOUSE_TEST_SEED'] ?? 1);
  const count = Number(process.env['GATEHOUSE_TEST_SEEDS'] ?? 6);
  for (let number = first; number < first + count; number += 1) {
    for (const outcome of await seed(number % 4 === 0 ? 'sha256' : 'sha1', number)) {
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  }
  if (process.env['GATEHOUSE_TEST_SEEDS'] !== undefined) console.log(outcomes);
  assert.ok((outcomes.get('whole: connected') ?? 0) > 0);
  assert.equal(outcomes.get('damaged: connected') ?? 0, 0);
});
