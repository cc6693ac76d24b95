/** What is particular to https upstreams: whose certificates are trusted, what is shown to whom, statuses in words. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { UpstreamCredential } from '../../../src/upstream/upstream.ts';
import { createRemote } from '../../../src/upstream/wire/create-remote.ts';
import type { Remote } from '../../../src/upstream/wire/remote.ts';
import { encodePkt, FLUSH } from '../../../src/git/pkt-line.ts';
import { noHttpsUpstream, startHttpsUpstream, type HttpsUpstream } from '../../support/upstream.ts';
import { suiteScope, type Scope } from '../../support/workspace.ts';
import { callOf, collected, oidOf, publicFault, upstreamAt } from './conversation.ts';

const list = (remote: Remote) => remote.lsRefs({ ...callOf(), prefixes: ['refs/heads/'] });

describe('an https upstream', { skip: noHttpsUpstream() }, () => {
  const scope = suiteScope();
  let https: HttpsUpstream;
  let main = '';

  before(async () => {
    https = await startHttpsUpstream(scope);
    await https.repositories.create('org/repo');
    main = await https.repositories.commit('org/repo', 'refs/heads/main', { a: '1' });
  });
  after(() => scope.close());

  function remoteOf(
    at: HttpsUpstream,
    credential: UpstreamCredential | undefined,
    authorities?: string | null,
  ): Remote {
    return createRemote({
      upstream: upstreamAt(at.url('org/repo'), {
        authorities: authorities === null ? undefined : (authorities ?? at.authority),
      }),
      credential: () => Promise.resolve(credential),
    });
  }

  const token = (at: HttpsUpstream, secret = at.token): UpstreamCredential => ({
    kind: 'token',
    username: at.username,
    secret,
    bearer: false,
  });

  it('is not spoken to where its certificate is of an authority that is not trusted', async () => {
    await using remote = remoteOf(https, token(https), null);
    assert.match(
      await publicFault(list(remote)),
      /^cannot reach the upstream localhost:\d+: its certificate is not signed by an authority that is trusted here$/,
    );
    const other = await startHttpsUpstream(scope, { isExpired: true });
    await using wrong = remoteOf(https, token(https), other.authority);
    assert.match(await publicFault(list(wrong)), /not signed by an authority that is trusted/);
    await using expired = remoteOf(other, token(other));
    assert.match(await publicFault(list(expired)), /its certificate has expired$/);
  });

  it('is not spoken to under a name that its certificate does not have', async () => {
    const url = https.url('org/repo').replace('localhost', '127.0.0.1');
    await using remote = createRemote({
      upstream: upstreamAt(url, { authorities: https.authority }),
      credential: () => Promise.resolve(token(https)),
    });
    assert.match(await publicFault(list(remote)), /its certificate is for another name$/);
  });

  it('that does not take the credential, or asks for one, is told apart', async () => {
    await using wrong = remoteOf(https, token(https, 'not-the-token'));
    const said = await publicFault(list(wrong));
    assert.match(said, /^the upstream https:\/\/localhost:\d+\/org\/repo\.git does not take the credential \(401\)$/);
    assert.ok(!said.includes('not-the-token'));
    await using none = remoteOf(https, undefined);
    assert.match(await publicFault(list(none)), /asks for a credential, and has none \(401\)/);
    await using key = remoteOf(https, { kind: 'key', privateKey: 'x' });
    assert.match(await publicFault(list(key)), /a key is of no use there/);
  });

  it('is shown a client certificate where it asks for one', async () => {
    const strict = await startHttpsUpstream(scope, { asksCertificate: true, asksPassword: false });
    await strict.repositories.create('org/repo');
    const oid = await strict.repositories.commit('org/repo', 'refs/heads/main', { a: '1' });
    const credential = {
      kind: 'certificate',
      certificate: strict.clientCertificate,
      privateKey: strict.clientKey,
    } as const;
    await using remote = remoteOf(strict, credential);
    assert.equal((await list(remote)).refs.get('refs/heads/main'), oid);
    await using bare = remoteOf(strict, undefined);
    assert.match(await publicFault(list(bare)), /answers with status 400/);
  });

  it('that refuses pushes says so, and nothing was sent', async () => {
    const path = await https.repositories.create('org/closed');
    await https.repositories.git(['-C', path, 'config', 'http.receivepack', 'false']);
    await using remote = createRemote({
      upstream: upstreamAt(https.url('org/closed'), { authorities: https.authority }),
      credential: () => Promise.resolve(token(https)),
    });
    const updates = [{ refname: 'refs/heads/x', oldOid: oidOf('0'.repeat(40)), newOid: oidOf(main) }];
    const pack = () => Promise.reject(new Error('no pack is asked for'));
    assert.match(
      await publicFault(remote.push({ ...callOf(), updates, atomic: true, options: [], pack })),
      /does not let the credential do this \(403\)/,
    );
  });
});

interface Scripted {
  readonly remote: Remote;
  readonly seen: { readonly method: string; readonly url: string; readonly authorization: string | undefined }[];
  readonly connections: () => number;
}

type Handler = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

async function scripted(scope: Scope, handler: Handler, limits = {}): Promise<Scripted> {
  const seen: Scripted['seen'] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    const { method = '', url = '' } = request;
    seen.push({ method, url, authorization: request.headers.authorization });
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('end', () => {
      handler(request, response, Buffer.concat(chunks));
    });
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const remote = createRemote(
    {
      upstream: upstreamAt(`http://127.0.0.1:${port}/org/repo`),
      credential: () => Promise.resolve({ kind: 'token', username: 'git', secret: 'token-in-a-test', bearer: true }),
    },
    { limits },
  );
  scope.after(async () => {
    await remote[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
  });
  return { remote, seen, connections: () => connections };
}

const OID = '1'.repeat(40);
const V2 = Buffer.concat([...['version 2\n', 'ls-refs=unborn\n', 'fetch\n'].map((line) => encodePkt(line)), FLUSH]);
const REFS = Buffer.concat([encodePkt(`${OID} refs/heads/main\n`), FLUSH]);

function answer(
  response: ServerResponse,
  type: string,
  body: Buffer,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(200, { 'content-type': `application/x-git-upload-pack-${type}`, ...headers });
  response.end(body);
}

describe('an http upstream', () => {
  const scope = suiteScope();
  after(() => scope.close());

  it('is asked for refs in one request, over one connection, once it is known', async () => {
    const { remote, seen, connections } = await scripted(scope, (request, response) => {
      if (request.method === 'GET') answer(response, 'advertisement', V2);
      else answer(response, 'result', gzipSync(REFS), { 'content-encoding': 'gzip' });
    });
    for (let round = 0; round < 3; round += 1) assert.equal((await list(remote)).refs.get('refs/heads/main'), OID);
    assert.deepEqual(
      seen.map(({ method }) => method),
      ['GET', 'POST', 'POST', 'POST'],
    );
    assert.equal(connections(), 1);
    assert.ok(seen.every(({ authorization }) => authorization === 'Bearer token-in-a-test'));
  });

  it('is asked anew what it can do where what is remembered is not so any more', async () => {
    let isOld = false;
    const old = Buffer.concat([
      encodePkt('# service=git-upload-pack\n'),
      FLUSH,
      encodePkt(`${OID} HEAD\0symref=HEAD:refs/heads/main\n`),
      encodePkt(`${OID} refs/heads/main\n`),
      FLUSH,
    ]);
    const { remote, seen } = await scripted(scope, (request, response) => {
      if (request.method === 'GET') answer(response, 'advertisement', isOld ? old : V2);
      else if (isOld) response.writeHead(500).end();
      else answer(response, 'result', REFS);
    });
    await list(remote);
    isOld = true;
    const { refs, head } = await list(remote);
    assert.deepEqual([refs.get('refs/heads/main'), head], [OID, 'refs/heads/main']);
    assert.deepEqual(
      seen.map(({ method }) => method),
      ['GET', 'POST', 'POST', 'GET'],
    );
  });

  it('is not followed to another place, and the fault names it without its query', async () => {
    const { remote } = await scripted(scope, (_request, response) => {
      response.writeHead(302, { location: 'https://x:y@elsewhere.example/org/repo/info/refs?token=secret' }).end();
    });
    const said = await publicFault(list(remote));
    assert.match(
      said,
      /is elsewhere, at https:\/\/elsewhere\.example\/org\/repo: no redirect is followed with a credential/,
    );
    assert.ok(!said.includes('secret') && !said.includes('x:y'));
  });

  it('that echoes the credential does not make it public, nor its control characters', async () => {
    const encoded = Buffer.from('git:token-in-a-test').toString('base64');
    const { remote } = await scripted(scope, (_request, response) => {
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(`\n\u001b[31mbad\u0007 token-in-a-test and ${encoded}\nsecond line`);
    });
    const said = await publicFault(list(remote));
    assert.match(said, /has a fault of its own \(500\): bad \[credential removed\] and \[credential removed\]$/);
  });

  it('that is no Git server, or sends an endless page, is told in words', async () => {
    const { remote } = await scripted(scope, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>log in</html>');
    });
    assert.match(await publicFault(list(remote)), /is no Git server \(it sends text\/html\)/);
    const { remote: endless } = await scripted(scope, (_request, response) => {
      response.writeHead(503, { 'content-type': 'text/plain' });
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    const said = await publicFault(list(endless));
    assert.match(said, /\(503\): xxx/);
    assert.ok(said.length < 3_000);
  });

  it('that packs endless refs into a small body is stopped at the bound', async () => {
    const line = encodePkt(`${OID} refs/heads/${'a'.repeat(900)}\n`);
    const bomb = gzipSync(Buffer.concat(Array.from({ length: 20_000 }, () => line)));
    const { remote } = await scripted(
      scope,
      (request, response) => {
        if (request.method === 'GET') answer(response, 'advertisement', V2);
        else answer(response, 'result', bomb, { 'content-encoding': 'gzip' });
      },
      { refsBytesMax: 1_000_000 },
    );
    // The name comes twice: that is seen first. With other names the bytes are.
    assert.match(await publicFault(list(remote)), /broke Git's protocol: it lists .* twice/);
    const { remote: other } = await scripted(
      scope,
      (request, response) => {
        if (request.method === 'GET') answer(response, 'advertisement', V2);
        else answer(response, 'result', gzipSync(Buffer.concat(many(20_000))), { 'content-encoding': 'gzip' });
      },
      { refsBytesMax: 1_000_000 },
    );
    assert.match(await publicFault(list(other)), /its list of refs is too long/);
    const { remote: damaged } = await scripted(scope, (request, response) => {
      if (request.method === 'GET') answer(response, 'advertisement', V2);
      else answer(response, 'result', Buffer.from('this is not gzip'), { 'content-encoding': 'gzip' });
    });
    assert.match(await publicFault(list(damaged)), /cannot be unpacked/);
  });

  it('that breaks off after the commands of a push leaves it unknown; one that refused it unread does not', async () => {
    const greeting = Buffer.concat([
      encodePkt('# service=git-receive-pack\n'),
      FLUSH,
      encodePkt(`${OID} refs/heads/main\0report-status delete-refs side-band-64k\n`),
      FLUSH,
    ]);
    let status = 0;
    const { remote, seen } = await scripted(scope, (request, response) => {
      if (request.method === 'GET') {
        response.writeHead(200, { 'content-type': 'application/x-git-receive-pack-advertisement' }).end(greeting);
      } else if (status === 0) request.socket.resetAndDestroy();
      else response.writeHead(status).end();
    });
    const updates = [{ refname: 'refs/heads/main', oldOid: oidOf(OID), newOid: oidOf('0'.repeat(40)) }];
    const push = () =>
      remote.push({ ...callOf(), updates, atomic: true, options: [], pack: () => Promise.reject(new Error('none')) });
    const broken = await push();
    assert.equal(broken.kind, 'unknown');
    status = 502;
    assert.equal((await push()).kind, 'unknown');
    status = 413;
    assert.match(await publicFault(push()), /does not take so large a push \(413\)/);
    status = 307;
    assert.match(await publicFault(push()), /no redirect is followed/);
    assert.equal(seen.filter(({ method }) => method === 'POST').length, 4);
  });

  it('whose pack breaks off in the middle gives no whole pack', async () => {
    const { remote } = await scripted(scope, (request, response) => {
      if (request.method === 'GET') return answer(response, 'advertisement', V2);
      response.writeHead(200, { 'content-type': 'application/x-git-upload-pack-result' });
      response.write(Buffer.concat([encodePkt('packfile\n'), encodePkt('\u0001PACK....'), encodePkt('\u0001more')]));
      setImmediate(() => request.socket.resetAndDestroy());
      return undefined;
    });
    const said = await publicFault(
      remote.fetch({ ...callOf(), wants: [oidOf(OID)], haves: [] }).then((pack) => collected(pack)),
    );
    assert.match(said, /closed the connection without a word/);
  });
});

function many(count: number): readonly Buffer[] {
  return Array.from({ length: count }, (_, index) => encodePkt(`${OID} refs/heads/${'a'.repeat(800)}${index}\n`));
}
