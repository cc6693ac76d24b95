/** Hostile and broken clients: each gets an answer where one can be given, and leaves nothing behind. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { test, type TestContext } from 'node:test';
import { constants, deflateSync } from 'node:zlib';
import { PktReader } from '../../src/git/pkt-line.ts';
import { converse, EMPTY_PACK, entryHeader, pack, pkt, readLines, ZERO } from './raw-client.ts';
import { commitFile, dial, git, gitOk, openSite, type Site, type SiteOptions } from './site.ts';

const OID = 'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391';
const MIB = 1024 * 1024;

/** A site with a commit on main; afterwards its refs are as before, nothing is left over, git finds it sound. */
async function besieged(
  t: TestContext,
  attack: (site: Site, tree: string) => Promise<void>,
  options: SiteOptions = {},
) {
  const site = await openSite(t, options);
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  const before = await site.refs();
  await attack(site, tree);
  assert.equal(await site.refs(), before);
  assert.deepEqual(site.leftovers(), []);
  await gitOk(site.repository.path, 'fsck', '--strict');
  // It still serves.
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main:refs/heads/after');
}

function blob(content: Buffer): Buffer {
  return Buffer.concat([entryHeader(3, content.length), deflateSync(content)]);
}

function oidOf(type: string, content: Buffer): string {
  return createHash('sha1').update(`${type} ${content.length}\0`).update(content).digest('hex');
}

function create(oid: string, name = 'refs/tags/x', capabilities = 'report-status'): Buffer {
  return pkt(`${ZERO} ${oid} ${name}\0${capabilities}`);
}

test('malformed and truncated requests get a clear error', async (t) => {
  const line = `${ZERO} ${OID} refs/heads/x`;
  const cases: readonly (readonly [string, readonly (string | Buffer)[], RegExp])[] = [
    ['bad length', ['zzzz'], /bad line length character/],
    ['length 3', ['0003'], /bad line length 3/],
    ['too long', ['fff9'], /bad line length 65529/],
    ['cut in a pkt', ['0090abc'], /ended inside a pkt-line/],
    ['cut behind a command', [pkt(`${line}\0report-status`)], /ended inside the list/],
    ['no refname', [pkt(`${ZERO} ${OID} `), '0000'], /is not "OLD NEW REF"/],
    ['short oid', [pkt(`${ZERO.slice(1)} ${OID} refs/heads/x`), '0000'], /is not "OLD NEW REF"/],
    ['upper case', [pkt(`${ZERO} ${OID.toUpperCase()} refs/heads/x`), '0000'], /is not "OLD NEW REF"/],
    ['sha256 oid', [pkt(`${'0'.repeat(64)} ${'1'.repeat(64)} refs/heads/x`), '0000'], /is not "OLD NEW REF"/],
    ['object format', [pkt(`${line}\0object-format=sha256`), '0000'], /object format is sha1/],
    ['newline', [pkt(`${line}\ny\0`), '0000'], /not printable/],
    ['escape', [pkt(`${line}\x1b[2J\0`), '0000'], /not printable/],
    ['bad UTF-8', [pkt(Buffer.concat([Buffer.from(line), Buffer.from([0xff])])), '0000'], /not printable/],
    ['too long a name', [pkt(`${line}${'y'.repeat(2_000)}`), '0000'], /too long or not printable/],
    ['second NUL', [pkt(`${line}\0`), pkt(`${line}2\0x`), '0000'], /NUL in a ref update/],
    ['delim', [pkt(line), '0001'], /unexpected delim/],
    ['push-cert', [pkt('push-cert\0report-status'), '0000'], /signed pushes are not offered/],
    ['shallow only', [pkt(`shallow ${OID}`), '0000'], /shallow lines without a ref update/],
    ['bad shallow', [pkt('shallow x'), '0000'], /bad shallow line/],
    ['option', [pkt(`${line}\0push-options`), '0000', pkt('a\x00b'), '0000'], /push option is not printable/],
    [
      'options',
      [pkt(`${line}\0push-options`), '0000', ...Array<Buffer>(65).fill(pkt('o')), '0000'],
      /at most 64 options/,
    ],
    ['long option', [pkt(`${line}\0push-options`), '0000', pkt('o'.repeat(1_100)), '0000'], /at most 1024 bytes/],
  ];
  await besieged(t, async (site) => {
    for (const [what, words, reason] of cases) {
      const { report } = await converse(site, words);
      assert.match(report.join('\n'), reason, what);
    }
  });
});

