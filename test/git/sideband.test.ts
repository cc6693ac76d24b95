import assert from 'node:assert/strict';
import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { PktReader } from '../../src/git/pkt-line.ts';
import { Sideband, type SidebandMode } from '../../src/git/sideband.ts';
import { writeAll } from '../../src/git/stream.ts';

async function bandsOf(mode: SidebandMode, write: (sideband: Sideband) => Promise<void>): Promise<[number, Buffer][]> {
  const wire = new PassThrough();
  const reader = new PktReader(wire);
  const writing = write(new Sideband(wire, mode)).then(() => wire.end());
  const bands: [number, Buffer][] = [];
  for (let pkt = await reader.next(); pkt !== undefined; pkt = await reader.next()) {
    assert(pkt.kind === 'data');
    bands.push([pkt.payload[0] ?? 0, Buffer.from(pkt.payload.subarray(1))]);
  }
  await writing;
  return bands;
}

for (const [mode, payloadMax] of [
  ['small', 995],
  ['64k', 65_515],
] as const) {
  test(`Sideband ${mode} cuts data into pkts of at most ${payloadMax} bytes of payload`, async () => {
    const data = Buffer.from(Array.from({ length: payloadMax * 2 + 7 }, (_, n) => n % 251));
    const bands = await bandsOf(mode, (sideband) => sideband.data(data));
    assert.deepEqual(
      bands.map(([band, part]) => [band, part.length]),
      [
        [1, payloadMax],
        [1, payloadMax],
        [1, 7],
      ],
    );
    assert(Buffer.concat(bands.map(([, part]) => part)).equals(data));
  });
}

test('Sideband keeps pkts whole where data, progress and keep-alives overlap', async () => {
  const bands = await bandsOf('64k', async (sideband) => {
    const pack = async (): Promise<void> => {
      for (let n = 0; n < 50; n += 1) await sideband.data(Buffer.alloc(100_000, 1));
    };
    const talk = async (): Promise<void> => {
      for (let n = 0; n < 50; n += 1) {
        await sideband.progress(`line ${n}\n`);
        await sideband.keepAlive();
      }
    };
    await Promise.all([pack(), talk()]);
  });
  const bytes = bands.filter(([band, part]) => band === 1 && part.every((byte) => byte === 1));
  assert.equal(
    bytes.reduce((sum, [, part]) => sum + part.length, 0),
    5_000_000,
  );
  assert.equal(bands.filter(([band]) => band === 2).length, 50);
});

test('Sideband without a band writes data as it is, and neither progress nor keep-alive', async () => {
  const wire = new PassThrough();
  const sideband = new Sideband(wire, 'none');
  await sideband.progress('hello\n');
  await sideband.keepAlive();
  await sideband.data(Buffer.from('PACK'));
  await sideband.fatal('no');
  wire.end();
  assert.equal(await text(wire), 'PACK000aERR no');
});

test('Sideband tells a fatal error on band 3, in one pkt', async () => {
  const bands = await bandsOf('small', (sideband) => sideband.fatal('x'.repeat(5_000)));
  assert.deepEqual(
    bands.map(([band, part]) => [band, part.length]),
    [[3, 995]],
  );
});

test('writeAll waits for a reader that is slow, and no longer', async () => {
  let take: (() => void) | undefined;
  const slow = new Writable({
    highWaterMark: 1,
    write(_chunk, _encoding, callback) {
      take = callback;
    },
  });
  const writing = writeAll(slow, Buffer.from('one'));
  const turn = new Promise((resolve) => setImmediate(resolve, 'still waiting'));
  assert.equal(await Promise.race([writing, turn]), 'still waiting');
  take?.();
  await writing;
});

test('writeAll faults as aborted where the peer is gone, goes while it waits, or the signal is aborted', async () => {
  const isAborted = (error: unknown): boolean => error instanceof Fault && error.code === 'aborted';
  const stuck = (): Writable => new Writable({ highWaterMark: 1, write: () => {} });
  const gone = stuck();
  gone.destroy();
  await assert.rejects(writeAll(gone, Buffer.from('x')), isAborted);
  const going = stuck();
  const waiting = writeAll(going, Buffer.from('x'));
  going.destroy();
  await assert.rejects(waiting, isAborted);
  const failing = stuck();
  failing.on('error', () => {});
  const failed = writeAll(failing, Buffer.from('x'));
  failing.destroy(new Error('EPIPE'));
  await assert.rejects(failed, isAborted);
  const abort = new AbortController();
  const aborted = writeAll(stuck(), Buffer.from('x'), abort.signal);
  abort.abort();
  await assert.rejects(aborted, isAborted);
  const ended = stuck();
  ended.end();
  await assert.rejects(writeAll(ended, Buffer.from('x')), isAborted);
});

test('writeAll leaves no listeners behind', async () => {
  const wire = new PassThrough({ highWaterMark: 1 });
  wire.resume();
  const abort = new AbortController();
  const before = wire.listenerCount('close') + wire.listenerCount('error') + wire.listenerCount('drain');
  for (let n = 0; n < 50; n += 1) await writeAll(wire, Buffer.from('xyz'), abort.signal);
  assert.equal(wire.listenerCount('close') + wire.listenerCount('error') + wire.listenerCount('drain'), before);
});
