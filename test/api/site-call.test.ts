/** A call of a site's program over the control socket: its form, who takes it, and what happens when a gate closes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { array, assert as check, dictionary, property, string, stringMatching } from 'fast-check';
import { connectControl } from '../../src/api/control-client.ts';
import { startControlSocket, type ControlSocket } from '../../src/api/control-server.ts';
import { encodeFrame, FrameReader } from '../../src/api/frames.ts';
import { encodeSiteCall, parseSiteCall, type SiteCall, type SiteDoor } from '../../src/api/site-call.ts';
import { BOUNDS } from '../../src/base/bounds.ts';
import { systemClock } from '../../src/base/clock.ts';
import { refuse } from '../../src/base/fault.ts';
import { workspace } from '../support/workspace.ts';

const CALL: SiteCall = { program: 'gitolite', pid: 42, cwd: '/', argv: ['compile'], env: { HOME: '/home/git' } };

test('a call is read back as it was written', () => {
  const word = string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '').toWellFormed());
  const name = stringMatching(/^[A-Za-z_]\w*$/);
  check(
    property(array(word), dictionary(name, word), (argv, env) => {
      const call = { ...CALL, argv, env };
      assert.deepEqual(parseSiteCall(encodeSiteCall(call)), { ...call, env: { ...env } });
    }),
  );
});

/** Each with a NUL behind it. */
function fields(...texts: readonly string[]): string {
  return texts.map((text) => `${text}\0`).join('');
}

for (const [what, bytes] of [
  ['nothing', ''],
  ['another form', fields('2', 'gitolite', '1', '/', '0')],
  ['another program', fields('1', 'sh', '1', '/', '0')],
  ['a directory that is relative', fields('1', 'gitolite', '1', 'x', '0')],
  ['fewer words than it says', fields('1', 'gitolite', '1', '/', '3', 'a')],
  ['half a word', `${fields('1', 'gitolite', '1', '/', '1')}a`],
] as const) {
  test(`a call of ${what} is refused`, () => {
    assert.throws(() => parseSiteCall(Buffer.from(bytes)), { code: 'bad-input' });
  });
}

test('the first of two variables of a name counts, and what is no assignment is passed over', () => {
  const bytes = Buffer.from(fields('1', 'gitolite', '1', '/', '0', 'A=1', 'A=2', '=x', 'odd', 'B='));
  assert.deepEqual(parseSiteCall(bytes).env, { A: '1', B: '' });
});

async function gateWith(t: TestContext, site: SiteDoor | undefined): Promise<{ path: string; gate: ControlSocket }> {
  const path = join(workspace(t, 'gatehouse-call-'), 'control.sock');
  const gate = await startControlSocket({
    path,
    commands: { run: async () => 0 },
    principal: async () => refuse('nobody'),
    ...(site === undefined ? {} : { site }),
    clock: systemClock,
  });
  t.after(() => gate.close());
  return { path, gate };
}

async function call(path: string): Promise<number | undefined> {
  const connection = await connectControl(path);
  return connection?.call(CALL, { stdout: new PassThrough(), stderr: new PassThrough() });
}

test('a gate without a site, and one of another account, take no call', async (t) => {
  assert.equal(await call((await gateWith(t, undefined)).path), undefined);
  const other: SiteDoor = { serves: async () => false, invoke: async () => 0 };
  assert.equal(await call((await gateWith(t, other)).path), undefined);
});

test('a gate that closes before it took the call leaves it to another', async (t) => {
  const asked = Promise.withResolvers<void>();
  const { promise: never } = Promise.withResolvers<boolean>();
  const { path, gate } = await gateWith(t, {
    serves: () => {
      asked.resolve();
      return Promise.race([never, once(closing.signal, 'abort').then(() => true)]);
    },
    invoke: async () => 0,
  });
  const closing = new AbortController();
  const answered = call(path);
  await asked.promise;
  const closed = gate.close();
  closing.abort();
  assert.equal(await answered, undefined);
  await closed;
});

test('a gate that is to end waits for the calls that it took, as long as it is told', async (t) => {
  const taken = Promise.withResolvers<void>();
  const done = Promise.withResolvers<number>();
  const { path, gate } = await gateWith(t, {
    serves: async () => true,
    invoke: () => {
      taken.resolve();
      return done.promise;
    },
  });
  const answered = call(path);
  await taken.promise;
  await gate.drain(1);
  const drained = gate.drain(60_000).then(() => 'drained');
  assert.equal(await Promise.race([drained, new Promise((resolve) => setImmediate(resolve, 'waiting'))]), 'waiting');
  done.resolve(7);
  await drained;
  assert.equal(await answered, 7);
});

test('a call beyond the bound is refused, and the gate lives on', async (t) => {
  const { path } = await gateWith(t, { serves: async () => true, invoke: async () => 7 });
  const socket = createConnection(path);
  socket.on('error', () => {});
  const part = encodeFrame('part', Buffer.alloc(65_536, 'x'));
  for (let bytes = 0; bytes <= BOUNDS.siteCallBytesMax; bytes += 65_536) socket.write(part);
  const frames = new FrameReader().push(await buffer(socket));
  assert.match(frames.map(({ payload }) => payload.toString()).join(''), /too many arguments or variables/);
  assert.equal(await call(path), 7);
});
