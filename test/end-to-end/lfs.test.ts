/** Git LFS through a real gate: with the real git-lfs over SSH and HTTP, and with requests that no client makes. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, test } from 'node:test';
import {
  addPerson,
  git,
  gitOk,
  splitAddress,
  ssh,
  sshConfirmed,
  sshOk,
  startGate,
  startSite,
  url,
} from '../support/gate.ts';
import type { Gate, Person, Site } from '../support/gate.ts';
import { commitFiles, lfsTree, noLfs, oidOf, pointerText, tokenOf, withLfs } from '../support/lfs.ts';
import { gateBytes, watchPeak } from '../support/memory.ts';
import { suiteScope } from '../support/workspace.ts';

const scope = suiteScope();
const skip = noLfs();
let site: Site;
let gate: Gate;
let stranger: Person;
let token: string;
let strangerToken: string;
let count = 0;

before(async () => {
  if (skip !== false) return;
  const started = await startSite(scope);
  site = { ...started, admin: withLfs(started.admin) };
  gate = site.gate;
  stranger = withLfs(await addPerson(site, 'stranger'));
  token = await tokenOf(site.admin, site, ['token', 'create', 'lfs']);
  strangerToken = await tokenOf(stranger, { ...site, gate }, ['token', 'create', 'lfs']);
});

after(() => scope.close());

function path(): string {
  count += 1;
  return join(site.root, `work-${count}`);
}

async function repository(name: string): Promise<string> {
  await sshOk(site.admin, gate, ['create', name]);
  return name;
}

const PIECES = 200;
const TYPE = 'application/vnd.git-lfs+json';

function at(name: string, rest: string): string {
  return `http://${gate.http}/${name}.git/info/lfs${rest}`;
}

interface Link {
  readonly href: string;
  readonly header: Readonly<Record<string, string>>;
}

interface BatchAnswer {
  readonly objects: readonly {
    readonly actions?: Readonly<Record<'upload' | 'download' | 'verify', Link>>;
    readonly error?: { readonly code: number; readonly message: string };
  }[];
}

async function post(target: string, body: unknown, authorization = `Bearer ${token}`): Promise<Response> {
  const headers = { 'content-type': TYPE, ...(authorization === '' ? {} : { authorization }) };
  return fetch(target, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) });
}

async function batch(
  name: string,
  operation: 'upload' | 'download',
  objects: readonly { readonly oid: string; readonly size: number }[],
): Promise<BatchAnswer> {
  const answer = await post(at(name, '/objects/batch'), { operation, objects });
  assert.equal(answer.status, 200);
  return (await answer.json()) as BatchAnswer;
}

async function link(name: string, operation: 'upload' | 'download', bytes: Uint8Array): Promise<Link> {
  const { objects } = await batch(name, operation, [{ oid: oidOf(bytes), size: bytes.length }]);
  const found = objects[0]?.actions?.[operation];
  assert.ok(found !== undefined, JSON.stringify(objects));
  return found;
}

async function put(
  { href, header }: Link,
  bytes: Uint8Array,
): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(href, { method: 'PUT', headers: header, body: Buffer.from(bytes) });
  return { status: answer.status, text: await answer.text() };
}

async function isThere(name: string, bytes: Uint8Array): Promise<boolean> {
  const { objects } = await batch(name, 'download', [{ oid: oidOf(bytes), size: bytes.length }]);
  return objects[0]?.actions !== undefined;
}

async function journal(name: string): Promise<string> {
  return sshOk(site.admin, gate, ['audit', 'log', '--repo', name]);
}

describe('Git LFS with its own client', { skip, concurrency: 4 }, () => {
  for (const transport of ['ssh', 'http'] as const) {
    test(`files pushed over ${transport} come back by clone, each request with a line in the journal`, async () => {
      const name = await repository(`over-${transport}`);
      const bytes = randomBytes(300_000);
      const remote = url(gate, transport, name, transport === 'http' ? token : undefined);
      const tree = await lfsTree(site.admin, {
        path: path(),
        remote,
        files: { 'a.bin': bytes, 'b.bin': randomBytes(10) },
      });
      const pushed = await git(site.admin, ['push', '-q', 'origin', 'main'], tree);
      // Without locks a client says nothing of them, and asks no more.
      assert.deepEqual([pushed.code, pushed.stderr], [0, '']);
      const clone = path();
      await gitOk(site.admin, ['clone', '-q', remote, clone]);
      assert.deepEqual(readFileSync(join(clone, 'a.bin')), bytes);
      const lines = await journal(name);
      assert.match(lines, /served .* admin .*lfs.*upload/);
      assert.match(lines, /served .* admin .*lfs.*download/);
    });
  }

  test('a pass that only reads downloads over SSH and uploads nothing', async () => {
    const name = await repository('narrow');
    const remote = url(gate, 'ssh', name);
    const tree = await lfsTree(site.admin, { path: path(), remote, files: { 'a.bin': randomBytes(100) } });
    await gitOk(site.admin, ['push', '-q', 'origin', 'main'], tree);
    const pass = await tokenOf(site.admin, site, ['pass', 'issue', '--repo', name, '--read', '--expires', '1h']);
    const clone = path();
    await gitOk(site.admin, ['clone', '-q', url(gate, 'http', name, pass), clone]);
    assert.equal(readFileSync(join(clone, 'a.bin')).length, 100);
    const answer = await post(at(name, '/objects/batch'), { operation: 'upload', objects: [] }, `Bearer ${pass}`);
    assert.equal(answer.status, 403);
    assert.match(await answer.text(), /this pass may fetch of narrow .*it does not push/);
    const other = await repository('not-of-the-pass');
    const outside = await post(at(other, '/objects/batch'), { operation: 'download', objects: [] }, `Bearer ${pass}`);
    assert.equal(outside.status, 404);
  });

  test('what is public is downloaded without a name, and not uploaded', async () => {
    const name = await repository('open');
    await sshOk(site.admin, gate, ['config', name, 'set', 'public', 'yes']);
    const bytes = randomBytes(700);
    const remote = url(gate, 'ssh', name);
    const tree = await lfsTree(site.admin, { path: path(), remote, files: { 'a.bin': bytes } });
    await gitOk(site.admin, ['push', '-q', 'origin', 'main'], tree);
    const clone = path();
    await gitOk(stranger, ['clone', '-q', url(gate, 'http', name), clone]);
    assert.deepEqual(readFileSync(join(clone, 'a.bin')), bytes);
    const answer = await post(at(name, '/objects/batch'), { operation: 'upload', objects: [] }, '');
    assert.equal(answer.status, 401);
  });

  test('where LFS is used, a pointer without its object is refused; elsewhere nobody asks', async () => {
    const name = await repository('used');
    const tree = await lfsTree(site.admin, {
      path: path(),
      remote: url(gate, 'ssh', name),
      files: { 'a.bin': randomBytes(9) },
    });
    await gitOk(site.admin, ['push', '-q', 'origin', 'main'], tree);
    const oid = oidOf(randomBytes(8));
    await commitFiles(site.admin, tree, { 'pointer.txt': Buffer.from(pointerText(oid, 3)) });
    const { code, stderr } = await git(
      site.admin,
      ['push', '--no-verify', 'origin', 'main', 'main~1:refs/heads/fine'],
      tree,
    );
    assert.equal(code, 1);
    assert.ok(
      stderr.includes(`LFS object ${oid} (pointer.txt) was not uploaded through this gate: git lfs push --all`),
    );
    assert.match(stderr, /new branch.* -> fine/);
    const unused = await repository('unused');
    await gitOk(site.admin, ['push', '-q', '--no-verify', url(gate, 'ssh', unused), 'main'], tree);
  });
});

describe('uploads', { skip }, () => {
  test('what is not what its oid says is not there afterwards', async () => {
    const name = await repository('wrong');
    const bytes = randomBytes(1_000);
    const up = await link(name, 'upload', bytes);
    const other = await put(up, randomBytes(1_000));
    assert.equal(other.status, 403);
    assert.match(other.text, /another SHA-256/);
    assert.equal((await put(up, bytes.subarray(0, 900))).status, 400);
    assert.equal((await put({ ...up, href: up.href.replace(/\d+$/, '900') }, bytes.subarray(0, 900))).status, 403);
    assert.equal(await isThere(name, bytes), false);
    assert.equal((await put(up, bytes)).status, 200);
    assert.equal(await isThere(name, bytes), true);
    const { objects } = await batch(name, 'upload', [{ oid: oidOf(bytes), size: 7 }]);
    assert.equal(objects[0]?.error?.code, 422);
    assert.deepEqual(readdirSync(join(gate.data, 'lfs/.incoming')), []);
  });

  test('one that breaks off leaves nothing, and can be sent again', async () => {
    const name = await repository('broken');
    const bytes = randomBytes(500_000);
    const up = await link(name, 'upload', bytes);
    await cutOff(up, bytes);
    await untilLine(name, /faulted .*lfs.*upload/);
    assert.equal(await isThere(name, bytes), false);
    assert.deepEqual(readdirSync(join(gate.data, 'lfs/.incoming')), []);
    assert.equal((await put(up, bytes)).status, 200);
  });

  test('of one object sent by several at once, one is kept', async () => {
    const name = await repository('together');
    const bytes = randomBytes(2_000_000);
    const up = await link(name, 'upload', bytes);
    const answers = await Promise.all(Array.from({ length: 6 }, () => put(up, bytes)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    const down = await link(name, 'download', bytes);
    const got = await fetch(down.href, { headers: down.header });
    assert.deepEqual(Buffer.from(await got.arrayBuffer()), bytes);
  });

  test('what somebody else answers for is taken after all, and scanned again by every push that names it', async () => {
    const name = await repository('waived');
    await sshOk(site.admin, gate, ['config', name, 'set', 'scan', 'on']);
    await sshOk(site.admin, gate, ['group', 'add', 'makers', 'The', 'makers']);
    await sshOk(site.admin, gate, ['group', 'adduser', 'makers', 'stranger']);
    await sshOk(site.admin, gate, ['config', name, 'set', 'writers.*', 'makers']);
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    const word = [...randomBytes(16)].map((byte) => letters[byte % 32] ?? '').join('');
    const bytes = Buffer.from(`id = ${['AK', 'IA'].join('')}${word}\n`);
    const tree = await lfsTree(stranger, { path: path(), remote: url(gate, 'ssh', name), files: { 'key.bin': bytes } });
    const refused = await git(stranger, ['push', 'origin', 'main'], tree);
    assert.notEqual(refused.code, 0, refused.stderr);
    assert.doesNotMatch(refused.stderr, /contenttype/);
    const fingerprint = /fingerprint ([0-9a-f]{16})/.exec(refused.stderr)?.[1] ?? assert.fail(refused.stderr);
    const words = ['scan', 'waive', fingerprint, '--repo', name, '--reason', 'a test key'];
    assert.match((await ssh(stranger, gate, words)).stderr, /only the owner of waived/);
    await sshOk(site.admin, gate, words);
    await gitOk(stranger, ['push', '-q', 'origin', 'main'], tree);
    await sshOk(site.admin, gate, ['scan', 'unwaive', fingerprint, '--repo', name]);
    await commitFiles(stranger, tree, { 'copy.txt': Buffer.from(`${pointerText(oidOf(bytes), bytes.length)}\n`) });
    const again = await git(stranger, ['push', 'origin', 'main'], tree);
    assert.match(again.stderr, /LFS object of copy\.txt: secret scan: aws-access-key/);
  });

  test('a secret in an object is refused where the repository is scanned', async () => {
    const name = await repository('scanned');
    await sshOk(site.admin, gate, ['config', name, 'set', 'scan', 'on']);
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    const word = [...randomBytes(16)].map((byte) => letters[byte % 32] ?? '').join('');
    const bytes = Buffer.from(`first line\nid = ${['AK', 'IA'].join('')}${word}\n`);
    const { status } = await put(await link(name, 'upload', bytes), bytes);
    assert.equal(status, 202);
    const verified = await post(at(name, '/verify'), { oid: oidOf(bytes), size: bytes.length });
    assert.equal(verified.status, 403);
    const text = await verified.text();
    assert.match(text, /aws-access-key at line 2: .*fingerprint [0-9a-f]{16}.*scan waive FINGERPRINT/);
    assert.ok(!text.includes(word));
    assert.equal(await isThere(name, bytes), false);
  });
});

describe('large objects', { skip }, () => {
  test('200 MB go in and out with bounded memory', async () => {
    const name = await repository('large');
    const piece = randomBytes(1024 * 1024);
    const hash = createHash('sha256');
    for (let index = 0; index < PIECES; index += 1) hash.update(piece);
    const pointer = { oid: hash.digest('hex'), size: PIECES * piece.length };
    const { objects } = await batch(name, 'upload', [pointer]);
    const up = objects[0]?.actions?.upload ?? assert.fail();
    const before = gateBytes(gate.pid);
    const watched = watchPeak(gate.pid);
    async function* pieces(): AsyncGenerator<Buffer> {
      for (let index = 0; index < PIECES; index += 1) yield piece;
    }
    const headers = { ...up.header, 'content-length': String(pointer.size) };
    const sent = request(up.href, { method: 'PUT', headers });
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    await pipeline(Readable.from(pieces()), sent);
    const [answer] = await answered;
    answer.resume();
    assert.equal(answer.statusCode, 200);
    const down = (await batch(name, 'download', [pointer])).objects[0]?.actions?.download ?? assert.fail();
    const got = await fetch(down.href, { headers: down.header });
    let bytes = 0;
    for await (const chunk of got.body ?? []) bytes += (chunk as Uint8Array).length;
    assert.equal(bytes, pointer.size);
    const grown = watched.stop() - before;
    assert.ok(grown < 100 * 1024 * 1024, `the gate grew by ${Math.round(grown / 1024 / 1024)} MB`);
  });
});

describe('downloads', { skip }, () => {
  test('HEAD and ranges are answered as HTTP says', async () => {
    const name = await repository('ranges');
    const bytes = randomBytes(10_000);
    assert.equal((await put(await link(name, 'upload', bytes), bytes)).status, 200);
    const { href, header } = await link(name, 'download', bytes);
    const head = await fetch(href, { method: 'HEAD', headers: header });
    assert.equal(head.headers.get('content-length'), '10000');
    const ask = async (range: string): Promise<readonly [number, string | null, Buffer]> => {
      const answer = await fetch(href, { headers: { ...header, range } });
      return [answer.status, answer.headers.get('content-range'), Buffer.from(await answer.arrayBuffer())];
    };
    assert.deepEqual(await ask('bytes=100-199'), [206, 'bytes 100-199/10000', bytes.subarray(100, 200)]);
    assert.deepEqual(await ask('bytes=9990-'), [206, 'bytes 9990-9999/10000', bytes.subarray(9_990)]);
    assert.deepEqual(await ask('bytes=-5'), [206, 'bytes 9995-9999/10000', bytes.subarray(9_995)]);
    assert.equal((await ask('bytes=10000-'))[0], 416);
    assert.equal((await ask('bytes=0-1,5-6'))[0], 200);
  });
});

describe('who may not', { skip }, () => {
  test('links and logins are for one repository, one operation and one time', async () => {
    const [name, other] = [await repository('mine'), await repository('yours')];
    const bytes = randomBytes(64);
    const up = await link(name, 'upload', bytes);
    assert.equal((await put(up, bytes)).status, 200);
    const elsewhere = { ...up, href: up.href.replace('/mine.git/', '/yours.git/') };
    assert.equal((await put(elsewhere, bytes)).status, 403);
    assert.equal(await isThere(other, bytes), false);
    const down = await link(name, 'download', bytes);
    const asUpload = await put({ ...down, href: up.href }, bytes);
    assert.equal(asUpload.status, 403);
    const authorization = down.header['Authorization'] ?? '';
    const forged = authorization.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    assert.equal((await fetch(down.href, { headers: { authorization: forged } })).status, 401);
    // What was given out stands for the account that it was given to, as it is now.
    await sshOk(site.admin, gate, ['token', 'revoke', 'lfs']);
    assert.equal((await fetch(down.href, { headers: down.header })).status, 403);
    token = await tokenOf(site.admin, site, ['token', 'create', 'lfs']);
  });

  test('what is not there and what may not be read get one answer, by every door', async () => {
    const name = await repository('closed');
    const asked = { operation: 'download', objects: [{ oid: oidOf(Buffer.from('x')), size: 1 }] };
    const [real, phantom] = await Promise.all(
      [name, 'nowhere'].map(async (each) => {
        const answer = await post(at(each, '/objects/batch'), asked, `Bearer ${strangerToken}`);
        const body = (await answer.json()) as { readonly message: string };
        return `${answer.status} ${body.message.replaceAll(each, 'NAME')}`;
      }),
    );
    assert.equal(real, phantom);
    assert.match(real ?? '', /^404 gatehouse: no such repository, or you may not read it/);
    assert.equal((await post(at(name, '/objects/batch'), asked, '')).status, 401);
    const [one, two] = await Promise.all(
      [name, 'nowhere'].map(async (each) => {
        const { code, stderr } = await ssh(stranger, gate, ['git-lfs-authenticate', each, 'download']);
        return `${code} ${stderr.replaceAll(each, 'NAME')}`;
      }),
    );
    assert.equal(one, two);
  });

  test('requests that are none are refused with words, and nothing is looked for', async () => {
    const name = await repository('odd');
    const oid = oidOf(Buffer.from('x'));
    const status = async (body: unknown): Promise<number> => (await post(at(name, '/objects/batch'), body)).status;
    const objects = Array.from({ length: 1_001 }, () => ({ oid, size: 1 }));
    assert.equal(await status({ operation: 'download', objects }), 422);
    assert.equal(await status({ operation: 'download', objects: [{ oid: '../../../../etc/passwd', size: 1 }] }), 422);
    assert.equal(await status({ operation: 'download', objects: [{ oid, size: -1 }] }), 422);
    assert.equal(await status({ operation: 'destroy', objects: [] }), 422);
    assert.equal(await status('no json'), 422);
    assert.equal(await status('x'.repeat(300_000)), 400);
    for (const rest of [
      `/objects/${'..%2f'.repeat(8)}etc/1`,
      `/objects/${oid.toUpperCase()}/1`,
      `/objects/${oid}/1e3`,
      '/x',
    ]) {
      assert.equal((await fetch(at(name, rest), { headers: { authorization: `Bearer ${token}` } })).status, 404);
    }
    const wrong = await fetch(at(name, '/objects/batch'), { headers: { authorization: `Bearer ${token}` } });
    assert.equal(wrong.status, 405);
    assert.equal((await post(at(name, '/locks/verify'), {})).status, 501);
  });
});

describe('what stays', { skip }, () => {
  test('objects survive a crash whole, go with their repository and come back with it', async () => {
    const name = await repository('stays');
    const [whole, half] = [randomBytes(5_000), randomBytes(3_000_000)];
    assert.equal((await put(await link(name, 'upload', whole), whole)).status, 200);
    const up = await link(name, 'upload', half);
    const { host, port } = splitAddress(gate.http);
    const socket = connect(Number(port), host);
    socket.on('error', () => {});
    socket.write(`PUT ${new URL(up.href).pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: ${half.length}\r\n`);
    socket.write(`Authorization: ${up.header['Authorization'] ?? ''}\r\n\r\n`);
    socket.write(half.subarray(0, 1_000_000));
    const incoming = join(gate.data, 'lfs/.incoming');
    while (readdirSync(incoming).length === 0) await new Promise((resolve) => setImmediate(resolve));
    await gate.kill();
    gate = await startGate(scope, { data: gate.data, home: site.admin.home });
    site = { ...site, gate };
    assert.deepEqual(readdirSync(incoming), []);
    assert.equal(await isThere(name, half), false);
    assert.equal(await isThere(name, whole), true);
    // What was given out before is gone with the gate that gave it.
    assert.equal((await put({ ...up, href: up.href.replace(/\/\/[^/]+/, `//${gate.http}`) }, half)).status, 401);

    await sshConfirmed(site.admin, gate, ['destroy', name]);
    const gone = await post(at(name, '/objects/batch'), { operation: 'download', objects: [] });
    assert.equal(gone.status, 404);
    await sshOk(site.admin, gate, ['graveyard', 'restore', name]);
    assert.equal(await isThere(name, whole), true);
    await sshConfirmed(site.admin, gate, ['destroy', name]);
    const files = readdirSync(join(gate.data, 'lfs'), { recursive: true }).map(String);
    const own = files.find((file) => file.endsWith(oidOf(whole))) ?? '';
    await sshConfirmed(site.admin, gate, ['graveyard', 'purge', name]);
    assert.equal(existsSync(join(gate.data, 'lfs', own)), false);
  });
});

async function cutOff({ href, header }: Link, bytes: Uint8Array): Promise<void> {
  const { host, port } = splitAddress(gate.http);
  const socket = connect(Number(port), host);
  await new Promise<void>((resolve) => {
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    const head = `PUT ${new URL(href).pathname} HTTP/1.1\r\nHost: x\r\nContent-Length: ${bytes.length}\r\n`;
    socket.write(`${head}Authorization: ${header['Authorization'] ?? ''}\r\n\r\n`);
    socket.write(bytes.subarray(0, 1_000), () => socket.destroy());
  });
}

async function untilLine(name: string, pattern: RegExp): Promise<void> {
  while (!pattern.test(await journal(name))) await new Promise((resolve) => setImmediate(resolve));
}
