/** The gate as a client of an upstream's LFS server, where that server is wrong, hostile or broken. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { test, type TestContext } from 'node:test';
import { Fault } from '../../../src/base/fault.ts';
import { LfsClient } from '../../../src/upstream/lfs/client.ts';
import { parseUpstreamUrl } from '../../../src/upstream/upstream-url.ts';
import { oidOf } from '../../support/lfs.ts';
import { startLfsUpstream, type LfsUpstream } from '../../support/lfs-upstream.ts';

const call = { requestId: 'r', signal: new AbortController().signal };
const bytes = randomBytes(10_000);
const pointer = { oid: oidOf(bytes), size: bytes.length };

interface Ground {
  readonly upstream: LfsUpstream;
  readonly client: LfsClient;
}

async function ground(t: TestContext, silenceMs = 5_000): Promise<Ground> {
  const upstream = await startLfsUpstream(t);
  const url = parseUpstreamUrl(`http://127.0.0.1:${upstream.port}/api`);
  assert.ok(url.kind === 'ok');
  const client = new LfsClient({
    upstream: {
      repositoryId: 'aa',
      url: url.value,
      hostKeys: [],
      authorities: undefined,
      credentialId: undefined,
      freshMs: 0,
      refs: [],
      takesPushes: true,
      allowsPartialPushes: false,
      version: 1,
    },
    credential: { kind: 'token', username: 'git', secret: 'word', bearer: false },
    remote: {},
    silenceMs,
    workMs: silenceMs,
  });
  return { upstream, client };
}

async function collected(content: AsyncIterable<Uint8Array> | undefined): Promise<Buffer | undefined> {
  if (content === undefined) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The words that a client would read. */
async function wordsOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof Fault && error.code === 'upstream', String(error));
    return error.publicMessage ?? '';
  }
  return assert.fail('nothing was thrown');
}

/** What the batch says of every object that it is asked about. */
function batchSays(upstream: LfsUpstream, actions: unknown): void {
  upstream.answer = (request: IncomingMessage, response: ServerResponse) => {
    if (request.url?.endsWith('/objects/batch') !== true) return false;
    response.end(JSON.stringify({ objects: [{ ...pointer, actions }] }));
    return true;
  };
}

test('objects go there and come back, each once', async (t) => {
  const { client, upstream } = await ground(t);
  assert.equal(await client.download(pointer, call), undefined);
  const outgoing = {
    pointer,
    content: async function* () {
      yield bytes;
    },
  };
  await client.upload([outgoing], call);
  await client.upload([outgoing], call);
  assert.deepEqual(await collected(await client.download(pointer, call)), bytes);
  assert.equal((await client.having([pointer], call)).has(pointer.oid), true);
  assert.equal(upstream.requests.filter((line) => line.startsWith('PUT')).length, 1);
});

test('links into places that only the gate sees are not followed', async (t) => {
  const { client, upstream } = await ground(t);
  for (const href of [
    'http://169.254.169.254/x',
    'https://10.0.0.1/x',
    'file:///etc/passwd',
    'https://127.0.0.2/x',
    'http://localhost:1/x',
  ]) {
    batchSays(upstream, { download: { href } });
    assert.match(await wordsOf(client.download(pointer, call)), /gives a link .*which is not followed/);
  }
});

test('a redirect is followed by the same rules, without what was shown before, and not without an end', async (t) => {
  const { client, upstream } = await ground(t);
  const seen: (string | undefined)[] = [];
  const redirect =
    (to: string) =>
    (request: IncomingMessage, response: ServerResponse): boolean => {
      if (request.url?.endsWith('/objects/batch') === true) {
        const href = `http://127.0.0.1:${upstream.port}/first`;
        response.end(
          JSON.stringify({ objects: [{ ...pointer, actions: { download: { href, header: { 'x-key': 'k' } } } }] }),
        );
      } else if (request.url === '/last') {
        seen.push(request.headers.authorization, String(request.headers['x-key']));
        response.end(bytes);
      } else response.writeHead(302, { location: to }).end();
      return true;
    };
  upstream.answer = redirect('/last');
  assert.deepEqual(await collected(await client.download(pointer, call)), bytes);
  assert.deepEqual(seen, [undefined, 'undefined']);
  upstream.answer = redirect('https://10.0.0.1/secret');
  assert.match(await wordsOf(client.download(pointer, call)), /into a private network/);
  upstream.answer = redirect('/again');
  assert.match(await wordsOf(client.download(pointer, call)), /without an end/);
});

test('the credential goes to the host that it is for, and no signed link is in an error', async (t) => {
  const { client, upstream } = await ground(t);
  const other = await startLfsUpstream(t);
  batchSays(upstream, { download: { href: `http://127.0.0.1:${other.port}/x?signature=hidden-part` } });
  const words = await wordsOf(client.download(pointer, call));
  assert.ok(!words.includes('hidden-part') && !words.includes('word'), words);
  assert.deepEqual(other.requests, ['GET /x?signature=hidden-part -']);
});

test('answers that are none, too long, or of another status are refused in words', async (t) => {
  const { client, upstream } = await ground(t);
  const says = (status: number, body: string, type = 'application/json'): void => {
    upstream.answer = (_request, response) => {
      response.writeHead(status, { 'content-type': type }).end(body);
      return true;
    };
  };
  for (const body of ['', '{}', '[]', '{"objects":[1]}', '{"objects":[],"transfer":"tus"}', 'x'.repeat(5_000_000)]) {
    says(200, body);
    await wordsOf(client.having([pointer], call));
  }
  says(507, JSON.stringify({ message: 'no room left' }));
  assert.match(await wordsOf(client.having([pointer], call)), /refuses a request \(507\): no room left/);
  says(403, '<html>git:word</html>', 'text/html');
  assert.doesNotMatch(await wordsOf(client.having([pointer], call)), /html|word/);
});

test('what breaks off or falls silent is a fault, not a short object', async (t) => {
  const { client, upstream } = await ground(t, 200);
  upstream.objects.set(pointer.oid, bytes);
  const partly = (end: (response: ServerResponse) => void): void => {
    upstream.answer = (request, response) => {
      if (request.method !== 'GET') return false;
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, 100), () => end(response));
      return true;
    };
  };
  partly((response) => response.destroy());
  assert.match(await wordsOf(client.download(pointer, call).then(collected)), /broke off/);
  partly(() => {});
  assert.match(await wordsOf(client.download(pointer, call).then(collected)), /broke off/);
});
