/** The log: one JSON line an event, no secrets, bounded. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { createLog, SILENT_LOG, type Log, type LogLevel } from '../../src/audit/log.ts';
import { Fault } from '../../src/base/fault.ts';

function captured(level: LogLevel): { log: Log; lines: () => Record<string, unknown>[] } {
  const written: string[] = [];
  const log = createLog({ level, destination: { write: (line) => written.push(line) } });
  return { log, lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test('a line has time, level, message, the fields and those of its ancestors', () => {
  const { log, lines } = captured('info');
  log.child({ request: 'r1' }).child({ transport: 'ssh' }).info({ ms: 3 }, 'served fetch');
  const [line] = lines();
  const { time, ...rest } = line ?? {};
  assert.deepEqual(rest, { level: 'info', request: 'r1', transport: 'ssh', ms: 3, message: 'served fetch' });
  assert.match(String(time), /^\d{4}-.*Z$/);
});

test('lines below the level are not written, nor are their fields looked at', () => {
  const { log, lines } = captured('warn');
  const fields = {
    get costly(): string {
      throw new Error('looked at');
    },
  };
  log.debug(fields, 'x');
  log.info(fields, 'x');
  log.warn({}, 'warned');
  log.error({}, 'failed');
  SILENT_LOG.child({}).error(fields, 'x');
  assert.deepEqual(
    lines().map((line) => line['message']),
    ['warned', 'failed'],
  );
});

test('fields whose names speak of secrets are blanked at every depth, and passwords in URLs', () => {
  const { log, lines } = captured('debug');
  const secret = 'hunter2-very-secret';
  const names = [
    'password',
    'token',
    'adminToken',
    'admin_token',
    'Authorization',
    'set-cookie',
    'clientSecret',
    'privateKey',
  ];
  for (const name of names) {
    log.debug({ [name]: secret, list: [{ deep: { [name]: secret } }] }, 'x');
    log.child({ [name]: secret }).info({ map: new Map([[name, secret]]) }, 'x');
    const fault = new Fault('internal', 'x', {
      context: { [name]: secret },
      cause: new Fault('internal', 'y', { context: { [name]: secret } }),
    });
    log.error({ error: fault }, 'x');
  }
  log.error(
    { error: new Error(`cannot fetch https://bob:${secret}@example.org/x`), url: `https://${secret}@example.org/` },
    'x',
  );
  const text = JSON.stringify(lines());
  assert.equal(text.includes(secret), false);
  assert.ok(text.includes('[secret]') && text.includes('https://***@example.org/x'));
});

test('a token id, a credential kind and a path are not secrets', () => {
  const { log, lines } = captured('info');
  log.info({ tokenId: 't1', credential: 'token ci-1', path: '/a' }, 'x');
  assert.deepEqual(
    [lines()[0]?.['tokenId'], lines()[0]?.['credential'], lines()[0]?.['path']],
    ['t1', 'token ci-1', '/a'],
  );
});

test('an error is written with code, context and its causes', () => {
  const { log, lines } = captured('info');
  const cause = Object.assign(new Error('disk'), { code: 'EIO' });
  log.error({ error: new Fault('corrupt', 'store failed', { cause, context: { path: '/x' } }) }, 'open failed');
  const error = lines()[0]?.['error'] as Record<string, unknown>;
  assert.equal(error['code'], 'corrupt');
  assert.deepEqual(error['context'], { path: '/x' });
  assert.equal((error['cause'] as Record<string, unknown>)['code'], 'EIO');
  assert.match(String(error['stack']), /log\.test/);
});

test('hostile fields do not break a line: loops, depth, size, newlines, bytes', () => {
  const { log, lines } = captured('info');
  const loop: Record<string, unknown> = {};
  loop['self'] = loop;
  const error = new Error('loop');
  error.cause = error;
  log.info({ loop, error, big: 'x'.repeat(1_000_000), bytes: Buffer.alloc(1_000_000), n: 1n, text: 'a\nb\u0000' }, 'x');
  const [line] = lines();
  assert.equal(lines().length, 1);
  assert.ok(JSON.stringify(line).length < 100_000);
  assert.equal(line?.['bytes'], '[1000000 bytes]');
  assert.equal(line['text'], 'a\nb\u0000');
});

test('by default lines go to standard error, and a closed standard error ends nothing', async () => {
  const url = new URL('../../src/audit/log.ts', import.meta.url).href;
  const script = `
    const { createLog } = await import(${JSON.stringify(url)});
    const log = createLog({ level: 'info' });
    log.info({ a: 1 }, 'first');
    process.stdin.once('data', () => {
      for (let n = 0; n < 10; n += 1) log.info({ n }, 'nobody reads');
      setImmediate(() => process.stdout.write('alive'));
      process.stdin.pause();
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'pipe' });
  const [chunk] = (await once(child.stderr, 'data')) as [Buffer];
  assert.equal((JSON.parse(chunk.toString()) as Record<string, unknown>)['message'], 'first');
  child.stderr.destroy();
  await once(child.stderr, 'close');
  const output = once(child.stdout, 'data');
  child.stdin.end('go');
  assert.equal(String((await output)[0]), 'alive');
});
