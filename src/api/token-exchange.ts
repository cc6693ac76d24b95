/** `POST /api/v1/token-exchange`: an identity token of a CI system for a pass (RFC 8693), errors as in RFC 6749 section 5.2. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { BOUNDS } from '../base/bounds.ts';
import { newId, type Clock } from '../base/clock.ts';
import { Fault, ok, publicMessageOf, refuse, type Parsed } from '../base/fault.ts';
import { clientAddress } from '../request/address.ts';
import type { RequestOrigin } from '../request/request.ts';
import { EXCHANGE_ROUTE } from './routes.ts';

export interface TokenExchange {
  exchange(asked: {
    readonly id: string;
    readonly address: string;
    readonly subjectToken: string;
    readonly scope: string;
    readonly resources: readonly string[];
  }): Promise<
    | { readonly kind: 'ok'; readonly secret: string; readonly expiresInMs: number; readonly scope: string }
    | { readonly kind: 'refused'; readonly error: string; readonly reason: string; readonly detail: string }
  >;
}

export interface ExchangeOptions {
  readonly exchange: TokenExchange;
  readonly clock: Clock;
  /** Told of each exchange that is refused, for the journal. */
  readonly onTurnedAway?: (origin: Pick<RequestOrigin, 'id' | 'transport' | 'address'>, reason: string) => void;
}

const FORM = 'application/x-www-form-urlencoded';
const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const SUBJECT_TYPES: readonly string[] = [
  'urn:ietf:params:oauth:token-type:jwt',
  'urn:ietf:params:oauth:token-type:id_token',
];
/** Parameters that stand once (RFC 6749 section 3.2). */
const ONCE = ['grant_type', 'subject_token', 'subject_token_type', 'requested_token_type', 'scope'] as const;

/** In a scope of its own: only here a body may be a form. What it holds is the only thing that is believed. */
export async function registerExchange(app: FastifyInstance, options: ExchangeOptions): Promise<void> {
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    const parser = { parseAs: 'string', bodyLimit: BOUNDS.exchangeBytesMax } as const;
    scope.addContentTypeParser(FORM, parser, (_request, body, done) => {
      done(null, new URLSearchParams(typeof body === 'string' ? body : ''));
    });
    scope.setErrorHandler(async (error: { readonly statusCode?: number }, request, reply) => {
      const status = error.statusCode ?? 500;
      const words = status === 415 ? `the body is ${FORM}` : 'the request cannot be read';
      if (status < 500) await fail(reply, { status: 400, error: 'invalid_request', words });
      else
        await fail(reply, { status: 503, error: 'temporarily_unavailable', words: publicMessageOf(error, request.id) });
    });
    scope.addHook('onSend', async (_request, reply) => {
      reply.header('cache-control', 'no-store').header('pragma', 'no-cache');
    });
    scope.post(EXCHANGE_ROUTE.path, (request, reply) => answer(request, reply, options));
  });
}

async function answer(request: FastifyRequest, reply: FastifyReply, options: ExchangeOptions): Promise<FastifyReply> {
  const form = request.body instanceof URLSearchParams ? request.body : new URLSearchParams();
  const read = readForm(form);
  if (read.kind === 'refused') return fail(reply, { status: 400, error: errorOf(form), words: read.reason });
  const origin = {
    id: newId(options.clock),
    transport: 'http',
    address: clientAddress(request.socket.remoteAddress),
  } as const;
  try {
    const exchanged = await options.exchange.exchange({ ...origin, ...read.value });
    if (exchanged.kind === 'refused') {
      options.onTurnedAway?.(origin, `exchange: ${exchanged.detail}`);
      return await fail(reply, { status: 400, error: exchanged.error, words: exchanged.reason });
    }
    return await reply.code(200).send({
      access_token: exchanged.secret,
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: Math.floor(exchanged.expiresInMs / 1000),
      scope: exchanged.scope,
    });
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return fail(reply, { status: 503, error: 'temporarily_unavailable', words: publicMessageOf(error, origin.id) });
  }
}

interface Form {
  readonly subjectToken: string;
  readonly scope: string;
  readonly resources: readonly string[];
}

function readForm(form: URLSearchParams): Parsed<Form> {
  const twice = ONCE.find((name) => form.getAll(name).length > 1);
  if (twice !== undefined) return refuse(`${twice} is given twice`);
  if (form.get('grant_type') !== GRANT) return refuse(`grant_type is ${GRANT}`);
  const type = form.get('subject_token_type') ?? '';
  if (!SUBJECT_TYPES.includes(type)) return refuse(`subject_token_type is ${SUBJECT_TYPES.join(' or ')}`);
  const wanted = form.get('requested_token_type') ?? ACCESS_TOKEN;
  if (wanted !== ACCESS_TOKEN) return refuse(`requested_token_type is ${ACCESS_TOKEN}`);
  if (form.has('actor_token')) return refuse('actor_token is not accepted');
  if (form.has('audience')) return refuse('name the repository with resource: audience is not accepted');
  const subjectToken = form.get('subject_token') ?? '';
  if (subjectToken === '' || subjectToken.length > BOUNDS.idTokenBytesMax)
    return refuse('subject_token is missing or too long');
  const resources = form.getAll('resource');
  if (resources.length > BOUNDS.passPatternsMax) return refuse('there are too many resources');
  return ok({ subjectToken, scope: form.get('scope') ?? '', resources });
}

function errorOf(form: URLSearchParams): string {
  const grants = form.getAll('grant_type');
  return grants.length === 1 && grants[0] !== GRANT ? 'unsupported_grant_type' : 'invalid_request';
}

interface Failure {
  readonly status: number;
  readonly error: string;
  readonly words: string;
}

function fail(reply: FastifyReply, { status, error, words }: Failure): FastifyReply {
  // RFC 6749, 5.2: of ASCII only printable characters without " and \.
  const description = words.replaceAll('’', "'").replaceAll(/[^\x20-\x7e]|["\\]/g, '?');
  return reply.code(status).type('application/json; charset=utf-8').send({ error, error_description: description });
}
