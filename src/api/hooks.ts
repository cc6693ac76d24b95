/**
 * `POST /api/v1/hooks/ID`: a forge says that something changed. The only credential is the signature; whoever has none,
 * and whoever calls what is not there, reads the same words. The body is not read for what it says, so it is not kept.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { BOUNDS } from '../base/bounds.ts';
import { newId, type Clock } from '../base/clock.ts';
import { publicMessageOf } from '../base/fault.ts';
import { clientAddress } from '../request/address.ts';
import type { RequestOrigin } from '../request/request.ts';
import { HOOK_ROUTE } from './routes.ts';

export interface HookDoor {
  open(
    id: string,
    headers: IncomingHttpHeaders,
  ): Promise<{
    readonly check: { update(chunk: Uint8Array): void; isRight(): boolean };
    accept(): Promise<{ readonly repository: string | undefined }>;
  }>;
}

type Origin = Pick<RequestOrigin, 'id' | 'transport' | 'address'>;

export interface HookOptions {
  readonly hooks: HookDoor;
  readonly clock: Clock;
  readonly onTurnedAway?: (origin: Origin, reason: string) => void;
  /** Told of each that was right, for the journal. */
  readonly onHook?: (origin: Origin, repository: string | undefined) => void;
}

const WRONG = 'there is no such webhook, or its signature is wrong';

/** In a scope of its own: only here a body may be anything. */
export async function registerHooks(app: FastifyInstance, options: HookOptions): Promise<void> {
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => {
      done(null, payload);
    });
    scope.setErrorHandler(async (error: { readonly statusCode?: number }, request, reply) => {
      const status = error.statusCode ?? 500;
      await say(reply, status, status < 500 ? 'the request cannot be read' : publicMessageOf(error, request.id));
    });
    scope.addHook('onSend', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });
    scope.post<{ Params: { readonly id: string } }>(HOOK_ROUTE.path.replace('{id}', ':id'), (request, reply) =>
      answer(request, reply, options),
    );
  });
}

async function answer(
  request: FastifyRequest<{ Params: { readonly id: string } }>,
  reply: FastifyReply,
  { hooks, clock, onTurnedAway, onHook }: HookOptions,
): Promise<FastifyReply> {
  const address = clientAddress(request.socket.remoteAddress);
  const origin = { id: newId(clock), transport: 'http', address } as const;
  const call = await hooks.open(request.params.id, request.headers);
  let bytes = 0;
  if (request.body instanceof Readable)
    for await (const chunk of request.body as AsyncIterable<Buffer>) {
      // Without an encoding a stream of a request gives buffers.
      bytes += chunk.length;
      if (bytes > BOUNDS.hookBytesMax)
        return say(reply.header('connection', 'close'), 413, 'that is too much for a webhook');
      call.check.update(chunk);
    }
  if (!call.check.isRight()) {
    onTurnedAway?.(origin, WRONG);
    return say(reply, 401, WRONG);
  }
  const { repository } = await call.accept();
  onHook?.(origin, repository);
  return reply.code(200).send({ taken: true });
}

function say(reply: FastifyReply, status: number, error: string): FastifyReply {
  return reply.code(status).type('application/json; charset=utf-8').send({ error });
}
