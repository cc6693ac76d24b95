/** SSH clients that mean harm, or are many: the gate lives on, memory is bounded, everything is given back. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { person, makeDirectory, makeKey, SILENT, uint32, wireText } from './kit.ts';
import type { CommandRun } from '../../src/request/request.ts';
import { startSsh, type SshDoor, type SshOptions } from '../../src/transport/ssh.ts';

let directory: AsyncDisposable & { readonly path: string };
let door: SshDoor;
let privateKey: string;
let blob: Buffer;

async function command({ argv, stdin, stdout, signal }: CommandRun): Promise<number> {
  switch (argv[0] ?? '') {
    case 'flood': {
      const chunk = Buffer.alloc(65_536, 'x');
      while (!signal.aborted) {
        if (!stdout.write(chunk)) await once(stdout, 'drain', { signal }).catch(() => {});
      }
      return 0;
    }
    case 'wait':
      await once(signal, 'abort');
      return 0;
    case 'count': {
      let bytes = 0;
      for await (const chunk of stdin) bytes += Buffer.byteLength(chunk);
      stdout.write(String(bytes));
      return 0;
    }
    case 'ignore':
      // Holds on without reading, until told.
      await once(signal, 'abort');
      return 0;
    default:
      stdout.write('ok\n');
      return 0;
  }
}

function options(change: Partial<SshOptions> = {}): SshOptions {
  return {
    listen: { host: '127.0.0.1', port: 0 },
    hostKeysDirectory: join(directory.path, 'host-keys'),
    walk: { draining: false, handle: async () => ({ kind: 'served' }) },
    commands: { run: command, greeting: async () => 'hello\n' },
    directory: {
      isKnownKey: async (offered) => offered.equals(blob),
      byKey: async (offered) => (offered.equals(blob) ? person('ada') : undefined),
    },
    clock: systemClock,
    log: SILENT,
    ...change,
  };
}

before(async () => {
  directory = await makeDirectory();
  const key = await makeKey(directory.path, 'ada');
  blob = key.blob;
  privateKey = await readFile(key.path, 'utf8');
  door = await startSsh(options());
});
after(async () => {
  await door.close();
  await directory[Symbol.asyncDispose]();
});

function portOf(own: SshDoor): number {
  return Number(own.address.split(':').at(-1));
}

function dial(own = door): Socket {
  const socket = connect({ host: '127.0.0.1', port: portOf(own) });
  socket.on('error', () => {});
  socket.setNoDelay(true);
  return socket;
}

/** Resolves when the socket is closed, whether or not it was reset. */
function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => {
      resolve();
    });
  });
}

async function login(own = door, change: { readonly sock?: Duplex } = {}): Promise<Client> {
  const client = new ssh2.Client();
  const ready = once(client, 'ready');
  client.connect({ sock: change.sock ?? dial(own), username: 'git', privateKey });
  await ready;
  client.on('error', () => {});
  return client;
}

function exec(client: Client, line: string): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.exec(line, (error, channel) => {
      if (error) reject(error);
      else resolve(channel);
    });
  });
}

async function isAlive(own = door): Promise<void> {
  const client = await login(own);
  assert.equal(await text(await exec(client, 'hello')), 'ok\n');
  client.end();
}

/** What the client's half of ssh2 keeps private: an attacker breaks rules. */
interface Inside {
  parse: () => void;
  rekey(): void;
  channelWindowAdjust(channel: number, bytes: number): void;
  readonly packets: { alloc(size: number): Buffer; readonly allocStart: number; finalize(packet: Buffer): Buffer };
  readonly cipher: { encrypt(packet: Buffer): void };
}

function inside(client: Client): Inside {
  const protocol = Reflect.get(client, '_protocol') as Inside;
  const packets = (Reflect.get(protocol, '_packetRW') as { write: Inside['packets'] }).write;
  const cipher = Reflect.get(protocol, '_cipher') as Inside['cipher'];
  return {
    packets,
    cipher,
    rekey: () => {
      protocol.rekey();
    },
    channelWindowAdjust: (channel, bytes) => {
      protocol.channelWindowAdjust(channel, bytes);
    },
    set parse(parse: () => void) {
      Reflect.set(protocol, 'parse', parse);
    },
  };
}

/** One packet with this payload, encrypted as the session is. */
function send(client: Client, payload: Uint8Array): void {
  const { packets, cipher } = inside(client);
  const packet = packets.alloc(payload.length);
  packet.set(payload, packets.allocStart);
  cipher.encrypt(packets.finalize(packet));
}

