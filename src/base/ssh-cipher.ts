/**
 * AES-GCM packets as ssh2 sends them (RFC 5647, 7.3), with less done for each: padding from a pool instead of a call for
 * six bytes, one write for a small packet instead of three, and a large one encrypted from where its bytes lie.
 * The cryptography is node:crypto's, as in ssh2. Where ssh2 has changed inside, it goes on by itself; a test sees it.
 */
/* oxlint-disable eslint/no-underscore-dangle -- every such name here is a field of ssh2's, which calls them so; none is ours */
import { createCipheriv, randomFillSync, type CipherGCMTypes } from 'node:crypto';

/** ssh2's cipher of one direction, the parts that are used here. */
interface GcmCipher {
  readonly _encSSLName: CipherGCMTypes;
  readonly _encKey: Uint8Array;
  /** 4 fixed bytes and the invocation counter of 8, which counts on with each packet. */
  readonly _encIV: Uint8Array;
  readonly _onWrite: (data: Uint8Array) => void;
  readonly _dead: boolean;
  outSeqno: number;
}

/** ssh2's protocol, the parts that are used here. */
interface Packets {
  readonly _cipher: object;
  readonly _kexinit: unknown;
  readonly _debug: unknown;
  readonly _packetRW: { readonly write: { readonly allocStart: number } };
}

type SendData = (this: Packets, channel: number, data: unknown) => void;

const BLOCK_BYTES = 16;
const TAG_BYTES = 16;
const PADDING_BYTES_MIN = 4;
/** Length and padding length (RFC 4253, 6); then message, channel and length of the data (RFC 4254, 5.2). */
const HEAD_BYTES = 4 + 1;
const DATA_HEAD_BYTES = 1 + 4 + 4;
const MESSAGE_CHANNEL_DATA = 94;
/** Up to this size bytes are copied together: a write more costs more. */
const COPY_BYTES_MAX = 2_048;
/** A packet of a channel at most (32 KiB of data), with its head and padding. */
const PACKET_BYTES_MAX = 34_000;

const hastened = new WeakSet<object>();

/**
 * Hastens the cipher by which this connection sends now, and all later ones of its kind. Call it when a key exchange is over.
 * False: it is not AES-GCM of ssh2's own making; nothing is changed.
 */
export function hastenCipher(client: object): boolean {
  const protocol: unknown = Reflect.get(client, '_protocol');
  if (!isPackets(protocol)) return false;
  const cipher: unknown = protocol._cipher;
  if (!isGcmCipher(cipher)) return false;
  const kind = Object.getPrototypeOf(cipher) as object;
  if (!hastened.has(kind)) {
    hastened.add(kind);
    Reflect.set(kind, 'allocPacket', allocPacket);
    Reflect.set(kind, 'encrypt', encrypt);
  }
  hastenData(Object.getPrototypeOf(protocol) as object);
  return true;
}

function hastenData(kind: object): void {
  if (hastened.has(kind)) return;
  const plain: unknown = Reflect.get(kind, 'channelData');
  if (typeof plain !== 'function') return;
  hastened.add(kind);
  const sendData: SendData = function sendData(channel, data) {
    const { _cipher: cipher } = this;
    const whole =
      data instanceof Uint8Array &&
      data.length > COPY_BYTES_MAX &&
      data.length <= PACKET_BYTES_MAX - 64 &&
      // During a key exchange ssh2 keeps packets back; with compression they begin elsewhere.
      this._kexinit === undefined &&
      this._packetRW.write.allocStart === HEAD_BYTES;
    if (whole && isHastened(cipher)) {
      sealData(cipher, channel, data);
    } else Reflect.apply(plain, this, [channel, data]);
  };
  Reflect.set(kind, 'channelData', sendData);
}

/** Looked at once for each cipher, not for each packet. */
const known = new WeakSet<object>();

function isHastened(cipher: object): cipher is GcmCipher {
  if (known.has(cipher)) return true;
  if (!hastened.has(Object.getPrototypeOf(cipher) as object) || !isGcmCipher(cipher)) return false;
  known.add(cipher);
  return true;
}

/** A packet that wants its payload from byte 5 on. */
function allocPacket(this: GcmCipher, payloadBytes: number): Buffer {
  const padding = paddingFor(payloadBytes);
  const packet = Buffer.allocUnsafe(HEAD_BYTES + payloadBytes + padding);
  fillFrame(packet, padding);
  return packet;
}

function encrypt(this: GcmCipher, packet: Buffer): void {
  if (this._dead) return;
  const length = packet.subarray(0, 4);
  const cipher = createCipheriv(this._encSSLName, this._encKey, this._encIV);
  cipher.setAAD(length);
  const body = cipher.update(packet.subarray(4));
  cipher.final();
  send(this, { length, body, tag: cipher.getAuthTag() });
}

