/** The git:// door with git, and with clients that mean harm. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import { encodePkt } from '../../src/git/pkt-line.ts';
import type { Door } from '../../src/transport/door.ts';
import { startGit, type GitDaemonOptions } from '../../src/transport/git-daemon.ts';
import { parseGitRequest, REQUEST_BYTES_MAX } from '../../src/transport/git-request.ts';
import { git, GitWalk, makeDirectory, makeRepository, SILENT, pourUntilGone } from './kit.ts';

let directory: AsyncDisposable & { readonly path: string };
let door: Door;
let walk: GitWalk;

function options(change: Partial<GitDaemonOptions> = {}): GitDaemonOptions {
  return { listen: { host: '127.0.0.1', port: 0 }, walk, clock: systemClock, log: SILENT, ...change };
}

async function open(change: Partial<GitDaemonOptions>): Promise<AsyncDisposable & { readonly door: Door }> {
  const own = await startGit(options(change));
  return { door: own, [Symbol.asyncDispose]: () => own.close() };
}

before(async () => {
  directory = await makeDirectory();
  await makeRepository(directory.path, 'api');
  walk = new GitWalk(directory.path);
  door = await startGit(options());
});
after(async () => {
  await door.close();
  await directory[Symbol.asyncDispose]();
});

function dial(address = door.address): Socket {
  const socket = connect({ host: '127.0.0.1', port: Number(address.split(':').at(-1)), allowHalfOpen: true });
  socket.on('error', () => {});
  return socket;
}

/** Sends bytes, keeps its side open, reads until the server ends. */
async function raw(bytes: string | Buffer, address = door.address): Promise<string> {
  const socket = dial(address);
  socket.write(bytes);
  const answer = await text(socket);
  socket.destroy();
  return answer;
}

const request = (path: string, service = 'git-upload-pack', extra = ''): Buffer =>
  encodePkt(`${service} ${path}\0host=127.0.0.1\0${extra}`);

for (const protocol of [0, 1, 2] as const) {
  test(`git clones with protocol ${protocol}, as anonymous`, async () => {
    const work = join(directory.path, `clone-${protocol}`);
    const ran = await git(['-c', `protocol.version=${protocol}`, 'clone', '-q', `git://${door.address}/api.git`, work]);
    assert.deepEqual(ran, { code: 0, stdout: '', stderr: '' });
    const seen = walk.requests.at(-1);
    assert.equal(seen?.protocol, protocol);
    assert.equal(seen?.transport, 'git');
    assert.equal(seen?.principal.kind, 'anonymous');
    assert.equal(seen?.address, '127.0.0.1');
  });
}

test('git archives a remote branch', async () => {
  const ran = await git(['archive', `--remote=git://${door.address}/api`, 'main']);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /pax_global_header/);
});

test('a push is refused before anything is asked', async () => {
  const asked = walk.requests.length;
  const work = join(directory.path, 'clone-2');
  const ran = await git(['-C', work, 'push', `git://${door.address}/api`, 'HEAD:refs/heads/x']);
  assert.match(ran.stderr, /remote error: gatehouse: git:\/\/ is read-only: push over ssh or http/);
  assert.equal(walk.requests.length, asked);
});

test('a repository that is not there and one that is broken say so in an ERR pkt', async () => {
  const missing = await git(['ls-remote', `git://${door.address}/hidden/x`]);
  assert.match(missing.stderr, /remote error: gatehouse: no such repository, or you may not read it: hidden\/x/);
  assert.equal(
    await raw(request('/hidden')),
    encodePkt('ERR gatehouse: no such repository, or you may not read it: hidden').toString(),
  );
  assert.match(await raw(request('/broken')), /^....ERR gatehouse: internal error \(request [0-9a-f]{32}\)$/);
});

test('a client that closes its half after its wants still gets the answer', async () => {
  const socket = dial();
  socket.end(
    Buffer.concat([
      request('/api', 'git-upload-pack', '\0version=2\0'),
      encodePkt('command=ls-refs\n'),
      Buffer.from('0000'),
    ]),
  );
  assert.match(await text(socket), /refs\/heads\/main\n0000$/);
});

const GARBAGE: readonly (readonly [string, string | Buffer, RegExp])[] = [
  ['another protocol', 'GET / HTTP/1.1\r\n\r\n', /not a git:\/\/ request/],
  ['a length of 10 GiB', 'ffffffffff', /length from 5 to 4096/],
  ['a flush', '0000', /length from 5 to 4096/],
  ['a length shorter than itself', '0003', /length from 5 to 4096/],
  ['an unknown service', encodePkt('git-shell /api\0host=x\0'), /names a service and a path/],
  ['a service without prefix', encodePkt('upload-pack /api\0host=x\0'), /names a service and a path/],
  ['no path', encodePkt('git-upload-pack'), /names a service and a path/],
  ['nothing', encodePkt('\0\0\0'), /names a service and a path/],
];
for (const [name, bytes, expected] of GARBAGE) {
  test(`${name} gets an ERR pkt and the end of the connection`, async () => {
    const answer = await raw(bytes);
    assert.match(answer, /^[0-9a-f]{4}ERR gatehouse: /);
    assert.match(answer, expected);
  });
}

