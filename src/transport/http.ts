/**
 * The HTTP door. Git's URLs are served straight from Node's server, everything else (health, metrics, what the
 * API registers) by Fastify on the same port. With a certificate and its key the door speaks HTTPS only.
 */
import { readFile } from 'node:fs/promises';
import { createServer, ServerResponse, type IncomingMessage, type Server, type ServerOptions } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { fastify, type FastifyInstance } from 'fastify';
import type { Listen } from '../base/address.ts';
import { BOUNDS } from '../base/bounds.ts';
import { newId } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { clientAddress } from '../request/address.ts';
import { listenAt, spoken, type Door, type DoorLog, type DoorMetrics } from './door.ts';
import { parseGitUrl } from './git-url.ts';
import { BODY_LIMITS, type BodyLimits } from './http-body.ts';
import { parseBundleUrl, serveBundle, type BundleDoorParts } from './http-bundle.ts';
import { serveLfs } from './http-lfs.ts';
import type { LfsDoorParts } from './lfs-parts.ts';
import { parseLfsUrl } from './lfs-url.ts';
import { turnedAway } from './turned-away.ts';
import { serveGit, type HttpGitParts } from './http-git.ts';

export interface HttpOptions extends Omit<HttpGitParts, 'limits' | 'metrics'> {
  readonly listen: Listen;
  /** PEM files: the certificate chain and its private key. */
  readonly tls?: { readonly certificatePath: string; readonly keyPath: string };
  readonly log: DoorLog;
  /** Counted here and shown at `/metrics`. */
  readonly metrics: DoorMetrics & { readonly contentType: string; text(): Promise<string> };
  /** Why the gate should get no requests now: it starts, it drains, its journal cannot be written. Undefined: it is ready. */
  readonly unready: () => string | undefined;
  /** Git LFS; undefined: it is not served. */
  readonly lfs?: LfsDoorParts;
  /** Bundles of repositories; undefined: there are none. */
  readonly bundles?: BundleDoorParts;
  /** What else is served here: the API, pages. */
  readonly register?: (app: FastifyInstance) => Promise<void> | void;
  readonly limits?: Partial<HttpLimits>;
}

export interface HttpLimits extends BodyLimits {
  readonly connectionsMax: number;
  readonly headerBytesMax: number;
  /** From the connection, or the end of the request before, to the last byte of the head. */
  readonly headMs: number;
  /** Between two requests. */
  readonly idleMs: number;
  /** Without a byte in either direction. */
  readonly silenceMs: number;
  readonly checkMs: number;
}

export interface HttpDoor extends Door {
  readonly scheme: 'http' | 'https';
  /** Reads certificate and key again; a pair that does not fit leaves the old one in place. @throws Fault 'usage'. */
  reload(): Promise<void>;
}

export const HTTP_LIMITS: HttpLimits = {
  ...BODY_LIMITS,
  connectionsMax: 2_000,
  headerBytesMax: 16 * 1024,
  headMs: 20_000,
  idleMs: 15_000,
  silenceMs: 300_000,
  checkMs: 5_000,
};

/** For a client to read why its connection ends. */
const GARBAGE_LINGER_MS = 1_000;

export async function startHttp(options: HttpOptions): Promise<HttpDoor> {
  const limits = { ...HTTP_LIMITS, ...options.limits };
  const pair = options.tls === undefined ? undefined : await readPair(options.tls);
  let server: Server | SecureServer | undefined;
  const app = fastify({
    bodyLimit: 2 * BOUNDS.commandInputBytesMax,
    // A body is what its schema says, or refused: nothing is bent into shape or dropped.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    serverFactory: (handler) => (server = makeServer({ options, limits, pair, handler })),
    clientErrorHandler: (error, socket) => {
      answerGarbage(error, socket, options);
    },
  });
  addHealth(app, options);
  await options.register?.(app);
  await app.ready();
  if (server === undefined) throw new Fault('internal', 'http server was not made');
  const open = server;
  const address = await listenAt(open, options.listen);
  return {
    address,
    scheme: pair === undefined ? 'http' : 'https',
    async reload() {
      if (options.tls === undefined || !('setSecureContext' in open)) return;
      const next = await readPair(options.tls);
      try {
        open.setSecureContext({ ...next, minVersion: 'TLSv1.2' });
      } catch (cause) {
        throw new Fault('usage', 'certificate is unusable', {
          cause,
          publicMessage: 'the TLS certificate and key do not fit',
        });
      }
    },
    async close() {
      const closed = new Promise<void>((resolve) => {
        open.close(() => {
          resolve();
        });
      });
      open.closeIdleConnections();
      const cancel = options.clock.after(BOUNDS.drainMs + BOUNDS.closeGraceMs, () => {
        open.closeAllConnections();
      });
      await closed;
      cancel();
      await app.close();
    },
  };
}

interface Pair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

async function readPair(tls: NonNullable<HttpOptions['tls']>): Promise<Pair> {
  const read = async (path: string): Promise<Buffer> => {
    try {
      return await readFile(path);
    } catch (cause) {
      throw new Fault('usage', 'cannot read tls file', {
        cause,
        context: { path },
        publicMessage: `cannot read ${path}`,
      });
    }
  };
  return { cert: await read(tls.certificatePath), key: await read(tls.keyPath) };
}

interface ServerParts {
  readonly options: HttpOptions;
  readonly limits: HttpLimits;
  readonly pair: Pair | undefined;
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
}

