/** The key exchange of the SSH door: which cipher comes of it, who may wait for whom, and what a hostile half of it meets. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import ssh2, { type Connection } from 'ssh2';
import { BOUNDS } from '../../src/base/bounds.ts';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { hastenCipher } from '../../src/base/ssh-cipher.ts';
import { hastenX25519, holdOffer } from '../../src/base/ssh-exchange.ts';
import { endOnce } from '../../src/base/ssh-internals.ts';
import { startSsh, type SshDoor } from '../../src/transport/ssh.ts';
import { makeDirectory, makeKey, person, run, SILENT, uint32, wireText } from './kit.ts';

const GCM = 'aes128-gcm@openssh.com';
const CHACHA = 'chacha20-poly1305@openssh.com';
const MESSAGE_KEXINIT = 20;
const MESSAGE_KEXDH_INIT = 30;
const MESSAGE_KEXDH_REPLY = 31;

let directory: AsyncDisposable & { readonly path: string };
let door: SshDoor;
let privateKey: string;
/** What waits for the hold to be over; a client whose offer comes never sees it called. */
const holds: (() => void)[] = [];

before(async () => {
  directory = await makeDirectory();
  const key = await makeKey(directory.path, 'ada');
  privateKey = await readFile(key.path, 'utf8');
  const clock: Clock = {
    ...systemClock,
    after(ms, callback) {
      if (ms !== BOUNDS.sshOfferHoldNearMs) return systemClock.after(ms, callback);
      holds.push(callback);
      return () => {};
    },
  };
  door = await startSsh({
    listen: { host: '127.0.0.1', port: 0 },
    hostKeysDirectory: join(directory.path, 'host-keys'),
    walk: { draining: false, handle: async () => ({ kind: 'served' }) },
    commands: {
      async run({ argv, stdout, stdin }) {
        if (argv[0] === 'echo') for await (const chunk of stdin) stdout.write(chunk);
        else stdout.write('ok\n');
        return 0;
      },
      greeting: async () => 'hello\n',
    },
    directory: { isKnownKey: async () => true, byKey: async () => person('ada') },
    clock,
    log: SILENT,
  });
});
after(async () => {
  await door.close();
  await directory[Symbol.asyncDispose]();
});

function port(): string {
  return door.address.split(':').at(-1) ?? '';
}

/** The ciphers that OpenSSH says it got, from us and to us, with what the command wrote. */
async function agreed(
  ciphers: string | undefined,
): Promise<{ readonly ciphers: readonly string[]; readonly out: string }> {
  const options = ['BatchMode=yes', 'IdentitiesOnly=yes', 'IdentityAgent=none', 'StrictHostKeyChecking=no'];
  options.push('UserKnownHostsFile=/dev/null');
  if (ciphers !== undefined) options.push(`Ciphers=${ciphers}`);
  const args = ['-v', '-F', '/dev/null', ...options.flatMap((option) => ['-o', option])];
  const ran = await run('ssh', [...args, '-i', join(directory.path, 'ada'), '-p', port(), 'git@127.0.0.1', 'hi']);
  assert.equal(ran.code, 0, ran.stderr);
  return {
    ciphers: [...ran.stderr.matchAll(/kex: .* cipher: (\S+)/g)].map((match) => match[1] ?? ''),
    out: ran.stdout,
  };
}

test('a client that takes AES-GCM gets it, whatever it would rather have', async () => {
  assert.deepEqual(await agreed(undefined), { ciphers: [GCM, GCM], out: 'ok\n' });
  assert.deepEqual(await agreed(`${CHACHA},aes256-ctr,${GCM}`), { ciphers: [GCM, GCM], out: 'ok\n' });
});

for (const [offer, cipher] of [
  [CHACHA, CHACHA],
  ['aes256-ctr,aes128-ctr', 'aes256-ctr'],
  [`aes256-gcm@openssh.com,${GCM}`, 'aes256-gcm@openssh.com'],
] as const) {
  test(`a client that offers ${offer} gets ${cipher}`, async () => {
    assert.deepEqual(await agreed(offer), { ciphers: [cipher, cipher], out: 'ok\n' });
  });
}

