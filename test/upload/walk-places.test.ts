/** Walks that prove what may be read have places: one user's do not keep another's waiting, and who leaves frees its own. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import type { WorkGate } from '../../src/git/service.ts';
import { Work, workLimits } from '../../src/request/work.ts';
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