function makeServer({ options, limits, pair, handler }: ServerParts): Server | SecureServer {
  const settings: ServerOptions = {
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.headMs,
    // A push may take hours; RequestBody watches its pace instead.
    requestTimeout: 0,
    keepAliveTimeout: limits.idleMs,
    connectionsCheckingInterval: limits.checkMs,
    noDelay: true,
    insecureHTTPParser: false,
  };
  const dispatch = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void => {
    // A client that breaks off must not end the process; 'close' tells everybody who cares.
    request.on('error', () => {});
    response.on('error', () => {});
    response.once('close', () => {
      // A closing door does not wait for the next request of a connection that just had its answer.
      if (!server.listening) setImmediate(() => server.closeIdleConnections());
    });
    const lfsUrl = options.lfs && parseLfsUrl(request.url ?? '');
    if (options.lfs !== undefined && lfsUrl !== undefined) {
      const { lfs } = options;
      const scheme = pair === undefined ? 'http' : 'https';
      if (lfsUrl.kind === 'refused') sendText(response, 404, lfsUrl.reason);
      else void serveLfs({ ...options, lfs, limits, scheme, request, response, expectsContinue }, lfsUrl.value);
      return;
    }
    const bundlePath = options.bundles && parseBundleUrl(request.url ?? '');
    if (options.bundles !== undefined && bundlePath !== undefined) {
      void serveBundle({ ...options, bundles: options.bundles, request, response }, bundlePath);
      return;
    }
    const url = parseGitUrl(request.url ?? '');
    if (url === undefined) {
      if (expectsContinue) response.writeContinue();
      handler(request, response);
    } else if (url.kind === 'refused') {
      sendText(response, 400, url.reason);
    } else {
      void serveGit({ ...options, limits, request, response, expectsContinue }, url.value);
    }
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    dispatch(request, response, false);
  };
  const server =
    pair === undefined
      ? createServer(settings, onRequest)
      : createSecureServer({ ...settings, ...pair, minVersion: 'TLSv1.2', handshakeTimeout: limits.headMs }, onRequest);
  server.on('checkContinue', (request, response) => {
    dispatch(request, response, true);
  });
  server.on('connection', (socket) => {
    options.metrics.connectionOpened('http');
    socket.once('close', () => {
      options.metrics.connectionClosed('http');
    });
  });
  server.maxConnections = limits.connectionsMax;
  server.timeout = limits.silenceMs;
  return server;
}

function addHealth(app: FastifyInstance, { unready, metrics }: HttpOptions): void {
  app.get('/healthz', async (_request, reply) => {
    await reply.type('text/plain; charset=utf-8').header('cache-control', 'no-store').send('ok\n');
  });
  app.get('/readyz', async (_request, reply) => {
    const why = unready();
    await reply
      .code(why === undefined ? 200 : 503)
      .type('text/plain; charset=utf-8')
      .header('cache-control', 'no-store')
      .send(why === undefined ? 'ready\n' : `not ready: ${why}\n`);
  });
  app.get('/metrics', async (_request, reply) => {
    await reply.type(metrics.contentType).send(await metrics.text());
  });
  app.get('/', async (request, reply) => {
    await reply.type('text/plain; charset=utf-8').send(landing(`${request.protocol}://${request.host}`));
  });
  app.setNotFoundHandler(async (_request, reply) => {
    await reply.code(404).type('text/plain; charset=utf-8').send(spoken('there is no such page'));
  });
}

/** For a person who opens the door in a browser: the same words for everybody, and nothing of what lies behind. */
function landing(origin: string): string {
  return [
    'This is Gatehouse: one gate for every Git operation.',
    '',
    `  Clone           git clone ${origin}/NAME (a token is the password, any user name serves)`,
    `  Run a command   POST ${origin}/api/v1/commands, described in ${origin}/api/openapi.json`,
    `  Ready?          ${origin}/readyz`,
    '',
  ].join('\n');
}

function sendText(response: ServerResponse, status: number, reason: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
  response.end(spoken(reason));
}

/**
 * What cannot be parsed as HTTP gets one short answer and the end of its connection; a moment later, so that what
 * the client still sends does not reset the connection before it has read why.
 */
function answerGarbage(error: Error & { readonly code?: string }, socket: Duplex, options: HttpOptions): void {
  const { clock, onTurnedAway } = options;
  // In the middle of an answer whose length was said, words would be taken for a part of it.
  if (!socket.writable || error.code === 'ECONNRESET' || isAnswering(socket)) {
    socket.destroy();
    return;
  }
  const status = STATUS_OF.get(error.code ?? '') ?? '400 Bad Request';
  const address = clientAddress('remoteAddress' in socket ? String(socket.remoteAddress) : undefined);
  const reason = `this is not HTTP that is served here: ${status}`;
  onTurnedAway?.(turnedAway({ id: newId(clock), transport: 'http', address }, { event: 'connect', reason }));
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  socket.removeAllListeners('data');
  socket.resume();
  const cancel = clock.after(GARBAGE_LINGER_MS, () => socket.destroy());
  socket.once('close', cancel);
}

/** The head of an answer is out and its end is not: node itself asks in this way before it says 400. */
function isAnswering(socket: Duplex): boolean {
  const answer: unknown = Reflect.get(socket, '_httpMessage');
  return answer instanceof ServerResponse && answer.headersSent;
}

const STATUS_OF: ReadonlyMap<string, string> = new Map([
  ['HPE_HEADER_OVERFLOW', '431 Request Header Fields Too Large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', '408 Request Timeout'],
]);