const HEADS: readonly (readonly [string, string | Buffer])[] = [
  ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['binary noise', Buffer.alloc(70_000, 0xff)],
  ['a line without end', Buffer.alloc(70_000, 'a')],
  ['SSH 1', 'SSH-1.5-old\r\n'],
  ['an identification with nothing in it', 'SSH-2.0-\r\n'],
  ['a packet length of 4 GiB', 'SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff'],
  ['a packet length of 0', Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), Buffer.alloc(64)])],
  [
    'a key exchange message cut short',
    Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), uint32(12), Buffer.from([4, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])]),
  ],
];
for (const [name, bytes] of HEADS) {
  test(`${name} instead of SSH ends the connection, and only that`, async () => {
    const socket = dial();
    socket.write(bytes);
    await text(socket).catch(() => '');
    await isAlive();
  });
}

test('an identification line that comes byte by byte is understood', async () => {
  const socket = dial();
  /** Slows the first bytes down to single ones, as a strange network may. */
  class Slow extends Duplex {
    #left = 40;
    override _read(): void {
      socket.resume();
    }
    override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
      void this.#trickle(chunk, done);
    }
    async #trickle(chunk: Buffer, done: () => void): Promise<void> {
      let rest = chunk;
      while (this.#left > 0 && rest.length > 0) {
        this.#left -= 1;
        socket.write(rest.subarray(0, 1));
        rest = rest.subarray(1);
        await new Promise(setImmediate);
      }
      if (rest.length > 0) socket.write(rest);
      done();
    }
  }
  const slow = new Slow();
  socket.setNoDelay(true);
  socket.on('data', (chunk) => slow.push(chunk));
  socket.on('end', () => slow.push(null));
  const client = await login(door, { sock: slow });
  assert.equal(await text(await exec(client, 'hello')), 'ok\n');
  client.end();
  socket.destroy();
});

test('who does not log in in time is cut off, and counted out', async () => {
  const timers: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    after(ms, callback) {
      if (ms < 20_000) return systemClock.after(ms, callback);
      timers.push(callback);
      return () => {};
    },
  };
  const own = await startSsh(options({ clock }));
  const silent = dial(own);
  await once(silent, 'data');
  const half = dial(own);
  half.write('SSH-2.0-half\r\n');
  await once(half, 'data');
  const closed = Promise.all([closing(silent), closing(half)]);
  for (const timer of timers) timer();
  silent.resume();
  half.resume();
  await closed;
  await own.close();
  assert.equal(own.clients, 0);
});

test('a key may be offered only so often on one connection', async () => {
  let asked = 0;
  const own = await startSsh(
    options({
      directory: {
        isKnownKey: async () => {
          asked += 1;
          return false;
        },
        byKey: async () => undefined,
      },
    }),
  );
  const client = new ssh2.Client();
  client.on('error', () => {});
  client.connect({
    host: '127.0.0.1',
    port: portOf(own),
    username: 'git',
    authHandler: (_left, _partial, next) => {
      next({ type: 'publickey', username: 'git', key: privateKey });
    },
  });
  await once(client, 'close');
  assert.ok(asked >= 10 && asked <= 20, `${asked} keys were looked up`);
  await own.close();
});

test('a key that is only asked about, or comes with a wrong proof, is not noted as used', async () => {
  const proved: Buffer[] = [];
  let asked = 0;
  const own = await startSsh(
    options({
      directory: {
        isKnownKey: async () => {
          asked += 1;
          return true;
        },
        byKey: async (offered) => {
          proved.push(offered);
          return undefined;
        },
      },
    }),
  );
  const client = new ssh2.Client();
  client.on('error', () => {});
  const parsed = ssh2.utils.parseKey(privateKey);
  assert.ok(!(parsed instanceof Error) && !Array.isArray(parsed));
  // An agent that has the public half only: it signs with nonsense.
  const agent = new (class extends ssh2.BaseAgent<ssh2.ParsedKey> {
    override getIdentities(give: ssh2.IdentityCallback<ssh2.ParsedKey>): void {
      give(undefined, [parsed]);
    }
    override sign(...args: readonly unknown[]): void {
      const give = args.at(-1);
      if (typeof give === 'function') give(undefined, Buffer.alloc(64));
    }
  })();
  client.connect({ host: '127.0.0.1', port: portOf(own), username: 'git', agent });
  await new Promise<void>((resolve) => {
    client.once('close', () => {
      resolve();
    });
  });
  await own.close();
  assert.ok(asked >= 2, 'asked about, then signed for');
  assert.deepEqual(proved, []);
});

