/**
 * What bad input gets that comes as a push, over SSH and HTTP, through the whole gate: a reason for the client, a line
 * in the journal, refs as they were, nothing left over, and the next honest client is served.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { encodePkt } from '../../src/git/pkt-line.ts';
import { ask, channel, daemonRequest, dial, hear, rpc, say, shout, type Bytes } from '../support/attacker.ts';
import { git, gitOk, url } from '../support/gate.ts';
import { BLOB, deltaBomb, entryHeader, hostileCommit, packed, packOf, TREE } from '../support/packs.ts';
import { bareOf, besiege, type Siege } from '../support/siege.ts';

const MIB = 1024 * 1024;
const ZERO = '0'.repeat(40);
const NOWHERE = 'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391';
const EMPTY = packOf([]);
const DOORS = ['ssh', 'http'] as const;

let siege: Siege;
const cleanups: (() => unknown)[] = [];
before(
  async () => {
    const scope = { after: (cleanup: unknown) => cleanups.push(cleanup as () => unknown) };
    siege = await besiege(scope);
    await say(siege.ownerSsh, 'config target set limits.object-bytes 67108864');
  },
  { timeout: 60_000 },
);
after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

/** One ref update, with the capabilities that make the answer readable. */
function update(newOid: string, name = 'refs/heads/x', oldOid = ZERO, capabilities = 'report-status'): Buffer {
  return encodePkt(`${oldOid} ${newOid} ${name}\0${capabilities}`);
}

/** The answer to these words after the advertisement, whichever way they come. */
async function push(door: (typeof DOORS)[number], words: readonly Bytes[]): Promise<string> {
  const { site, ownerSsh, ownerToken: token } = siege;
  if (door === 'http') return (await rpc(site.gate, { name: 'target', service: 'receive-pack', token, words })).text;
  return (await say(ownerSsh, 'git-receive-pack target', words)).text;
}