test('directions are judged apart: a client may take AES-GCM in one of them', async () => {
  const socket = dial();
  const packets = read(socket);
  socket.write(`SSH-2.0-odd\r\n`);
  socket.write(packet(offer({ cs: `${CHACHA},${GCM}`, sc: 'aes128-ctr' })));
  const { value: ours } = await packets.next();
  const lists = listsOf(ours ?? Buffer.alloc(0));
  assert.equal(lists[2], `${GCM},aes256-gcm@openssh.com`);
  assert.match(lists[3] ?? '', /^aes128-gcm@openssh.com,.*,aes128-ctr,.*chacha20/);
  socket.destroy();
});

test('a client that waits for our offer gets all of it, when the hold is over and not before', async () => {
  const socket = dial();
  const packets = read(socket);
  const before = holds.length;
  socket.write('SSH-2.0-patient\r\n');
  const next = packets.next();
  while (holds.length === before) await new Promise(setImmediate);
  let came = false;
  void next.then(() => (came = true));
  // Another client is served meanwhile, so a packet that was not held would be here.
  assert.equal((await agreed(undefined)).out, 'ok\n');
  assert.equal(came, false);
  holds[before]?.();
  const lists = listsOf((await next).value ?? Buffer.alloc(0));
  assert.match(lists[3] ?? '', /chacha20/);
  assert.doesNotMatch(lists[1] ?? '', /(^|,)ssh-rsa(,|$)/);
  // Late calls do no harm: the packet went once.
  holds[before]?.();
  socket.write(packet(offer({ cs: CHACHA, sc: CHACHA })));
  socket.write(packet(dhInit(randomBytes(32))));
  assert.equal((await packets.next()).value?.[0], MESSAGE_KEXDH_REPLY);
  socket.destroy();
});

for (const [name, point] of [
  ['of zeros', Buffer.alloc(32)],
  ['of small order', Buffer.from('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', 'hex')],
  ['a byte short', randomBytes(31)],
  ['a byte long', randomBytes(33)],
  ['empty', Buffer.alloc(0)],
] as const) {
  test(`an X25519 key ${name} ends the connection without an answer signed by the host`, async () => {
    const socket = dial();
    const packets = read(socket);
    socket.write('SSH-2.0-small\r\n');
    socket.write(Buffer.concat([packet(offer({ cs: GCM, sc: GCM })), packet(dhInit(point))]));
    const types: (number | undefined)[] = [];
    for await (const payload of packets) types.push(payload[0]);
    assert.equal(types[0], MESSAGE_KEXINIT);
    assert.ok(!types.includes(MESSAGE_KEXDH_REPLY), `answered with ${types.join()}`);
  });
}

for (const bytes of [16, 17, 20, 25, 60]) {
  test(`an offer cut short after ${bytes} bytes ends the connection, and only that`, async () => {
    const socket = dial();
    socket.write('SSH-2.0-short\r\n');
    socket.write(packet(offer({ cs: GCM, sc: GCM }).subarray(0, bytes)));
    socket.resume();
    await once(socket, 'close');
    assert.equal((await agreed(undefined)).out, 'ok\n');
  });
}

test('what is sent at every size comes back as it was, over the hastened cipher', async () => {
  const client = new ssh2.Client();
  client.connect({
    host: '127.0.0.1',
    port: Number(port()),
    username: 'git',
    privateKey,
    algorithms: { cipher: [GCM] },
  });
  await once(client, 'ready');
  const sizes = [
    ...Array.from({ length: 40 }, (_, at) => at + 1),
    2_030,
    2_047,
    2_048,
    2_049,
    2_064,
    32_767,
    32_768,
    65_537,
  ];
  const sent = randomBytes(sizes.reduce((sum, size) => sum + size, 0));
  const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) => {
    client.exec('echo', (error, opened) => {
      if (error) reject(error);
      else resolve(opened);
    });
  });
  let at = 0;
  const got = buffer(channel);
  for (const size of sizes) {
    channel.write(sent.subarray(at, at + size));
    at += size;
    await new Promise(setImmediate);
  }
  channel.end();
  assert.ok((await got).equals(sent));
  client.end();
});

