/** 20,000 refs: the same list as git's own, encoded once, written with back-pressure, and no process for any of it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { type TestContext, test } from 'node:test';
import { viewOf } from '../../src/upload/view.ts';
import { expectRun } from '../support/workspace.ts';
import { House, conversationOf, pkts } from './house.ts';

const REFS = 20_000;

async function manyRefs(t: TestContext): Promise<House> {
  const house = await House.open(t);
  const repository = await house.create('r');
  const work = join(house.directory, 'work');
  await house.git(['init', '-q', '-b', 'main', work]);
  for (const text of ['one', 'two']) await house.git(['commit', '-q', '--allow-empty', '-m', text], work);
  await house.git(['tag', '-a', '-m', 'tag', 'v1'], work);
  await house.git(['push', '-q', repository.path, 'main', 'v1'], work);
  const oid = await house.git(['rev-parse', 'main'], work);
  const updates = Array.from(
    { length: REFS },
    (_, index) => `create refs/${index % 2 === 0 ? 'heads/topic' : 'changes'}/${index} ${oid}\n`,
  );
  const stdin = updates.join('');
  await expectRun('git', ['update-ref', '--stdin'], { cwd: repository.path, env: house.env, stdin });
  await house.git(['pack-refs', '--all'], repository.path);
  await house.refs.snapshot(repository);
  return house;
}

test('a repository of 20,000 refs', async (t) => {
  const house = await manyRefs(t);
  const urls = [await house.openGit(t), await house.openHttp(t)];
  const { path } = house.repository('r');

  await t.test("is listed as git's own upload-pack lists it, whole and by prefix, without a process", async () => {
    const before = house.processes.started;
    for (const version of [0, 2]) {
      for (const options of [[], ['--heads'], ['--tags']]) {
        const ask = ['-c', `protocol.version=${version}`, 'ls-remote', ...options];
        const own = await house.git([...ask, `file://${path}`]);
        for (const url of urls)
          assert.ok((await house.git([...ask, `${url}/r`])) === own, `${version} ${options.join(' ')}`);
      }
    }
    assert.equal(house.processes.started, before);
  });

  await t.test('is encoded once for all who see the same', async () => {
    const body = pkts('command=ls-refs', '0001', 'peel', 'symrefs', '0000');
    const list = async (): Promise<Buffer> => (await house.say(body, { name: 'r', mode: 'rpc' })).output;
    house.mayRead = undefined;
    const first = await list();
    house.mayRead = () => true;
    const second = await list();
    assert.ok(first.length > REFS * 60 && first.equals(second));
    const snapshot = await house.refs.snapshot(house.repository('r'));
    assert.equal(await viewOf(snapshot, house.mayRead), await viewOf(snapshot, undefined));
  });

  await t.test('is written no faster than it is read', async () => {
    const output = new PassThrough({ highWaterMark: 1_024 });
    const input = Readable.from([pkts('command=ls-refs', '0000')], { objectMode: false });
    const serving = house.serve(conversationOf({ input, output, mode: 'rpc' }), { name: 'r', service: 'upload-pack' });
    for (let turn = 0; turn < 50; turn += 1) await setImmediate();
    assert.ok(
      output.readableLength + output.writableLength < 600_000,
      `${output.readableLength + output.writableLength} bytes wait`,
    );
    let bytes = 0;
    output.on('data', (chunk: Buffer) => (bytes += chunk.length));
    const { report } = await serving;
    assert.equal(report?.bytesOut, bytes);
    assert.ok(bytes > REFS * 60);
  });

  await t.test('shows a filtered reader only its part, asking about each ref once', async () => {
    let asked = 0;
    house.mayRead = (refname) => {
      asked += 1;
      return !refname.startsWith('refs/changes/');
    };
    for (const url of urls) {
      for (const version of [0, 2]) {
        const lines = (await house.git(['-c', `protocol.version=${version}`, 'ls-remote', `${url}/r`])).split('\n');
        assert.equal(lines.length, REFS / 2 + 4, 'HEAD, main, the tag and what it points at');
      }
    }
    assert.ok(asked < 2 * REFS, `${asked} questions`);
  });
});
