/**
 * Refs over one HTTP connection that stays open, asked for by somebody whose rights, name, repository or refs change between
 * two questions: what the gate has in memory of them is never an answer to the next one.
 */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import type { Client } from 'ssh2';
import { encodePkt } from '../../src/git/pkt-line.ts';
import { channel, dial, hear, login } from '../support/attacker.ts';
import { addPerson, gitOk, makePerson, splitAddress, url, type Person } from '../support/gate.ts';
import { bareOf, besiege, done, makeToken, type Siege } from '../support/siege.ts';

const LIST = Buffer.concat([
  encodePkt('command=ls-refs\n'),
  encodePkt('object-format=sha1'),
  Buffer.from('0001'),
  encodePkt('ref-prefix refs/\n'),
  Buffer.from('0000'),
]);

let siege: Siege;
let rita: { readonly person: Person; readonly client: Client };
const cleanups: (() => unknown)[] = [];

before(
  async () => {
    const scope = { after: (cleanup: unknown) => cleanups.push(cleanup as () => unknown) };
    siege = await besiege(scope);
    const person = await addPerson(siege.site, 'rita');
    const client = await login(siege.site.gate, person);
    cleanups.push(() => client.end());
    rita = { person, client };
    await done(siege.adminSsh, 'group add staff The staff');
    await done(siege.ownerSsh, 'create closed');
    await done(siege.ownerSsh, 'config closed set readers staff');
    await gitOk(siege.owner, ['push', '-q', url(siege.site.gate, 'ssh', 'closed'), 'main'], siege.tree);
  },
  { timeout: 60_000 },
);
after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

/** Resolves when the stream has said something like `pattern`. */
function heardOf(stream: Readable, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
      if (pattern.test(said)) resolve();
    });
    stream.once('close', () => {
      reject(new Error(`it said only ${said}`));
    });
  });
}

