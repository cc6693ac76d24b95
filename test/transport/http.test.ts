/** The HTTP door with git and curl, and with clients that mean harm. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { systemClock } from '../../src/base/clock.ts';
import type { GitRequest, Outcome } from '../../src/request/request.ts';
import { startHttp, type HttpDoor, type HttpOptions } from '../../src/transport/http.ts';
import {
  git,
  GitWalk,
  makeDirectory,
  makeRepository,
  person,
  run,
  SILENT,
  UNCOUNTED,
  type Ran,
  pourUntilGone,
} from './kit.ts';

let directory: AsyncDisposable & { readonly path: string };
let door: HttpDoor;
let walk: GitWalk;
const TOKEN = 'gth_good';
const REFUSAL = 'gatehouse: no such repository, or you may not read it: hidden\n';

/** The walk of the tests plus what anonymous may do: read `api`, nothing else. */
async function handle(request: GitRequest): Promise<Outcome> {
  const anonymous = request.principal.kind === 'anonymous';
  if (anonymous && request.service === 'receive-pack')
    return { kind: 'refused', reason: 'rules/main.lace:3: log in to write' };
  return walk.handle(request);
}

function options(change: Partial<HttpOptions> = {}): HttpOptions {
  return {
    listen: { host: '127.0.0.1', port: 0 },
    walk: { handle, draining: false },
    directory: { byToken: async (secret) => (secret === TOKEN ? person('ada') : undefined) },
    clock: systemClock,
    log: SILENT,
    metrics: { ...UNCOUNTED, contentType: 'text/plain; version=0.0.4', text: async () => 'gatehouse_up 1\n' },
    unready: () => undefined,
    ...change,
  };
}

async function open(change: Partial<HttpOptions>): Promise<AsyncDisposable & { readonly door: HttpDoor }> {
  const own = await startHttp(options(change));
  return { door: own, [Symbol.asyncDispose]: () => own.close() };
}

before(async () => {
  directory = await makeDirectory();
  await makeRepository(directory.path, 'api');
  await makeRepository(directory.path, 'readonly');
  walk = new GitWalk(directory.path);
  door = await startHttp(options());
});
after(async () => {
  await door.close();
  await directory[Symbol.asyncDispose]();
});

function url(path: string, user = ''): string {
  return `http://${user}${door.address}/${path}`;
}

function curl(path: string, ...args: readonly string[]): Promise<Ran> {
  return run('curl', ['-sS', '-o', '-', '-w', '\n%{http_code} %{content_type}', ...args, url(path)]);
}

/** Sends bytes as they are and reads until the server closes. */
async function raw(bytes: string | Buffer, address = door.address): Promise<string> {
  const socket = dial(address);
  socket.write(bytes);
  return text(socket);
}

function dial(address = door.address): Socket {
  const socket = connect({ host: '127.0.0.1', port: Number(address.split(':').at(-1)) });
  socket.on('error', () => {});
  return socket;
}

for (const protocol of [0, 1, 2] as const) {
  test(`git clones anonymously and pushes with a token, protocol ${protocol}`, async () => {
    const config = ['-c', `protocol.version=${protocol}`];
    const work = join(directory.path, `clone-${protocol}`);
    const cloned = await git([...config, 'clone', '-q', url('api.git'), work]);
    assert.deepEqual(cloned, { code: 0, stdout: '', stderr: '' });
    assert.equal(walk.requests.at(-1)?.protocol, protocol);
    assert.equal((await git(['-C', work, 'commit', '-q', '--allow-empty', '-m', `over ${protocol}`])).code, 0);
    const target = [url('api', `x:${TOKEN}@`), `HEAD:refs/heads/p${protocol}`];
    assert.deepEqual(await git([...config, '-C', work, 'push', '-q', ...target]), { code: 0, stdout: '', stderr: '' });
    const refused = await git([...config, '-C', work, 'push', '-q', url('api'), 'HEAD:refs/heads/no']);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /could not read Username|Authentication failed/);
  });
}

