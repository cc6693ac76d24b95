/**
 * The few places where this house reaches below ssh2's documented surface, each because of something that the
 * surface cannot do (docs/decisions/0060). All in one file, read defensively: where ssh2 has changed inside, the
 * answer is the cautious one, and `test/transport/ssh-internals.test.ts` fails. Server (`transport/`) and client
 * (`upstream/wire/`) share it.
 */
/**
 * A key exchange is under way: ssh2 would keep everything written meanwhile in an unbounded list, and a client
 * can start one and never finish it.
 */
export function isRekeying(client: object): boolean {
  const protocol = read(client, '_protocol');
  return read(protocol, '_kexinit') !== undefined;
}

/**
 * The client's largest packet. ssh2 does not check it, loops for ever on 0 and sends packets of one byte on 1.
 * Undefined: cannot be told.
 */
export function clientPacketBytes(session: object): number | undefined {
  const size = read(read(read(session, '_chanInfo'), 'outgoing'), 'packetSize');
  return typeof size === 'number' ? size : undefined;
}

/** The same of a channel that we opened at a server. */
export function serverPacketBytes(channel: object): number | undefined {
  const size = read(read(channel, 'outgoing'), 'packetSize');
  return typeof size === 'number' ? size : undefined;
}

/**
 * Forgets a chunk that waited for the client's window and is sent. ssh2 keeps it, and sends it again when the
 * other stream (standard error, say) next waits for the window.
 */
export function forgetSent(channel: object): void {
  for (const slot of ['_chunk', '_chunkcb', '_chunkErr', '_chunkcbErr']) {
    if (read(channel, slot) !== undefined) Reflect.set(channel, slot, undefined);
  }
}

/** How much of what a peer sends, and nobody reads, is taken in before its window stays shut. */
export function boundUnread(channel: object, bytes: number): void {
  const state = read(channel, '_readableState');
  if (isObject(state)) Reflect.set(state, 'highWaterMark', bytes);
}

/**
 * Calls `onOver` once where more than `bytes` wait unread in a channel: ssh2 takes what a peer sends beyond the window that it
 * was given, and keeps all of it.
 */
export function watchUnread(channel: object, bytes: number, onOver: () => void): void {
  const push = read(channel, 'push');
  if (typeof push !== 'function') return;
  const watched = (...words: readonly unknown[]): unknown => {
    const result: unknown = Reflect.apply(push, channel, words);
    const unread = read(channel, 'readableLength');
    if (typeof unread === 'number' && unread > bytes) onOver();
    return result;
  };
  Reflect.set(channel, 'push', watched);
}

/**
 * Takes a host key algorithm out of what this connection will offer; to be called before the key exchange, in the
 * 'connection' event. ssh2 offers `ssh-rsa` (SHA-1) with every RSA host key, however it is configured.
 */
export function withdrawHostKeyAlgorithm(client: object, algorithm: string): void {
  const protocol = read(client, '_protocol');
  const offer = read(protocol, '_offer');
  const lists = read(offer, 'lists');
  if (!isObject(protocol) || !isObject(offer) || !isObject(lists)) return;
  const names = (list: unknown): readonly unknown[] => {
    const array = read(list, 'array');
    return Array.isArray(array) ? array : [];
  };
  const hostKeys = names(read(lists, 'serverHostKey'));
  if (!hostKeys.includes(algorithm)) return;
  const side = (key: string): unknown => {
    const from = read(lists, key);
    return {
      cipher: names(read(from, 'cipher')),
      mac: names(read(from, 'mac')),
      compress: names(read(from, 'compress')),
      lang: names(read(from, 'lang')),
    };
  };
  const algorithms = {
    kex: names(read(lists, 'kex')),
    serverHostKey: hostKeys.filter((name) => name !== algorithm),
    cs: side('cs'),
    sc: side('sc'),
  };
  const make: unknown = offer.constructor;
  if (typeof make === 'function') Reflect.set(protocol, '_offer', Reflect.construct(make, [algorithms]));
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function read(from: unknown, key: string): unknown {
  return isObject(from) ? Reflect.get(from, key) : undefined;
}
