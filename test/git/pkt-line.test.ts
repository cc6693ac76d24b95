import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Fault } from '../../src/base/fault.ts';
import { DELIM, encodePkt, FLUSH, type Pkt, PktReader, pktText, RESPONSE_END } from '../../src/git/pkt-line.ts';

async function readAll(reader: PktReader): Promise<Pkt[]> {
  const pkts: Pkt[] = [];
  for (let pkt = await reader.next(); pkt !== undefined; pkt = await reader.next()) {
    pkts.push(pkt.kind === 'data' ? { kind: 'data', payload: Buffer.from(pkt.payload) } : pkt);
  }
  return pkts;
}

function readerOf(...chunks: readonly (Buffer | string)[]): PktReader {
  return new PktReader(
    Readable.from(
      chunks.map((chunk) => Buffer.from(chunk)),
      { objectMode: false },
    ),
  );
}

function isBadInput(pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof Fault && error.code === 'bad-input' && pattern.test(error.publicMessage ?? '');
}

const pktArbitrary: fc.Arbitrary<Pkt> = fc.oneof(
  fc.constantFrom<Pkt>({ kind: 'flush' }, { kind: 'delim' }, { kind: 'response-end' }),
  fc.uint8Array({ maxLength: 300 }).map((bytes): Pkt => ({ kind: 'data', payload: Buffer.from(bytes) })),
);

function encode(pkt: Pkt): Buffer {
  if (pkt.kind === 'data') return encodePkt(pkt.payload);
  return { flush: FLUSH, delim: DELIM, 'response-end': RESPONSE_END }[pkt.kind];
}

test('encodePkt writes the examples of gitprotocol-common', () => {
  assert.equal(encodePkt('a\n').toString(), '0006a\n');
  assert.equal(encodePkt('a').toString(), '0005a');
  assert.equal(encodePkt('foobar\n').toString(), '000bfoobar\n');
  assert.equal(encodePkt('').toString(), '0004');
});

test('encodePkt counts bytes, not characters', () => {
  assert.equal(encodePkt('ä').toString(), '0006ä');
});

test('encodePkt takes 65516 bytes and refuses a payload over that', () => {
  assert.equal(encodePkt(Buffer.alloc(65_516)).subarray(0, 4).toString(), 'fff0');
  assert.throws(() => encodePkt(Buffer.alloc(65_517)), isBadInput(/too long/));
  assert.throws(() => encodePkt('ä'.repeat(33_000)), isBadInput(/too long/));
});

test('PktReader reads back what was written, wherever the stream is cut', async () => {
  const pkts = fc.array(pktArbitrary, { maxLength: 12 });
  const property = fc.asyncProperty(pkts, fc.array(fc.nat(2_000), { maxLength: 10 }), async (written, cuts) => {
    const bytes = Buffer.concat(written.map(encode));
    const points = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
    const chunks = points.slice(1).map((end, index) => bytes.subarray(points[index], end));
    const reader = readerOf(...chunks.filter((chunk) => chunk.length > 0));
    assert.deepEqual(await readAll(reader), written);
    assert.equal(reader.bytesRead, bytes.length);
  });
  await fc.assert(property, { numRuns: 200 });
});