test('every split of a good request is read the same', async (t) => {
  await besieged(t, async (site) => {
    const bytes = Buffer.concat([create(OID), Buffer.from('0000'), EMPTY_PACK]);
    for (let at = 1; at < bytes.length; at += 7) {
      const ended = site.nextEnd();
      const socket = dial(site).setNoDelay();
      const reader = new PktReader(socket);
      await readLines(reader);
      socket.write(bytes.subarray(0, at));
      await new Promise(setImmediate);
      socket.write(bytes.subarray(at));
      assert.deepEqual(await readLines(reader), ['unpack ok', 'ng refs/tags/x the push lacks objects that it needs']);
      socket.destroy();
      await ended;
    }
  });
});

test('a ref named twice is refused, the others are not', async (t) => {
  await besieged(t, async (site, tree) => {
    const head = await gitOk(tree, 'rev-parse', 'HEAD');
    const { report } = await converse(site, [
      create(head, 'refs/tags/x'),
      pkt(`${ZERO} ${head} refs/tags/x`),
      pkt(`${ZERO} ${head} refs/tags/y`),
      '0000',
      EMPTY_PACK,
    ]);
    assert.deepEqual(report, ['unpack ok', 'ng refs/tags/x the ref is named twice in one push', 'ok refs/tags/y']);
    await gitOk(tree, 'push', '-q', site.gitUrl, ':refs/tags/y');
  });
});

test('creating what exists, deleting what does not and updating from a stale value are refused', async (t) => {
  await besieged(t, async (site, tree) => {
    const head = await gitOk(tree, 'rev-parse', 'HEAD');
    const ask = async (command: string): Promise<string | undefined> =>
      (await converse(site, [pkt(`${command}\0report-status`), '0000', EMPTY_PACK])).report.at(-1);
    assert.equal(
      await ask(`${ZERO} ${head} refs/heads/main`),
      'ng refs/heads/main the ref exists already: fetch first',
    );
    assert.equal(await ask(`${ZERO} ${ZERO} refs/heads/no`), 'ng refs/heads/no there is no such ref to delete');
    assert.equal(await ask(`${OID} ${ZERO} refs/heads/no`), 'ng refs/heads/no there is no such ref to delete');
    const stale = 'the ref has changed since you fetched: fetch first';
    assert.equal(await ask(`${OID} ${head} refs/heads/main`), `ng refs/heads/main ${stale}`);
    assert.equal(await ask(`${OID} ${ZERO} refs/heads/main`), `ng refs/heads/main ${stale}`);
  });
});

test('three hundred thousand refs in one push end in a clear error after a bounded part of them', async (t) => {
  await besieged(t, async (site) => {
    const before = process.memoryUsage().rss;
    const some = Buffer.concat(Array.from({ length: 1_000 }, (_, index) => pkt(`${ZERO} ${OID} refs/heads/x${index}`)));
    const words = Array.from({ length: 300 }, (_, batch) =>
      Buffer.from(
        some.toString('latin1').replaceAll('refs/heads/x', `refs/heads/${String.fromCharCode(97 + (batch % 26))}`),
        'latin1',
      ),
    );
    const { report } = await converse(site, [create(OID), ...words, '0000']);
    assert.match(report.join('\n'), /one push updates at most 50000 refs/);
    assert.ok(process.memoryUsage().rss - before < 200 * MIB);
  });
});

test('a pack that lies about its object count, is cut, is garbage or is corrupt is refused', async (t) => {
  const content = Buffer.from('hello');
  const oid = oidOf('blob', content);
  const good = pack([blob(content)]);
  const flipped = Buffer.from(good);
  flipped[14] = (flipped[14] ?? 0) ^ 0xff;
  const cases: readonly (readonly [string, Buffer])[] = [
    ['more objects', pack([blob(content)], 2)],
    ['fewer objects', pack([blob(content), blob(Buffer.from('x'))], 1)],
    ['four billion objects', pack([blob(content)], 0xffff_ffff)],
    ['none, but one', pack([blob(content)], 0)],
    ['cut', good.subarray(0, good.length - 5)],
    ['cut in the header', good.subarray(0, 7)],
    ['nothing', Buffer.alloc(0)],
    ['garbage', Buffer.from('this is no pack at all, is it?')],
    ['version 9', Buffer.concat([Buffer.from('PACK'), Buffer.from([0, 0, 0, 9]), good.subarray(8)])],
    ['flipped', flipped],
  ];
  await besieged(t, async (site) => {
    for (const [what, bytes] of cases) {
      const { report } = await converse(site, [create(oid), '0000', bytes]);
      assert.match(report[0] ?? '', /^unpack (?!ok)/, what);
      assert.equal(report[1], 'ng refs/tags/x unpacker error', what);
    }
    const { report } = await converse(site, [create(oid), '0000', good], { close: false });
    assert.deepEqual(report, ['unpack ok', 'ok refs/tags/x']);
    assert.deepEqual(
      (await converse(site, [pkt(`${oid} ${ZERO} refs/tags/x\0report-status delete-refs`), '0000'])).report,
      ['unpack ok', 'ok refs/tags/x'],
    );
  });
});

