/** Clients that break the protocol, ask too much, or go away: a clear error, no process left, memory bounded. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { BOUNDS } from '../../src/base/bounds.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import { House, conversationOf, pkts, readPkts } from './house.ts';

const BIG_FILE_BYTES = 12 * 1024 * 1024;

interface Victim {
  readonly house: House;
  readonly tip: string;
}

/** One commit; with `big`, a pack that fits into no socket buffer. */
async function victim(t: TestContext, options: { big?: boolean; clock?: Clock } = {}): Promise<Victim> {
  const house = await House.open(t, options.clock ? { clock: options.clock } : {});
  const repository = await house.create('r');
  const work = join(house.directory, 'work');
  await house.git(['init', '-q', '-b', 'main', work]);
  await writeFile(join(work, 'file'), options.big === true ? randomBytes(BIG_FILE_BYTES) : 'small');
  await house.git(['add', '.'], work);
  await house.git(['commit', '-q', '-m', 'one'], work);
  await house.git(['push', '-q', repository.path, 'main'], work);
  // The ref cache asks git about objects that it has never seen: not what is counted here.
  await house.refs.snapshot(repository);
  return { house, tip: await house.git(['rev-parse', 'HEAD'], work) };
}

function codeOf(fault: unknown): string {
  assert.ok(fault instanceof Fault, String(fault));
  return fault.code;
}

test('a broken or excessive v2 request gets one ERR pkt that says why, and starts no process', async (t) => {
  const { house, tip } = await victim(t);
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['a length that is no number', Buffer.from('zzzz'), /bad line length character/],
    ['a length of three', Buffer.from('0003'), /bad line length 3/],
    ['a length over the maximum', Buffer.from('ffff'), /bad line length 65535/],
    ['a truncated length', Buffer.from('00'), /ended inside a pkt-line/],
    ['a truncated pkt', Buffer.from('0100command=fetch'), /ended inside a pkt-line/],
    ['no command', pkts('agent=x', '0000'), /no command requested/],
    ['an unknown command', pkts('command=push', '0000'), /invalid command 'push'/],
    ['two commands', pkts('command=fetch', 'command=fetch', '0000'), /after already requesting command 'fetch'/],
    ['an unknown capability', pkts('command=fetch', 'wibble', '0000'), /unknown capability 'wibble'/],
    ['the wrong object format', pkts('command=fetch', 'object-format=sha256', '0000'), /mismatched object format/],
    ['a response-end', pkts('0002'), /response-end/],
    ['an end inside the capabilities', pkts('command=fetch'), /ended inside a request/],
    ['an end inside the arguments', pkts('command=fetch', '0001', `want ${tip}`), /expected flush/],
    ['a delim inside the arguments', pkts('command=fetch', '0001', '0001', '0000'), /expected flush/],
    ['an unknown ls-refs argument', pkts('command=ls-refs', '0001', 'wibble', '0000'), /unexpected line: 'wibble'/],
    ['an unknown fetch argument', pkts('command=fetch', '0001', 'wibble', '0000'), /unexpected line: 'wibble'/],
    ['capabilities without end', pkts('command=fetch', ...Array<string>(70).fill('agent=x')), /too many capability/],
  ];
  const before = house.processes.started;
  for (const [name, body, reason] of cases) {
    const said = await house.say(body, { name: 'r', mode: 'rpc' });
    assert.equal(codeOf(said.fault), 'bad-input', name);
    const lines = await readPkts(said.output);
    assert.equal(lines.length, 1, name);
    assert.match(lines[0] ?? '', /^ERR /, name);
    assert.match(lines[0] ?? '', reason, name);
  }
  assert.equal(house.processes.started, before);
});

test('a broken v0 want list gets an ERR pkt after the advertisement, and starts no process', async (t) => {
  const { house, tip } = await victim(t);
  const before = house.processes.started;
  for (const body of [
    Buffer.from('zzzz'),
    pkts('have x'),
    pkts(`want ${tip}`),
    pkts(`want ${tip}x`, '0000'),
    pkts(`want ${tip}`, '0001'),
    pkts('deepen 0', '0000'),
    pkts(`want ${tip}`, 'filter blob:none', '0000'),
    pkts(`want ${tip}`, 'deepen 1', 'deepen-since 5', '0000'),
  ]) {
    const said = await house.say(body, { name: 'r', protocol: 0 });
    assert.equal(codeOf(said.fault), 'bad-input');
    assert.match((await readPkts(said.output)).at(-1) ?? '', /^ERR /);
  }
  assert.equal(house.processes.started, before);
});

