/** Clients of protocol v0 and v1 that have nothing yet share packs with those of v2, and hear how long they wait. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import type { Conversation } from '../../src/git/service.ts';
import { House, pkts, readPkts, type Spoken } from './house.ts';

const BYTES = 400_000;

/** A repository with one tag and three commits, larger than what is kept in memory. */
async function opened(t: TestContext, isKeeping = true) {
  const packCache = isKeeping ? { packCache: { bytesMax: 64 * 1024 * 1024, keepMs: 60_000 } } : {};
  const house = await House.open(t, packCache);
  const { path } = await house.create('lab');
  const work = join(house.directory, 'work');
  await house.git(['init', '-q', '-b', 'main', work]);
  for (let index = 0; index < 3; index += 1) {
    writeFileSync(join(work, `file-${index}`), randomBytes(BYTES / 3));
    await house.git(['add', '-A'], work);
    await house.git(['commit', '-q', '-m', `change ${index}`], work);
  }
  await house.git(['tag', '-a', '-m', 'one', 'v1'], work);
  await house.git(['push', '-q', path, 'main', 'v1'], work);
  const tip = await house.git(['rev-parse', 'main'], work);
  return { house, path, work, tip };
}

const CAPABILITIES = 'side-band-64k ofs-delta no-progress include-tag';

function askV0(house: House, words: readonly string[], more: Partial<Conversation> = {}): Promise<Spoken> {
  return house.say(pkts(...words), { name: 'lab', protocol: 0, mode: 'rpc', ...more });
}

function askV2(house: House, tip: string, more: Partial<Conversation> = {}): Promise<Spoken> {
  const words = ['ofs-delta', 'no-progress', 'include-tag', `want ${tip}`, 'done', '0000'];
  return house.say(pkts('command=fetch', 'object-format=sha1', '0001', ...words), {
    name: 'lab',
    mode: 'rpc',
    ...more,
  });
}

function assertPack(pack: Buffer): void {
  assert.equal(pack.toString('latin1', 0, 4), 'PACK');
  const digest = createHash('sha1').update(pack.subarray(0, -20)).digest();
  assert.ok(pack.subarray(-20).equals(digest), 'the pack is whole');
}

test('clones in v0 and v1 are served from what a clone in v2 left, over HTTP and git://, and the other way round', async (t) => {
  const { house } = await opened(t);
  const addresses = [`${await house.openGit(t)}/lab`, `${await house.openHttp(t)}/lab`];
  const clone = async (version: number, url: string, name: string): Promise<string> => {
    const tree = join(house.directory, name);
    await house.git(['-c', `protocol.version=${version}`, 'clone', '-q', '--bare', url, tree]);
    await house.git(['fsck', '--strict'], tree);
    return house.git(['for-each-ref'], tree);
  };
  const [first = '', second = ''] = addresses;
  const refs = await clone(0, second, 'maker');
  const { started } = house.processes;
  for (const [index, url] of addresses.entries())
    for (const version of [0, 1, 2]) assert.equal(await clone(version, url, `v${version}-${index}`), refs);
  assert.equal(house.processes.started, started, 'no process');
  assert.deepEqual(house.asked, { hit: 6, joined: 0, miss: 1 });
  const filtered = join(house.directory, 'filtered');
  await house.git(['-c', 'protocol.version=0', 'clone', '-q', '--bare', '--filter=blob:none', first, filtered]);
  assert.deepEqual(house.asked, { hit: 6, joined: 0, miss: 2 }, 'another question');
});

test('the answer of v0 is that of v2 but for its beginning, byte by byte', async (t) => {
  const { house, tip } = await opened(t);
  const two = await askV2(house, tip);
  const none = await askV0(house, [`want ${tip} ${CAPABILITIES}\n`, '0000', 'done\n']);
  assert.deepEqual(house.asked, { hit: 1, joined: 0, miss: 1 });
  const [begin, rest] = [two.output.subarray(0, 13), two.output.subarray(13)];
  assert.equal(String(begin), '000dpackfile\n');
  assert.equal(none.output.toString('latin1', 0, 8), '0008NAK\n');
  assert.ok(none.output.subarray(8).equals(rest));
});

