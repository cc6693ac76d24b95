/** Upstreams that break the protocol, lie, flood or fall silent: each ends in a fault in words, bounded, and never in a wrong answer. */
import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { DELIM, encodePkt, FLUSH } from '../../../src/git/pkt-line.ts';
import { createRemote } from '../../../src/upstream/wire/create-remote.ts';
import type { WireLimits } from '../../../src/upstream/wire/limits.ts';
import type { PushAsked, Remote } from '../../../src/upstream/wire/remote.ts';
import { suiteScope } from '../../support/workspace.ts';
import { callOf, collected, faultOf, oidOf, publicFault, upstreamAt } from './conversation.ts';

const ONE = oidOf('1'.repeat(40));
const TWO = oidOf('2'.repeat(40));
const ZERO = oidOf('0'.repeat(40));

const pkts = (...lines: readonly (string | Buffer)[]): Buffer =>
  Buffer.concat(lines.map((line) => (typeof line === 'string' ? encodePkt(line) : line)));
const V2 = pkts('version 2\n', 'agent=x\n', 'ls-refs=unborn\n', 'fetch=shallow\n', 'object-format=sha1\n', FLUSH);
const V0 = pkts(
  `${ONE} HEAD\0side-band-64k ofs-delta symref=HEAD:refs/heads/main\n`,
  `${ONE} refs/heads/main\n`,
  FLUSH,
);
const CAN = 'report-status-v2 report-status delete-refs side-band-64k atomic ofs-delta push-options';
const RECEIVE = pkts(`${ONE} refs/heads/main\0${CAN}\n`, `${ONE} refs/heads/other\n`, FLUSH);

/** Sends each part after the client's next words, and then ends, resets or falls silent. */
interface Script {
  readonly parts: readonly Buffer[];
  readonly ending?: 'end' | 'reset' | 'silence' | 'flood';
}