test('paths reach the walk byte by byte and unresolved', async () => {
  const seen: string[] = [];
  await using own = await open({
    walk: {
      draining: false,
      handle: async ({ requestedPath }) => {
        seen.push(requestedPath);
        return { kind: 'missing', reason: 'gone' };
      },
    },
  });
  for (const path of ['/../../etc/passwd', '/a b', "/a'b", '/a\nb', '/%2e%2e', '/caf\u00e9', '']) {
    assert.match(
      await raw(encodePkt(Buffer.from(`git-upload-pack ${path}\0host=x\0`, 'latin1')), own.door.address),
      /ERR gatehouse: gone/,
    );
  }
  assert.deepEqual(seen, ['/../../etc/passwd', '/a b', "/a'b", '/a\nb', '/%2e%2e', '/café', '']);
});

test('a client that says nothing, or half a request, is given up', async () => {
  await using own = await open({ limits: { requestMs: 30, silenceMs: 60_000, lingerMs: 1 } });
  assert.match(await raw('', own.door.address), /ERR gatehouse: the request came too slowly/);
  assert.match(await raw('00', own.door.address), /ERR gatehouse: the request came too slowly/);
  const socket = dial(own.door.address);
  socket.end('0032git-up');
  assert.match(await text(socket), /ERR gatehouse: the request is incomplete/);
});

test('a client that falls silent in mid-conversation is given up, and the walk hears of it', async () => {
  const aborted = Promise.withResolvers<unknown>();
  await using own = await open({
    limits: { silenceMs: 50 },
    walk: {
      draining: false,
      handle: async ({ input, signal }) => {
        try {
          for await (const chunk of input) void chunk;
        } catch (error) {
          aborted.resolve(error);
        }
        assert.equal(signal.aborted, true);
        return { kind: 'faulted', code: 'aborted', inBand: true, reason: 'lost' };
      },
    },
  });
  const socket = dial(own.door.address);
  socket.write(request('/api'));
  const error = await aborted.promise;
  assert.ok(error instanceof Fault && error.code === 'aborted');
  socket.destroy();
});

test('a client that stops reading holds little memory', async () => {
  const written = Promise.withResolvers<number>();
  await using own = await open({
    limits: { silenceMs: 200 },
    walk: {
      draining: false,
      handle: async (request) => await pourUntilGone(request, written.resolve),
    },
  });
  const socket = dial(own.door.address);
  socket.pause();
  socket.write(request('/api'));
  assert.ok((await written.promise) < 30_000_000);
  socket.destroy();
});

test('beyond the connections allowed, the next is told to come later', async () => {
  await using own = await open({ clientsMax: 1 });
  const first = dial(own.door.address);
  await once(first, 'connect');
  assert.match(await raw(request('/api'), own.door.address), /ERR gatehouse: the server is busy/);
  first.destroy();
});

test('closing lets a running conversation finish and cuts one that has not begun', async () => {
  const started = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const own = await startGit(
    options({
      walk: {
        draining: false,
        handle: async ({ output }) => {
          started.resolve();
          await go.promise;
          output.write('last words');
          return { kind: 'served' };
        },
      },
    }),
  );
  const silent = dial(own.address);
  const running = raw(request('/api'), own.address);
  await started.promise;
  const closing = own.close();
  assert.equal(await text(silent).catch(() => ''), '');
  silent.destroy();
  go.resolve();
  assert.equal(await running, 'last words');
  await closing;
});

test('parseGitRequest says the same at every split point', () => {
  const bytes = Buffer.concat([request('/team/api.git', 'git-upload-pack', '\0version=2\0'), Buffer.from('0000')]);
  const length = bytes.length - 4;
  for (let end = 0; end < length; end += 1) assert.equal(parseGitRequest(bytes.subarray(0, end)), undefined);
  const parsed = parseGitRequest(bytes);
  assert.deepEqual(parsed?.request, { service: 'upload-pack', path: '/team/api.git', protocol: 2 });
  assert.equal(parsed?.rest.toString(), '0000');
});

test('parseGitRequest ignores the host and takes the highest version it knows', () => {
  const protocolOf = (tail: string): number | undefined =>
    parseGitRequest(encodePkt(`git-upload-pack /a${tail}`))?.request.protocol;
  assert.equal(protocolOf(''), 0);
  assert.equal(protocolOf('\0host=version=2\0'), 0);
  assert.equal(protocolOf('\0host=x\0\0version=1\0'), 1);
  assert.equal(protocolOf('\0host=x\0\0version=1\0version=2\0'), 2);
  assert.equal(protocolOf('\0host=x\0\0version=3\0other\0'), 0);
  assert.equal(protocolOf('\0\0version=2\0'), 2);
  assert.throws(() => parseGitRequest(Buffer.from((REQUEST_BYTES_MAX + 1).toString(16).padStart(4, '0'))), {
    code: 'bad-input',
  });
});
