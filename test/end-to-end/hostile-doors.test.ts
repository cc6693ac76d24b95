/**
 * Clients that break the doors' own rules: garbage, endless and silent connections, floods of channels, requests for what
 * is not served here. Each is told so where it can be, the journal knows, and others are served meanwhile.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import ssh2, { type ClientChannel } from 'ssh2';
import { encodePkt } from '../../src/git/pkt-line.ts';
import { ask, daemonRequest, dial, hear, login, rpc, say, shout, type Bytes } from '../support/attacker.ts';
import { git, makePerson, ssh, url } from '../support/gate.ts';
import { besiege, type Siege } from '../support/siege.ts';
import { run } from '../support/workspace.ts';

const MIB = 1024 * 1024;

/** The journal has only so many lines a minute for one address of strangers. */
const SLOW_ADDRESS = '127.0.0.2';
const CUTTING_ADDRESS = '127.0.0.3';

let siege: Siege;
/** Clients that send a little and then nothing, from the first test on: the last one sees what became of them. */
const slow: { readonly door: string; readonly heard: Promise<string>; readonly socket: Socket }[] = [];
const cleanups: (() => unknown)[] = [];

before(
  async () => {
    const scope = { after: (cleanup: unknown) => cleanups.push(cleanup as () => unknown) };
    siege = await besiege(scope);
    const { gate } = siege.site;
    for (const [door, address, words] of [
      ['git', gate.git, '0030git-upload-pack /tar'],
      ['http', gate.http, 'GET /target/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\nX-Slow: '],
      ['ssh', gate.ssh, 'SSH-2.0-'],
    ] as const) {
      for (let count = 0; count < 15; count += 1) {
        const socket = dial(address, SLOW_ADDRESS);
        socket.write(words);
        slow.push({ door, socket, heard: hear(socket) });
      }
    }
  },
  { timeout: 60_000 },
);
after(async () => {
  for (const { socket } of slow) socket.destroy();
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

describe('a door', () => {
  test('meets garbage with one answer and the end of the connection', async () => {
    const { gate } = siege.site;
    const cases: readonly (readonly [what: string, address: string, words: readonly Bytes[], answer: RegExp])[] = [
      ['HTTP at ssh', gate.ssh, ['GET / HTTP/1.1\r\nHost: x\r\n\r\n'], /^SSH-2\.0-/],
      ['noise at ssh', gate.ssh, [Buffer.alloc(70_000, 0xff)], /^(?:SSH-2\.0-|$)/],
      ['a packet of 4 GiB at ssh', gate.ssh, ['SSH-2.0-x\r\n', Buffer.alloc(64, 0xff)], /^SSH-2\.0-/],
      ['SSH at http', gate.http, ['SSH-2.0-x\r\n'], /^HTTP\/1\.1 400 /],
      ['TLS at http', gate.http, [Buffer.from('16030100c8010000c40303', 'hex')], /^HTTP\/1\.1 400 /],
      ['a head of 1 MiB at http', gate.http, [`GET / HTTP/1.1\r\nX: ${'x'.repeat(MIB)}\r\n\r\n`], /^HTTP\/1\.1 431 /],
      [
        'two lengths at http',
        gate.http,
        ['POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
        / 400 /,
      ],
      [
        'a length and chunks at http',
        gate.http,
        [
          'POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n',
        ],
        / 400 /,
      ],
      ['noise at git', gate.git, [Buffer.alloc(70_000, 0xff)], /this is not a git:\/\/ request/],
      ['NULs at git', gate.git, [Buffer.alloc(70_000, 0)], /this is not a git:\/\/ request/],
    ];
    for (const [what, address, words, answer] of cases) assert.match(await shout(address, words), answer, what);
    for (const transport of ['ssh', 'http', 'git']) {
      await siege.journal.next({ event: 'connect', transport, outcome: 'refused' });
    }
    await siege.unharmed();
  });

  test('meets a connection that is half closed or reset at any moment as if nothing had been', async () => {
    const { gate } = siege.site;
    const words: readonly (readonly [string, Buffer])[] = [
      [
        gate.git,
        Buffer.concat([daemonRequest('upload-pack', '/target', 2), encodePkt('command=ls-refs'), Buffer.from('0000')]),
      ],
      [gate.http, Buffer.from('POST /target/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0000')],
      [gate.ssh, Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), Buffer.alloc(40)])],
    ];
    for (const [address, bytes] of words) {
      for (let end = 0; end < bytes.length; end += 9) {
        for (const isReset of [false, true]) {
          const socket = dial(address, CUTTING_ADDRESS);
          await once(socket, 'connect');
          const heard = hear(socket);
          socket.write(bytes.subarray(0, end));
          if (isReset) socket.resetAndDestroy();
          else socket.end();
          await heard;
          socket.destroy();
        }
      }
    }
    await siege.unharmed();
  });

  test('of ssh gives no terminal, forwarding, subsystem, agent or environment', async () => {
    const { site, owner, ownerSsh } = siege;
    const refused = async (start: (done: (error?: Error | null) => void) => void, what: string): Promise<void> => {
      const error = await new Promise<Error | null | undefined>((resolve) => {
        start(resolve);
      });
      assert.ok(error instanceof Error, what);
    };
    await refused((done) => ownerSsh.forwardOut('127.0.0.1', 1, '127.0.0.1', 22, done), 'direct-tcpip');
    await refused((done) => ownerSsh.forwardIn('127.0.0.1', 0, done), 'tcpip-forward');
    await refused((done) => ownerSsh.openssh_forwardInStreamLocal('/tmp/x', done), 'streamlocal-forward');
    await refused((done) => ownerSsh.openssh_forwardOutStreamLocal('/tmp/x', done), 'direct-streamlocal');
    await refused((done) => ownerSsh.subsys('sftp', done), 'sftp');
    await refused((done) => ownerSsh.exec('whoami', { x11: true }, done), 'x11');
    const greeted = await ssh(owner, site.gate, []);
    assert.equal(greeted.code, 0);
    assert.match(greeted.stdout, /olga/);
    const port = site.gate.ssh.split(':').at(-1) ?? '';
    const env = { ...owner.env, GIT_DIR: '/tmp', GIT_PROTOCOL_X: 'x', LD_PRELOAD: '' };
    const open = (flags: readonly string[]) => {
      const own = (owner.env['GIT_SSH_COMMAND'] ?? '').split(' ').slice(1);
      return run('ssh', [...own, ...flags, '-p', port, 'git@127.0.0.1', 'whoami'], { env });
    };
    const terminal = await open(['-tt']);
    assert.equal(terminal.code, 255);
    assert.match(terminal.stderr, /PTY allocation request failed/);
    // What else is refused does not keep a command from running.
    const plain = await open(['-A', '-X', '-R', '0:127.0.0.1:22', '-o', 'SendEnv=GIT_* LD_*']);
    assert.equal(plain.code, 0, plain.stderr);
    assert.match(plain.stdout, /olga/);
    await siege.unharmed();
  });

  test('of ssh bounds the channels of one connection, and goes on serving it', async () => {
    const client = await login(siege.site.gate, siege.owner);
    const open = (): Promise<ClientChannel | undefined> =>
      new Promise((resolve) => {
        client.exec('git-receive-pack target', (error, stream) => {
          resolve(error ? undefined : stream);
        });
      });
    const channels = await Promise.all(Array.from({ length: 100 }, open));
    const served = channels.filter((stream) => stream !== undefined);
    assert.ok(served.length >= 1 && served.length <= 10, `${served.length} channels`);
    const ended = served.map((stream) => once(stream.resume(), 'close'));
    for (const stream of served) stream.end('0000');
    await Promise.all(ended);
    assert.equal((await say(client, 'whoami')).code, 0);
    client.end();
    await siege.unharmed();
  });

  test('of ssh turns away unknown keys, passwords and floods of both', async () => {
    const { site } = siege;
    const stranger = await makePerson(site.root, 'stranger');
    const attempts = Array.from({ length: 20 }, async () => {
      const client = new ssh2.Client();
      const failed = once(client, 'error').catch(() => []);
      client.connect({ sock: dial(site.gate.ssh), username: 'root', password: 'root' });
      await failed;
      client.end();
    });
    await Promise.all(attempts);
    assert.equal((await ssh(stranger, site.gate, ['whoami'])).code, 255);
    await siege.journal.next({ event: 'login', transport: 'ssh', outcome: 'refused' });
    const connections = Array.from({ length: 60 }, () => dial(site.gate.ssh));
    assert.equal((await ssh(siege.owner, site.gate, ['whoami'])).code, 0, 'others log in meanwhile');
    for (const socket of connections) socket.destroy();
    await siege.unharmed();
  });

  test('of http meets bombs, wrong types and strange methods', async () => {
    const { site, ownerToken: token } = siege;
    const headers = { 'content-encoding': 'gzip' };
    const endless = gzipSync(Buffer.alloc(100 * MIB, 'x'), { level: 9 });
    for (const service of ['upload-pack', 'receive-pack'] as const) {
      const bomb = await rpc(site.gate, { name: 'target', service, words: [endless], token, headers });
      assert.match(bomb.text, /bad line length character: xxxx/, service);
    }
    const nested = await rpc(site.gate, {
      name: 'target',
      service: 'upload-pack',
      words: [gzipSync(endless)],
      token,
      headers,
    });
    assert.match(nested.text, /bad line length character/);
    const api = await ask(site.gate, {
      path: '/api/v1/commands',
      token,
      headers: { 'content-type': 'application/json', ...headers },
      body: [gzipSync(Buffer.from('{"argv":["whoami"]}'))],
    });
    assert.ok((api.code ?? 0) >= 400 && (api.code ?? 0) < 500, `${api.code}`);
    const large = await ask(site.gate, {
      path: '/api/v1/commands',
      token,
      headers: { 'content-type': 'application/json' },
      body: [`{"argv":["whoami"],"stdin":"${'x'.repeat(3 * MIB)}"}`],
    }).catch((error: unknown) => ({ code: 413, text: String(error) }));
    assert.equal(large.code, 413);
    const deep = await ask(site.gate, {
      path: '/api/v1/commands',
      token,
      headers: { 'content-type': 'application/json' },
      body: [`${'['.repeat(500_000)}${']'.repeat(500_000)}`],
    });
    assert.equal(deep.code, 400);
    const polluted = await ask(site.gate, {
      path: '/api/v1/commands',
      token,
      headers: { 'content-type': 'application/json' },
      body: ['{"argv":["whoami"],"__proto__":{"x":1}}'],
    });
    assert.equal(polluted.code, 400);
    for (const method of ['PUT', 'DELETE', 'PROPFIND', 'TRACE']) {
      const heard = await shout(site.gate.http, [
        `${method} /target/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      ]);
      assert.match(heard, /^HTTP\/1\.1 40[05] /, method);
    }
    for (let count = 0; count < 3; count += 1) {
      await siege.journal.next({ transport: 'http', outcome: 'faulted', reason: /bad line length character/ });
    }
    await siege.unharmed();
  });

  test('serves honest clients while others hold it, and gives those up in time', async () => {
    const { site, owner } = siege;
    for (const door of ['git', 'ssh', 'http'] as const) {
      const listed = await git(owner, ['ls-remote', url(site.gate, door, 'target')]);
      assert.equal(listed.code, 0, `${door}: ${listed.stderr}`);
    }
    const told = await Promise.all(slow.map(async ({ door, heard }) => [door, await heard] as const));
    for (const [door, text] of told) {
      if (door === 'git') assert.match(text, /ERR gatehouse: the request came too slowly/);
      if (door === 'http') assert.match(text, /^HTTP\/1\.1 408 /);
    }
    for (const [transport, reason] of [
      ['git', /too slowly/],
      ['http', /408/],
      ['ssh', /not SSH/],
    ] as const) {
      await siege.journal.next({ event: 'connect', transport, outcome: 'refused', reason });
    }
    await siege.standing();
  });
});