describe('a hostile upstream', () => {
  const scope = suiteScope();
  after(() => scope.close());

  async function remoteOf({ parts, ending = 'end' }: Script, limits: Partial<WireLimits> = {}): Promise<Remote> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      const left = [...parts];
      socket.on('data', () => {
        const part = left.shift();
        if (part !== undefined) socket.write(part);
        if (left.length > 0) return;
        if (ending === 'end') socket.end();
        else if (ending === 'reset') setImmediate(() => socket.resetAndDestroy());
        else if (ending === 'flood') flood(socket, parts.at(-1) ?? Buffer.alloc(0));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const remote = createRemote(
      { upstream: upstreamAt(`git://127.0.0.1:${port}/x`), credential: () => Promise.resolve(undefined) },
      { limits: { silenceMs: 2_000, workMs: 2_000, ...limits } },
    );
    scope.after(async () => {
      await remote[Symbol.asyncDispose]();
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return remote;
  }

  async function listed(script: Script, limits?: Partial<WireLimits>): Promise<string> {
    const remote = await remoteOf(script, limits);
    return publicFault(remote.lsRefs({ ...callOf(), prefixes: [] }));
  }

  async function fetched(script: Script): Promise<string> {
    const remote = await remoteOf(script);
    return publicFault(remote.fetch({ ...callOf(), wants: [ONE], haves: [] }).then((pack) => collected(pack)));
  }

  const answers: readonly (readonly [string, Script, RegExp])[] = [
    ['says nothing and ends', { parts: [Buffer.alloc(0)] }, /closed the connection without a word/],
    ['resets', { parts: [V2], ending: 'reset' }, /closed the connection without a word/],
    [
      'sends no pkt-line',
      { parts: [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')] },
      /broke Git's protocol: .*bad line length/,
    ],
    ['ends within a pkt-line', { parts: [Buffer.from('00ffabc')] }, /broke Git's protocol: .*ended inside a pkt-line/],
    ['sends an ERR', { parts: [pkts('ERR go\u001b[31m away\u0007')] }, /says: go away$/],
    ['sends an ERR behind its capabilities', { parts: [V2, pkts('ERR not today')] }, /says: not today$/],
    ['ends within its capabilities', { parts: [pkts('version 2\n')] }, /closed the connection/],
    ['lists no capability', { parts: [pkts('version 2\n', 'a b c\n', FLUSH)] }, /a malformed capability/],
    [
      'lists capabilities without end',
      { parts: [pkts('version 2\n', ...Array.from({ length: 300 }, (_, n) => `x${n}\n`))] },
      /list of capabilities/,
    ],
    ['knows no ls-refs', { parts: [pkts('version 2\n', 'fetch\n', FLUSH)] }, /does not know ls-refs/],
    [
      'has an unknown object format',
      { parts: [pkts('version 2\n', 'ls-refs\n', 'object-format=md5\n', FLUSH)] },
      /object format md5 is not known/,
    ],
    ['lists no oid', { parts: [V2, pkts('xyz refs/heads/main\n', FLUSH)] }, /is no object id/],
    ['lists a short oid', { parts: [V2, pkts(`${'1'.repeat(39)} refs/heads/main\n`, FLUSH)] }, /is no object id/],
    ['lists a delim', { parts: [V2, DELIM] }, /a malformed list of refs/],
    [
      'lists a ref twice',
      { parts: [V2, pkts(`${ONE} refs/heads/a\n`, `${TWO} refs/heads/a\n`, FLUSH)] },
      /lists refs\/heads\/a twice/,
    ],
    ...[
      'refs/heads/../../config',
      'refs/heads/a..b',
      'refs/heads/-\u0007',
      '../../../etc/passwd',
      'config',
      'refs/heads/a.lock',
      'refs/heads/\\x',
      'refs/heads/.x',
    ].map((name): readonly [string, Script, RegExp] => [
      `names a ref ${JSON.stringify(name)}`,
      { parts: [V2, pkts(`${ONE} ${name}\n`, FLUSH)] },
      /is no name of a ref$/,
    ]),
    [
      'names a ref that is no UTF-8',
      { parts: [V2, pkts(encodePkt(Buffer.from(`${ONE} refs/heads/\xff\n`, 'latin1')), FLUSH)] },
      /is no name of a ref$/,
    ],
    [
      'lists v0 refs that are none',
      { parts: [pkts(`${ONE} refs/heads/main\0x\n`, 'nonsense\n', FLUSH)] },
      /is no line of a list of refs/,
    ],
    ['lists the null oid', { parts: [pkts(`${ZERO} refs/heads/main\0x\n`, FLUSH)] }, /is no line of a list of refs/],
  ];
  for (const [what, script, why] of answers) {
    it(`that ${what} ends a listing in words`, async () => {
      assert.match(await listed(script), why);
    });
  }

  it('that lists refs of the gate itself, or beside the namespaces, does not set them', async () => {
    const lines = pkts(
      `${ONE} refs/gatehouse/x\n`,
      `${ONE} refs/stash\n`,
      `${ONE} refs/heads/main\n`,
      `${ONE} HEAD symref-target:../../x\n`,
      FLUSH,
    );
    const remote = await remoteOf({ parts: [V2, lines] });
    const { refs, head } = await remote.lsRefs({ ...callOf(), prefixes: [] });
    assert.deepEqual([...refs.keys()], ['refs/heads/main']);
    assert.equal(head, undefined);
  });

  it('that lists refs without end is stopped at the bound, in number and in bytes', async () => {
    const lines = (from: number): Buffer =>
      pkts(...Array.from({ length: 500 }, (_, index) => `${ONE} refs/heads/${from + index}\n`));
    assert.match(await listed({ parts: [V2, lines(0)] }, { refsMax: 100 }), /more than 100 refs/);
    assert.match(await listed({ parts: [V2, lines(0)] }, { refsBytesMax: 1_000 }), /its list of refs is too long/);
    const head = encodePkt(`${ONE} refs/heads/main\0x\n`);
    assert.match(
      await listed({ parts: [Buffer.concat([head, lines(0)])] }, { refsBytesMax: 1_000 }),
      /its list of refs is too long/,
    );
    // Lines that set no ref count as well.
    const others = pkts(...Array.from({ length: 500 }, () => `${ONE} .have\n`));
    assert.match(
      await listed({ parts: [Buffer.concat([head, others])] }, { refsBytesMax: 1_000 }),
      /its list of refs is too long/,
    );
  });

  it('that falls silent ends the call at its deadline', async () => {
    for (const parts of [[Buffer.alloc(0)], [V2, Buffer.alloc(0)], [V2, Buffer.from('00')]]) {
      const remote = await remoteOf({ parts, ending: 'silence' }, { silenceMs: 100 });
      assert.equal((await faultOf(remote.lsRefs({ ...callOf(), prefixes: [] }))).code, 'timeout');
    }
    const dripping = await remoteOf(
      { parts: [V0], ending: 'silence' },
      { listMs: 100, silenceMs: 60_000, workMs: 60_000, packMs: 150 },
    );
    assert.equal((await faultOf(dripping.fetch({ ...callOf(), wants: [ONE], haves: [] }))).code, 'timeout');
  });

  it('does not keep a call that nobody waits for any more', async () => {
    const remote = await remoteOf({ parts: [V2, Buffer.alloc(0)], ending: 'silence' }, { silenceMs: 60_000 });
    const controller = new AbortController();
    const call = remote.lsRefs({ ...callOf(undefined, controller.signal), prefixes: [] });
    controller.abort();
    assert.equal((await faultOf(call)).code, 'aborted');
  });

  it('gives no pack that is not whole', async () => {
    const pack = (...bands: readonly string[]): Buffer => pkts('packfile\n', ...bands);
    assert.match(await fetched({ parts: [V2, pack('\u0001PACK')] }), /closed the connection/);
    assert.match(
      await fetched({ parts: [V2, pack('\u0001PACK', '\u0003out of \u001b[1mmemory\n')] }),
      /says: out of memory$/,
    );
    assert.match(await fetched({ parts: [V2, pack('\u0007PACK')] }), /a band that is none/);
    assert.match(
      await fetched({ parts: [V2, pkts('shallow-info\n', `shallow ${ONE}\n`, DELIM)] }),
      /is a shallow clone/,
    );
    assert.match(await fetched({ parts: [V2, pkts('surprise\n')] }), /section "surprise" was not asked for/);
    assert.match(await fetched({ parts: [V2, FLUSH] }), /a section without a name/);
    assert.match(await fetched({ parts: [V0, pkts('NAK\n', '\u0003broken\n')] }), /says: broken$/);
    assert.match(await fetched({ parts: [V0, pkts('maybe\n')] }), /neither ACK nor NAK/);
  });

  it('gives a pack behind more answers than were asked for, and without a sideband', async () => {
    const many = await remoteOf({
      parts: [
        V0,
        pkts(`ACK ${ONE} common\n`, `ACK ${ONE} ready\n`, 'NAK\n', `ACK ${ONE}\n`, '\u0001PACK', '\u0001data', FLUSH),
      ],
    });
    assert.equal(
      (await collected(await many.fetch({ ...callOf(), wants: [ONE], haves: [TWO] }))).toString(),
      'PACKdata',
    );
    const bare = pkts(`${ONE} HEAD\0ofs-delta\n`, FLUSH);
    const plain = await remoteOf({ parts: [bare, Buffer.concat([encodePkt('NAK\n'), Buffer.from('PACKdata')])] });
    assert.equal((await collected(await plain.fetch({ ...callOf(), wants: [ONE], haves: [] }))).toString(), 'PACKdata');
  });

  it('that talks without end is told up to a bound', async () => {
    let told = 0;
    const noise = pkts(`\u0002${'noise '.repeat(150)}\n`);
    const remote = await remoteOf(
      {
        parts: [
          V2,
          Buffer.concat([
            encodePkt('packfile\n'),
            ...Array.from({ length: 200 }, () => noise),
            encodePkt('\u0001P'),
            FLUSH,
          ]),
        ],
      },
      { toldBytesMax: 10_000 },
    );
    const call = callOf((text) => {
      told += text.length;
    });
    await collected(await remote.fetch({ ...call, wants: [ONE], haves: [] }));
    assert.ok(told > 5_000 && told < 11_000, `${told}`);
  });

  const updates = [
    { refname: 'refs/heads/main', oldOid: ONE, newOid: ZERO },
    { refname: 'refs/heads/other', oldOid: ONE, newOid: ZERO },
  ];
  const asked: PushAsked = {
    ...callOf(),
    updates,
    atomic: true,
    options: [],
    pack: () => Promise.reject(new Error('no pack is needed')),
  };
  const band = (...lines: readonly string[]): Buffer =>
    encodePkt(Buffer.concat([Buffer.from([1]), pkts(...lines, FLUSH)]));

  const reports: readonly (readonly [string, Script, RegExp])[] = [
    ['ends without a report', { parts: [RECEIVE, Buffer.alloc(0)] }, /closed the connection/],
    ['resets', { parts: [RECEIVE, Buffer.alloc(0)], ending: 'reset' }, /closed the connection/],
    ['falls silent', { parts: [RECEIVE, Buffer.alloc(0)], ending: 'silence' }, /did not answer/],
    [
      'leaves a ref out of its report',
      { parts: [RECEIVE, pkts(band('unpack ok\n', 'ok refs/heads/main\n'), FLUSH)] },
      /says nothing of refs\/heads\/other/,
    ],
    [
      'reports a ref twice',
      { parts: [RECEIVE, pkts(band('unpack ok\n', 'ok refs/heads/main\n', 'ng refs/heads/main no\n'), FLUSH)] },
      /twice about/,
    ],
    ['reports another ref', { parts: [RECEIVE, pkts(band('unpack ok\n', 'ok refs/heads/x\n'), FLUSH)] }, /not pushed/],
    ['reports no unpack', { parts: [RECEIVE, pkts(band('ok refs/heads/main\n'), FLUSH)] }, /starts with unpack/],
    ['reports nothing', { parts: [RECEIVE, FLUSH] }, /no whole report/],
    ['cuts its report', { parts: [RECEIVE, pkts('\u0001000eunpack ok\n', FLUSH)] }, /no whole report/],
    ['gives up', { parts: [RECEIVE, pkts('\u0003disk full\n')] }, /says: disk full/],
    [
      'puts a ref elsewhere',
      {
        parts: [
          RECEIVE,
          pkts(
            band('unpack ok\n', 'ok refs/heads/main\n', 'option refname refs/pull/1\n', 'ok refs/heads/other\n'),
            FLUSH,
          ),
        ],
      },
      /put it elsewhere/,
    ],
  ];
  for (const [what, script, why] of reports) {
    it(`that ${what} leaves a push unknown`, async () => {
      const remote = await remoteOf(script, { workMs: 150 });
      const pushed = await remote.push(asked);
      assert.ok(pushed.kind === 'unknown', JSON.stringify(pushed));
      assert.match(pushed.reason, why);
    });
  }

  it('that breaks before it saw a command is a fault, for nothing can have changed', async () => {
    const remote = await remoteOf({ parts: [pkts(`${ONE} refs/heads/main\0${CAN}\n`)], ending: 'reset' });
    assert.equal((await faultOf(remote.push(asked))).code, 'upstream');
    const other = await remoteOf({ parts: [pkts('ERR access denied')] });
    assert.match(await publicFault(other.push(asked)), /says: access denied/);
  });

  it('whose report is whole is believed even if it breaks off behind it, in pieces of any size', async () => {
    const report = pkts('unpack ok\n', 'ok refs/heads/main\n', 'ng refs/heads/other hook \u001b[31mdeclined\n', FLUSH);
    for (const size of [1, 3, 7, 1_000]) {
      const pieces = Array.from({ length: Math.ceil(report.length / size) }, (_, at) =>
        report.subarray(at * size, (at + 1) * size),
      );
      const banded = pieces.map((piece) => encodePkt(Buffer.concat([Buffer.from([1]), piece])));
      const remote = await remoteOf({
        parts: [RECEIVE, Buffer.concat([...banded, encodePkt('\u0002bye\n')])],
        ending: 'reset',
      });
      const pushed = await remote.push(asked);
      assert.ok(pushed.kind === 'reported', JSON.stringify(pushed));
      assert.deepEqual([...pushed.refs.values()], [undefined, 'hook declined']);
    }
  });

  it('that could not unpack took nothing', async () => {
    const remote = await remoteOf({
      parts: [RECEIVE, pkts(band('unpack index-pack abnormal exit\n', 'ng refs/heads/main unpacker error\n'), FLUSH)],
    });
    const pushed = await remote.push(asked);
    assert.ok(pushed.kind === 'reported' && pushed.unpack === 'index-pack abnormal exit');
  });

  it('that cannot do what is asked is not asked', async () => {
    const greeting = (capabilities: string): Buffer =>
      pkts(`${ONE} refs/heads/main\0${capabilities}\n`, `${ONE} refs/heads/other\n`, FLUSH);
    const wrong: readonly (readonly [string, Partial<PushAsked>, RegExp])[] = [
      ['report-status delete-refs', {}, /all or nothing/],
      ['atomic delete-refs', {}, /does not report/],
      ['atomic report-status', {}, /does not let refs be deleted/],
      ['atomic report-status delete-refs', { options: ['x'] }, /takes no push options/],
      ['atomic report-status delete-refs object-format=sha256', {}, /./],
    ];
    for (const [capabilities, more, why] of wrong.slice(0, 4)) {
      const remote = await remoteOf({ parts: [greeting(capabilities), FLUSH] });
      const pushed = await remote.push({ ...asked, ...more });
      assert.ok(pushed.kind === 'refused' && pushed.why === 'ability', JSON.stringify(pushed));
      assert.match(pushed.reason, why);
    }
    const other = await remoteOf({
      parts: [pkts(`${'0'.repeat(64)} capabilities^{}\0${CAN} object-format=sha256\n`, FLUSH), FLUSH],
    });
    const created = [{ refname: 'refs/heads/x', oldOid: ZERO, newOid: ONE }];
    const pushed = await other.push({ ...asked, updates: created });
    assert.ok(pushed.kind === 'refused' && /object format sha256/.test(pushed.reason), JSON.stringify(pushed));
  });

  it('whose pack cannot be made here is not sent a command', async () => {
    let words = 0;
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => {
        words += 1;
        if (words === 1) socket.write(RECEIVE);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    scope.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    await using remote = createRemote({
      upstream: upstreamAt(`git://127.0.0.1:${port}/x`),
      credential: () => Promise.resolve(undefined),
    });
    const created = [{ refname: 'refs/heads/x', oldOid: ZERO, newOid: TWO }];
    await assert.rejects(remote.push({ ...asked, updates: created }));
    assert.equal(words, 1);
  });

  it('that sends anything at all is answered by refs or a fault', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(V2, V0, FLUSH, DELIM)), {
          minLength: 1,
          maxLength: 5,
        }),
        async (parts) => {
          const remote = await remoteOf({ parts: [Buffer.concat(parts)] });
          try {
            await remote.lsRefs({ ...callOf(), prefixes: [] });
          } catch (error) {
            assert.equal(error instanceof Error && error.name, 'Fault');
          }
          await remote[Symbol.asyncDispose]();
        },
      ),
      { numRuns: 60 },
    );
  });
});

function flood(socket: Socket, part: Buffer): void {
  while (!socket.destroyed && socket.write(part));
  if (!socket.destroyed) socket.once('drain', () => flood(socket, part));
}
