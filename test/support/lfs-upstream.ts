/** A small LFS server made for tests: strict in what it takes, and as hostile as a test wants it to be. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createHash } from 'node:crypto';
import type { Scope } from './workspace.ts';

export interface LfsUpstream {
  readonly port: number;
  /** By oid. */
  readonly objects: Map<string, Buffer>;
  /** `METHOD PATH AUTHORIZATION`, in their order. */
  readonly requests: string[];
  /** Replaces the answer to a path; returns whether it did. */
  answer: (request: IncomingMessage, response: ServerResponse) => boolean;
}

export const UPSTREAM_AUTHORIZATION = `Basic ${Buffer.from('git:word').toString('base64')}`;

export async function startLfsUpstream(scope: Scope): Promise<LfsUpstream> {
  const upstream = { port: 0, objects: new Map<string, Buffer>(), requests: [] as string[], answer: () => false } as {
    port: number;
  } & LfsUpstream;
  const server = createServer((request, response) => {
    void serve(upstream, request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scope.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  upstream.port = typeof address === 'object' && address !== null ? address.port : 0;
  return upstream;
}

async function serve(upstream: LfsUpstream, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = '', url = '', headers } = request;
  upstream.requests.push(`${method} ${url} ${headers.authorization ?? '-'}`);
  if (upstream.answer(request, response)) {
    request.resume();
    return;
  }
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const oid = url.split('/').at(-1) ?? '';
  if (headers.authorization !== UPSTREAM_AUTHORIZATION) response.writeHead(401).end();
  else if (url === '/api.git/info/lfs/objects/batch') response.end(JSON.stringify(batch(upstream, body)));
  else if (method === 'PUT' && createHash('sha256').update(body).digest('hex') === oid) {
    upstream.objects.set(oid, body);
    response.end();
  } else if (method === 'GET') response.end(upstream.objects.get(oid));
  else response.writeHead(400).end();
}

function batch({ objects, port }: LfsUpstream, body: Buffer): unknown {
  const asked = JSON.parse(body.toString()) as {
    readonly operation: 'upload' | 'download';
    readonly objects: readonly { readonly oid: string; readonly size: number }[];
  };
  const action = (oid: string): unknown => ({ href: `http://127.0.0.1:${port}/store/${oid}` });
  return {
    transfer: 'basic',
    objects: asked.objects.map(({ oid, size }) => {
      if (objects.has(oid) === (asked.operation === 'download')) {
        return { oid, size, actions: { [asked.operation]: action(oid) } };
      }
      return asked.operation === 'upload' ? { oid, size } : { oid, size, error: { code: 404, message: 'not here' } };
    }),
  };
}
