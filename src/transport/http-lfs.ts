/** Git LFS over HTTP: one exchange from its head to its last byte. Who may what is decided by the walk. */
import { newId } from '../base/clock.ts';
import { Fault, publicMessageOf, type Parsed } from '../base/fault.ts';
import { ANONYMOUS, type Principal } from '../identity/principal.ts';
import { batchAnswer, parseBatch, parseVerify } from '../lfs/batch.ts';
import { heldFrom, type LfsOperation } from '../lfs/grants.ts';
import type { LfsPointer } from '../lfs/pointer.ts';
import { clientAddress } from '../request/address.ts';
import { parseAuthorization } from '../request/authorization.ts';
import type { VisitOutcome, VisitTail } from '../request/visit.ts';
import { downloadObject, uploadObject } from './http-lfs-objects.ts';
import {
  answer,
  challenge,
  originOf,
  refused,
  signalOf,
  smallBody,
  statusOf,
  told,
  type LfsExchange,
} from './lfs-exchange.ts';
import { grantSecretIn, linkBase } from './lfs-parts.ts';
import type { LfsUrl } from './lfs-url.ts';
import { turnedAway } from './turned-away.ts';

/** Who asks, and how far what was shown reaches. */
interface Asker {
  readonly principal: Principal;
  /** Undefined: it was no grant. */
  readonly grant?: { readonly repositoryId: string; readonly operation: LfsOperation };
}

const LOCKS = 'file locks are not kept here';
const WRONG_CREDENTIAL = 'this token is wrong, expired or revoked';
/** Answers one request. Never throws. */
export async function serveLfs(about: Omit<LfsExchange, 'id' | 'address'>, url: LfsUrl): Promise<void> {
  const address = clientAddress(about.request.socket.remoteAddress);
  const exchange: LfsExchange = { ...about, id: newId(about.clock), address };
  try {
    const allowed = methodsOf(url);
    if (!allowed.includes(exchange.request.method ?? '')) {
      await answer(exchange, 405, `this is asked for with ${allowed.join(' or ')}`, { allow: allowed.join(', ') });
      return;
    }
    const asker = await askerOf(exchange);
    if (asker === undefined) {
      const reason = WRONG_CREDENTIAL;
      exchange.onTurnedAway?.(
        turnedAway({ ...exchange, transport: 'http' }, { event: 'login', reason, requestedPath: url.path }),
      );
      await answer(exchange, 401, reason, challenge());
      return;
    }
    await serve(exchange, url, asker);
  } catch (error) {
    if (exchange.response.headersSent || !(error instanceof Fault)) exchange.response.destroy();
    else await answer(exchange, statusOf(error.code), publicMessageOf(error, exchange.id)).catch(() => {});
  }
}

function methodsOf(url: LfsUrl): readonly string[] {
  if (url.kind === 'object') return ['GET', 'HEAD', 'PUT'];
  return url.kind === 'locks' ? ['GET', 'POST'] : ['POST'];
}

async function askerOf({ request, lfs, directory, metrics, address }: LfsExchange): Promise<Asker | undefined> {
  const header = request.headers.authorization;
  const secret = grantSecretIn(header);
  if (secret !== undefined) {
    const grant = lfs.grants.find(secret);
    if (grant === undefined) return undefined;
    return { principal: heldFrom(grant.principal, address), grant };
  }
  const authorization = parseAuthorization(header);
  if (authorization.kind === 'none') return { principal: ANONYMOUS };
  const principal = authorization.kind === 'token' ? await directory.byToken(authorization.secret, address) : undefined;
  metrics.login('http', principal === undefined ? 'refused' : 'served');
  return principal && { principal };
}

interface Asked {
  readonly operation: LfsOperation;
  readonly argv: readonly string[];
  readonly tail: VisitTail;
}

