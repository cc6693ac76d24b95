/** Answers over HTTP whose length is known beforehand: whole on a connection that goes on, or the connection ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { announceLength, writeThrough } from '../../src/git/stream.ts';
import type { GitRequest, Outcome } from '../../src/request/request.ts';
import { openDoor } from './http-door.ts';

const ASKED =
  'POST /api/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-git-upload-pack-request\r\nContent-Length: 4\r\n\r\n0000';

/** A door whose walk says that `announced` bytes come and writes `pieces`. */
async function open(t: TestContext, announced: number, pieces: readonly (string | Promise<string>)[]): Promise<Socket> {
  const handle = async ({ output, input }: GitRequest): Promise<Outcome> => {
    input.resume();
    announceLength(output, announced);
    try {
      for (const piece of pieces) await writeThrough(output, Buffer.from(await piece));
    } catch {
      return { kind: 'faulted', code: 'aborted', inBand: true, reason: 'broken off' };
    }
    return { kind: 'served' };
  };
  const { door, dial } = await openDoor(handle);
  const socket = dial();
  socket.setEncoding('latin1');
  t.after(async () => {
    socket.destroy();
    await door.close();
  });
  return socket;
}

/** What comes until the server closes, or until `isWhole`. */
async function heard(socket: Socket, isWhole: (text: string) => boolean): Promise<string> {
  let said = '';
  socket.on('data', (piece: string) => {
    said += piece;
    if (isWhole(said)) socket.destroy();
  });
  await once(socket, 'close');
  return said;
}

test('two answers of announced length follow each other on one connection, without chunks', async (t) => {
  const socket = await open(t, 9, ['pack', 'bytes']);
  socket.write(ASKED + ASKED);
  const said = await heard(socket, (text) => text.split('packbytes').length > 2);
  assert.equal(said.match(/^Content-Length: 9\r$/gim)?.length, 2);
  assert.doesNotMatch(said, /transfer-encoding/i);
});

test('an answer that ends before its announced length ends the connection', async (t) => {
  const socket = await open(t, 12, ['pack', 'bytes']);
  socket.write(ASKED + ASKED);
  const said = await heard(socket, () => false);
  assert.match(said, /^Content-Length: 12\r$/im);
  assert.ok(said.endsWith('\r\n\r\npackbytes'));
  assert.equal(said.split('HTTP/1.1 ').length, 2, 'no second answer that would be taken for the rest');
});

test('nothing goes beyond the announced length: a client would take it for the next answer', async (t) => {
  const socket = await open(t, 6, ['pack', 'bytes']);
  socket.write(ASKED + ASKED);
  const said = await heard(socket, () => false);
  assert.match(said, /^Content-Length: 6\r$/im);
  assert.ok(said.endsWith('\r\n\r\npack'));
});

test('garbage that comes in the middle of an answer is not answered in the middle of it', async (t) => {
  const rest = Promise.withResolvers<string>();
  t.after(() => rest.resolve('bytes'));
  const socket = await open(t, 4_000, ['pack', rest.promise]);
  socket.write(ASKED);
  let isSent = false;
  const said = await heard(socket, (text) => {
    if (text.endsWith('pack') && !isSent) isSent = socket.write('garbage\r\n\r\n');
    return false;
  });
  assert.ok(said.endsWith('\r\n\r\npack'), said);
});
