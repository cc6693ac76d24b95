/** Requests that are read whole and answered whole over HTTP, from clients that cut, drip, leave or do not read. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Fault } from '../../src/base/fault.ts';
import type { GitRequest, Outcome } from '../../src/request/request.ts';
import type { HttpDoor, HttpOptions } from '../../src/transport/http.ts';
import { openDoor } from './http-door.ts';

const SERVED: Outcome = { kind: 'served' };
const HEAD = `POST /api/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-git-upload-pack-request\r\n`;

async function open(
  handle: (request: GitRequest) => Promise<Outcome>,
  limits: NonNullable<HttpOptions['limits']> = {},
): Promise<AsyncDisposable & { readonly door: HttpDoor; dial(): Socket }> {
  const { door, dial } = await openDoor(handle, limits);
  return {
    door,
    dial,
    [Symbol.asyncDispose]: () => door.close(),
  };
}

/** Gives back what was read. */
async function echo({ brief }: GitRequest): Promise<Outcome> {
  if (brief === undefined) return { kind: 'refused', reason: 'not brief' };
  await brief.answer(Buffer.concat([Buffer.from('read '), await brief.read()]));
  return SERVED;
}

/** The fault that a read or an answer ends with, as the walk tells it. */
async function outcomeOf(work: Promise<unknown>): Promise<Outcome> {
  try {
    await work;
    return SERVED;
  } catch (error) {
    assert.ok(error instanceof Fault);
    return { kind: 'faulted', code: error.code, inBand: false, reason: error.publicMessage ?? error.message };
  }
}

test('a short body is read whole wherever the network cuts it, and the connection goes on', async () => {
  await using own = await open(echo);
  const socket = own.dial();
  const body = 'four words of body';
  const message = `${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`;
  const answer =
    /^HTTP\/1\.1 200 OK\r\n(?:[^\r]+\r\n)*content-length: 23\r\n(?:[^\r]+\r\n)*\r\nread four words of body$/i;
  for (const cut of [0, HEAD.length - 3, message.length - body.length, message.length - 5, message.length]) {
    let heard = '';
    socket.write(message.slice(0, cut));
    if (cut > 0) await new Promise((resolve) => setImmediate(resolve));
    socket.write(message.slice(cut));
    while (!answer.test(heard)) {
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      heard += chunk.toString();
    }
  }
  // Two at once, in one packet.
  socket.write(message + message);
  let heard = '';
  while (heard.split('read four words').length < 3) heard += String((await once(socket, 'data'))[0]);
  socket.destroy();
});

test('a body that came with its head is told from one that came later', async () => {
  await using own = await open(async ({ brief }) => {
    if (brief === undefined) return { kind: 'refused', reason: 'not brief' };
    await brief.read();
    await brief.answer(Buffer.from(brief.cameLate ? 'later' : 'at once'));
    return SERVED;
  });
  const whole = own.dial();
  whole.write(`${HEAD}Connection: close\r\nContent-Length: 4\r\n\r\nbody`);
  assert.match(await text(whole), /at once$/);
  const parted = own.dial();
  parted.write(`${HEAD}Connection: close\r\nContent-Length: 4\r\n\r\nbo`);
  // Another connection is served in between: the head was read, and the turn that read it is over.
  const other = own.dial();
  other.write(`${HEAD}Connection: close\r\nContent-Length: 4\r\n\r\nbody`);
  await text(other);
  parted.write('dy');
  assert.match(await text(parted), /later$/);
});

test('what was read whole is there again as a stream', async () => {
  await using own = await open(async (request) => {
    assert.equal((await request.brief?.read())?.toString(), 'body');
    request.output.write(`${(await buffer(request.input)).toString()} again`);
    return SERVED;
  });
  const post = async (door: HttpDoor): Promise<string> => {
    const headers = { 'content-type': 'application/x-git-upload-pack-request' };
    const answer = await fetch(`http://${door.address}/api/git-upload-pack`, { method: 'POST', headers, body: 'body' });
    return answer.text();
  };
  assert.equal(await post(own.door), 'body again');
});

test('a body that is packed, long, of unknown length or waits for a word of ours goes the long way', async () => {
  await using own = await open(echo);
  const long = 'x'.repeat(5_000);
  const packed = gzipSync('body').toString('latin1');
  for (const rest of [
    `Content-Length: ${packed.length}\r\nContent-Encoding: gzip\r\n\r\n${packed}`,
    `Content-Length: ${long.length}\r\n\r\n${long}`,
    `Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n`,
    `Content-Length: 4\r\nExpect: 100-continue\r\n\r\n`,
  ]) {
    const socket = own.dial();
    socket.write(Buffer.from(`${HEAD}Connection: close\r\n${rest}`, 'latin1'));
    assert.match(await text(socket), /^HTTP\/1\.1 401 [^]*not brief/, rest.slice(0, 60));
  }
});

test('a short body that drips is given up, and the client is told', async () => {
  await using own = await open(({ brief }) => outcomeOf(brief?.read() ?? Promise.resolve()), {
    paceMs: 30,
    paceBytes: 100,
    discardMs: 30,
  });
  const socket = own.dial();
  socket.write(`${HEAD}Content-Length: 1000\r\n\r\nabc`);
  assert.match(await text(socket), /^HTTP\/1\.1 408 [^]*the request body came too slowly/);
});

test('a client that goes away in mid-body, or does not take its answer, ends the request', async () => {
  const ended = Promise.withResolvers<Outcome>();
  await using own = await open(async ({ brief }) => {
    const outcome = await outcomeOf(brief?.read() ?? Promise.resolve());
    ended.resolve(outcome);
    return outcome;
  });
  const leaving = own.dial();
  leaving.write(`${HEAD}Content-Length: 1000\r\n\r\nabc`);
  await once(leaving, 'connect');
  leaving.destroy();
  assert.equal((await ended.promise).kind, 'faulted');

  const answered = Promise.withResolvers<Outcome>();
  await using large = await open(async ({ brief }) => {
    const outcome = await outcomeOf(brief?.answer(Buffer.alloc(32 * 1024 * 1024)) ?? Promise.resolve());
    answered.resolve(outcome);
    return outcome;
  });
  const deaf = large.dial();
  deaf.pause();
  deaf.write(`${HEAD}Content-Length: 0\r\n\r\n`);
  await once(deaf, 'readable');
  deaf.destroy();
  const outcome = await answered.promise;
  assert.ok(outcome.kind === 'faulted' && outcome.code === 'aborted');
});