test('a v0 negotiation that breaks the protocol ends git and tells the client', async (t) => {
  const { house, tip } = await victim(t);
  for (const rest of [pkts('wibble'), Buffer.from('zzzz'), pkts('0001'), pkts(`have ${tip.slice(1)}`)]) {
    const said = await house.say(Buffer.concat([pkts(`want ${tip} side-band-64k`, '0000'), rest]), {
      name: 'r',
      protocol: 0,
    });
    assert.equal(codeOf(said.fault), 'bad-input');
    assert.match((await readPkts(said.output)).at(-1) ?? '', /^ERR /);
  }
  const closed = await house.say(pkts(`want ${tip}`, '0000'), { name: 'r', protocol: 0 });
  assert.equal(codeOf(closed.fault), 'aborted');
  assert.equal(house.processes.running, 0);
});

test('clients that want nothing are served without a process, and without an error', async (t) => {
  const { house } = await victim(t);
  const before = house.processes.started;
  for (const protocol of [0, 1, 2] as const) {
    for (const mode of ['stateful', 'rpc'] as const) {
      for (const body of ['', '0000']) {
        const said = await house.say(Buffer.from(body), { name: 'r', protocol, mode });
        assert.equal(said.fault, undefined);
        assert.equal(said.report?.event, 'ls-refs');
        assert.equal(said.output.length > 0, mode === 'stateful');
      }
    }
  }
  const noWants = await house.say(pkts('command=fetch', '0001', 'done', '0000'), { name: 'r', mode: 'rpc' });
  assert.equal(noWants.output.toString(), '');
  assert.equal(house.processes.started, before);
});

test('ls-refs with more prefixes than are kept lists every ref, and with many stays quick', async (t) => {
  const { house } = await victim(t);
  for (const count of [BOUNDS.refPrefixesMax, BOUNDS.refPrefixesMax + 1]) {
    const prefixes = Array.from({ length: count }, (_, index) => `ref-prefix refs/none/${index}`);
    const said = await house.say(pkts('command=ls-refs', '0001', ...prefixes, '0000'), { name: 'r', mode: 'rpc' });
    assert.equal((await readPkts(said.output)).length, count > BOUNDS.refPrefixesMax ? 3 : 1);
  }
});

/** Pkts in endless supply, without holding them. */
function* flood(head: Buffer, lineOf: (index: number) => string): Generator<Buffer> {
  yield head;
  for (let index = 1; ; index += 100) {
    yield pkts(...Array.from({ length: 100 }, (_, offset) => lineOf(index + offset)));
  }
}

test('wants, names and prefixes without end stop at their bounds, before git sees any', async (t) => {
  const { house, tip } = await victim(t);
  const wantOf = (index: number): string => `want ${index.toString(16).padStart(40, '0')}`;
  const long = 'x'.repeat(60_000);
  const fetch = pkts('command=fetch', '0001', `want ${tip}`);
  const floods = [
    { protocol: 2, input: flood(fetch, wantOf), reason: /more than 200000 wants/ },
    { protocol: 0, input: flood(pkts(`want ${tip}`), wantOf), reason: /more than 200000 wants/ },
    { protocol: 2, input: flood(fetch, (index) => `deepen-not ${index}${long}`), reason: /request is too large/ },
    { protocol: 0, input: flood(pkts(`want ${tip}`), (index) => `deepen-not ${index}`), reason: /too many deepen-not/ },
    { protocol: 2, input: flood(pkts('command=ls-refs', '0001'), () => `ref-prefix ${long}`), reason: /too large/ },
  ] as const;
  const before = house.processes.started;
  for (const { protocol, input, reason } of floods) {
    const chunks: Buffer[] = [];
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(chunk);
        done();
      },
    });
    const stream = Readable.from(input, { objectMode: false });
    const conversation = conversationOf({ input: stream, output, protocol, mode: 'rpc' });
    const ended = await house.serve(conversation, { name: 'r', service: 'upload-pack' });
    assert.equal(codeOf(ended.fault), 'bad-input');
    assert.match(Buffer.concat(chunks).toString(), reason);
    stream.destroy();
  }
  assert.equal(house.processes.started, before);
});

