/** Walks that prove what may be read have places: one user's do not keep another's waiting, and who leaves frees its own. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import type { Oid } from '../../src/git/oid.ts';
import type { GitProcesses, GitSpec } from '../../src/git/processes.ts';
import type { WorkGate } from '../../src/git/service.ts';
import { Work, workLimits } from '../../src/request/work.ts';
import { Reachability } from '../../src/upload/reachability.ts';
import { viewOf } from '../../src/upload/view.ts';
import { principalNamed } from '../support/principals.ts';
import { House, pkts, type Spoken } from './house.ts';

interface Ground {
  readonly house: House;
  readonly work: Work;
  readonly gateOf: (name: string) => WorkGate;
  /** A fetch of a commit that no ref points at but one leads to. */
  readonly fetches: (name: string, signal?: AbortSignal) => Promise<Spoken>;
  /** Takes as many places to walk in as `name` may have; the returned gives them back. */
  readonly fill: (name: string) => Promise<Disposable>;
}

async function groundOf(t: TestContext): Promise<Ground> {
  const house = await House.open(t);
  const { path } = await house.create('r');
  const tree = join(house.directory, 'tree');
  await house.git(['init', '-q', '-b', 'main', tree]);
  for (const name of ['first', 'second']) {
    writeFileSync(join(tree, name), name);
    await house.git(['add', name], tree);
    await house.git(['commit', '-q', '-m', name], tree);
  }
  await house.git(['push', '-q', path, 'main'], tree);
  const inner = await house.git(['rev-parse', 'main^'], tree);
  const work = new Work(systemClock, workLimits(8));
  const gateOf = (name: string): WorkGate =>
    work.gate({ id: 'r', transport: 'http', address: 'x', principal: principalNamed(name) }, 'r');
  const ask = pkts('command=fetch', '0001', `want ${inner}`, 'done', '0000');
  return {
    house,
    work,
    gateOf,
    fetches: (name, signal = new AbortController().signal) =>
      house.say(ask, { name: 'r', mode: 'rpc', work: gateOf(name), signal }),
    async fill(name) {
      using stack = new DisposableStack();
      for (let count = 0; count < 2; count += 1) {
        const place = await gateOf(name).walk?.({ signal: new AbortController().signal });
        assert.ok(place);
        stack.use(place);
      }
      return stack.move();
    },
  };
}

/** Resolves once so many wait to walk. */
async function waitingWalks(work: Work, count: number): Promise<void> {
  while (work.walks.waiting < count) await new Promise((resolve) => setImmediate(resolve));
}

test('a fetch that has to be proved walks in a place, behind those of the same user only', async (t) => {
  const { work, fetches, fill } = await groundOf(t);
  const crowd = await fill('eve');
  const crowded = fetches('eve');
  await waitingWalks(work, 1);
  const { output } = await fetches('ada');
  assert.match(output.toString('latin1'), /packfile/);
  assert.equal(work.walks.waiting, 1);
  crowd[Symbol.dispose]();
  assert.match((await crowded).output.toString('latin1'), /packfile/);
  assert.deepEqual([work.walks.running, work.walks.waiting, work.running], [0, 0, 0]);
});

test('who leaves while it waits to walk frees its place in the queue, and a gate that closes says so', async (t) => {
  const { house, work, fetches, fill } = await groundOf(t);
  using _ = await fill('eve');
  const leaving = new AbortController();
  const gone = fetches('eve', leaving.signal);
  await waitingWalks(work, 1);
  const before = house.processes.started;
  leaving.abort(new Fault('aborted', 'client is gone'));
  assert.ok((await gone).fault instanceof Fault);
  assert.equal(work.walks.waiting, 0);
  const late = fetches('eve');
  await waitingWalks(work, 1);
  work.close();
  assert.match((await late).output.toString('latin1'), /ERR the server is shutting down: try again shortly/);
  assert.equal(house.processes.started, before, 'no git walked for them');
});

test('a walk that fails gives its place back', async (t) => {
  const { house, work, fetches } = await groundOf(t);
  await house.processes.close();
  for (let count = 0; count < 4; count += 1) assert.ok((await fetches('ada')).fault instanceof Fault);
  assert.deepEqual([work.walks.running, work.walks.waiting], [0, 0]);
});

test('one walk for many who ask the same takes one place', { timeout: 60_000 }, async (t) => {
  const { house, work, gateOf } = await groundOf(t);
  const tree = join(house.directory, 'tree');
  const blob = (await house.git(['rev-parse', 'main:first'], tree)) as Oid;
  const repository = house.repository('r');
  const view = await viewOf(await house.refs.snapshot(repository), undefined);
  const before = house.processes.started;
  const begun = Promise.withResolvers<void>();
  const mayGoOn = Promise.withResolvers<void>();
  let walks = 0;
  const slow: GitProcesses = Object.assign(Object.create(house.processes) as GitProcesses, {
    async start(spec: GitSpec) {
      if (spec.options?.includes('--in-commit-order') === true) {
        walks += 1;
        begun.resolve();
        await mayGoOn.promise;
      }
      return house.processes.start(spec);
    },
  });
  const reachability = new Reachability(slow);
  const { signal } = new AbortController();
  const asks = (name: string): Promise<ReadonlySet<Oid>> =>
    reachability.unreachable({ repository, view, oids: [blob], signal, requestId: 'r', work: gateOf(name) });
  const first = asks('ada');
  await begun.promise;
  const others = ['bob', 'eve', 'mia', 'zoe'].map(asks);
  // Each has looked what it is asked for in a place, and waits for the one walk in none.
  while (house.processes.started < before + 5 || house.processes.running > 0 || work.walks.running > 1)
    await new Promise((resolve) => setImmediate(resolve));
  assert.equal(work.walks.waiting, 0);
  mayGoOn.resolve();
  for (const outside of await Promise.all([first, ...others])) assert.equal(outside.size, 0);
  assert.deepEqual([walks, work.walks.running, work.walks.waiting], [1, 0, 0]);
});