async function serve(exchange: LfsExchange, url: LfsUrl, asker: Asker): Promise<void> {
  const { lfs, id, address, response } = exchange;
  const asked = await askedOf(exchange, url);
  const turnAway = (reason: string): void => {
    const origin = { id, transport: 'http', address, principal: asker.principal } as const;
    exchange.onTurnedAway?.(turnedAway(origin, { event: 'connect', reason, requestedPath: url.path }));
  };
  if (asked.kind === 'refused') {
    turnAway(asked.reason);
    await answer(exchange, 422, asked.reason);
    return;
  }
  const { operation, argv, tail } = asked.value;
  const { principal, grant } = asker;
  if (grant !== undefined && operation === 'upload' && grant.operation !== 'upload') {
    const reason = 'what you showed lets you download, not upload';
    turnAway(reason);
    await answer(exchange, 403, reason);
    return;
  }
  const outcome = await lfs.walk.visit(
    {
      id,
      transport: 'http',
      address,
      principal,
      event: 'lfs',
      argv,
      operation: operation === 'upload' ? 'write' : 'read',
      requestedPath: url.path,
      ...(grant === undefined ? {} : { repositoryId: grant.repositoryId }),
      signal: signalOf(response),
    },
    tail,
  );
  await conclude(exchange, outcome, principal.kind === 'anonymous');
}

async function askedOf(exchange: LfsExchange, url: LfsUrl): Promise<Parsed<Asked>> {
  switch (url.kind) {
    case 'batch': {
      const text = await smallBody(exchange);
      const batch = parseBatch(text);
      if (batch.kind === 'refused') return batch;
      const { operation, objects } = batch.value;
      const tail: VisitTail = async ({ repository, principal, signal }) => {
        const { lfs, id } = exchange;
        const fates = await lfs.service.batch(repository, batch.value, { requestId: id, signal });
        const base = linkBase(lfs, originOf(exchange), { principal, repository, operation });
        return told(exchange, batchAnswer(batch.value, fates, base));
      };
      return { kind: 'ok', value: { operation, argv: ['batch', operation, String(objects.length)], tail } };
    }
    case 'verify': {
      const pointer = parseVerify(await smallBody(exchange));
      if (pointer === undefined) return { kind: 'refused', reason: 'verify is asked with an oid and a size' };
      const tail: VisitTail = async ({ repository }) => {
        const { isHere, refusal } = await exchange.lfs.service.verify(repository, pointer);
        if (isHere) return told(exchange, {});
        // No 422: git-lfs takes that for a complaint about content types here, too, and goes on as if all were well.
        return refusal === undefined
          ? refused(exchange, 404, 'the object is not here')
          : refused(exchange, 403, refusal);
      };
      return { kind: 'ok', value: { operation: 'upload', argv: ['verify', pointer.oid], tail } };
    }
    case 'locks':
      return {
        kind: 'ok',
        value: { operation: 'download', argv: ['locks'], tail: async () => refused(exchange, 501, LOCKS) },
      };
    case 'object':
      return { kind: 'ok', value: objectAsked(exchange, url.pointer) };
    default:
      return url satisfies never;
  }
}

function objectAsked(exchange: LfsExchange, pointer: LfsPointer): Asked {
  if (exchange.request.method === 'PUT') {
    return {
      operation: 'upload',
      argv: ['upload', pointer.oid],
      tail: (visited) => uploadObject(exchange, pointer, visited),
    };
  }
  const tail: VisitTail = (visited) => downloadObject(exchange, pointer, visited);
  return { operation: 'download', argv: ['download', pointer.oid], tail };
}

async function conclude(exchange: LfsExchange, outcome: VisitOutcome, isAnonymous: boolean): Promise<void> {
  switch (outcome.kind) {
    case 'told':
      return;
    case 'missing':
    case 'refused':
      if (isAnonymous) await answer(exchange, 401, outcome.reason, challenge());
      else await answer(exchange, outcome.kind === 'missing' ? 404 : 403, outcome.reason);
      return;
    case 'faulted':
      // Half an object must not look whole.
      if (outcome.inBand || exchange.response.headersSent) exchange.response.destroy();
      else await answer(exchange, statusOf(outcome.code), outcome.reason);
      return;
    default:
      outcome satisfies never;
  }
}