test('a channel ends once, and node makes no error of a second end', async () => {
  const ended = new Promise<readonly unknown[]>((resolve) => {
    const server = new ssh2.Server({ hostKeys: [door.hostKeys[0]?.privateKey ?? ''] }, (connection) => {
      connection.on('error', () => {});
      connection.on('authentication', (context) => context.accept());
      connection.on('session', (accept) => {
        accept().on('exec', (start) => {
          const channel = start();
          const isQuiet = endOnce(channel);
          const calls: string[] = [];
          const plain = channel.end.bind(channel);
          Reflect.set(channel, 'end', (...words: readonly []) => {
            calls.push('end');
            return plain(...words);
          });
          connection.once('close', () => {
            server.close();
            resolve([isQuiet, ...calls]);
          });
          channel.resume();
          channel.exit(0);
          channel.end('done');
        });
      });
    });
    server.listen(0, '127.0.0.1', () => {
      const client = new ssh2.Client();
      const { port } = server.address() as AddressInfo;
      client.on('ready', () => {
        client.exec('x', (_error, channel) => {
          channel.resume().on('close', () => client.end());
        });
      });
      client.connect({ host: '127.0.0.1', port, username: 'git', privateKey });
    });
  });
  assert.deepEqual(await ended, [true, 'end']);
});

test('ssh2 has the shape inside that the haste is made for', async () => {
  const hostKey = door.hostKeys[0]?.privateKey ?? '';
  const server = new ssh2.Server({ hostKeys: [hostKey], algorithms: { cipher: [GCM] } });
  const kinds: unknown[] = [];
  const done = new Promise<Connection>((resolve) => {
    server.on('connection', (connection) => {
      connection.on('error', () => {});
      const offerBefore: unknown = Reflect.get(Reflect.get(connection, '_protocol') as object, '_offer');
      holdOffer(connection, { withdrawn: ['ssh-rsa'], favouredCiphers: [GCM] });
      kinds.push(Reflect.get(Reflect.get(connection, '_protocol') as object, '_offer') !== offerBefore);
      connection.on('handshake', () => {
        kinds.push(
          hastenCipher(connection),
          hastenX25519(Reflect.get(Reflect.get(connection, '_protocol') as object, '_kex')),
        );
        resolve(connection);
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const client = new ssh2.Client();
  client.on('error', () => {});
  client.connect({ host: '127.0.0.1', port: address.port, username: 'git', privateKey });
  (await done).end();
  server.close();
  client.end();
  assert.deepEqual(kinds, [true, true, true]);
});

function dial(): Socket {
  const socket = connect({ host: '127.0.0.1', port: Number(port()) });
  socket.on('error', () => {});
  socket.setNoDelay(true);
  return socket;
}

/** Payloads of the packets that come, while none is encrypted. */
async function* read(socket: Socket): AsyncGenerator<Buffer, undefined> {
  let got = Buffer.alloc(0);
  let greeted = false;
  try {
    for await (const chunk of socket) {
      got = Buffer.concat([got, chunk as Buffer]);
      if (!greeted && got.includes(0x0a)) {
        greeted = true;
        got = got.subarray(got.indexOf(0x0a) + 1);
      }
      if (!greeted) continue;
      while (got.length >= 5 && got.length >= 4 + got.readUInt32BE(0)) {
        const end = 4 + got.readUInt32BE(0);
        yield got.subarray(5, end - (got[4] ?? 0));
        got = got.subarray(end);
      }
    }
  } catch {
    // A reset is an end.
  }
  return undefined;
}

function packet(payload: Uint8Array): Buffer {
  let padding = 8 - ((5 + payload.length) % 8);
  if (padding < 4) padding += 8;
  return Buffer.concat([uint32(1 + payload.length + padding), Buffer.from([padding]), payload, Buffer.alloc(padding)]);
}

function offer({ cs, sc }: { readonly cs: string; readonly sc: string }): Buffer {
  const lists = ['curve25519-sha256', 'ssh-ed25519', cs, sc, 'hmac-sha2-256', 'hmac-sha2-256', 'none', 'none', '', ''];
  return Buffer.concat([Buffer.from([MESSAGE_KEXINIT]), randomBytes(16), ...lists.map(wireText), Buffer.alloc(5)]);
}

function dhInit(point: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([MESSAGE_KEXDH_INIT]), uint32(point.length), point]);
}

function listsOf(payload: Buffer): readonly string[] {
  assert.equal(payload[0], MESSAGE_KEXINIT);
  const lists: string[] = [];
  for (let at = 17; lists.length < 10;) {
    const end = at + 4 + payload.readUInt32BE(at);
    lists.push(payload.toString('latin1', at + 4, end));
    at = end;
  }
  return lists;
}