test('clients for which git has to decide get its own answer', async (t) => {
  const { house, path, work, tip } = await opened(t);
  const older = await house.git(['rev-parse', 'main~1'], work);
  const ask = async (words: readonly string[]): Promise<string[]> => readPkts((await askV0(house, words)).output);

  const plain = await askV0(house, [`want ${tip} ofs-delta\n`, '0000', 'done\n']);
  assert.equal(plain.output.toString('latin1', 0, 8), '0008NAK\n');
  assertPack(plain.output.subarray(8));

  const [nak, ...small] = await ask([`want ${tip} side-band no-progress\n`, '0000', 'done\n']);
  assert.equal(nak, 'NAK\n');
  assert.ok(
    small.every((pkt) => pkt.length <= 996),
    'the first sideband has packets of 1000 bytes',
  );

  const has = await ask([`want ${tip} ${CAPABILITIES}\n`, '0000', `have ${older}\n`, 'done\n']);
  assert.equal(has[0], `ACK ${older}\n`);

  const deep = await ask([`want ${tip} ${CAPABILITIES}\n`, 'deepen 1\n', '0000', 'done\n']);
  assert.deepEqual(deep.slice(0, 3), [`shallow ${tip}`, '0000', 'NAK\n']);

  writeFileSync(join(path, 'shallow'), `${older}\n`);
  const cut = join(house.directory, 'cut');
  await house.git(['-c', 'protocol.version=0', 'clone', '-q', '--bare', `${await house.openGit(t)}/lab`, cut]);
  assert.equal(await house.git(['rev-list', '--count', 'main'], cut), '2');
  assert.deepEqual(house.asked, { hit: 0, joined: 0, miss: 0 });
});

test('a clone in v0 that waits hears so in front of its pack, whether packs are kept or not', async (t) => {
  for (const isKeeping of [true, false]) {
    const { house, tip } = await opened(t, isKeeping);
    const work: Conversation['work'] = ({ tell }) => {
      tell?.('wait\n');
      tell?.('wait more\n');
      return Promise.resolve({ [Symbol.dispose]() {} });
    };
    const quiet = await askV0(house, [`want ${tip} ${CAPABILITIES}\n`, '0000', 'done\n'], { work });
    const [nak, ...silent] = await readPkts(quiet.output);
    assert.equal(nak, 'NAK\n');
    assert.deepEqual(silent.slice(0, 2), ['\u0001', '\u0001'], 'signs of life, nothing of the pack');

    const told = await askV0(house, [`want ${tip} side-band-64k\n`, '0000', 'done\n'], { work });
    const [first, ...bands] = await readPkts(told.output);
    assert.equal(first, 'NAK\n');
    assert.deepEqual(bands.slice(0, 2), ['\u0002gatehouse: wait\n', '\u0002gatehouse: wait more\n']);
    assert.equal(bands.at(-1), '0000');
    const data = bands.filter((pkt) => pkt.startsWith('\u0001')).map((pkt) => Buffer.from(pkt.slice(1), 'latin1'));
    assertPack(Buffer.concat(data));
  }
});

test('an answer that does not begin as it was promised ends with words instead of broken packets', async (t) => {
  for (const [version, isKeeping] of [
    [0, true],
    [2, true],
    [2, false],
  ] as const) {
    const { house, path, work: tree, tip } = await opened(t, isKeeping);
    const older = await house.git(['rev-parse', 'main~1'], tree);
    // Of a shallow repository git says first where it ends; the client was told to expect the pack by then.
    const work: Conversation['work'] = ({ tell }) => {
      tell?.('wait\n');
      writeFileSync(join(path, 'shallow'), `${older}\n`);
      return Promise.resolve({ [Symbol.dispose]() {} });
    };
    const asked =
      version === 2
        ? await askV2(house, tip, { work })
        : await askV0(house, [`want ${tip} ${CAPABILITIES}\n`, '0000', 'done\n'], { work });
    rmSync(join(path, 'shallow'));
    assert.ok(asked.fault instanceof Fault && asked.fault.code === 'process', String(asked.fault));
    const heard = await readPkts(asked.output);
    assert.equal(heard[0], version === 2 ? 'packfile\n' : 'NAK\n');
    assert.match(heard.at(-1) ?? '', /^\u0003the server could not complete this/);
  }
});
