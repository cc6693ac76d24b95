/** The control socket: a real server and a real client over a real unix socket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import type { CommandRun } from '../../src/request/request.ts';
import { connectControl, type ControlCommand } from '../../src/api/control-client.ts';
import { startControlSocket, type ControlSocket } from '../../src/api/control-server.ts';
import { encodeFrame, FrameReader, STDIN_CREDIT_BYTES } from '../../src/api/frames.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Fault, ok, refuse } from '../../src/base/fault.ts';
import { type Principal } from '../../src/identity/principal.ts';
import { principalNamed } from '../support/principals.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'gatehouse-control-'));
});
after(async () => {
  await rm(directory, { recursive: true, force: true });
});

function person(name: string): Principal {
  return principalNamed(name);
}

let sockets = 0;
async function open(
  run: (run: CommandRun) => Promise<number>,
): Promise<AsyncDisposable & { path: string; server: ControlSocket }> {
  const path = join(directory, `control-${(sockets += 1)}.sock`);
  const server = await startControlSocket({
    path,
    commands: { run },
    clock: systemClock,
    principal: async () => ok(person('root')),
  });
  return { path, server, [Symbol.asyncDispose]: () => server.close() };
}

interface Ran {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function command(
  path: string,
  options: Partial<ControlCommand> & { readonly argv: readonly string[] },
): Promise<Ran> {
  const connection = await connectControl(path);
  assert.ok(connection);
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const texts = Promise.all([text(stdout), text(stderr)]);
  const exit = await connection.run({ stdout, stderr, ...options });
  stdout.end();
  stderr.end();
  const [out, err] = await texts;
  return { exit, stdout: out, stderr: err };
}

test('a command gets its words and input, and its output and exit code come back', async () => {
  await using gate = await open(async ({ origin, argv, stdin, stdout, stderr }) => {
    const name = origin.principal.kind === 'user' ? origin.principal.name : '-';
    stdout.write(`${name} ${origin.transport} ${argv.join('|')} ${await text(stdin)}`);
    stderr.write('warned\n');
    return 2;
  });
  const ran = await command(gate.path, {
    argv: ['a', 'b c'],
    as: 'ada',
    stdin: Readable.from([Buffer.from('in'), Buffer.from('put')]),
  });
  assert.deepEqual(ran, { exit: 2, stdout: 'root local as|ada|a|b c input', stderr: 'warned\n' });
});

test('a command without input reads an empty one', async () => {
  await using gate = await open(async ({ stdin, stdout }) => {
    stdout.write(`${(await buffer(stdin)).length}`);
    return 0;
  });
  assert.deepEqual(await command(gate.path, { argv: ['x'] }), { exit: 0, stdout: '0', stderr: '' });
});

test('a site without an administrator runs no local command', async () => {
  const path = join(directory, `control-${(sockets += 1)}.sock`);
  const commands = { run: async () => 0 };
  const principal = async () => refuse('this site has no active administrator');
  const server = await startControlSocket({ path, commands, clock: systemClock, principal });
  const ran = await command(path, { argv: ['x'] });
  await server.close();
  assert.deepEqual(ran, { exit: 1, stdout: '', stderr: 'gatehouse: this site has no active administrator\n' });
});

test('a command that throws shows only the public message', async () => {
  await using gate = await open(async ({ argv }) => {
    if (argv[0] === 'secret') throw new Error('password is hunter2');
    throw new Fault('busy', 'no room', { publicMessage: 'come back later' });
  });
  const secret = await command(gate.path, { argv: ['secret'] });
  assert.equal(secret.exit, 1);
  assert.match(secret.stderr, /^gatehouse: internal error \(request [0-9a-f]{32}\)\n$/);
  assert.equal((await command(gate.path, { argv: ['x'] })).stderr, 'gatehouse: come back later\n');
});

test('megabytes flow both ways, and input that is not read holds only the credit', async () => {
  const size = 5 * 1024 * 1024;
  await using gate = await open(async ({ stdin, stdout }) => {
    for await (const chunk of stdin) if (!stdout.write(chunk)) await once(stdout, 'drain');
    return 0;
  });
  const ran = await command(gate.path, { argv: ['cat'], stdin: Readable.from([Buffer.alloc(size, 'x')]) });
  assert.equal(ran.stdout.length, size);

  let taken = 0;
  await using lazy = await open(async () => 7);
  const stdin = new Readable({
    read() {
      taken += 16_384;
      this.push(Buffer.alloc(16_384));
    },
  });
  assert.equal((await command(lazy.path, { argv: ['ignore'], stdin })).exit, 7);
  assert.ok(taken <= 2 * STDIN_CREDIT_BYTES + 4 * 65_536, `${taken} bytes were taken`);
  stdin.destroy();
});

test('an abort cancels the command and its exit code still comes', async () => {
  const started = Promise.withResolvers<void>();
  await using gate = await open(async ({ signal }) => {
    started.resolve();
    await once(signal, 'abort');
    return 130;
  });
  const abort = new AbortController();
  const ran = command(gate.path, { argv: ['follow'], signal: abort.signal });
  await started.promise;
  abort.abort();
  assert.equal((await ran).exit, 130);
});

test('a client that goes away ends its command', async () => {
  const started = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  await using gate = await open(async ({ signal }) => {
    started.resolve();
    await once(signal, 'abort');
    ended.resolve();
    return 0;
  });
  const socket = createConnection(gate.path);
  socket.write(encodeFrame('run', JSON.stringify({ argv: ['follow'] })));
  await started.promise;
  socket.destroy();
  await ended.promise;
});

test('closing the socket ends running commands, says so and removes the file', async () => {
  const started = Promise.withResolvers<void>();
  const gate = await open(async ({ signal }) => {
    started.resolve();
    await once(signal, 'abort');
    throw signal.reason;
  });
  const ran = command(gate.path, { argv: ['follow'] });
  await started.promise;
  await gate.server.close();
  assert.equal((await ran).stderr, 'gatehouse: the server is shutting down\n');
  await assert.rejects(stat(gate.path), { code: 'ENOENT' });
});

test('the socket is for its owner only', async () => {
  await using gate = await open(async () => 0);
  assert.equal((await stat(gate.path)).mode & 0o777, 0o600);
});

test('a living gate keeps its socket, a dead one is replaced, another file is left alone', async () => {
  await using gate = await open(async () => 0);
  const options = {
    path: gate.path,
    commands: { run: async () => 0 },
    clock: systemClock,
    principal: async () => refuse('no'),
  };
  await assert.rejects(startControlSocket(options), { code: 'conflict' });

  const dead = join(directory, 'dead.sock');
  const { promise, resolve } = Promise.withResolvers<void>();
  const corpse = createServer().listen(dead, resolve);
  await promise;
  // A crash leaves the file behind: the same as a listener whose descriptor is gone.
  const copy = join(directory, 'copy.sock');
  const { link } = await import('node:fs/promises');
  await link(dead, copy);
  corpse.close();
  await once(corpse, 'close');
  assert.equal(await connectControl(copy), undefined);
  const replaced = await startControlSocket({ ...options, path: copy });
  await replaced.close();

  const file = join(directory, 'file.sock');
  await writeFile(file, 'mine');
  await assert.rejects(startControlSocket({ ...options, path: file }), { code: 'conflict' });
});

test('where no gate runs there is no connection', async () => {
  assert.equal(await connectControl(join(directory, 'none.sock')), undefined);
});

const attacks: readonly (readonly [string, Buffer, RegExp])[] = [
  ['an unknown frame', Buffer.from('GET / HTTP/1.1\r\n\r\n'), /unknown frame/],
  ['a frame over the bound', Buffer.from([0x52, 0xff, 0xff, 0xff, 0xff]), /at most 65536 bytes/],
  ['a request that is not JSON', encodeFrame('run', '{'), /not JSON/],
  ['a request without words', encodeFrame('run', '{}'), /names no command/],
  ['words that are no strings', encodeFrame('run', '{"argv":[1]}'), /strings/],
  [
    'too many words',
    encodeFrame('run', JSON.stringify({ argv: Array.from({ length: 300 }, () => 'x') })),
    /at most 256 words/,
  ],
  [
    'a second command',
    Buffer.concat([encodeFrame('run', '{"argv":["a"]}'), encodeFrame('run', '{"argv":["a"]}')]),
    /one command/,
  ],
  ['a frame that only the gate sends', encodeFrame('exit', '{}'), /sends no exit frame/],
  [
    'input beyond the credit',
    Buffer.concat([
      encodeFrame('run', '{"argv":["a"]}'),
      ...Array.from({ length: 8 }, () => encodeFrame('stdin', Buffer.alloc(65_536))),
    ]),
    /more standard input than credit/,
  ],
];
for (const [name, bytes, expected] of attacks) {
  test(`${name} is answered with an error and the gate lives on`, async () => {
    await using gate = await open(async ({ argv, signal }) => {
      if (argv[0] === 'a') await once(signal, 'abort');
      return 0;
    });
    const socket = createConnection(gate.path);
    socket.on('error', () => {});
    socket.write(bytes);
    const reader = new FrameReader();
    const frames = reader.push(await buffer(socket));
    const errors = frames.filter((frame) => frame.type === 'stderr').map((frame) => frame.payload.toString());
    assert.match(errors.join(''), expected);
    assert.ok(frames.some((frame) => frame.type === 'exit'));
    assert.equal((await command(gate.path, { argv: ['b'] })).exit, 0);
  });
}

test('FrameReader finds the same frames at every split point', () => {
  const bytes = Buffer.concat([
    encodeFrame('stdin', 'abc'),
    encodeFrame('stdin'),
    encodeFrame('stdout', Buffer.alloc(300, 1)),
  ]);
  const whole = new FrameReader().push(bytes);
  for (let split = 0; split <= bytes.length; split += 1) {
    const reader = new FrameReader();
    const frames = [...reader.push(bytes.subarray(0, split)), ...reader.push(bytes.subarray(split))];
    assert.deepEqual(frames, whole);
    assert.equal(reader.partial, false);
  }
});
