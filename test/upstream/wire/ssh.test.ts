/** What is particular to ssh upstreams: pinned host keys, the one key, connections that are kept. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';
import ssh2 from 'ssh2';
import { hastenCipher } from '../../../src/base/ssh-cipher.ts';
import { serverPacketBytes } from '../../../src/base/ssh-internals.ts';
import { fingerprintOf } from '../../../src/identity/public-key.ts';
import type { UpstreamCredential } from '../../../src/upstream/upstream.ts';
import { createRemote } from '../../../src/upstream/wire/create-remote.ts';
import type { WireLimits } from '../../../src/upstream/wire/limits.ts';
import type { Remote } from '../../../src/upstream/wire/remote.ts';
import { quoted } from '../../../src/upstream/wire/ssh.ts';
import { noSshUpstream, startSshUpstream, type SshUpstream } from '../../support/upstream.ts';
import { freePort, suiteScope, type Scope } from '../../support/workspace.ts';
import { callOf, collected, faultOf, oidOf, packFrom, publicFault, upstreamAt } from './conversation.ts';

/** Longer than what follows an answer takes on a machine that does nothing else. */
const QUIET_MS = 20;

interface Changed {
  readonly port?: number;
  readonly hostKeys?: readonly string[];
  readonly credential?: UpstreamCredential;
  readonly limits?: Partial<WireLimits>;
}

/** A relay in front of the server: it counts connections, can be slow, and can break everything. */
interface Relay {
  readonly port: number;
  readonly connections: () => number;
  /** Counts from now on how often the client speaks: once, however many chunks it sends before the server says something. */
  readonly countTurns: () => () => number;
  /** Resolves when nothing has come through for a moment. */
  quiet(): Promise<void>;
  /** Resolves when a connection has ended. */
  ended(): Promise<void>;
  breakAll(): void;
  /** Lets what is under way hang: nothing comes through on connections of before. */
  hangAll(): void;
}