test('git reads why it is refused', async () => {
  const missing = await git(['ls-remote', url('hidden', `x:${TOKEN}@`)]);
  assert.match(missing.stderr, /remote: gatehouse: no such repository, or you may not read it: hidden/);
  const work = join(directory.path, 'clone-0');
  const push = await git(['-C', work, 'push', url('readonly', `x:${TOKEN}@`), 'HEAD:refs/heads/x']);
  assert.match(push.stderr, /remote: gatehouse: rules\/main\.lace:7: readers do not write/);
  const wrong = await git(['ls-remote', url('hidden', 'x:wrong@')]);
  assert.match(wrong.stderr, /remote: gatehouse: this token is wrong, expired or revoked/);
  assert.match(wrong.stderr, /Authentication failed/);
  const broken = await git(['ls-remote', url('broken', `x:${TOKEN}@`)]);
  assert.match(broken.stderr, /remote: gatehouse: internal error \(request [0-9a-f]{32}\)/);
});

test('a chunked push far over the post buffer arrives', async () => {
  const work = join(directory.path, 'clone-2');
  const { writeFile } = await import('node:fs/promises');
  const { randomBytes } = await import('node:crypto');
  await writeFile(join(work, 'noise'), randomBytes(3_000_000));
  assert.equal((await git(['-C', work, 'add', 'noise'])).code, 0);
  assert.equal((await git(['-C', work, 'commit', '-q', '-m', 'noise'])).code, 0);
  const pushed = await git([
    '-C',
    work,
    '-c',
    'http.postBuffer=65536',
    'push',
    '-q',
    url('api', `x:${TOKEN}@`),
    'HEAD:refs/heads/noise',
  ]);
  assert.deepEqual(pushed, { code: 0, stdout: '', stderr: '' });
});

const LISTING = 'info/refs?service=git-upload-pack';

test('an advertisement has the exact type and is never cached', async () => {
  const answer = await fetch(url(`api/${LISTING}`));
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'application/x-git-upload-pack-advertisement');
  assert.match(answer.headers.get('cache-control') ?? '', /no-cache/);
  assert.match(await answer.text(), /^001e# service=git-upload-pack\n0000/);
});