test('a client that stops reading and then goes away leaves no process', async (t) => {
  const { house, tip } = await victim(t, { big: true });
  const url = new URL(await house.openGit(t));
  for (const version of [0, 2]) {
    const served = house.served.length;
    const socket = connect(Number(url.port), '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    const wants =
      version === 2
        ? pkts('command=fetch', '0001', `want ${tip}`, 'done', '0000')
        : pkts(`want ${tip} side-band-64k`, '0000', 'done');
    socket.write(Buffer.concat([pkts(`git-upload-pack /r\0host=x\0\0version=${version}\0`), wants]));
    // Some of the pack has come: git runs, and blocks as soon as nobody reads.
    for await (const chunk of socket.iterator({ destroyOnReturn: false }))
      if ((chunk as Buffer).includes('PACK')) break;
    socket.pause();
    assert.equal(house.processes.running, 1);
    socket.destroy();
    await house.settled(served + 1);
    assert.equal(house.processes.running, 0);
    assert.equal(codeOf(house.served.at(-1)?.fault), 'aborted');
  }
});

test('an aborted conversation ends its git at once', async (t) => {
  const { house, tip } = await victim(t, { big: true });
  const gone = new AbortController();
  const output = new PassThrough({ highWaterMark: 1024 });
  const input = Readable.from([pkts('command=fetch', '0001', `want ${tip}`, 'done', '0000')], { objectMode: false });
  const serving = house.serve(conversationOf({ input, output, mode: 'rpc', signal: gone.signal }), {
    name: 'r',
    service: 'upload-pack',
  });
  await once(output, 'readable');
  assert.equal(house.processes.running, 1);
  gone.abort();
  assert.equal(codeOf((await serving).fault), 'aborted');
  assert.equal(house.processes.running, 0);
});

test('a client that neither reads nor goes away is given up after the idle time', async (t) => {
  const timers: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    after(_ms, callback) {
      timers.push(callback);
      return () => {};
    },
  };
  const { house, tip } = await victim(t, { big: true, clock });
  const output = new PassThrough({ highWaterMark: 1024 });
  const input = Readable.from([pkts('command=fetch', '0001', `want ${tip}`, 'done', '0000')], { objectMode: false });
  const serving = house.serve(conversationOf({ input, output, mode: 'rpc' }), { name: 'r', service: 'upload-pack' });
  await once(output, 'readable');
  // Two periods: in the first something was still written.
  while (timers.length > 0 && house.processes.running > 0) {
    timers.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(codeOf((await serving).fault), 'timeout');
  assert.equal(house.processes.running, 0);
});

test('a silent client is given up after the idle time, in every protocol version', async (t) => {
  for (const protocol of [0, 2] as const) {
    let expire = (): void => {};
    const clock: Clock = { ...systemClock, after: (_ms, callback) => ((expire = callback), (): void => {}) };
    const { house } = await victim(t, { clock });
    const input = new PassThrough();
    const output = new PassThrough();
    const serving = house.serve(conversationOf({ input, output, protocol }), { name: 'r', service: 'upload-pack' });
    await once(output, 'readable');
    await new Promise((resolve) => setImmediate(resolve));
    expire();
    expire();
    assert.equal(codeOf((await serving).fault), 'timeout');
  }
});

test("a repository that breaks under a fetch is an error for the client, and git's words are for the log", async (t) => {
  const { house, tip } = await victim(t);
  const { path } = house.repository('r');
  const tree = await house.git(['rev-parse', `${tip}^{tree}`], path);
  await rm(join(path, 'objects', tree.slice(0, 2), tree.slice(2)));
  for (const protocol of [0, 2] as const) {
    const wants =
      protocol === 2
        ? pkts('command=fetch', '0001', `want ${tip}`, 'done', '0000')
        : pkts(`want ${tip} side-band-64k`, '0000', 'done');
    const said = await house.say(wants, { name: 'r', mode: 'rpc', protocol });
    assert.ok(said.fault instanceof Fault);
    assert.equal(said.fault.code, 'process');
    assert.match(String(said.fault.context['stderr']), /repository corruption/);
    assert.match(
      (await readPkts(said.output)).at(-1) ?? '',
      /^\u0003the server could not complete this \(request test\)/,
    );
  }
});