/** One plaintext at a time, which never leaves this file and is encrypted before the next is made. */
const scratch = Buffer.allocUnsafeSlow(PACKET_BYTES_MAX);

function sealData(to: GcmCipher, channel: number, data: Uint8Array): void {
  if (to._dead) return;
  const padding = paddingFor(DATA_HEAD_BYTES + data.length);
  const packet = scratch.subarray(0, HEAD_BYTES + DATA_HEAD_BYTES + data.length + padding);
  fillFrame(packet, padding);
  packet[HEAD_BYTES] = MESSAGE_CHANNEL_DATA;
  packet.writeUInt32BE(channel, HEAD_BYTES + 1);
  packet.writeUInt32BE(data.length, HEAD_BYTES + 5);
  packet.set(data, HEAD_BYTES + DATA_HEAD_BYTES);
  const length = Buffer.from(packet.subarray(0, 4));
  const cipher = createCipheriv(to._encSSLName, to._encKey, to._encIV);
  cipher.setAAD(length);
  const body = cipher.update(packet.subarray(4));
  cipher.final();
  send(to, { length, body, tag: cipher.getAuthTag() });
}

interface Sealed {
  readonly length: Buffer;
  readonly body: Buffer;
  readonly tag: Buffer;
}

/** Large ciphertexts that nobody but who sends them refers to. */
const sealed = new WeakSet<Uint8Array>();

/**
 * Gives the memory of a large packet back, where `chunk` is one that was made here: to be called when it is sent, and never
 * while anything may still read it, since its bytes are gone. Memory outside of the heap that waits for the collector
 * makes V8 mark the whole heap every few dozen megabytes, which costs several times what the encryption does.
 */
export function releaseSealed(chunk: Uint8Array): void {
  if (!sealed.delete(chunk)) return;
  const { buffer } = chunk;
  // Detaches it and frees what it had.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.byteLength) buffer.transfer(0);
}

function send(from: GcmCipher, { length, body, tag }: Sealed): void {
  countOn(from);
  if (body.length > COPY_BYTES_MAX) {
    sealed.add(body);
    from._onWrite(length);
    from._onWrite(body);
    from._onWrite(tag);
    return;
  }
  const whole = Buffer.allocUnsafe(length.length + body.length + TAG_BYTES);
  whole.set(length, 0);
  whole.set(body, length.length);
  whole.set(tag, length.length + body.length);
  from._onWrite(whole);
}

/** No two packets may be encrypted alike: before anything can fail, the counters stand at the next. */
function countOn(cipher: GcmCipher): void {
  const iv = cipher._encIV;
  for (let at = 11; at >= 4; at -= 1) {
    const next = ((iv[at] ?? 0) + 1) & 0xff;
    iv[at] = next;
    if (next !== 0) break;
  }
  cipher.outSeqno = (cipher.outSeqno + 1) >>> 0;
}

/** The length is authenticated, not encrypted, so it does not count towards the blocks. */
function paddingFor(payloadBytes: number): number {
  const padding = BLOCK_BYTES - ((1 + payloadBytes) % BLOCK_BYTES);
  return padding < PADDING_BYTES_MIN ? padding + BLOCK_BYTES : padding;
}

function fillFrame(packet: Buffer, padding: number): void {
  packet.writeUInt32BE(packet.length - 4, 0);
  packet[4] = padding;
  if (poolAt + padding > pool.length) {
    randomFillSync(pool);
    poolAt = 0;
  }
  packet.set(pool.subarray(poolAt, poolAt + padding), packet.length - padding);
  poolAt += padding;
}

/** Each byte is used once. */
const pool = Buffer.allocUnsafeSlow(4_096);
let poolAt = pool.length;

function isGcmCipher(value: unknown): value is GcmCipher {
  if (typeof value !== 'object' || value === null) return false;
  const of = (key: string): unknown => Reflect.get(value, key);
  const name = of('_encSSLName');
  const [key, iv] = [of('_encKey'), of('_encIV')];
  return (
    (name === 'aes-128-gcm' || name === 'aes-256-gcm') &&
    key instanceof Uint8Array &&
    iv instanceof Uint8Array &&
    iv.length === 12 &&
    typeof of('_onWrite') === 'function' &&
    typeof of('outSeqno') === 'number' &&
    typeof of('_dead') === 'boolean' &&
    typeof of('allocPacket') === 'function' &&
    typeof of('encrypt') === 'function'
  );
}

function isPackets(value: unknown): value is Packets {
  if (typeof value !== 'object' || value === null) return false;
  const rw: unknown = Reflect.get(value, '_packetRW');
  const write: unknown = typeof rw === 'object' && rw !== null ? Reflect.get(rw, 'write') : undefined;
  return typeof write === 'object' && write !== null && typeof Reflect.get(write, 'allocStart') === 'number';
}
