/**
 * What bad input gets that comes as a fetch, over all three transports and protocol versions: nothing that the asker may
 * not read, a reason, a line in the journal, and no process left of a client that breaks off or stops reading.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { Client } from 'ssh2';
import { encodePkt } from '../../src/git/pkt-line.ts';
import { ask, channel, daemonRequest, dial, login, rpc, say, shout, type Bytes } from '../support/attacker.ts';
import { addPerson, commitFile, git, gitOk, url, type Person } from '../support/gate.ts';
import { processTree } from '../support/memory.ts';
import { bareOf, besiege, done, makeToken, type Siege } from '../support/siege.ts';

const MIB = 1024 * 1024;
const DOORS = ['ssh', 'http', 'git'] as const;
type DoorName = (typeof DOORS)[number];
type Version = 0 | 1 | 2;

let siege: Siege;
let reader: { readonly person: Person; readonly client: Client; readonly token: string };
let bare: string;
/** Objects by a name that says what they are; nobody but the owner may have them, except `open`. */
const oid: Record<string, string> = {};
const cleanups: (() => unknown)[] = [];

before(
  async () => {
    const scope = { after: (cleanup: unknown) => cleanups.push(cleanup as () => unknown) };
    siege = await besiege(scope);
    const { site, owner, ownerSsh } = siege;
    const person = await addPerson(site, 'rita');
    const client = await login(site.gate, person);
    cleanups.push(() => client.end());
    reader = { person, client, token: await makeToken(client, 'rita', 'read') };
    await done(ownerSsh, 'create vault');
    await done(ownerSsh, 'config vault set public yes');
    await done(
      ownerSsh,
      'rules vault set',
      'define is_secret ref prefix refs/heads/secret/\ndeny "this is secret" [operation is readref] is_secret\n',
    );
    await fillVault(owner, join(owner.home, 'vault'));
  },
  { timeout: 60_000 },
);
after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

/** main is open; refs/heads/secret/plan is not; refs/heads/gone was deleted; refs/gatehouse/keep is the gate's own. */
async function fillVault(owner: Person, tree: string): Promise<void> {
  const to = url(siege.site.gate, 'ssh', 'vault');
  const commit = async (text: string): Promise<string> => commitFile(owner, tree, 'file', text);
  await gitOk(owner, ['init', '-q', '-b', 'main', tree]);
  oid['open'] = await commit('open\n');
  for (const name of ['secret/plan', 'gone', 'internal']) {
    await gitOk(owner, ['checkout', '-q', '-b', name, 'main'], tree);
    oid[name] = await commit(`${name}\n`);
    oid[`${name} blob`] = await gitOk(owner, ['rev-parse', 'HEAD:file'], tree);
    oid[`${name} tree`] = await gitOk(owner, ['rev-parse', 'HEAD^{tree}'], tree);
  }
  await gitOk(owner, ['push', '-q', to, 'main', 'secret/plan', 'gone', 'internal'], tree);
  bare = await bareOf(siege.site, 'vault');
  await gitOk(owner, ['update-ref', 'refs/gatehouse/keep', oid['internal'] ?? ''], bare);
  await gitOk(owner, ['update-ref', '-d', 'refs/heads/internal'], bare);
  await gitOk(owner, ['update-ref', '-d', 'refs/heads/gone'], bare);
}

/** The answer of upload-pack to these words, as somebody who may read `vault` but not all of it. */
async function fetch(door: DoorName, version: Version, words: readonly Bytes[]): Promise<string> {
  const { gate } = siege.site;
  if (door === 'git') return shout(gate.git, [daemonRequest('upload-pack', '/vault', version), ...words]);
  if (door === 'ssh') return (await say(reader.client, 'git-upload-pack vault', words, { version })).text;
  const { token } = reader;
  return (await rpc(gate, { name: 'vault', service: 'upload-pack', words, token, version })).text;
}

function want(version: Version, wanted: string): readonly Bytes[] {
  if (version !== 2)
    return [encodePkt(`want ${wanted} no-progress side-band-64k ofs-delta\n`), '0000', encodePkt('done\n')];
  const head = [encodePkt('command=fetch'), encodePkt('object-format=sha1'), '0001'];
  return [...head, encodePkt('no-progress'), encodePkt(`want ${wanted}\n`), encodePkt('done\n'), '0000'];
}