test('channels, requests and windows that break the rules end that connection, and only that', async () => {
  const open = (type: string, ...rest: readonly Buffer[]): Buffer =>
    Buffer.concat([Buffer.from([90]), wireText(type), ...rest]);
  const payloads: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ['a channel with packets of 0 bytes', [open('session', uint32(0), uint32(1_000), uint32(0))]],
    ['a channel with packets of 1 byte', [open('session', uint32(0), uint32(1_000), uint32(1))]],
    ['a channel message cut short', [open('session', uint32(0))]],
    [
      'a request of a channel that is none',
      [Buffer.concat([Buffer.from([98]), uint32(77), wireText('exec'), Buffer.from([1]), wireText('ls')])],
    ],
    ['a channel number out of range', [Buffer.concat([Buffer.from([94]), uint32(0xffffffff), wireText('x')])]],
    ['a request cut short', [Buffer.from([98, 0, 0])]],
    ['a global request cut short', [Buffer.from([80, 0])]],
    ['a message type nobody knows', [Buffer.from([199, 1, 2, 3])]],
    ['an empty message', [Buffer.alloc(0)]],
    ['a disconnect cut short', [Buffer.from([1])]],
    [
      'a second login',
      [Buffer.concat([Buffer.from([50]), wireText('git'), wireText('ssh-connection'), wireText('none')])],
    ],
    ['an answer to a question nobody asked', [Buffer.from([61, 0, 0, 0, 0])]],
    [
      'a confirmation of a channel nobody opened',
      [Buffer.concat([Buffer.from([91]), uint32(5), uint32(5), uint32(5), uint32(5)])],
    ],
  ];
  for (const [name, messages] of payloads) {
    const client = await login();
    for (const message of messages) send(client, message);
    // Either the connection ends or it still serves: a crash would do neither.
    const outcome = Promise.race([once(client, 'close'), exec(client, 'hello').then((channel) => text(channel))]);
    await outcome.catch(() => {});
    client.end();
    await isAlive().catch((error: unknown) => assert.fail(`${name}: ${String(error)}`));
  }
});

/** Resolves with the value when it has not changed for many turns of the event loop, which serves both ends here. */
async function atRest(read: () => number): Promise<number> {
  let before = read();
  for (let still = 0; still < 500; still += 1) {
    await new Promise(setImmediate);
    if (read() !== before) still = 0;
    before = read();
  }
  return before;
}

/** A KEXINIT message with which a client begins a key exchange. */
function keyExchange(): Buffer {
  const cipher = 'aes128-gcm@openssh.com';
  const mac = 'hmac-sha2-256';
  const names = ['curve25519-sha256', 'ssh-ed25519', cipher, cipher, mac, mac, 'none', 'none', '', ''];
  return Buffer.concat([Buffer.from([20]), Buffer.alloc(16), ...names.map(wireText), Buffer.from([0]), uint32(0)]);
}

/** A server of its own whose `flood` is counted. */
async function flood(): Promise<{
  readonly own: SshDoor;
  readonly taken: () => number;
  readonly ended: Promise<void>;
}> {
  let bytes = 0;
  const ended = Promise.withResolvers<void>();
  const chunk = Buffer.alloc(65_536, 'x');
  const commands: SshOptions['commands'] = {
    greeting: async () => '',
    run: async ({ stdout, signal }) => {
      while (!signal.aborted) {
        bytes += chunk.length;
        if (!stdout.write(chunk)) await once(stdout, 'drain', { signal }).catch(() => {});
      }
      ended.resolve();
      return 0;
    },
  };
  return { own: await startSsh(options({ commands })), taken: () => bytes, ended: ended.promise };
}

test('a client that opens all windows and reads nothing holds little memory here', async () => {
  const { own, taken, ended } = await flood();
  const socket = dial(own);
  const client = await login(own, { sock: socket });
  const channel = await exec(client, 'flood');
  channel.pause();
  for (let at = 0; at < 8; at += 1) inside(client).channelWindowAdjust(0, 0x7fffffff);
  socket.pause();
  const bytes = await atRest(taken);
  assert.ok(bytes > 65_536 && bytes < 24_000_000, `${bytes} bytes were taken`);
  socket.destroy();
  await ended;
  await own.close();
});