describe('a hostile push', () => {
  const line = `${ZERO} ${NOWHERE} refs/heads/x`;
  const malformed: readonly (readonly [what: string, words: readonly Bytes[], reason: RegExp])[] = [
    ['a length that is no number', ['zzzz'], /bad line length character/],
    ['a length of 3', ['0003'], /bad line length 3/],
    ['a length over the bound', ['fff9'], /bad line length 65529/],
    ['a pkt-line cut short', ['0090abc'], /ended inside a pkt-line/],
    ['a list of updates cut short', [update(NOWHERE)], /ended inside the list of ref updates/],
    ['an update without a refname', [encodePkt(`${ZERO} ${NOWHERE} `), '0000'], /is not "OLD NEW REF"/],
    ['a NUL in a refname', [encodePkt(`${line}\0report-status`), encodePkt(`${line}2\0x`), '0000'], /NUL in a ref/],
    ['a newline in a refname', [encodePkt(`${line}\ny\0`), '0000'], /not printable/],
    ['an escape sequence in a refname', [encodePkt(`${line}\x1b[2J\0`), '0000'], /not printable/],
    ['a refname that is not UTF-8', [encodePkt(Buffer.from(`${line}\xff\0`, 'latin1')), '0000'], /not printable/],
    ['a signed push', [encodePkt('push-cert\0report-status'), '0000'], /signed pushes are not offered/],
    [
      'another object format',
      [update(NOWHERE, 'refs/heads/x', ZERO, 'object-format=sha256'), '0000'],
      /format is sha1/,
    ],
  ];
  for (const door of DOORS) {
    test(`that is malformed is told what is wrong over ${door}`, async () => {
      for (const [what, words, reason] of malformed) {
        assert.match(await push(door, words), reason, what);
      }
      const about = { event: 'push', transport: door, outcome: 'faulted', repository: 'target' } as const;
      for (const [, , reason] of malformed) await siege.journal.next({ ...about, reason });
      await siege.unharmed();
    });

    test(`whose pack lies or is broken is told so over ${door}`, async () => {
      const blob = packed(BLOB, Buffer.from('hello\n'));
      const good = packOf([blob.entry]);
      const claim = Buffer.concat([entryHeader(BLOB, 10 * 1024 * MIB), blob.entry.subarray(1)]);
      const cases: readonly (readonly [what: string, pack: Buffer, reason: RegExp])[] = [
        ['more objects than it has', packOf([blob.entry], 2), /^(?!ok).+/],
        ['fewer objects than it has', packOf([blob.entry, blob.entry], 1), /^(?!ok).+/],
        ['four thousand million objects', packOf([blob.entry], 0xffff_ffff), /says that it has 4294967295 objects/],
        ['an object of 10 GiB', packOf([claim]), /^(?!ok).+/],
        ['a truncated pack', good.subarray(0, 20), /early EOF|truncated|unexpected/],
        ['a pack without its end', good.subarray(0, -10), /early EOF|truncated|unexpected/],
        ['half a header', good.subarray(0, 7), /the pack is truncated/],
        ['something else', Buffer.from('GET / HTTP/1.1\r\n\r\n'), /this is not a pack/],
        ['a version of the future', Buffer.from('PACK\0\0\0\x09\0\0\0\x01', 'latin1'), /version 9 is not supported/],
        ['a wrong checksum', Buffer.concat([good.subarray(0, -1), Buffer.from('!')]), /corrupt|mismatch|SHA1/],
      ];
      for (const [what, pack, reason] of cases) {
        const heard = await push(door, [update(blob.oid, 'refs/tags/x'), '0000', pack]);
        const unpack = /unpack ([^\n]*)/.exec(heard)?.[1] ?? '';
        assert.match(unpack, reason, what);
        assert.match(heard, /ng refs\/tags\/x unpacker error/, what);
        await siege.journal.next({ event: 'push', transport: door, outcome: 'refused' });
      }
      await siege.unharmed();
    });

    test(`of bad names is refused name by name over ${door}`, async () => {
      const { head } = siege;
      const names: readonly (readonly [name: string, reason: RegExp])[] = [
        ['refs/heads/../../config', /not a valid refname/],
        ['refs/heads/a..b', /not a valid refname/],
        ['refs/heads/x.lock', /not a valid refname/],
        ['refs/heads/.hidden', /not a valid refname/],
        ['refs/heads/a//b', /not a valid refname/],
        ['refs/heads/a b', /not a valid refname/],
        ['refs/heads/a:b', /not a valid refname/],
        ['refs/heads/a@{1}', /not a valid refname/],
        ['/etc/passwd', /not a valid refname/],
        ['HEAD', /not a valid refname/],
        ['config', /not a valid refname/],
        ['refs/heads/-oProxyCommand=x', /does not start with "-"/],
        ['refs/heads/HEAD', /is not named HEAD/],
        [`refs/heads/${head}`, /does not look like an object id/],
        ['refs/gatehouse/log', /belongs to the gate/],
        ['refs/heads/ma\u200bin', /do not show/],
        ['refs/heads/\u202enimda', /do not show/],
        ['refs/heads/\u009b2J', /do not show/],
        ['refs/heads/cafe\u0301', /normal form C/],
      ];
      for (const [name, reason] of names) {
        const heard = Buffer.from(await push(door, [update(head, name), '0000', EMPTY]), 'latin1').toString();
        assert.match(/ng .+? ((?:the|this|a|refs\/gatehouse\/) .*)\n/.exec(heard)?.[1] ?? heard, reason, name);
        await siege.journal.next({ event: 'push', transport: door, outcome: 'refused', reason });
      }
      await siege.unharmed();
    });
  }

  test('of a tree that would escape a check-out is refused with the reason', async () => {
    const trees: readonly (readonly [mode: string, name: string, reason: RegExp])[] = [
      ['40000', '.git', /hasDotgit/],
      ['40000', '.GIT', /hasDotgit/],
      ['40000', 'git~1', /hasDotgit/],
      ['40000', '.g\u200cit', /hasDotgit/],
      ['40000', '.git ', /hasDotgit/],
      ['40000', '..', /hasDotdot/],
      ['40000', '.', /hasDot\b/],
      ['100644', 'a/b', /fullPathname/],
      ['100644', '', /badTree/],
      ['120000', '.gitmodules', /gitmodulesSymlink/],
    ];
    for (const [mode, name, reason] of trees) {
      const { oid, pack } = hostileCommit([[mode, name]]);
      for (const door of DOORS) {
        const first = update(oid, 'refs/heads/x', ZERO, 'report-status side-band-64k');
        const heard = await push(door, [first, '0000', pack]);
        assert.match(heard, /ng refs\/heads\/x unpacker error/, name);
        assert.match(/unpack (.*)/.exec(heard)?.[1] ?? '', reason, name);
        await siege.journal.next({ event: 'push', transport: door, outcome: 'refused', reason });
      }
    }
    await siege.unharmed();
  });

  test('of a million refs ends in a clear error after a bounded part of them', async () => {
    const first = update(NOWHERE, 'refs/heads/r0');
    function* million(): Generator<Buffer> {
      yield first;
      for (let block = 0; block < 1_000; block += 1) {
        const names = Array.from(
          { length: 1_000 },
          (_, at) => `${ZERO} ${NOWHERE} refs/heads/r${block * 1_000 + at + 1}`,
        );
        yield Buffer.concat(names.map((name) => encodePkt(name)));
      }
    }
    const stream = await channel(siege.ownerSsh, 'git-receive-pack target');
    const heard = hear(stream);
    let isTold = false;
    stream.on('data', (chunk: Buffer) => {
      isTold ||= chunk.includes('at most');
    });
    for (const block of million()) {
      if (isTold) break;
      if (!stream.write(block)) await Promise.race([once(stream, 'drain'), heard]);
    }
    assert.ok(isTold, 'the error comes while the client still sends');
    stream.end();
    assert.match(await heard, /one push updates at most 50000 refs/);
    await siege.journal.next({ event: 'push', outcome: 'faulted', reason: /at most 50000 refs/ });
    await siege.unharmed();
  });

  test('of a bomb is refused by its size, and never held in memory', async () => {
    const zeros = Buffer.alloc(400 * MIB);
    const bomb = packed(BLOB, zeros);
    const heard = await push('ssh', [update(bomb.oid, 'refs/tags/x'), '0000', packOf([bomb.entry])]);
    assert.match(heard, /ng refs\/tags\/x blob [0-9a-f]{40} has 419430400 bytes: at most 67108864 are taken/);
    await siege.journal.next({ event: 'push', outcome: 'refused', reason: /has 419430400 bytes/ });

    const tree = packed(TREE, zeros.subarray(0, 80 * MIB));
    const many = Array.from({ length: 6 }, (_, at) => packed(BLOB, zeros.subarray(0, 20 * MIB + at)));
    for (const [door, pack, oid] of [
      ['http', packOf([tree.entry]), tree.oid],
      ['ssh', packOf(many.map(({ entry }) => entry)), NOWHERE],
    ] as const) {
      const answer = await push(door, [update(oid, 'refs/tags/x'), '0000', pack]);
      assert.match(answer, /ng refs\/tags\/x /);
      await siege.journal.next({ event: 'push', transport: door, outcome: 'refused' });
    }
    const base = packed(BLOB, zeros.subarray(0, 16 * MIB));
    const delta = deltaBomb(base, 16 * MIB, 64);
    const answer = await push('http', [update(base.oid, 'refs/tags/x'), '0000', packOf([base.entry, delta])]);
    assert.match(answer, /unpack (?!ok)/);
    await siege.journal.next({ event: 'push', transport: 'http', outcome: 'refused' });
    await siege.unharmed();
  });

  test('that claims 10 GiB in its head and goes away leaves nothing', async () => {
    const { site, ownerToken } = siege;
    const socket = dial(site.gate.http);
    await once(socket, 'connect');
    socket.write(
      `POST /target/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ownerToken}\r\n` +
        'Content-Type: application/x-git-receive-pack-request\r\nContent-Length: 10737418240\r\n\r\n',
    );
    socket.write(Buffer.concat([update(NOWHERE), Buffer.from('0000'), packOf([], 1).subarray(0, 12)]));
    socket.end();
    await siege.journal.next({ event: 'push', transport: 'http', outcome: 'faulted' });
    socket.destroy();
    await siege.unharmed();
  });

  test('half closed in the middle of its pack is told that the pack is cut', async () => {
    const blob = packed(BLOB, randomBytes(MIB));
    const half = packOf([blob.entry]).subarray(0, MIB / 2);
    const heard = await push('ssh', [update(blob.oid, 'refs/tags/x'), '0000', half]);
    assert.match(heard, /unpack (?:.*early EOF|the pack is truncated)/);
    await siege.journal.next({ event: 'push', transport: 'ssh', outcome: 'refused' });
    await siege.unharmed();
  });

  test('whose report nobody reads is in the journal, and its end leaves nothing', async () => {
    const { ownerSsh, head } = siege;
    const stream = await channel(ownerSsh, 'git-receive-pack target');
    const names = Array.from({ length: 5_000 }, (_, at) => `refs/gatehouse/${'x'.repeat(900)}${at}`);
    stream.pause();
    stream.write(update(head, 'refs/gatehouse/y'));
    stream.write(Buffer.concat(names.map((name) => encodePkt(`${ZERO} ${head} ${name}`))));
    stream.end(Buffer.concat([Buffer.from('0000'), EMPTY]));
    const told = await siege.journal.next({ event: 'push', outcome: 'refused', reason: /belongs to the gate/ });
    assert.ok((told.refs?.length ?? 0) > 1_000);
    stream.destroy();
    stream.close();
    await siege.unharmed();
  });

  test('whose client is killed in the middle leaves nothing', async () => {
    const { site, owner, tree, ownerToken } = siege;
    writeFileSync(join(tree, 'large'), randomBytes(20 * MIB));
    await gitOk(owner, ['checkout', '-q', '-b', 'large'], tree);
    await gitOk(owner, ['add', '.'], tree);
    await gitOk(owner, ['-c', 'core.compression=0', 'commit', '-q', '-m', 'Large'], tree);
    const incoming = join(await bareOf(site, 'target'), 'gatehouse/incoming');
    for (const door of DOORS) {
      const to = url(site.gate, door, 'target', ownerToken);
      const arrived = new AbortController();
      const watcher = watch(incoming, () => {
        arrived.abort();
      });
      const child = spawn('git', ['-c', 'http.postBuffer=65536', 'push', to, 'large'], {
        cwd: tree,
        env: owner.env,
        detached: true,
        stdio: 'ignore',
      });
      const exited = once(child, 'exit');
      if (!arrived.signal.aborted) await once(arrived.signal, 'abort');
      watcher.close();
      process.kill(-(child.pid ?? 0), 'SIGKILL');
      await exited;
      await siege.journal.next({ event: 'push', transport: door, outcome: 'faulted' });
      await siege.unharmed();
    }
    await gitOk(owner, ['checkout', '-q', 'main'], tree);
  });

  test('over git:// is refused in one line, whatever its path', async () => {
    const { site, owner, tree } = siege;
    for (const path of ['/target', '/nowhere', '/../../etc/passwd']) {
      const heard = await shout(site.gate.git, [daemonRequest('receive-pack', path)]);
      assert.equal(heard, encodePkt('ERR gatehouse: git:// is read-only: push over ssh or http').toString());
    }
    const pushed = await git(owner, ['push', url(site.gate, 'git', 'target'), 'main:refs/heads/x'], tree);
    assert.match(pushed.stderr, /git:\/\/ is read-only/);
    await siege.journal.next({ event: 'push', transport: 'git', outcome: 'refused', reason: /read-only/ });
    await siege.unharmed();
  });

  test('of a body that is not what it says is answered over http', async () => {
    const { site, ownerToken: token } = siege;
    const path = '/target/git-receive-pack';
    const type = 'application/x-git-receive-pack-request';
    const wrongType = await ask(site.gate, { path, token, body: ['0000'], headers: { 'content-type': 'text/plain' } });
    assert.equal(wrongType.code, 415);
    const broken = { 'content-type': type, 'content-encoding': 'gzip' };
    const notGzip = await ask(site.gate, { path, token, body: ['this is not gzip'], headers: broken });
    assert.match(notGzip.text, /not what its Content-Encoding says/);
    await siege.journal.next({ event: 'push', transport: 'http', outcome: 'faulted', reason: /Content-Encoding/ });
    await siege.unharmed();
  });

  test('leaves a gate that serves honest clients', async () => {
    await siege.standing();
  });
});
