/**
 * The HTTP API: the commands for programs. A token is required and stands in the Authorization header; bodies
 * are `application/json`, which no page of another site can send here without asking first.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Readable } from 'node:stream';
import { newId, type Clock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import { passJson } from '../identity/pass-record.ts';
import type { Principal } from '../identity/principal.ts';
import { clientAddress } from '../request/address.ts';
import { parseAuthorization } from '../request/authorization.ts';
import type { RequestOrigin } from '../request/request.ts';
import { Collected } from './collected.ts';
import type { CommandDoor } from './commands.ts';
import { registerHooks, type HookDoor, type HookOptions } from './hooks.ts';
import { registerExchange, type TokenExchange } from './token-exchange.ts';
import { COMMAND_ROUTE, describeApi, WHOAMI_ROUTE } from './routes.ts';

export interface ApiOptions {
  readonly commands: CommandDoor;
  readonly directory: { byToken(secret: string, address?: string): Promise<Principal | undefined> };
  readonly clock: Clock;
  /** The gate's version, for the description. */
  readonly version: string;
  readonly limits?: Partial<ApiLimits>;
  /** Absent: identity tokens are not exchanged. */
  readonly exchange?: TokenExchange;
  /** Absent: no forge's webhooks are taken. */
  readonly hooks?: HookDoor;
  /** Told of each webhook that was taken, for the journal. */
  readonly onHook?: HookOptions['onHook'];
  /** Told of each token that is none, for the journal. */
  readonly onTurnedAway?: (origin: Pick<RequestOrigin, 'id' | 'transport' | 'address'>, reason: string) => void;
}

export interface ApiLimits {
  /** Of standard output and of standard error, each. */
  readonly outputBytesMax: number;
  /** For one command. */
  readonly commandMs: number;
}

export const API_LIMITS: ApiLimits = { outputBytesMax: 8 * 1024 * 1024, commandMs: 300_000 };

type User = Extract<Principal, { readonly kind: 'user' }>;

/**
 * Adds the API's routes to the HTTP door's Fastify, in a scope of their own. The Fastify must check bodies
 * strictly (`coerceTypes: false`, `removeAdditional: false`), as the door's does.
 */
export async function registerApi(app: FastifyInstance, options: ApiOptions): Promise<void> {
  const description = describeApi(options.version);
  await app.register(async (scope) => {
    scope.setErrorHandler(async (error: FastifyError, request, reply) => {
      const status = error.statusCode ?? 500;
      const expected = status < 500;
      const text = expected ? error.message : publicMessageOf(error, request.id);
      await fail(reply, expected ? status : statusOf(error), text);
    });
    scope.addHook('onSend', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });
    // JSON only: text/plain is what a form of another site may send without asking.
    scope.removeContentTypeParser('text/plain');
    const { exchange, hooks, onHook, ...rest } = options;
    if (exchange !== undefined) await registerExchange(scope, { exchange, ...rest });
    if (hooks !== undefined)
      await registerHooks(scope, { hooks, ...rest, ...(onHook === undefined ? {} : { onHook }) });
    scope.get('/api/openapi.json', async () => description);
    scope.get(WHOAMI_ROUTE.path, { schema: { response: { 200: WHOAMI_ROUTE.answer } } }, async (request, reply) => {
      const user = await authenticate(request, reply, options);
      return user === undefined ? reply : whoami(user);
    });
    scope.route<{ Body: { readonly argv: readonly string[]; readonly stdin?: string } }>({
      method: 'POST',
      url: COMMAND_ROUTE.path,
      schema: { body: COMMAND_ROUTE.body, response: { 200: COMMAND_ROUTE.answer } },
      // Before the body is parsed: a stranger's is not.
      onRequest: async (request, reply) => {
        await authenticate(request, reply, options);
      },
      handler: async (request, reply) => {
        const user = await authenticate(request, reply, options);
        return user === undefined ? reply : runCommand({ request, reply, user, options });
      },
    });
  });
}

/** The user of the token, or undefined when the answer 401 is on its way. */
async function authenticate(
  request: FastifyRequest,
  reply: FastifyReply,
  { directory, clock, onTurnedAway }: ApiOptions,
): Promise<User | undefined> {
  const authorization = parseAuthorization(request.headers.authorization);
  const address = clientAddress(request.socket.remoteAddress);
  const found = authorization.kind === 'token' ? await directory.byToken(authorization.secret, address) : undefined;
  if (found?.kind === 'user') return found;
  void reply.header('www-authenticate', 'Bearer realm="gatehouse"');
  const text = authorization.kind === 'none' ? 'a token is needed' : 'this token is wrong, expired or revoked';
  if (authorization.kind !== 'none') onTurnedAway?.({ id: newId(clock), transport: 'http', address }, text);
  await fail(reply, 401, text);
  return undefined;
}

async function fail(reply: FastifyReply, status: number, error: string): Promise<void> {
  await reply.code(status).type('application/json; charset=utf-8').send(JSON.stringify({ error }));
}

function statusOf(error: unknown): number {
  return error instanceof Fault && (error.code === 'busy' || error.code === 'aborted') ? 503 : 500;
}

function whoami(user: User): Readonly<Record<string, unknown>> {
  const { name, account, email, realName, groups, credential } = user;
  const told = { name, account, email, realName, groups: [...groups].sort() };
  if (credential.kind === 'pass') return { ...told, token: credential.name, scopes: [], pass: passJson(credential) };
  const token = credential.kind === 'token' ? credential : { name: '', scopes: [] };
  return { ...told, token: token.name, scopes: token.scopes };
}

interface CommandCall {
  readonly request: FastifyRequest<{ Body: { readonly argv: readonly string[]; readonly stdin?: string } }>;
  readonly reply: FastifyReply;
  readonly user: User;
  readonly options: ApiOptions;
}

interface CommandAnswer {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function runCommand({ request, reply, user, options }: CommandCall): Promise<CommandAnswer> {
  const { outputBytesMax, commandMs } = { ...API_LIMITS, ...options.limits };
  const abort = new AbortController();
  const stop = (why: string): void => {
    abort.abort(new Fault('aborted', 'command was stopped', { publicMessage: why }));
  };
  const onFull = (): void => {
    stop(`the output is over ${outputBytesMax} bytes`);
  };
  const stdout = new Collected(outputBytesMax, onFull);
  const stderr = new Collected(outputBytesMax, onFull);
  const cancel = options.clock.after(commandMs, () => {
    stop(`the command took over ${commandMs / 1000} s`);
  });
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) stop('the client went away');
  });
  const id = newId(options.clock);
  const address = clientAddress(request.socket.remoteAddress);
  const origin: RequestOrigin = { id, transport: 'http', address, principal: user };
  const { argv, stdin = '' } = request.body;
  const input = Readable.from(stdin === '' ? [] : [Buffer.from(stdin)], { objectMode: false });
  try {
    const exit = await options.commands.run({ origin, argv, stdin: input, stdout, stderr, signal: abort.signal });
    if (!abort.signal.aborted) return { exit, stdout: stdout.text(), stderr: stderr.text() };
    const why = publicMessageOf(abort.signal.reason, id);
    return { exit: exit === 0 ? 1 : exit, stdout: stdout.text(), stderr: `${stderr.text()}gatehouse: ${why}\n` };
  } finally {
    cancel();
  }
}