async function startRelay(scope: Scope, port: number): Promise<Relay> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let connections = 0;
  const ends = new EventEmitter();
  let turns = 0;
  let speaker: 'client' | 'server' | undefined;
  let chunks = 0;
  const pass = (from: Socket, to: Socket, who: 'client' | 'server'): void => {
    from.on('data', (chunk: Buffer) => {
      if (who === 'client' && speaker !== who) turns += 1;
      speaker = who;
      chunks += 1;
      to.write(chunk);
    });
    from.on('error', () => {});
    from.once('close', () => to.destroy());
  };
  const server = createServer({ noDelay: true }, (client) => {
    connections += 1;
    const upstream = connect({ host: '127.0.0.1', port, noDelay: true });
    client.once('close', () => ends.emit('end'));
    pairs.add([client, upstream]);
    pass(client, upstream, 'client');
    pass(upstream, client, 'server');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const each = (work: (socket: Socket) => void): void => {
    for (const pair of pairs) for (const socket of pair) work(socket);
  };
  scope.after(() => {
    each((socket) => socket.destroy());
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    countTurns: () => {
      speaker = undefined;
      const before = turns;
      return () => turns - before;
    },
    quiet: async () => {
      for (let seen = -1; seen !== chunks;) {
        seen = chunks;
        await later(QUIET_MS);
      }
    },
    ended: async () => {
      await once(ends, 'end');
    },
    breakAll: () => {
      each((socket) => socket.resetAndDestroy());
    },
    hangAll: () => {
      each((socket) => {
        socket.removeAllListeners('data');
        socket.resume();
      });
    },
  };
}

describe('an ssh upstream', { skip: noSshUpstream() }, () => {
  const scope = suiteScope();
  let ssh: SshUpstream;
  let main = '';

  before(async () => {
    ssh = await startSshUpstream(scope);
    await ssh.repositories.create('org/repo');
    main = await ssh.repositories.commit('org/repo', 'refs/heads/main', { a: '1' });
  });
  after(() => scope.close());

  function remoteOf({ port = ssh.port, hostKeys, credential, limits = {} }: Changed = {}): Remote {
    const url = ssh.url('org/repo').replace(`:${ssh.port}/`, `:${port}/`);
    return createRemote(
      {
        upstream: upstreamAt(url, { hostKeys: hostKeys ?? [ssh.hostKey] }),
        credential: () => Promise.resolve(credential ?? { kind: 'key', privateKey: ssh.privateKey }),
      },
      { limits },
    );
  }

  const list = (remote: Remote) => remote.lsRefs({ ...callOf(), prefixes: ['refs/heads/'] });

  it('is not spoken to with another host key than the pinned one, and both are named', async () => {
    const other = newKey();
    await using remote = remoteOf({ hostKeys: [other.open] });
    const said = await publicFault(list(remote));
    assert.match(said, /^the host key of the upstream 127\.0\.0\.1:\d+ is not the pinned one/);
    assert.match(said, /shows ssh-ed25519 SHA256:\S+, pinned is ssh-ed25519 SHA256:\S+\. Somebody may sit in between/);
    assert.ok(said.includes(fingerprint(ssh.hostKey)) && said.includes(fingerprint(other.open)));
  });

  it('may have any of several pinned keys, and needs one of a pinned type', async () => {
    await using several = remoteOf({ hostKeys: [newKey().open, ssh.hostKey] });
    assert.equal((await list(several)).refs.get('refs/heads/main'), main);
    const rsa = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 });
    const [type = '', base64 = ''] = rsa.public.split(' ');
    await using none = remoteOf({ hostKeys: [`${type} ${base64}`] });
    assert.match(await publicFault(list(none)), /has no host key of the pinned type/);
    await using unpinned = remoteOf({ hostKeys: [] });
    assert.match(await publicFault(list(unpinned)), /no host key is pinned/);
  });

  it('that does not take the key is told apart from one that cannot be reached, and the key is named by its fingerprint only', async () => {
    const other = newKey();
    await using stranger = remoteOf({ credential: { kind: 'key', privateKey: other.secret } });
    const said = await publicFault(list(stranger));
    assert.match(said, /does not take the gate's key SHA256:\S+: authentication failed$/);
    assert.ok(said.includes(fingerprint(other.open)));
    await using damaged = remoteOf({ credential: { kind: 'key', privateKey: 'damaged' } });
    assert.match(await publicFault(list(damaged)), /the gate's key for the upstream .* cannot be read/);
    await using token = remoteOf({
      credential: { kind: 'token', username: 'git', secret: 'not a key', bearer: false },
    });
    assert.match(await publicFault(list(token)), /needs a key as its credential/);
    await using away = remoteOf({ port: await freePort() });
    assert.match(await publicFault(list(away)), /^cannot reach the upstream 127\.0\.0\.1:\d+: connection refused$/);
  });

  it('is asked over one kept connection, which costs two round trips and no login', async () => {
    const relay = await startRelay(scope, ssh.port);
    await using remote = remoteOf({ port: relay.port });
    await list(remote);
    const turns: number[] = [];
    // Where the end of one call is late, it is counted with the next: the least is what a call costs.
    while (turns.length < 10 && !turns.includes(2)) {
      await list(remote);
      await relay.quiet();
      const spoken = relay.countTurns();
      assert.equal((await list(remote)).refs.get('refs/heads/main'), main);
      turns.push(spoken());
    }
    // One until the command runs, for OpenSSH takes no input before; one for its answer. Opening the session would be a third.
    assert.equal(Math.min(...turns), 2, `turns of the client: ${turns.join(', ')}`);
    assert.equal(relay.connections(), 1);
  });

  it('is connected to anew, without a word, where the kept connection broke', async () => {
    const relay = await startRelay(scope, ssh.port);
    await using remote = remoteOf({ port: relay.port });
    await list(remote);
    relay.breakAll();
    assert.equal((await list(remote)).refs.get('refs/heads/main'), main);
    const pack = await remote.fetch({ ...callOf(), wants: [oidOf(main)], haves: [] });
    relay.breakAll();
    await collected(pack).catch(() => {});
    assert.equal((await list(remote)).refs.get('refs/heads/main'), main);
    assert.ok(relay.connections() >= 3);
  });

  it('that hangs ends the call at its deadline, and hears a cancelled call no more', async () => {
    const relay = await startRelay(scope, ssh.port);
    await using remote = remoteOf({ port: relay.port, limits: { silenceMs: 300, listMs: 5_000 } });
    await list(remote);
    relay.hangAll();
    const late = await faultOf(list(remote));
    assert.equal(late.code, 'timeout');
    assert.match(late.publicMessage ?? '', /did not answer within 1 s/);
    const gone = new AbortController();
    const call = remote.lsRefs({ ...callOf(undefined, gone.signal), prefixes: [] });
    gone.abort();
    assert.equal((await faultOf(call)).code, 'aborted');
    assert.equal((await list(remote)).refs.size, 1);
  });

  it('that never says a word is given up while connecting', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    scope.after(() => silent.close());
    await new Promise((resolve) => silent.once('listening', resolve));
    await using remote = remoteOf({ port: (silent.address() as AddressInfo).port, limits: { connectMs: 200 } });
    const fault = await faultOf(list(remote));
    assert.equal(fault.code, 'timeout');
    assert.match(fault.publicMessage ?? '', /cannot reach the upstream .*: no answer within/);
  });

  it('has its kept connection closed when nobody used it for a while', async () => {
    const relay = await startRelay(scope, ssh.port);
    await using remote = remoteOf({ port: relay.port, limits: { idleMs: 50 } });
    await list(remote);
    await relay.ended();
    await list(remote);
    assert.equal(relay.connections(), 2);
  });

  for (const [cipher, about] of [
    [undefined, 'with the cipher that it agrees on'],
    ['aes128-gcm@openssh.com', 'with AES-GCM, which the door of this process hastens'],
  ] as const) {
    it(`may exchange keys in the middle of a pack, in either direction, ${about}`, async () => {
      if (cipher !== undefined) await hastenHere(cipher);
      const lines = ['RekeyLimit 1M', ...(cipher === undefined ? [] : [`Ciphers ${cipher}`])];
      await exchangesKeys(lines);
    });
  }

  async function exchangesKeys(lines: readonly string[]): Promise<void> {
    const rekeying = await startSshUpstream(scope, { lines });
    await rekeying.repositories.create('org/repo');
    await rekeying.repositories.create('org/copy');
    const big = randomBytes(3 * 1024 * 1024).toString('base64');
    const oid = oidOf(await rekeying.repositories.commit('org/repo', 'refs/heads/big', { big }));
    const of = (name: string): Remote =>
      createRemote({
        upstream: upstreamAt(rekeying.url(name), { hostKeys: [rekeying.hostKey] }),
        credential: () => Promise.resolve({ kind: 'key', privateKey: rekeying.privateKey }),
      });
    await using from = of('org/repo');
    await using to = of('org/copy');
    const pack = await collected(await from.fetch({ ...callOf(), wants: [oid], haves: [] }));
    assert.ok(pack.length > 3 * 1024 * 1024);
    const updates = [{ refname: 'refs/heads/big', oldOid: oidOf('0'.repeat(40)), newOid: oid }];
    const pushed = await to.push({
      ...callOf(),
      updates,
      atomic: true,
      options: [],
      pack: packFrom(rekeying.repositories, 'org/repo', [oid]),
    });
    assert.ok(pushed.kind === 'reported' && pushed.unpack === 'ok', JSON.stringify(pushed));
    assert.equal(await rekeying.repositories.ref('org/copy', 'refs/heads/big'), oid);
  }

  it('is asked for a path that no shell can misread', () => {
    assert.equal(quoted('/a b/c'), "'/a b/c'");
    assert.equal(quoted("it's!"), "'it'\\''s'\\!''");
  });

  it('is reached through parts of ssh2 that are where they are expected', () => {
    assert.equal(serverPacketBytes({ outgoing: { packetSize: 7 } }), 7);
    const [client, channel] = [new ssh2.Client(), ssh2.Client.prototype];
    assert.ok('exec' in channel && '_chanMgr' in client && '_protocol' in client);
  });
});

function newKey(): { readonly secret: string; readonly open: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519');
    // ssh2 writes one in many in a form that it cannot read.
    if (ssh2.utils.parseKey(pair.private) instanceof Error) continue;
    return { secret: pair.private, open: pair.public.split(' ').slice(0, 2).join(' ').trim() };
  }
}