/** One connection, kept open, and questions on it. */
class Asker implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #token: string | undefined;
  readonly #sockets = new Set<unknown>();

  constructor(token?: string) {
    this.#token = token;
  }

  /** The status, and the refs shown. */
  refs(name: string): Promise<{ readonly code: number; readonly text: string }> {
    const { host, port } = splitAddress(siege.site.gate.http);
    const headers = {
      'content-type': 'application/x-git-upload-pack-request',
      'content-length': String(LIST.length),
      'git-protocol': 'version=2',
      ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
    };
    return new Promise((resolve, reject) => {
      const path = `/${name}/git-upload-pack`;
      const asked = httpRequest({ host, port, method: 'POST', path, headers, agent: this.#agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          resolve({ code: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() });
        });
        response.on('error', reject);
      });
      asked.on('socket', (socket) => this.#sockets.add(socket));
      asked.on('error', reject);
      asked.end(LIST);
    });
  }

  async code(name: string): Promise<number> {
    // Twice: the second is from memory where the first was not.
    const first = await this.refs(name);
    const second = await this.refs(name);
    assert.deepEqual(second, first);
    return first.code;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

describe('on a connection that stays open', () => {
  test('a token that is revoked is refused the next time', async () => {
    using asker = new Asker(await makeToken(rita.client, 'short', 'read'));
    assert.equal(await asker.code('target'), 200);
    await done(rita.client, 'token revoke short');
    assert.equal(await asker.code('target'), 401);
    // The same name is another token.
    await makeToken(rita.client, 'short', 'read');
    assert.equal(await asker.code('target'), 401);
    assert.equal(asker.connections, 1, 'it was one connection all the time');
  });

  test('a user who is suspended is refused the next time, and let in again when resumed', async () => {
    using asker = new Asker(await makeToken(rita.client, 'locked', 'read'));
    assert.equal(await asker.code('target'), 200);
    await done(siege.adminSsh, 'suspend rita');
    assert.equal(await asker.code('target'), 401);
    await done(siege.adminSsh, 'resume rita');
    assert.equal(await asker.code('target'), 200);
  });

  test('who is taken into a group, or out of one that it is in through another, reads accordingly', async () => {
    using asker = new Asker(await makeToken(rita.client, 'grouped', 'read'));
    const step = async (command: string, code: number): Promise<void> => {
      await done(siege.adminSsh, command);
      assert.equal(await asker.code('closed'), code, command);
    };
    assert.equal(await asker.code('closed'), 404);
    await step('group adduser staff rita', 200);
    await step('group deluser staff rita', 404);
    await step('group add guests Some guests', 404);
    await step('group adduser guests rita', 404);
    await step('group addgroup staff guests', 200);
    await step('group delgroup staff guests', 404);
  });

  test('a user who is renamed is journaled under the new name, and somebody new under the old one has nothing of it', async () => {
    using asker = new Asker(await makeToken(rita.client, 'named', 'read'));
    assert.equal(await asker.code('target'), 200);
    await done(siege.adminSsh, 'group adduser staff rita');
    await done(siege.adminSsh, 'user rename rita rita.two');
    assert.equal(await asker.code('closed'), 200);
    await siege.journal.next({ event: 'ls-refs', principal: 'rita.two', repository: 'closed' });
    const other = await makePerson(siege.site.root, 'impostor');
    await done(siege.adminSsh, 'user add rita rita@example.org The Other Rita');
    await done(siege.adminSsh, 'as rita sshkey add default', other.publicKey);
    const client = await login(siege.site.gate, other);
    using impostor = new Asker(await makeToken(client, 'named', 'read'));
    assert.equal(await impostor.code('closed'), 404);
    client.end();
    await done(siege.adminSsh, 'group deluser staff rita.two');
    assert.equal(await asker.code('closed'), 404);
  });

  test('a repository is public as long as its setting says so', async () => {
    using stranger = new Asker();
    for (const [value, code] of [['no', 401] as const, ['yes', 200] as const, ['no', 401] as const]) {
      await done(siege.ownerSsh, `config target set public ${value}`);
      assert.equal(await stranger.code('target'), code, value);
    }
    await done(siege.ownerSsh, 'config target set public yes');
  });

  test("a ref that the owner's rules hide is not shown, and is shown again without them", async () => {
    using stranger = new Asker();
    const isShown = async (): Promise<boolean> => (await stranger.refs('target')).text.includes('refs/heads/main');
    assert.equal(await isShown(), true);
    const rules = 'define is_main ref is refs/heads/main\ndeny "hidden" [operation is readref] is_main\n';
    await done(siege.ownerSsh, 'rules target set', rules);
    assert.equal(await isShown(), false);
    assert.equal(await isShown(), false);
    await done(siege.ownerSsh, 'rules target del');
    assert.equal(await isShown(), true);
  });

  test('a policy that hides a ref is in force with its push', async () => {
    using stranger = new Asker();
    const { admin, gate } = siege.site;
    const tree = join(admin.home, 'rules');
    await gitOk(admin, ['clone', '-q', url(gate, 'ssh', 'gatehouse-admin'), tree]);
    const { owner, tree: target } = siege;
    await gitOk(owner, ['push', '-q', url(gate, 'ssh', 'target'), 'main:refs/heads/quiet'], target);
    assert.match((await stranger.refs('target')).text, /refs\/heads\/quiet/);
    const rules = join(tree, 'rules/main.lace');
    const before = readFileSync(rules, 'utf8');
    const hiding = 'define is_quiet ref is refs/heads/quiet\ndeny "hidden" [operation is readref] is_quiet\n';
    const push = async (text: string): Promise<void> => {
      writeFileSync(rules, text);
      await gitOk(admin, ['commit', '-qam', 'Change what is shown'], tree);
      await gitOk(admin, ['push', '-q', url(gate, 'ssh', 'gatehouse-admin'), 'HEAD:main'], tree);
    };
    await push(hiding + before);
    assert.doesNotMatch((await stranger.refs('target')).text, /refs\/heads\/quiet/);
    await push(before);
    assert.match((await stranger.refs('target')).text, /refs\/heads\/quiet/);
  });

  test('a repository that is renamed, or destroyed and made anew under its name, shows nothing of the old one', async () => {
    using stranger = new Asker(siege.ownerToken);
    const { ownerSsh, owner, site, tree } = siege;
    await done(ownerSsh, 'create passing');
    await gitOk(owner, ['push', '-q', url(site.gate, 'ssh', 'passing'), 'main'], tree);
    assert.match((await stranger.refs('passing')).text, /refs\/heads\/main/);
    await done(ownerSsh, 'rename passing moved');
    assert.equal(await stranger.code('passing'), 404);
    assert.match((await stranger.refs('moved')).text, /refs\/heads\/main/);
    await done(ownerSsh, 'create passing');
    assert.deepEqual(await stranger.refs('passing'), { code: 200, text: '0000' });
    const token = (await done(ownerSsh, 'destroy moved')).trim().split(/\s+/).at(-1) ?? '';
    await done(ownerSsh, `destroy moved ${token}`);
    assert.equal(await stranger.code('moved'), 404);
    await done(ownerSsh, 'create moved');
    assert.deepEqual(await stranger.refs('moved'), { code: 200, text: '0000' });
  });
});

describe('a question that was begun before a right was taken away shows nothing once it is asked', () => {
  let client: Client;

  before(async () => {
    const { site, ownerSsh, adminSsh, owner, tree } = siege;
    client = await login(site.gate, await addPerson(site, 'vera'));
    cleanups.push(() => client.end());
    await done(adminSsh, 'group add callers Callers');
    await done(ownerSsh, 'create salon');
    await done(ownerSsh, 'config salon set readers callers');
    await gitOk(owner, ['push', '-q', url(site.gate, 'ssh', 'salon'), 'main'], tree);
  });
  test('in a conversation over SSH that is open', async () => {
    await done(siege.adminSsh, 'group adduser callers vera');
    const stream = await channel(client, 'git-upload-pack salon', 2);
    const heard = hear(stream);
    // One question is answered: the conversation was decided about long ago.
    stream.write(LIST);
    await heardOf(stream, /refs\/heads\/main/);
    await done(siege.adminSsh, 'group deluser callers vera');
    stream.end(LIST);
    const after = (await heard).split('refs/heads/main');
    assert.equal(after.length, 2, 'shown once, not twice');
    assert.match(after[1] ?? '', /ERR /);
  });

  test('by ref, over SSH and git://: a branch that rules or a group hide is gone from the next command on', async () => {
    const { site, ownerSsh, adminSsh, owner, tree } = siege;
    await done(adminSsh, 'group adduser callers vera');
    await done(ownerSsh, 'config salon set public true');
    const sealed = 'deny "sealed" [operation is readref] [ref is refs/heads/sealed] ![group is callers]';
    await done(ownerSsh, `rules salon set`, `${sealed}\n`);
    await gitOk(owner, ['commit', '-q', '--allow-empty', '-m', 'Sealed'], tree);
    await gitOk(owner, ['push', '-q', url(site.gate, 'ssh', 'salon'), 'HEAD:refs/heads/sealed'], tree);
    const oid = await gitOk(owner, ['rev-parse', 'HEAD'], tree);
    await gitOk(owner, ['reset', '-q', '--hard', 'HEAD~1'], tree);
    const want = Buffer.concat([
      encodePkt('command=fetch'),
      encodePkt('object-format=sha1'),
      Buffer.from('0001'),
      encodePkt(`want ${oid}`),
      encodePkt('done'),
      Buffer.from('0000'),
    ]);
    const talk = async (stream: Duplex, hide: () => Promise<unknown>): Promise<string> => {
      const heard = hear(stream);
      stream.write(LIST);
      await heardOf(stream, /refs\/heads\/sealed/);
      await hide();
      stream.write(LIST);
      stream.end(want);
      return (await heard).split('refs/heads/sealed').slice(1).join('');
    };
    const group = await talk(await channel(client, 'git-upload-pack salon', 2), () =>
      done(adminSsh, 'group deluser callers vera'),
    );
    assert.match(group, /refs\/heads\/main[^]*ERR upload-pack: not our ref/);
    assert.doesNotMatch(group, /PACK/);

    await done(ownerSsh, 'rules salon set', '# nothing is hidden\n');
    const socket = dial(site.gate.git);
    socket.write(encodePkt(`git-upload-pack /salon\0host=x\0\0version=2\0`));
    const rules = await talk(socket, () => done(ownerSsh, 'rules salon set', `${sealed}\n`));
    assert.match(rules, /refs\/heads\/main[^]*ERR upload-pack: not our ref/);
    assert.doesNotMatch(rules, /PACK/);
    await done(ownerSsh, 'config salon set public false');
  });

  test('over HTTP, of a client that keeps back the end of its question', async () => {
    await done(siege.adminSsh, 'group adduser callers vera');
    const token = await makeToken(client, 'slow', 'read');
    const socket = dial(siege.site.gate.http);
    const heard = hear(socket);
    const head = [
      'POST /salon/git-upload-pack HTTP/1.1',
      'Host: x',
      'Connection: close',
      `Authorization: Bearer ${token}`,
      'Git-Protocol: version=2',
      'Content-Type: application/x-git-upload-pack-request',
      `Content-Length: ${LIST.length}`,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
    socket.write(LIST.subarray(0, 20));
    // Another request is served in between: the first one's head was read, and decided about.
    using asker = new Asker(token);
    assert.match((await asker.refs('salon')).text, /refs\/heads\/main/);
    await done(siege.adminSsh, 'group deluser callers vera');
    socket.write(LIST.subarray(20));
    const answer = await heard;
    assert.doesNotMatch(answer, /refs\/heads\/main/);
    assert.match(answer, /^HTTP\/1\.1 200 OK[^]*ERR /);
    socket.destroy();
  });
});

describe('refs that are changed beside the gate are shown as they are', () => {
  let bare: string;
  const oids: string[] = [];

  before(async () => {
    const { owner, tree, site } = siege;
    for (let count = 0; count < 2; count += 1) {
      await gitOk(owner, ['commit', '-q', '--allow-empty', '-m', `Beside ${count}`], tree);
      oids.push(await gitOk(owner, ['rev-parse', 'HEAD'], tree));
    }
    await gitOk(owner, ['push', '-q', url(site.gate, 'ssh', 'target'), 'HEAD:refs/heads/objects'], tree);
    bare = await bareOf(site, 'target');
  });

  const shown = async (asker: Asker, refname: string): Promise<string | undefined> =>
    new RegExp(`([0-9a-f]{40}) ${refname}\n`).exec((await asker.refs('target')).text)?.[1];

  test('by git, to a loose ref, to packed-refs and to HEAD', async () => {
    using asker = new Asker();
    for (const [index, oid] of [...oids, ...oids].entries()) {
      await gitOk(siege.owner, ['update-ref', 'refs/heads/beside', oid], bare);
      assert.equal(await shown(asker, 'refs/heads/beside'), oid);
      if (index % 2 === 1) await gitOk(siege.owner, ['pack-refs', '--all'], bare);
      assert.equal(await shown(asker, 'refs/heads/beside'), oid);
    }
    await gitOk(siege.owner, ['update-ref', '-d', 'refs/heads/beside'], bare);
    assert.equal(await shown(asker, 'refs/heads/beside'), undefined);
  });

  test('by writing into a ref file, within one tick of the clock, its time put back', async () => {
    using asker = new Asker();
    const file = join(bare, 'refs/heads/direct');
    for (let count = 0; count < 20; count += 1) {
      const oid = oids[count % 2] ?? '';
      const before = count === 0 ? undefined : statSync(file);
      writeFileSync(file, `${oid}\n`);
      if (before !== undefined) utimesSync(file, before.atime, before.mtime);
      assert.equal(await shown(asker, 'refs/heads/direct'), oid, `write ${count}`);
    }
    rmSync(file);
    assert.equal(await shown(asker, 'refs/heads/direct'), undefined);
  });

  test('by replacing packed-refs with one of the same size and time', async () => {
    using asker = new Asker();
    const file = join(bare, 'packed-refs');
    appendFileSync(file, `${oids[0]} refs/zz/packed\n`);
    const time = statSync(file).mtime;
    for (let count = 0; count < 20; count += 1) {
      const [from = '', to = ''] = count % 2 === 0 ? [oids[0], oids[1]] : [oids[1], oids[0]];
      const text = readFileSync(file, 'utf8').replace(`${from} refs/zz`, `${to} refs/zz`);
      writeFileSync(file, text);
      utimesSync(file, time, time);
      assert.equal(await shown(asker, 'refs/zz/packed'), to, `write ${count}`);
    }
  });
});