test('anonymous is asked for a token where it may not read or write, a user is told', async () => {
  const anonymous = await fetch(url(`hidden/${LISTING}`));
  assert.equal(anonymous.status, 401);
  assert.match(anonymous.headers.get('www-authenticate') ?? '', /^Basic realm="gatehouse"/);
  assert.equal(await anonymous.text(), REFUSAL);
  const push = await fetch(url('api/info/refs?service=git-receive-pack'));
  assert.equal(push.status, 401);
  for (const authorization of [`Bearer ${TOKEN}`, `Basic ${btoa(`any:${TOKEN}`)}`, `Basic ${btoa(`${TOKEN}:`)}`]) {
    const user = await fetch(url(`hidden/${LISTING}`), { headers: { authorization } });
    assert.equal(user.status, 404);
    assert.equal(user.headers.get('content-type'), 'text/plain; charset=utf-8');
    assert.equal(await user.text(), REFUSAL);
  }
  const refused = await fetch(url('readonly/info/refs?service=git-receive-pack'), {
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  assert.equal(refused.status, 403);
});

test('a wrong token is 401 even where anonymous may read', async () => {
  for (const authorization of ['Bearer nope', 'Basic !!!', 'Digest x', `Basic ${btoa('x:nope')}`]) {
    const answer = await fetch(url(`api/${LISTING}`), { headers: { authorization } });
    assert.equal(answer.status, 401, authorization);
  }
});

test('clients that are too old, and wrong methods, get a clear answer', async () => {
  for (const path of ['api/info/refs', 'api/HEAD', 'api/objects/info/packs', `api/objects/ab/${'c'.repeat(38)}`]) {
    assert.match((await curl(path)).stdout, /^gatehouse: use a smart client: git 1\.6\.6 or newer\n\n403 text\/plain/);
  }
  const post = await fetch(url(`api/${LISTING}`), { method: 'POST' });
  assert.equal(post.status, 405);
  assert.equal(post.headers.get('allow'), 'GET');
  const get = await fetch(url('api/git-upload-pack'));
  assert.equal(get.status, 405);
  assert.equal(get.headers.get('allow'), 'POST');
  assert.equal((await fetch(url('api/info/refs?service=git-shell'))).status, 400);
  assert.equal((await fetch(url('api'))).status, 404);
});

const LS_REFS = '0014command=ls-refs\n0000';
const RPC = ['-H', 'Content-Type: application/x-git-upload-pack-request', '-H', 'Git-Protocol: version=2'] as const;

test('request bodies may be packed with gzip or deflate, chunked, and wait for 100 Continue', async () => {
  const plain = await curl('api/git-upload-pack', ...RPC, '--data-binary', LS_REFS);
  assert.match(plain.stdout, /refs\/heads\/main/);
  assert.match(plain.stdout, /200 application\/x-git-upload-pack-result$/);
  for (const [encoding, bytes] of [
    ['gzip', gzipSync(LS_REFS)],
    ['x-gzip', gzipSync(LS_REFS)],
    ['deflate', deflateSync(LS_REFS)],
  ] as const) {
    const answer = await fetch(url('api/git-upload-pack'), {
      method: 'POST',
      headers: {
        'content-type': 'application/x-git-upload-pack-request',
        'git-protocol': 'version=2',
        'content-encoding': encoding,
      },
      body: bytes,
    });
    assert.equal(answer.status, 200);
    assert.equal(`${await answer.text()}\n200 application/x-git-upload-pack-result`, plain.stdout);
  }
  const chunked = await curl(
    'api/git-upload-pack',
    ...RPC,
    '-H',
    'Transfer-Encoding: chunked',
    '--data-binary',
    LS_REFS,
  );
  assert.equal(chunked.stdout, plain.stdout);
  const waiting = await run('curl', [
    '-sSv',
    ...RPC,
    '-H',
    'Expect: 100-continue',
    '--data-binary',
    LS_REFS,
    url('api/git-upload-pack'),
  ]);
  assert.match(waiting.stderr, /< HTTP\/1\.1 100 Continue/);
  assert.match(waiting.stdout, /refs\/heads\/main/);
});

test('who waits for 100 Continue and is refused is not asked for the body', async () => {
  const ran = await run('curl', [
    '-sSv',
    ...RPC,
    '-H',
    'Expect: 100-continue',
    '--data-binary',
    'x'.repeat(100_000),
    url('hidden/git-upload-pack'),
  ]);
  assert.doesNotMatch(ran.stderr, /100 Continue\r?\n<? ?$/m);
  assert.match(ran.stderr, /< HTTP\/1\.1 401 Unauthorized/);
  assert.equal(ran.stdout, REFUSAL);
});

test('another Content-Type or Content-Encoding is 415', async () => {
  const headers = { 'content-type': 'application/x-git-upload-pack-request' };
  const send = (more: Record<string, string>): Promise<Response> =>
    fetch(url('api/git-upload-pack'), { method: 'POST', headers: { ...headers, ...more }, body: LS_REFS });
  assert.equal((await send({ 'content-type': 'text/plain' })).status, 415);
  assert.equal((await send({ 'content-type': 'application/x-git-receive-pack-request' })).status, 415);
  assert.equal((await send({ 'content-encoding': 'br' })).status, 415);
});

test('a refused push of any size gets its answer, not a reset connection', async () => {
  const body = Buffer.alloc(20_000_000);
  const ran = await run(
    'curl',
    [
      '-sS',
      '-w',
      '%{http_code}',
      '-H',
      'Content-Type: application/x-git-receive-pack-request',
      '-H',
      'Expect:',
      '-H',
      `Authorization: Bearer ${TOKEN}`,
      '--data-binary',
      '@-',
      url('readonly/git-receive-pack'),
    ],
    { input: body },
  );
  assert.match(ran.stdout, /gatehouse: rules\/main\.lace:7: readers do not write\n403$/);
});

test('paths are decoded once and resolved never', async () => {
  const seen: string[] = [];
  await using own = await open({
    walk: {
      draining: false,
      handle: async (request) => {
        seen.push(request.requestedPath);
        return { kind: 'missing', reason: 'gone' };
      },
    },
  });
  for (const path of [
    '/a%2Fb',
    '/a/../../etc/passwd',
    '/a%252e',
    '/a%00b',
    '/a%0Ab',
    '//x',
    '/%F0%9F%90%99',
    '/team/api.git',
  ]) {
    const answer = await raw(
      `GET ${path}/${LISTING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      own.door.address,
    );
    assert.match(answer, /^HTTP\/1\.1 401 /, path);
  }
  assert.deepEqual(seen, ['/a/b', '/a/../../etc/passwd', '/a%2e', '/a\u0000b', '/a\nb', '//x', '/🐙', '/team/api.git']);
  for (const path of ['/a%', '/a%zz', '/a%ff']) {
    const answer = await raw(
      `GET ${path}/${LISTING} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      own.door.address,
    );
    assert.match(answer, /^HTTP\/1\.1 400 /, path);
  }
});

test('pipelined requests are answered in order', async () => {
  const one = (path: string, last = false): string =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;
  const answer = await raw(
    `${one('/healthz')}${one(`/api/${LISTING}`)}${one(`/hidden/${LISTING}`)}${one('/healthz', true)}`,
  );
  const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1]);
  assert.deepEqual(statuses, ['200', '200', '401', '200']);
});

