/** ssh servers that log the gate in and then do what ssh2 does not guard against. */
import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import ssh2, { type Connection, type ServerChannel } from 'ssh2';
import { encodePkt, FLUSH } from '../../../src/git/pkt-line.ts';
import { createRemote } from '../../../src/upstream/wire/create-remote.ts';
import type { WireLimits } from '../../../src/upstream/wire/limits.ts';
import type { Remote } from '../../../src/upstream/wire/remote.ts';
import { suiteScope } from '../../support/workspace.ts';
import { callOf, faultOf, oidOf, publicFault, upstreamAt } from './conversation.ts';

const OID = oidOf('1'.repeat(40));
const GREETING = Buffer.concat([encodePkt('version 2\n'), encodePkt('ls-refs\n'), encodePkt('fetch\n'), FLUSH]);

/** A key that ssh2 can read again: it writes one in many in a form that it cannot. */
function newKey(): { readonly secret: string; readonly open: string } {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519');
    if (ssh2.utils.parseKey(pair.private) instanceof Error) continue;
    return { secret: pair.private, open: pair.public.split(' ').slice(0, 2).join(' ').trim() };
  }
}

interface Script {
  /** When the connection is there. */
  readonly onConnection?: (connection: Connection) => void;
  /** undefined: the server refuses to run anything. */
  readonly onCommand?: (channel: ServerChannel, command: string) => void;
}

describe('a hostile ssh upstream', () => {
  const scope = suiteScope();
  after(() => scope.close());

  async function remoteOf({ onConnection, onCommand }: Script, limits: Partial<WireLimits> = {}): Promise<Remote> {
    const [host, client] = [newKey(), newKey()];
    const connections = new Set<Connection>();
    const server = new ssh2.Server({ hostKeys: [host.secret] }, (connection) => {
      connections.add(connection);
      connection.on('error', () => {});
      connection.on('authentication', (context) => {
        context.accept();
      });
      onConnection?.(connection);
      connection.on('session', (accept) => {
        const session = accept();
        session.on('exec', (acceptExec, rejectExec, { command }) => {
          if (onCommand === undefined) rejectExec();
          else onCommand(acceptExec(), command);
        });
      });
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        resolve();
      });
    });
    const { port } = server.address() as AddressInfo;
    const remote = createRemote(
      {
        upstream: upstreamAt(`ssh://git@127.0.0.1:${port}/org/repo`, { hostKeys: [host.open] }),
        credential: () => Promise.resolve({ kind: 'key', privateKey: client.secret }),
      },
      { limits: { connectMs: 5_000, silenceMs: 5_000, workMs: 5_000, ...limits } },
    );
    scope.after(async () => {
      await remote[Symbol.asyncDispose]();
      for (const connection of connections) connection.end();
      server.close();
    });
    return remote;
  }

  const list = (remote: Remote) => remote.lsRefs({ ...callOf(), prefixes: [] });

  it('that runs no command is told apart', async () => {
    assert.match(await publicFault(list(await remoteOf({}))), /does not let git be run$/);
  });

  it('that says why on standard error is quoted, cleaned and in bounds', async () => {
    const remote = await remoteOf(
      {
        onCommand: (channel, command) => {
          channel.stderr.write(`\u001b]0;title\u0007ERROR: no such thing: ${command}\n`);
          channel.stderr.write('x'.repeat(100_000));
          channel.exit(1);
          channel.end();
        },
      },
      { stderrBytesMax: 1_000, reasonBytesMax: 200 },
    );
    const said = await publicFault(list(remote));
    assert.match(
      said,
      /^the upstream git@127\.0\.0\.1:\d+ \(\/org\/repo\) says: ERROR: no such thing: git-upload-pack '\/org\/repo'; xxx/,
    );
    assert.ok(said.length < 400);
  });

  it('that takes packets of no bytes is left, for there would be no end', async () => {
    const remote = await remoteOf({
      onConnection: (connection) => {
        const protocol: unknown = Reflect.get(connection, '_protocol');
        assert.ok(typeof protocol === 'object' && protocol !== null);
        const confirm: unknown = Reflect.get(protocol, 'channelOpenConfirm');
        assert.ok(typeof confirm === 'function');
        Reflect.set(protocol, 'channelOpenConfirm', (remoteId: number, localId: number, window: number) =>
          Reflect.apply(confirm, protocol, [remoteId, localId, window, 0]),
        );
      },
      onCommand: (channel) => {
        channel.write(GREETING);
      },
    });
    assert.match(await publicFault(list(remote)), /broke Git's protocol: ssh packets that are too small$/);
  });

  it('that sends more than it was asked for is cut off', async () => {
    const pack = encodePkt(Buffer.concat([Buffer.from([1]), Buffer.alloc(60_000)]));
    const ended = Promise.withResolvers<undefined>();
    const remote = await remoteOf({
      onConnection: (connection) => {
        connection.on('close', () => {
          ended.resolve(undefined);
        });
      },
      onCommand: (channel) => {
        channel.write(GREETING);
        channel.once('data', () => {
          channel.write(encodePkt('packfile\n'));
          // Beyond every window.
          const outgoing: unknown = Reflect.get(channel, 'outgoing');
          assert.ok(typeof outgoing === 'object' && outgoing !== null);
          Reflect.set(outgoing, 'window', 1_000_000_000);
          for (let count = 0; count < 400; count += 1) channel.write(pack);
        });
      },
    });
    const before = process.memoryUsage().arrayBuffers;
    const chunks = await remote.fetch({ ...callOf(), wants: [OID], haves: [] });
    const iterator = chunks[Symbol.asyncIterator]();
    await iterator.next();
    // Nobody reads on: the connection ends by itself.
    await ended.promise;
    const fault = await faultOf(readOn(iterator));
    assert.equal(fault.code, 'upstream');
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024);
  });

  it('that closes at once what it opened leaves the next call a connection of its own', async () => {
    let commands = 0;
    const remote = await remoteOf({
      onCommand: (channel) => {
        commands += 1;
        if (commands === 1) {
          channel.exit(0);
          channel.end();
          return;
        }
        channel.write(GREETING);
        channel.once('data', () => channel.write(Buffer.concat([encodePkt(`${OID} refs/heads/main\n`), FLUSH])));
      },
    });
    assert.match(await publicFault(list(remote)), /closed the connection without a word/);
    assert.equal((await list(remote)).refs.get('refs/heads/main'), OID);
  });
});

async function readOn(iterator: AsyncIterator<Uint8Array>): Promise<void> {
  for (;;) if ((await iterator.next()).done === true) return;
}