describe('a hostile fetch', () => {
  for (const door of DOORS) {
    test(`of what may not be read gets nothing over ${door} in any version`, async () => {
      const hidden = Object.entries(oid).filter(([name]) => name !== 'open');
      assert.equal(hidden.length, 9);
      for (const version of [0, 1, 2] as const) {
        assert.match(
          await fetch(door, version, want(version, oid['open'] ?? '')),
          /PACK/,
          `v${version} serves what is open`,
        );
        for (const [name, wanted] of [...hidden, ['nowhere', 'e'.repeat(40)] as const]) {
          const heard = await fetch(door, version, want(version, wanted));
          assert.ok(!heard.includes('PACK'), `${name} in v${version}`);
          assert.match(heard, new RegExp(`ERR .*(?:not our ref|no such ref).*${wanted}`), `${name} in v${version}`);
        }
      }
      for (const [, wanted] of hidden) {
        await siege.journal.next({
          transport: door,
          outcome: 'faulted',
          repository: 'vault',
          reason: new RegExp(wanted),
        });
      }
      await siege.unharmed();
    });

    test(`by git itself of an oid, a hidden name or refs/gatehouse/* gets nothing over ${door}`, async () => {
      const { person, token } = reader;
      const from = url(siege.site.gate, door, 'vault', token);
      const tree = join(person.home, `by-${door}`);
      await gitOk(person, ['clone', '-q', from, tree]);
      const listed = await gitOk(person, ['ls-remote', from], tree);
      assert.equal(listed, `${oid['open']}\tHEAD\n${oid['open']}\trefs/heads/main`);
      for (const wanted of [
        oid['gone'] ?? '',
        oid['secret/plan blob'] ?? '',
        'refs/heads/secret/plan',
        'refs/gatehouse/keep',
      ]) {
        const fetched = await git(person, ['-c', 'protocol.version=2', 'fetch', '-q', from, wanted], tree);
        assert.notEqual(fetched.code, 0, wanted);
        assert.match(fetched.stderr, /not our ref|couldn't find remote ref/, wanted);
      }
      const archived = await git(person, ['archive', `--remote=${from}`, 'secret/plan'], tree);
      assert.notEqual(archived.code, 0);
      assert.equal(archived.stdout, '');
    });

    test(`that is malformed is told what is wrong over ${door}`, async () => {
      const fetchHead = [encodePkt('command=fetch'), '0001'];
      const cases: readonly (readonly [version: Version, words: readonly Bytes[], reason: RegExp])[] = [
        [2, ['zzzz'], /bad line length character/],
        [2, ['0003'], /bad line length 3/],
        [2, ['0032command=ls'], /ended inside a pkt-line/],
        [2, [encodePkt('command=ls-refs'), '0001', encodePkt('peel')], /expected flush after the arguments/],
        [2, [encodePkt('command=object-info'), '0000'], /invalid command/],
        [2, [encodePkt('command=fetch'), encodePkt('command=ls-refs'), '0000'], /after already requesting/],
        [2, [...fetchHead, encodePkt('want \x1b]0;owned\x07'), '0000'], /want/],
        [2, [...fetchHead, encodePkt(`want-ref refs/heads/main`), encodePkt('done'), '0000'], /want-ref/],
        [2, [...fetchHead, encodePkt('deepen -1'), '0000'], /deepen/],
        [2, [...fetchHead, encodePkt('filter sparse:oid=main:.git'), '0000'], /filter/],
        [0, [encodePkt('want nothing'), '0000'], /want/],
        [0, ['ffff'], /bad line length 65535/],
      ];
      for (const [version, words, reason] of cases) {
        const heard = await fetch(door, version, words);
        assert.match(heard, reason);
        assert.doesNotMatch(heard.slice(heard.lastIndexOf('ERR')), /[\x1b\x07]/, 'no escape comes back');
      }
      for (const [, , reason] of cases) await siege.journal.next({ transport: door, outcome: 'faulted', reason });
      await siege.unharmed();
    });
  }

  test('of two hundred thousand wants and more stops at the bound', async () => {
    const words = [encodePkt('command=fetch'), encodePkt('object-format=sha1'), '0001'];
    const wants = Array.from({ length: 200_001 }, (_, at) => encodePkt(`want ${at.toString(16).padStart(40, '0')}\n`));
    const heard = await fetch('http', 2, [...words, Buffer.concat(wants), '0000']);
    assert.match(heard, /ERR .*(?:wants|too large)/);
    await siege.journal.next({ transport: 'http', outcome: 'faulted', reason: /wants|too large/ });
    await siege.unharmed();
  });

  test('whose client stops reading an advertisement or a pack, then vanishes, leaves no process', async () => {
    const { site, owner, ownerSsh, ownerToken } = siege;
    await done(ownerSsh, 'create heavy');
    await done(ownerSsh, 'config heavy set public yes');
    const tree = join(owner.home, 'heavy');
    await gitOk(owner, ['init', '-q', '-b', 'main', tree]);
    writeFileSync(join(tree, 'noise'), randomBytes(12 * MIB));
    await gitOk(owner, ['add', '.'], tree);
    await gitOk(owner, ['commit', '-q', '-m', 'Noise'], tree);
    await gitOk(owner, ['push', '-q', url(site.gate, 'ssh', 'heavy'), 'main'], tree);
    const head = await gitOk(owner, ['rev-parse', 'HEAD'], tree);
    const packedRefs = Array.from({ length: 60_000 }, (_, at) => `${head} refs/tags/t${String(at).padStart(6, '0')}\n`);
    writeFileSync(
      join(await bareOf(site, 'heavy'), 'packed-refs'),
      `# pack-refs with: peeled fully-peeled sorted \n${packedRefs.join('')}`,
    );
    const before = processTree(site.gate.pid).length;
    const fetchWords = [...want(2, head)].map((word) => Buffer.from(word));

    // git://: first the advertisement, then a pack.
    for (const words of [
      [daemonRequest('upload-pack', '/heavy', 0)],
      [daemonRequest('upload-pack', '/heavy', 2), ...fetchWords],
    ]) {
      const socket = dial(site.gate.git);
      for (const word of words) socket.write(word);
      await stalled(socket);
      socket.resetAndDestroy();
      await siege.journal.next({ transport: 'git', repository: 'heavy', outcome: 'faulted' });
    }
    // ssh: the window is never opened again.
    const stream = await channel(ownerSsh, 'git-upload-pack heavy', 2);
    const first = once(stream, 'data');
    for (const word of fetchWords) stream.write(word);
    await first;
    stream.pause();
    stream.close();
    await siege.journal.next({ transport: 'ssh', repository: 'heavy', outcome: 'faulted' });
    // http: half of the answer.
    const socket = dial(site.gate.http);
    const body = Buffer.concat(fetchWords);
    socket.write(
      `POST /heavy/git-upload-pack HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${ownerToken}\r\nGit-Protocol: version=2\r\n` +
        `Content-Type: application/x-git-upload-pack-request\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    socket.write(body);
    await stalled(socket);
    socket.resetAndDestroy();
    await siege.journal.next({ transport: 'http', repository: 'heavy', outcome: 'faulted' });
    await siege.unharmed();
    assert.ok(processTree(site.gate.pid).length <= before);
  });

  test('over git:// of a malformed request is told so, and is in the journal', async () => {
    const { gate } = siege.site;
    const cases: readonly (readonly [words: readonly Bytes[], reason: RegExp])[] = [
      [['GET / HTTP/1.0\r\n\r\n'], /this is not a git:\/\/ request/],
      [['ffff'], /has a length from 5 to 4096/],
      [['0000'], /has a length from 5 to 4096/],
      [[encodePkt('git-shell /vault\0host=x\0')], /names a service and a path/],
      [['0040git-upload-pack /va'], /the request is incomplete/],
    ];
    for (const [words, reason] of cases) {
      assert.match(await shout(gate.git, words), reason);
    }
    for (const [, reason] of cases)
      await siege.journal.next({ event: 'connect', transport: 'git', outcome: 'refused', reason });
    await siege.unharmed();
  });

  test('over http through a gzip bomb is refused at its bound', async () => {
    const bomb = gzipSync(Buffer.alloc(200 * MIB, '0'), { level: 9 });
    const headers = { 'content-encoding': 'gzip' };
    // `0000...` is one flush after the other: nothing is asked for, however long it goes on.
    const flushes = await rpc(siege.site.gate, { name: 'vault', service: 'upload-pack', words: [bomb], headers });
    assert.ok(flushes.code === 200 || flushes.code === 400);
    const line = encodePkt(`ref-prefix ${'x'.repeat(60_000)}`);
    const lines = gzipSync(
      Buffer.concat([encodePkt('command=ls-refs'), Buffer.from('0001'), ...Array<Buffer>(2_000).fill(line)]),
    );
    const heard = await rpc(siege.site.gate, {
      name: 'vault',
      service: 'upload-pack',
      words: [lines],
      headers,
      version: 2,
    });
    assert.match(heard.text, /the request is too large/);
    await siege.journal.next({ transport: 'http', outcome: 'faulted', reason: /too large/ });
    await siege.unharmed();
  });

  test('leaves a gate that serves honest clients', async () => {
    const health = await ask(siege.site.gate, { path: '/readyz' });
    assert.equal(health.code, 200);
    await siege.standing();
  });
});

/** Reads a little, then nothing more; resolves when the other side has noticed and waits. */
async function stalled(socket: Socket): Promise<void> {
  await once(socket, 'data');
  socket.pause();
  for (let before = -1; socket.bytesRead !== before; await later(50)) before = socket.bytesRead;
}