test('health, readiness and metrics are served; not ready is 503 and says why', async () => {
  let why: string | undefined = 'the gate is closing';
  await using own = await open({ unready: () => why });
  const get = (path: string): Promise<Response> => fetch(`http://${own.door.address}${path}`);
  assert.equal(await (await get('/healthz')).text(), 'ok\n');
  const closing = await get('/readyz');
  assert.equal(closing.status, 503);
  assert.equal(await closing.text(), 'not ready: the gate is closing\n');
  why = undefined;
  assert.equal((await get('/readyz')).status, 200);
  assert.equal(await (await get('/metrics')).text(), 'gatehouse_up 1\n');
});

test('the root tells a person in a browser how to clone and where the API is described', async () => {
  await using own = await open({});
  const answer = await fetch(`http://${own.door.address}/`);
  assert.equal(answer.status, 200);
  const words = await answer.text();
  assert.ok(words.includes(`git clone http://${own.door.address}/NAME`), words);
  assert.match(words, /openapi\.json/);
});

test('a busy house answers 503 and when to come again', async () => {
  const busy: Outcome = { kind: 'faulted', code: 'busy', inBand: false, reason: 'the server is busy: try again later' };
  await using own = await open({ walk: { draining: true, handle: async () => busy } });
  const answer = await fetch(`http://${own.door.address}/api/${LISTING}`);
  assert.equal(answer.status, 503);
  assert.equal(answer.headers.get('retry-after'), '5');
  assert.equal(answer.headers.get('connection'), 'close');
});

test('half an answer is cut, not ended', async () => {
  await using own = await open({
    walk: {
      draining: false,
      handle: async ({ output }) => {
        output.write('half');
        return { kind: 'faulted', code: 'internal', inBand: false, reason: 'internal error' };
      },
    },
  });
  await assert.rejects(fetch(`http://${own.door.address}/api/${LISTING}`).then((answer) => answer.text()));
});

