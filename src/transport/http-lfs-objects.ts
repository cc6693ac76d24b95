/** LFS objects over HTTP: one comes, one goes. */
import { pipeline } from 'node:stream/promises';
import { Fault } from '../base/fault.ts';
import type { LfsPointer } from '../lfs/pointer.ts';
import type { VisitEnd, Visited } from '../request/visit.ts';
import { RequestBody } from './http-body.ts';
import { parseRange } from './http-range.ts';
import { NO_STORE, refused, told, type LfsExchange } from './lfs-exchange.ts';

/**
 * Of an upload that holds a secret: received, and not taken. git-lfs sends an object eight times more where its upload is
 * refused, with a pause each, and reads a 422 there as a complaint about content types; it asks `verify` next, which says why.
 */
const RECEIVED = 202;
/** A client gives up on a silent connection after 30 s (`lfs.activitytimeout`), and takes five interim answers at most. */
const ALIVE_MS = 20_000;
const ALIVE_MAX = 5;

export async function uploadObject(
  exchange: LfsExchange,
  pointer: LfsPointer,
  { repository, principal, signal, confirm }: Visited,
): Promise<VisitEnd> {
  const { request, response, lfs, clock, limits } = exchange;
  const length = request.headers['content-length'];
  if (length !== undefined && Number(length) !== pointer.size) {
    return refused(exchange, 400, `the body has ${length} bytes, the link is for ${pointer.size}`);
  }
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
    return refused(exchange, 415, 'an object is sent as it is, without Content-Encoding');
  }
  const onBegin = (): void => {
    if (exchange.expectsContinue) response.writeContinue();
  };
  const content = new RequestBody({ request, decoder: undefined, limits, clock, onBegin });
  const onAbort = (): void => {
    content.destroy(new Fault('aborted', 'lfs upload was aborted', { cause: signal.reason }));
  };
  signal.addEventListener('abort', onAbort, { once: true });
  const stop = stayAlive(exchange);
  try {
    const taken = await lfs.service.upload({ repository, principal, pointer, content, confirm, signal });
    if (taken.kind === 'refused') {
      const status = taken.isForGood === true ? RECEIVED : 403;
      return { ...refused(exchange, status, taken.reason), bytesIn: pointer.size };
    }
    return { ...told(exchange, undefined), isChange: true, bytesIn: pointer.size };
  } finally {
    stop();
    signal.removeEventListener('abort', onAbort);
    content.destroy();
  }
}

/** Says now and then that something goes on: while an object is scanned, nothing comes and nothing goes. */
function stayAlive({ request, response, clock }: LfsExchange): () => void {
  let left = ALIVE_MAX;
  let cancel = (): void => {};
  const arm = (): void => {
    cancel = clock.after(ALIVE_MS, () => {
      if (response.headersSent || response.destroyed) return;
      if (request.complete && left > 0) {
        left -= 1;
        response.writeProcessing();
      }
      arm();
    });
  };
  arm();
  return () => {
    cancel();
  };
}

export async function downloadObject(
  exchange: LfsExchange,
  pointer: LfsPointer,
  { repository, signal, onAnswer }: Visited,
): Promise<VisitEnd> {
  const { request, response, lfs, id } = exchange;
  await using object = await lfs.service.download(repository, pointer, { requestId: id, signal });
  if (object === undefined) return refused(exchange, 404, 'the object is not here');
  const { size } = object;
  const range = request.method === 'HEAD' ? undefined : parseRange(request.headers.range, size);
  if (range === 'none') {
    return refused(exchange, 416, 'nothing of the object lies there', { 'content-range': `bytes */${size}` });
  }
  const { start, end } = range ?? { start: 0, end: size };
  onAnswer();
  response.writeHead(range === undefined ? 200 : 206, {
    'content-type': 'application/octet-stream',
    'content-length': end - start,
    'accept-ranges': 'bytes',
    etag: `"${pointer.oid}"`,
    ...NO_STORE,
    ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  });
  if (request.method === 'HEAD') {
    response.end();
    return { outcome: 'served', bytesOut: 0 };
  }
  await pipeline(object.read(start, end), response, { signal });
  return { outcome: 'served', bytesOut: end - start };
}