test('a client that opens all windows and never ends a key exchange holds little memory here', async () => {
  const { own, taken, ended } = await flood();
  const client = await login(own);
  const channel = await exec(client, 'flood');
  await once(channel, 'readable');
  // From here on the client reads and understands nothing: no answer of its own ends the exchange.
  inside(client).parse = () => {};
  for (let at = 0; at < 8; at += 1) inside(client).channelWindowAdjust(0, 0x7fffffff);
  send(client, keyExchange());
  const before = taken();
  const bytes = (await atRest(taken)) - before;
  assert.ok(bytes < 24_000_000, `${bytes} bytes were taken`);
  client.destroy();
  await ended;
  await own.close();
});

test('output goes on after a key exchange', async () => {
  const client = await login();
  const channel = await exec(client, 'flood');
  await once(channel, 'readable');
  const exchanged = once(client, 'handshake');
  inside(client).rekey();
  channel.resume();
  await exchanged;
  await once(channel, 'data');
  client.destroy();
});

test('questions during a key exchange that never ends are not hoarded: they end the connection', async () => {
  const socket = dial();
  const client = await login(door, { sock: socket });
  const closed = closing(socket);
  send(client, keyExchange());
  const question = Buffer.concat([Buffer.from([80]), wireText('keepalive@openssh.com'), Buffer.from([1])]);
  for (let at = 0; at < 5_000; at += 1) send(client, question);
  await closed;
  await isAlive();
});

test('a client gets ten sessions at once and no more', async () => {
  const client = await login();
  const channels: ClientChannel[] = [];
  for (let at = 0; at < 10; at += 1) channels.push(await exec(client, 'wait'));
  await assert.rejects(exec(client, 'wait'));
  const [first] = channels;
  assert.ok(first);
  first.resume();
  first.close();
  await once(first, 'close');
  const next = await exec(client, 'hello');
  assert.equal(await text(next), 'ok\n');
  client.end();
});

test('input that nobody reads fills the window and stops', async () => {
  const client = await login();
  const channel = await exec(client, 'ignore');
  let sent = 0;
  const chunk = Buffer.alloc(65_536);
  const push = (): void => {
    while (sent < 64_000_000) {
      sent += chunk.length;
      if (!channel.write(chunk)) return;
    }
  };
  channel.on('drain', push);
  push();
  const bytes = await atRest(() => sent);
  assert.ok(bytes < 12_000_000, `${bytes} bytes were taken`);
  client.destroy();
});

test('input ends where the client ends it, and not where its connection breaks', async () => {
  const client = await login();
  const channel = await exec(client, 'count');
  channel.end(Buffer.alloc(5_000_000));
  assert.equal(await text(channel), '5000000');
  client.end();

  const broken = Promise.withResolvers<unknown>();
  const own = await startSsh(
    options({
      commands: {
        greeting: async () => '',
        run: async ({ stdin }) => {
          try {
            for await (const chunk of stdin) void chunk;
            broken.resolve('it looked like an end');
          } catch (error) {
            broken.resolve(error);
          }
          return 0;
        },
      },
    }),
  );
  const socket = dial(own);
  const cut = await login(own, { sock: socket });
  const half = await exec(cut, 'count');
  half.write('half a pack');
  half.once('error', () => {});
  socket.destroy();
  const error = await broken.promise;
  assert.ok(error instanceof Error && 'code' in error && error.code === 'aborted', String(error));
  await own.close();
});

test('a burst of 64 connections is served, and none is left', async () => {
  const clients = await Promise.all(Array.from({ length: 64 }, () => login()));
  const answers = await Promise.all(clients.map(async (client) => text(await exec(client, 'hello'))));
  assert.deepEqual(new Set(answers), new Set(['ok\n']));
  assert.ok(door.clients >= 64);
  const closed = clients.map((client) => once(client, 'close'));
  for (const client of clients) client.end();
  await Promise.all(closed);
  await isAlive();
});

test('beyond the connections allowed, the next is closed', async () => {
  const own = await startSsh(options({ clientsMax: 1 }));
  const client = await login(own);
  const socket = dial(own);
  assert.equal(await text(socket).catch(() => ''), '');
  client.end();
  await own.close();
});

test('closing waits for a running command and ends idle connections', async () => {
  const started = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const own = await startSsh(
    options({
      commands: {
        greeting: async () => '',
        run: async ({ stdout }) => {
          started.resolve();
          await go.promise;
          stdout.write('finished');
          return 0;
        },
      },
    }),
  );
  const idle = await login(own);
  const idleClosed = once(idle, 'close');
  const busy = await login(own);
  const channel = await exec(busy, 'x');
  await started.promise;
  const ending = own.close();
  await idleClosed;
  go.resolve();
  assert.equal(await text(channel), 'finished');
  await ending;
  assert.equal(own.clients, 0);
});