/** A walk that reads the whole body and tells what came of it. */
function reader(): {
  readonly walk: HttpOptions['walk'];
  readonly read: Promise<number>;
  readonly aborted: Promise<void>;
} {
  const read = Promise.withResolvers<number>();
  const aborted = Promise.withResolvers<void>();
  read.promise.catch(() => {});
  return {
    read: read.promise,
    aborted: aborted.promise,
    walk: {
      draining: false,
      handle: async ({ input, output, signal }) => {
        signal.addEventListener('abort', () => {
          aborted.resolve();
        });
        let bytes = 0;
        try {
          for await (const chunk of input) bytes += Buffer.byteLength(chunk);
          read.resolve(bytes);
          output.write(`${bytes}`);
          return { kind: 'served' };
        } catch (error) {
          read.reject(error);
          const { code, publicMessage } = error as { code: string; publicMessage?: string };
          return { kind: 'faulted', code, inBand: false, reason: publicMessage ?? 'internal error' };
        }
      },
    },
  };
}

const POST = `POST /api/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-git-upload-pack-request\r\n`;

test('a gzip bomb is unpacked no further than it is read', async () => {
  const stopped = Promise.withResolvers<number>();
  await using own = await open({
    walk: {
      draining: false,
      handle: async ({ input }) => {
        let bytes = 0;
        for await (const chunk of input) if ((bytes += Buffer.byteLength(chunk)) > 1_000_000) break;
        stopped.resolve(bytes);
        return { kind: 'faulted', code: 'bad-input', inBand: false, reason: 'the request is too long' };
      },
    },
  });
  const bomb = gzipSync(Buffer.alloc(200_000_000));
  const before = process.memoryUsage().rss;
  const answer = await fetch(`http://${own.door.address}/api/git-upload-pack`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-git-upload-pack-request', 'content-encoding': 'gzip' },
    body: bomb,
  });
  assert.equal(answer.status, 400);
  assert.equal(await answer.text(), 'gatehouse: the request is too long\n');
  assert.ok((await stopped.promise) < 1_200_000);
  assert.ok(process.memoryUsage().rss - before < 100_000_000);
});

test('a body that is not what its encoding says is 400', async () => {
  const { walk: reading } = reader();
  await using own = await open({ walk: reading });
  for (const body of [Buffer.from('not gzip at all'), gzipSync('x'.repeat(10_000)).subarray(0, 20)]) {
    const answer = await fetch(`http://${own.door.address}/api/git-upload-pack`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-git-upload-pack-request', 'content-encoding': 'gzip' },
      body,
    });
    assert.equal(answer.status, 400);
    assert.match(await answer.text(), /Content-Encoding/);
  }
});

test('a body that drips or stops is given up, and the client is told', async () => {
  const { walk: reading, read } = reader();
  await using own = await open({ walk: reading, limits: { paceMs: 30, paceBytes: 100, discardMs: 30 } });
  const answer = await raw(`${POST}Content-Length: 1000\r\n\r\nabc`, own.door.address);
  await assert.rejects(read, { code: 'timeout' });
  assert.match(answer, /^HTTP\/1\.1 408 /);
  assert.match(answer, /the request body came too slowly/);
});

test('a head that drips is given up', async () => {
  await using own = await open({ limits: { headMs: 50, checkMs: 20 } });
  assert.match(await raw('GET /healthz HTTP/1.1\r\nX-A: ', own.door.address), /^HTTP\/1\.1 408 |^$/);
  assert.equal(await raw('', own.door.address).catch(() => ''), await raw('', own.door.address).catch(() => ''));
});

test('a client that goes away in mid-body aborts the request, and its end does not look like one', async () => {
  const { walk: reading, read, aborted } = reader();
  await using own = await open({ walk: reading });
  const socket = dial(own.door.address);
  socket.write(`${POST}Content-Length: 1000\r\n\r\nabc`);
  await once(socket, 'connect');
  socket.end();
  await assert.rejects(read, { code: 'aborted' });
  socket.destroy();
  await aborted;
});

test('a client that stops reading holds little memory and is given up in the end', async () => {
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
  socket.write(`GET /api/${LISTING} HTTP/1.1\r\nHost: x\r\n\r\n`);
  assert.ok((await written.promise) < 30_000_000);
  socket.destroy();
});

