/**
 * The key exchange of an SSH server on ssh2, in two things that ssh2 does not do: our offer (KEXINIT) waits for the
 * client's, so that it can name the cipher that costs least among those that the client takes, and so that the client's next
 * packet is not held back by its kernel; and X25519 without a detour over DER. docs/decisions/106 says why.
 */
/* oxlint-disable eslint/no-underscore-dangle -- every such name here is a field of ssh2's, which calls them so; none is ours */
import { createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';

const MESSAGE_KEXINIT = 20;
/** In a packet, behind its length and the length of its padding (RFC 4253, 6). */
const PAYLOAD_AT = 4 + 1;
/** Message, cookie (RFC 4253, 7.1); then ten lists of names, a boolean and a reserved number. */
const COOKIE_END = 1 + 16;
const TAIL_BYTES = 1 + 4;

/** What ssh2 keeps of an offer. Shared by all connections of a server: never changed, only replaced. */
interface Offer {
  readonly totalSize: number;
  readonly lists: Readonly<Record<'kex' | 'serverHostKey', Names>> & Readonly<Record<'cs' | 'sc', Direction>>;
  copyAllTo(to: Buffer, at: number): number;
}

type Direction = Readonly<Record<'cipher' | 'mac' | 'compress' | 'lang', Names>>;

interface Names {
  readonly array: readonly string[];
}

/** ssh2's protocol until the first keys are there, the parts that are used here. */
interface Exchange {
  _offer: Offer;
  _kexinit: Buffer | undefined;
  readonly _kex: unknown;
  readonly _cipher: { encrypt(packet: Buffer): void; allocPacket(bytes: number): Buffer };
  readonly _decipher: { _onPayload: (payload: Buffer) => unknown };
}

export interface OfferRules {
  /** Host key algorithms that are never offered. */
  readonly withdrawn: readonly string[];
  /** Of a direction in which the client takes one of these, only these are offered: the client's order decides among them. */
  readonly favouredCiphers: readonly string[];
}

/**
 * Holds our offer back until the client's has come; to be called in ssh2's 'connection' event, before the offer is made.
 * The answer sends it without waiting any longer (the client may be waiting as well); calling it late does no harm.
 * Where ssh2 has changed inside, nothing is held and the offer is what it is.
 */
export function holdOffer(client: object, rules: OfferRules): () => void {
  const exchange: unknown = Reflect.get(client, '_protocol');
  if (!isExchange(exchange)) return () => {};
  const { _cipher: cipher, _decipher: decipher } = exchange;
  const full = offerBy(exchange._offer, rules, 'full');
  exchange._offer = full;
  const onPayload = decipher._onPayload;
  let held: Buffer | undefined;
  const release = (): void => {
    const packet = held;
    held = undefined;
    if (packet !== undefined) cipher.encrypt(packet);
  };
  Reflect.set(cipher, 'encrypt', (packet: Buffer): void => {
    // What is left is the method of ssh2's class.
    Reflect.deleteProperty(cipher, 'encrypt');
    // Anything else is a goodbye.
    if (packet[PAYLOAD_AT] === MESSAGE_KEXINIT) held = packet;
    else cipher.encrypt(packet);
  });
  decipher._onPayload = (payload) => {
    if (payload[0] !== MESSAGE_KEXINIT) return onPayload(payload);
    decipher._onPayload = onPayload;
    if (held !== undefined) {
      const choice = choiceFor(payload, rules);
      if (choice !== 'full') held = offerAnew(exchange, offerBy(full, rules, choice), held);
    }
    release();
    const result = onPayload(payload);
    hastenX25519(exchange._kex);
    return result;
  };
  return release;
}

/** Our offer in other words, of which the client has seen none yet: its cookie is as good as a new one. */
function offerAnew(exchange: Exchange, offer: Offer, unseen: Buffer): Buffer {
  const payload = Buffer.alloc(COOKIE_END + offer.totalSize + TAIL_BYTES);
  payload[0] = MESSAGE_KEXINIT;
  unseen.copy(payload, 1, PAYLOAD_AT + 1, PAYLOAD_AT + COOKIE_END);
  offer.copyAllTo(payload, COOKIE_END);
  exchange._offer = offer;
  exchange._kexinit = payload;
  const packet = exchange._cipher.allocPacket(payload.length);
  packet.set(payload, PAYLOAD_AT);
  return packet;
}

/** In which directions the favoured ciphers are the whole offer. */
type Choice = 'full' | 'cs' | 'sc' | 'both';

const made = new WeakMap<object, Map<Choice, Offer>>();

/** Made once for each server: connections share it. */
function offerBy(base: Offer, rules: OfferRules, choice: Choice): Offer {
  let known = made.get(base);
  if (known === undefined) made.set(base, (known = new Map()));
  let offer = known.get(choice);
  if (offer === undefined) {
    offer = makeOffer(base, rules, choice);
    known.set(choice, offer);
    if (choice === 'full') made.set(offer, known);
  }
  return offer;
}

function makeOffer(base: Offer, { withdrawn, favouredCiphers }: OfferRules, choice: Choice): Offer {
  const { kex, serverHostKey, cs, sc } = base.lists;
  const side = (from: Direction, narrow: boolean): Readonly<Record<string, readonly string[]>> => ({
    cipher: narrow ? from.cipher.array.filter((name) => favouredCiphers.includes(name)) : from.cipher.array,
    mac: from.mac.array,
    compress: from.compress.array,
    lang: from.lang.array,
  });
  const lists = {
    kex: kex.array,
    serverHostKey: serverHostKey.array.filter((name) => !withdrawn.includes(name)),
    cs: side(cs, choice === 'cs' || choice === 'both'),
    sc: side(sc, choice === 'sc' || choice === 'both'),
  };
  const offer: unknown = Reflect.construct(base.constructor, [lists]);
  return isOffer(offer) ? offer : base;
}

function choiceFor(payload: Buffer, { favouredCiphers }: OfferRules): Choice {
  const lists = readLists(payload);
  const takes = (names: readonly string[] | undefined): boolean =>
    names?.some((name) => favouredCiphers.includes(name)) === true;
  const [cs, sc] = [takes(lists[2]), takes(lists[3])];
  if (cs && sc) return 'both';
  if (cs) return 'cs';
  return sc ? 'sc' : 'full';
}

/** Key exchanges, host keys, ciphers to us, ciphers from us; fewer where the client's offer is cut short: ssh2 refuses it. */
function readLists(payload: Buffer): readonly (readonly string[])[] {
  const lists: (readonly string[])[] = [];
  let at = COOKIE_END;
  while (lists.length < 4 && at + 4 <= payload.length) {
    const end = at + 4 + payload.readUInt32BE(at);
    if (end > payload.length) break;
    lists.push(payload.toString('latin1', at + 4, end).split(','));
    at = end;
  }
  return lists;
}

/** ssh2's exchange with X25519 (RFC 8731). */
interface X25519Exchange {
  readonly _keys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  generateKeys(): void;
}

const hastened = new WeakSet<object>();

/** False: this is no exchange with X25519 as we know it; nothing is changed. */
export function hastenX25519(kex: unknown): boolean {
  if (typeof kex !== 'object' || kex === null || Reflect.get(kex, 'type') !== '25519') return false;
  const kind: unknown = Object.getPrototypeOf(kex);
  if (typeof kind !== 'object' || kind === null) return false;
  if (hastened.has(kind)) return true;
  const whole = ['generateKeys', 'getPublicKey', 'computeSecret'].every((name) => Object.hasOwn(kind, name));
  if (!whole) return false;
  hastened.add(kind);
  Reflect.set(kind, 'getPublicKey', function getPublicKey(this: X25519Exchange): Buffer {
    this.generateKeys();
    return this._keys.publicKey.export({ format: 'raw-public' });
  });
  Reflect.set(kind, 'computeSecret', function computeSecret(this: X25519Exchange, theirs: Buffer): unknown {
    this.generateKeys();
    try {
      const publicKey = createPublicKey({ key: theirs, format: 'raw-public', asymmetricKeyType: 'x25519' });
      // OpenSSL refuses the all-zero secret that points of small order give, as RFC 8731 wants it.
      return toMpint(diffieHellman({ privateKey: this._keys.privateKey, publicKey }));
    } catch (error) {
      // ssh2 wants it as a value, and ends the connection.
      return error;
    }
  });
  return true;
}

/** A positive number as RFC 4251, 5 writes it, without its length. */
function toMpint(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length && bytes[start] === 0) start += 1;
  const digits = bytes.subarray(start);
  return (digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.alloc(1), digits]) : digits;
}

function isExchange(value: unknown): value is Exchange {
  const [cipher, decipher] = [read(value, '_cipher'), read(value, '_decipher')];
  return (
    isOffer(read(value, '_offer')) &&
    read(value, '_kexinit') === undefined &&
    typeof read(cipher, 'encrypt') === 'function' &&
    typeof read(cipher, 'allocPacket') === 'function' &&
    typeof read(decipher, '_onPayload') === 'function'
  );
}

function isOffer(value: unknown): value is Offer {
  const lists = read(value, 'lists');
  const isNames = (from: unknown, key: string): boolean => Array.isArray(read(read(from, key), 'array'));
  const isDirection = (from: unknown): boolean =>
    ['cipher', 'mac', 'compress', 'lang'].every((key) => isNames(from, key));
  return (
    isNames(lists, 'kex') &&
    isNames(lists, 'serverHostKey') &&
    isDirection(read(lists, 'cs')) &&
    isDirection(read(lists, 'sc')) &&
    typeof read(value, 'totalSize') === 'number' &&
    typeof read(value, 'copyAllTo') === 'function'
  );
}

function read(from: unknown, key: string): unknown {
  return typeof from === 'object' && from !== null ? Reflect.get(from, key) : undefined;
}