test('ready gives what next would, as soon as all of it has come, and nothing of what is broken', async () => {
  const pkts = fc.array(pktArbitrary, { minLength: 1, maxLength: 8 });
  const property = fc.asyncProperty(
    pkts,
    fc.nat(),
    fc.constantFrom('', '0003', 'fffF', '00g4', '00'),
    async (written, cut, end) => {
      const bytes = Buffer.concat([...written.map(encode), Buffer.from(end)]);
      const at = 1 + (cut % bytes.length);
      const reader = readerOf(...[bytes.subarray(0, at), bytes.subarray(at)].filter((chunk) => chunk.length > 0));
      assert.equal(reader.ready(), undefined);
      const got: Pkt[] = [];
      for (let count = 0; count < written.length; count += 1) {
        const ready = reader.ready();
        const pkt = ready ?? (await reader.next());
        assert.ok(pkt);
        // A pkt that begins and ends in the first chunk is never waited for, but for the first.
        const isHere = Buffer.concat(written.slice(0, count + 1).map(encode)).length <= at;
        if (count > 0 && isHere) assert.notEqual(ready, undefined);
        got.push(pkt.kind === 'data' ? { kind: 'data', payload: Buffer.from(pkt.payload) } : pkt);
      }
      assert.deepEqual(got, written);
      assert.equal(reader.bytesRead, bytes.length - end.length);
      assert.equal(reader.ready(), undefined);
      if (end === '') assert.equal(await reader.next(), undefined);
      else await assert.rejects(reader.next(), isBadInput(/protocol error/));
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

test('PktReader reads a recorded request the same at every split point', async () => {
  const bytes = Buffer.from(
    '0014command=ls-refs\n0015agent=git/2.39.500010009peel\n0000'.replace(
      '0015agent=git/2.39.5',
      '0014agent=git/2.39.5',
    ),
  );
  const whole = await readAll(readerOf(bytes));
  assert.equal(whole.length, 5);
  for (let point = 1; point < bytes.length; point += 1) {
    assert.deepEqual(await readAll(readerOf(bytes.subarray(0, point), bytes.subarray(point))), whole);
  }
});

test('PktReader says that the stream ended inside a pkt, at every point inside one', async () => {
  const bytes = encodePkt('want 1234\n');
  for (let point = 1; point < bytes.length; point += 1) {
    const reader = readerOf(bytes.subarray(0, point));
    await assert.rejects(reader.next(), isBadInput(/ended inside a pkt-line/));
  }
});

test('PktReader takes upper-case length digits, as git does', async () => {
  const [pkt] = await readAll(readerOf('000Afoobar'));
  assert.deepEqual(pkt, { kind: 'data', payload: Buffer.from('foobar') });
});

test('PktReader refuses the length 0003 and lengths over 65520', async () => {
  await assert.rejects(readerOf('0003').next(), isBadInput(/bad line length 3/));
  await assert.rejects(readerOf('fff1').next(), isBadInput(/bad line length 65521/));
  await assert.rejects(readerOf('FFFF').next(), isBadInput(/bad line length 65535/));
});

test('PktReader takes the longest pkt, in one chunk or a thousand', async () => {
  const bytes = encodePkt(Buffer.alloc(65_516, 7));
  const chunks = Array.from({ length: 1_000 }, (_, n) => bytes.subarray(n * 66, n * 66 + 66));
  for (const reader of [readerOf(bytes), readerOf(...chunks.filter((chunk) => chunk.length > 0))]) {
    const pkt = await reader.next();
    assert(pkt?.kind === 'data');
    assert(pkt.payload.equals(Buffer.alloc(65_516, 7)));
    assert.equal(await reader.next(), undefined);
  }
});

test('PktReader answers an HTTP request, a TLS hello and binary garbage with the characters it met', async () => {
  await assert.rejects(readerOf('GET / HTTP/1.1\r\n').next(), isBadInput(/bad line length character: GET $/));
  const hello = Buffer.from('16030100f1010000', 'hex');
  await assert.rejects(readerOf(hello).next(), isBadInput(/^[\x20-\x7e]*$/));
  await assert.rejects(readerOf('+00a').next(), isBadInput(/bad line length character/));
  await assert.rejects(readerOf(' 00a').next(), isBadInput(/bad line length character/));
  await assert.rejects(readerOf('0x0a').next(), isBadInput(/bad line length character/));
});

test('PktReader never throws anything but a Fault on arbitrary bytes', async () => {
  const property = fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
    try {
      await readAll(readerOf(Buffer.from(bytes)));
    } catch (error) {
      assert(error instanceof Fault && error.code === 'bad-input', String(error));
    }
  });
  await fc.assert(property, { numRuns: 300 });
});

test('rest yields what follows the last pkt, byte for byte', async () => {
  const pack = Buffer.from('PACK\0\0\0\u0002 and so on, 0000 inside it');
  const bytes = Buffer.concat([encodePkt('done\n'), FLUSH, pack]);
  for (let point = 1; point < bytes.length; point += 1) {
    const reader = readerOf(bytes.subarray(0, point), bytes.subarray(point));
    assert.equal((await reader.next())?.kind, 'data');
    assert.equal((await reader.next())?.kind, 'flush');
    const rest: Buffer[] = [];
    for await (const chunk of reader.rest()) rest.push(chunk);
    assert(Buffer.concat(rest).equals(pack));
  }
});

test('rest leaves the stream alone when the loop is left early', async () => {
  const input = new PassThrough();
  const reader = new PktReader(input);
  input.write(Buffer.concat([FLUSH, Buffer.from('one')]));
  await reader.next();
  for await (const chunk of reader.rest()) {
    assert.equal(chunk.toString(), 'one');
    break;
  }
  assert.equal(input.destroyed, false);
  input.end('two');
  const rest: string[] = [];
  for await (const chunk of reader.rest()) rest.push(chunk.toString());
  assert.deepEqual(rest, ['two']);
});

test('PktReader holds no more than one chunk of a stream that nobody reads on', async () => {
  let produced = 0;
  const endless = new Readable({
    highWaterMark: 65_536,
    read() {
      produced += 65_536;
      this.push(Buffer.concat(Array.from({ length: 65_536 / 16 }, () => encodePkt('twelve bytes'))));
    },
  });
  const reader = new PktReader(endless);
  for (let n = 0; n < 100; n += 1) await reader.next();
  assert(produced <= 4 * 65_536, `${produced} bytes were produced`);
  endless.destroy();
});

test('PktReader stops waiting when it is aborted', async () => {
  const abort = new AbortController();
  const reader = new PktReader(new PassThrough(), abort.signal);
  const waiting = reader.next();
  abort.abort();
  await assert.rejects(waiting, (error) => error instanceof Fault && error.code === 'aborted');
  await assert.rejects(reader.next(), (error) => error instanceof Fault && error.code === 'aborted');
});

test('PktReader tells a broken connection from a clean end', async () => {
  const input = new PassThrough();
  const reader = new PktReader(input);
  const waiting = reader.next();
  input.destroy(new Error('ECONNRESET'));
  await assert.rejects(waiting, (error) => error instanceof Fault && error.code === 'aborted');
  assert.equal(await readerOf().next(), undefined);
});

test('pktText drops one trailing LF only', () => {
  assert.equal(pktText(Buffer.from('a\n')), 'a');
  assert.equal(pktText(Buffer.from('a\n\n')), 'a\n');
  assert.equal(pktText(Buffer.from('a')), 'a');
  assert.equal(pktText(Buffer.alloc(0)), '');
});