const GARBAGE: readonly (readonly [string, string | Buffer, RegExp])[] = [
  ['no HTTP at all', Buffer.from([0, 1, 2, 255, 254, 13, 10, 13, 10]), /^HTTP\/1\.1 400 /],
  ['an SSH client', 'SSH-2.0-OpenSSH_9.2\r\n', /^HTTP\/1\.1 400 /],
  ['a huge head', `GET / HTTP/1.1\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
  ['two lengths that disagree', `${POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`, /^HTTP\/1\.1 400 /],
  [
    'length and chunks at once',
    `${POST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    /^HTTP\/1\.1 400 /,
  ],
  ['a header split by a bare LF', `GET / HTTP/1.1\nHost: x\n\n`, /^HTTP\/1\.1 400 /],
];
for (const [name, bytes, expected] of GARBAGE) {
  test(`${name} gets one answer and the end of its connection`, async () => {
    const answer = await raw(bytes);
    assert.match(answer, expected);
    assert.equal([...answer.matchAll(/HTTP\/1\.1/g)].length, 1);
    assert.equal((await fetch(url('healthz'))).status, 200);
  });
}

test('a chunk length that lies ends the request as aborted', async () => {
  const { walk: reading, read } = reader();
  await using own = await open({ walk: reading });
  const answer = raw(`${POST}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nabc`, own.door.address);
  await assert.rejects(read, { code: 'aborted' });
  await answer;
});

test('closing lets a running request finish and ends idle connections', async () => {
  const started = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const own = await startHttp(
    options({
      walk: {
        draining: false,
        handle: async ({ output }) => {
          output.write('first ');
          started.resolve();
          await go.promise;
          output.write('last');
          return { kind: 'served' };
        },
      },
    }),
  );
  const idle = dial(own.address);
  idle.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  await once(idle, 'data');
  const answer = fetch(`http://${own.address}/api/${LISTING}`).then((response) => response.text());
  await started.promise;
  const closing = own.close();
  await buffer(idle);
  go.resolve();
  assert.equal(await answer, 'first last');
  await closing;
  await assert.rejects(fetch(`http://${own.address}/healthz`));
});

test('with a certificate the door speaks HTTPS from TLS 1.2 on, and reads a new one when told', async () => {
  const make = async (name: string, subject: string): Promise<void> => {
    const args = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    const files = ['-keyout', join(directory.path, `${name}.key`), '-out', join(directory.path, `${name}.pem`)];
    const ran = await run('openssl', [...args, '-subj', subject, '-addext', 'subjectAltName=IP:127.0.0.1', ...files]);
    assert.equal(ran.code, 0, ran.stderr);
  };
  await make('tls', '/CN=first');
  const tls = { certificatePath: join(directory.path, 'tls.pem'), keyPath: join(directory.path, 'tls.key') };
  await using own = await open({ tls });
  assert.equal(own.door.scheme, 'https');
  const config = ['-c', `http.sslCAInfo=${tls.certificatePath}`];
  const listed = await git([...config, 'ls-remote', `https://${own.door.address}/api`]);
  assert.match(listed.stdout, /refs\/heads\/main/);
  const old = await run('curl', [
    '-sS',
    '--cacert',
    tls.certificatePath,
    '--tls-max',
    '1.1',
    `https://${own.door.address}/healthz`,
  ]);
  assert.notEqual(old.code, 0);
  await make('tls', '/CN=second');
  await own.door.reload();
  const again = await run('curl', ['-sSv', '--cacert', tls.certificatePath, `https://${own.door.address}/healthz`]);
  assert.match(again.stderr, /CN=second/);
  await run('cp', [join(directory.path, 'tls.pem'), tls.keyPath]);
  await assert.rejects(own.door.reload(), { code: 'usage' });
});

test('a port that is taken is said so', async () => {
  const port = Number(door.address.split(':').at(-1));
  await assert.rejects(startHttp(options({ listen: { host: '127.0.0.1', port } })), {
    code: 'usage',
    publicMessage: `cannot listen at ${door.address}: it is in use`,
  });
});
