/** What the wire of an SSH connection does with the memory of packets: given back when the kernel has them, and not before. */
/* oxlint-disable eslint/no-underscore-dangle -- every such name here is a field of ssh2's, which calls them so; none is ours */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { hastenCipher, releaseSealed } from '../../src/base/ssh-cipher.ts';
import { SshWire } from '../../src/transport/ssh-wire.ts';

const PACKET_BYTES = 32 * 1024 + 16;
/** More than the kernel takes for a peer that does not read. */
const PACKETS = 1_024;

/** As ssh2's cipher of one direction. */
class PlainCipher {
  readonly _encSSLName = 'aes-128-gcm';
  readonly _encKey = randomBytes(16);
  readonly _encIV = randomBytes(12);
  readonly _dead = false;
  readonly _onWrite: (data: Buffer) => void;
  outSeqno = 0;

  constructor(onWrite: (data: Buffer) => void) {
    this._onWrite = onWrite;
  }

  allocPacket(payloadBytes: number): Buffer {
    return Buffer.alloc(payloadBytes);
  }

  encrypt(_packet: Buffer): void {
    assert.fail('this is not the hastened one');
  }
}

async function startPair(t: TestContext): Promise<{ readonly wire: SshWire; readonly peer: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[peer]] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, once(socket, 'connect')]);
  const wire = new SshWire({ socket, id: 'wire', clock: systemClock });
  t.after(() => {
    wire.destroy();
    peer.destroy();
    server.close();
  });
  return { wire, peer };
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise(setImmediate);
}

test('packets come as they were sealed to a peer that reads late, and their memory is given back', async (t) => {
  const { wire, peer } = await startPair(t);
  const sent = createHash('sha256');
  const bodies: Buffer[] = [];
  let bytes = 0;
  const cipher = new PlainCipher((chunk) => {
    sent.update(chunk);
    bytes += chunk.length;
    if (chunk.length > 1_000) bodies.push(chunk);
    wire.write(chunk);
  });
  assert.equal(hastenCipher({ _protocol: { _cipher: cipher, _packetRW: { write: { allocStart: 5 } } } }), true);
  const packet = randomBytes(PACKET_BYTES);
  for (let count = 0; count < PACKETS; count += 1) cipher.encrypt(packet);
  await turns(20);
  const kept = bodies.filter(({ length }) => length > 0).length;
  assert.ok(kept > 0, 'the kernel took everything: nothing was under way');
  // Takes memory that was given back too early.
  const others = Array.from({ length: 256 }, () => Buffer.alloc(PACKET_BYTES - 4, 0x55));
  const got = createHash('sha256');
  let received = 0;
  for await (const chunk of peer as AsyncIterable<Buffer>) {
    got.update(chunk);
    received += chunk.length;
    if (received === bytes) break;
  }
  assert.equal(got.digest('hex'), sent.digest('hex'));
  await turns(20);
  assert.equal(bodies.filter(({ length }) => length > 0).length, 0, 'memory of sent packets is still held');
  assert.equal(others.length, 256);
});

test('what a connection that broke did not take is left to the collector', async (t) => {
  const { wire, peer } = await startPair(t);
  const bodies: Buffer[] = [];
  const cipher = new PlainCipher((chunk) => {
    if (chunk.length > 1_000) bodies.push(chunk);
    wire.write(chunk);
  });
  hastenCipher({ _protocol: { _cipher: cipher, _packetRW: { write: { allocStart: 5 } } } });
  const packet = randomBytes(PACKET_BYTES);
  for (let count = 0; count < PACKETS; count += 1) cipher.encrypt(packet);
  const closed = new Promise((resolve) => wire.once('close', resolve));
  peer.resetAndDestroy();
  await closed;
  await turns(20);
  assert.ok(bodies.some(({ length }) => length === PACKET_BYTES - 4));
});

test('what was not sealed here is never given back', () => {
  const plain = Buffer.alloc(4_096, 1);
  releaseSealed(plain);
  assert.equal(plain.length, 4_096);
});

test('a wire says once that it is closed, after its error, and leaves stacks as they were to everybody else', async (t) => {
  const { wire } = await startPair(t);
  const limit = Error.stackTraceLimit;
  const said: string[] = [];
  wire.on('error', () => said.push('error'));
  wire.on('close', () => {
    said.push('close');
    assert.equal(new Error('nobody reads it').stack, 'Error: nobody reads it');
  });
  wire.destroy(new Error('broken'));
  wire.destroy();
  await turns(5);
  assert.deepEqual(said, ['error', 'close']);
  assert.equal(Error.stackTraceLimit, limit);
  assert.match(new Error('read by somebody').stack ?? '', /ssh-wire\.test/);
});