/** The server's half changes what ssh2's ciphers and protocols do, for the clients of the same process as well. */
async function hastenHere(cipher: 'aes128-gcm@openssh.com'): Promise<void> {
  const plain: unknown = Reflect.get(Object.getPrototypeOf(protocolOf(new ssh2.Client())) ?? {}, 'channelData');
  const server = new ssh2.Server({ hostKeys: [newKey().secret], algorithms: { cipher: [cipher] } });
  const client = new ssh2.Client();
  const hastened = new Promise<boolean>((resolve) => {
    server.on('connection', (connection) => {
      connection.on('error', () => {});
      connection.on('handshake', () => resolve(hastenCipher(connection)));
    });
  });
  client.on('error', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client.connect({ host: '127.0.0.1', port: (server.address() as unknown as AddressInfo).port, username: 'git' });
  assert.equal(await hastened, true);
  assert.notEqual(Reflect.get(Object.getPrototypeOf(protocolOf(client)) ?? {}, 'channelData'), plain);
  client.end();
  server.close();
}

function protocolOf(client: ssh2.Client): object {
  const protocol: unknown = Reflect.get(client, '_protocol');
  return typeof protocol === 'object' && protocol !== null ? protocol : {};
}

function fingerprint(line: string): string {
  const [, base64 = ''] = line.split(' ');
  return fingerprintOf(Buffer.from(base64, 'base64'));
}