test('an object that claims 10 GiB is refused without being held', async (t) => {
  await besieged(t, async (site) => {
    for (const type of [1, 2, 3, 4]) {
      const claim = Buffer.concat([entryHeader(type, 10 * 1024 * MIB), deflateSync(Buffer.alloc(1_000))]);
      const { report } = await converse(site, [create(OID), '0000', pack([claim])]);
      assert.match(report[0] ?? '', /^unpack (?!ok)/);
    }
  });
});

test('zip bombs and delta bombs pass within bounds or are refused, never held in memory', async (t) => {
  const limits = { heldBytesMax: 32 * MIB, objectBytesMax: 64 * MIB, unpackedBytesMax: 128 * MIB };
  await besieged(
    t,
    async (site) => {
      const zeros = Buffer.alloc(100 * MIB);
      const small = deflateSync(zeros, { level: constants.Z_BEST_COMPRESSION });
      const large = async (type: number): Promise<readonly string[]> => {
        const bomb = Buffer.concat([entryHeader(type, zeros.length), small]);
        const oid = oidOf(type === 3 ? 'blob' : 'commit', zeros);
        return (await converse(site, [create(oid), '0000', pack([bomb])])).report;
      };
      assert.match((await large(3))[1] ?? '', /has 104857600 bytes: at most 67108864 are taken/);
      assert.match((await large(1))[0] ?? '', /^unpack (?!ok)/);
      // A delta that copies 16 MiB of its base eight times over makes 128 MiB of a few bytes.
      const base = Buffer.alloc(16 * MIB);
      const copy = Buffer.from([0xf0, 0xff, 0xff, 0xff]);
      const delta = Buffer.concat([varint(base.length), varint(8 * 0xff_ffff), ...Array<Buffer>(8).fill(copy)]);
      const oid = Buffer.from(oidOf('blob', base), 'hex');
      const entry = Buffer.concat([entryHeader(7, delta.length), oid, deflateSync(delta)]);
      const { report } = await converse(site, [create(oidOf('blob', base)), '0000', pack([blob(base), entry])]);
      assert.match(report[0] ?? '', /^unpack (?!ok)/);
    },
    { parts: { limits } },
  );
});

test('a thousand small bombs meet the budget of time', async (t) => {
  const zeros = Buffer.alloc(32 * MIB);
  const one = Buffer.concat([entryHeader(3, zeros.length), deflateSync(zeros)]);
  await besieged(
    t,
    async (site) => {
      const { report } = await converse(site, [create(OID), '0000', pack(Array<Buffer>(1_000).fill(one))]);
      assert.equal(report[0], 'unpack the pack takes too long to unpack for its size');
    },
    { parts: { limits: { indexMs: 300, indexMsPerMib: 1 } } },
  );
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) | (rest >= 128 ? 0x80 : 0));
    if (rest < 128) return Buffer.from(bytes);
  }
}

test('a client that closes, falls silent or resets in the middle of its pack leaves nothing', async (t) => {
  const content = Buffer.alloc(200_000, 'x');
  const bytes = pack([Buffer.concat([entryHeader(3, content.length), deflateSync(content, { level: 0 })])]);
  await besieged(
    t,
    async (site) => {
      for (const way of ['end', 'reset', 'silence'] as const) {
        const ended = site.nextEnd();
        const socket = dial(site);
        await readLines(new PktReader(socket));
        socket.write(Buffer.concat([create(OID), Buffer.from('0000'), bytes.subarray(0, 100_000)]));
        if (way === 'end') socket.end();
        if (way === 'reset') socket.resetAndDestroy();
        const end = await ended;
        if (way === 'end') assert.ok('outcome' in end && end.outcome === 'refused');
        else assert.ok('fault' in end);
        socket.destroy();
      }
    },
    { parts: { limits: { idleMs: 300 } } },
  );
});

test('a client that falls silent in the middle of its commands or takes too long is told so', async (t) => {
  const slow = { deadlineMs: 400, idleMs: 60_000 };
  const silent = { idleMs: 300 };
  for (const [limits, reason] of [
    [slow, /the push took too long/],
    [silent, /sent nothing for too long/],
  ] as const) {
    await besieged(
      t,
      async (site) => {
        for (const part of [create(OID), Buffer.concat([create(OID), Buffer.from('0000PACK')])]) {
          const { report } = await converse(site, [part], { close: false });
          assert.match(report.join('\n'), reason);
        }
      },
      { parts: { limits } },
    );
  }
});

test('a client that does not read its report is given up, and its push stands', async (t) => {
  const site = await openSite(t, { parts: { limits: { stallMs: 300, keepAliveMs: 50 } } });
  const tree = await site.workTree();
  const head = await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  const ended = site.nextEnd();
  const socket = dial(site);
  await readLines(new PktReader(socket));
  const count = 5_000;
  const names = Array.from({ length: count }, (_, index) => `refs/gatehouse/${'x'.repeat(900)}${index}`);
  const commands = names.map((name) => pkt(`${ZERO} ${head} ${name}`));
  socket.write(
    Buffer.concat([
      create(head, 'refs/tags/ok', 'report-status side-band-64k'),
      ...commands,
      Buffer.from('0000'),
      EMPTY_PACK,
    ]),
  );
  socket.pause();
  const end = await ended;
  if ('fault' in end) throw end.fault;
  assert.ok(end.outcome === 'served' && end.journaled);
  assert.match(await site.refs(), /refs\/tags\/ok/);
  assert.deepEqual(site.leftovers(), []);
  socket.destroy();
});

test('a pack over the limit is cut off with the reason while its client still sends', async (t) => {
  const content = Buffer.alloc(8 * MIB, 'x');
  await besieged(
    t,
    async (site, tree) => {
      await gitOk(tree, 'config', 'core.compression', '0');
      await gitOk(tree, 'checkout', '-q', '-b', 'large');
      await commitFile(tree, 'large', content);
      for (const url of [site.gitUrl, site.httpUrl]) {
        const { code, stderr } = await git(tree, 'push', url, 'large');
        assert.notEqual(code, 0);
        assert.match(stderr, /larger than 1048576 bytes|exceeds maximum allowed size/);
      }
      await gitOk(tree, 'checkout', '-q', 'main');
    },
    { parts: { limits: { packBytesMax: MIB } } },
  );
});

test('a push that the names alone refuse is read to its end, so that the client reads why', async (t) => {
  await besieged(t, async (site, tree) => {
    await gitOk(tree, 'config', 'core.compression', '0');
    await gitOk(tree, 'checkout', '-q', '-b', 'large');
    await commitFile(tree, 'large', Buffer.alloc(8 * MIB, 'x'));
    await git(tree, 'push', site.gitUrl, 'large:refs/gatehouse/x'); // the ref cache now knows every object
    const started = site.processes.started;
    for (const url of [site.gitUrl, site.httpUrl]) {
      const { code, stderr } = await git(tree, 'push', url, 'large:refs/gatehouse/x');
      assert.notEqual(code, 0);
      assert.match(stderr, /remote rejected.*refs\/gatehouse\/ belongs to the gate/);
    }
    assert.equal(site.processes.started, started);
    await gitOk(tree, 'checkout', '-q', 'main');
  });
});

test('the probe of a git client over HTTP is answered with nothing', async (t) => {
  await besieged(t, async (site) => {
    const request = httpRequest(`${site.httpUrl}/git-receive-pack`, { method: 'POST' });
    request.end('0000');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 200);
    let bytes = 0;
    for await (const chunk of response) bytes += (chunk as Buffer).length;
    assert.equal(bytes, 0);
  });
});

test('the advertisement has the form of git, empty or not, in v0, v1 and for v2', async (t) => {
  const site = await openSite(t);
  const capabilities =
    'report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta push-options object-format=sha1 agent=gatehouse/test';
  const advertised = async (version: number): Promise<readonly string[]> => {
    const ended = site.nextEnd();
    const socket = dial(site, version);
    const lines = await readLines(new PktReader(socket));
    socket.end('0000');
    await ended;
    socket.destroy();
    return lines;
  };
  assert.deepEqual(await advertised(0), [`${ZERO} capabilities^{}\0${capabilities}`]);
  const tree = await site.workTree();
  const head = await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main', 'main:refs/tags/t');
  await gitOk(site.repository.path, 'update-ref', 'refs/gatehouse/own', head);
  const refs = [`${head} refs/heads/main\0${capabilities}`, `${head} refs/tags/t`];
  assert.deepEqual(await advertised(0), refs);
  assert.deepEqual(await advertised(1), ['version 1', ...refs]);
  assert.deepEqual(await advertised(2), refs);
  assert.ok(readFileSync(`${site.repository.path}/HEAD`, 'utf8').startsWith('ref: '));
});
