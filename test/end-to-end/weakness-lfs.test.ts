/**
 * The weakness of gates that look at pointers only: LFS payloads that they never see. A real gate in front of another real
 * one, which is the upstream with its own LFS server, over SSH and HTTP.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { addPerson, git, gitOk, sshOk, startSite, url, type Site } from '../support/gate.ts';
import { commitFiles, lfsTree, noLfs, oidOf, pointerText, tokenOf, withLfs } from '../support/lfs.ts';
import { suiteScope } from '../support/workspace.ts';

const scope = suiteScope();
const skip = noLfs();
let upstream: Site;
let site: Site;
let upstreamToken: string;
let count = 0;

before(async () => {
  if (skip !== false) return;
  const [one, two] = await Promise.all([startSite(scope), startSite(scope)]);
  upstream = { ...one, admin: withLfs(one.admin) };
  site = { ...two, admin: withLfs(two.admin) };
  upstreamToken = await tokenOf(upstream.admin, upstream, ['token', 'create', 'gate']);
});

after(() => scope.close());

function path(): string {
  count += 1;
  return join(site.root, `work-${count}`);
}

/** A mirror of a repository of the upstream that holds `seed.bin`; a clone of it through the gate. */
async function mirror(name: string, by: 'ssh' | 'http', seed: Uint8Array): Promise<string> {
  await sshOk(upstream.admin, upstream.gate, ['create', name]);
  const tree = await lfsTree(upstream.admin, {
    path: path(),
    remote: url(upstream.gate, 'ssh', name),
    files: { 'seed.bin': seed },
  });
  await gitOk(upstream.admin, ['push', '-q', 'origin', 'main'], tree);
  if (by === 'ssh') {
    const hostKey = readFileSync(join(upstream.gate.data, 'host-keys/ssh_host_ed25519_key.pub'), 'utf8').trim();
    const words = ['mirror', 'add', name, url(upstream.gate, 'ssh', name), '--key', '-', '--host-key', hostKey];
    await sshOk(site.admin, site.gate, words, readFileSync(upstream.admin.keyFile, 'utf8'));
  } else {
    await sshOk(
      site.admin,
      site.gate,
      ['mirror', 'add', name, url(upstream.gate, 'http', name), '--token', '-'],
      upstreamToken,
    );
  }
  const clone = path();
  await gitOk(site.admin, ['clone', '-q', url(site.gate, 'ssh', name), clone]);
  return clone;
}

/** What looks like a secret and is none: made anew each time. */
function plantedSecret(): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const word = [...randomBytes(16)].map((byte) => letters[byte % 32] ?? '').join('');
  return `aws_access_key_id = ${['AK', 'IA'].join('')}${word}\n`;
}

function pushedThere(name: string, refname: string): Promise<string> {
  return gitOk(upstream.admin, ['ls-remote', url(upstream.gate, 'ssh', name), refname]);
}

describe('LFS payloads: never seen', { skip, concurrency: 4 }, () => {
  for (const by of ['ssh', 'http'] as const) {
    test(`objects of a mirror come from its upstream over ${by}, and go there before their pointers`, async () => {
      const seed = randomBytes(400_000);
      const clone = await mirror(`both-${by}`, by, seed);
      assert.deepEqual(readFileSync(join(clone, 'seed.bin')), seed);
      const fresh = randomBytes(200_000);
      await commitFiles(site.admin, clone, { 'fresh.bin': fresh });
      await gitOk(site.admin, ['push', '-q', 'origin', 'main'], clone);
      const there = path();
      await gitOk(upstream.admin, ['clone', '-q', url(upstream.gate, 'ssh', `both-${by}`), there]);
      assert.deepEqual(readFileSync(join(there, 'fresh.bin')), fresh);
    });
  }

  test('a secret inside an LFS object is refused, and neither object nor push goes upstream', async () => {
    const clone = await mirror('secret', 'ssh', randomBytes(100));
    const before = await pushedThere('secret', 'refs/heads/main');
    await commitFiles(site.admin, clone, { 'config.bin': Buffer.from(plantedSecret()) });
    const { code, stderr } = await git(site.admin, ['push', 'origin', 'main'], clone);
    assert.notEqual(code, 0);
    assert.match(stderr, /secret scan: aws-access-key at line 1: \S+.*scan waive FINGERPRINT --repo secret/s);
    // Around the client's own check: the pointer alone is refused as well.
    const bare = await git(site.admin, ['push', '--no-verify', 'origin', 'main'], clone);
    assert.notEqual(bare.code, 0);
    assert.match(bare.stderr, /LFS object [0-9a-f]{64} \(config\.bin\) was refused: secret scan: aws-access-key/);
    assert.equal(await pushedThere('secret', 'refs/heads/main'), before);
  });

  test('a pointer without its object is refused, whatever form it has', async () => {
    const clone = await mirror('pointer', 'ssh', randomBytes(100));
    const oid = oidOf(randomBytes(8));
    await gitOk(site.admin, ['checkout', '-q', '-b', 'bare'], clone);
    writeFileSync(join(clone, 'plain.txt'), pointerText(oid, 12).replaceAll('\n', '\r\n'));
    await gitOk(site.admin, ['add', '.'], clone);
    await gitOk(site.admin, ['commit', '-q', '-m', 'A pointer by hand'], clone);
    const { code, stderr } = await git(
      site.admin,
      ['push', '--no-verify', 'origin', 'bare', 'origin/main:refs/heads/fine'],
      clone,
    );
    assert.notEqual(code, 0);
    assert.ok(stderr.includes(`LFS object ${oid} (plain.txt) was not uploaded through this gate`), stderr);
    assert.equal(await pushedThere('pointer', 'refs/heads/bare'), '');
  });

  test('an object that the upstream has but nobody sent through the gate does not let its pointer pass', async () => {
    const seed = randomBytes(1_000);
    const clone = await mirror('other', 'ssh', randomBytes(100));
    await sshOk(upstream.admin, upstream.gate, ['create', 'elsewhere']);
    const tree = await lfsTree(upstream.admin, {
      path: path(),
      remote: url(upstream.gate, 'ssh', 'elsewhere'),
      files: { 'x.bin': seed },
    });
    await gitOk(upstream.admin, ['push', '-q', 'origin', 'main'], tree);
    writeFileSync(join(clone, 'x.txt'), pointerText(oidOf(seed), seed.length));
    await gitOk(site.admin, ['add', '.'], clone);
    await gitOk(site.admin, ['commit', '-q', '-m', 'By hand'], clone);
    const { stderr } = await git(site.admin, ['push', '--no-verify', 'origin', 'main'], clone);
    assert.match(stderr, /was not uploaded through this gate/);
  });

  test('the client sees nothing of the upstream: no credential, no address', async () => {
    await mirror('hidden', 'http', randomBytes(5_000));
    const token = await tokenOf(site.admin, site, ['token', 'create', 'hidden']);
    const answer = await fetch(`http://${site.gate.http}/hidden.git/info/lfs/objects/batch`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/vnd.git-lfs+json' },
      body: JSON.stringify({ operation: 'download', objects: [{ oid: oidOf(randomBytes(4)), size: 4 }] }),
    });
    const text = await answer.text();
    assert.equal(answer.status, 200);
    assert.match(text, /"code":404/);
    assert.ok(!text.includes(upstream.gate.http) && !text.includes(upstreamToken));
  });

  test('an upstream that does not take the objects gets no push', async () => {
    const clone = await mirror('strict', 'http', randomBytes(100));
    const before = await pushedThere('strict', 'refs/heads/main');
    await sshOk(upstream.admin, upstream.gate, ['config', 'strict', 'set', 'scan', 'on']);
    await sshOk(site.admin, site.gate, ['config', 'strict', 'set', 'scan', 'off']);
    await commitFiles(site.admin, clone, { 'late.bin': Buffer.from(plantedSecret()) });
    const { code, stderr } = await git(site.admin, ['push', 'origin', 'main'], clone);
    assert.notEqual(code, 0);
    assert.match(stderr, /the LFS server of the upstream http:.* refuses .*403.*secret scan: aws-access-key/s);
    assert.equal(await pushedThere('strict', 'refs/heads/main'), before);
  });

  test('an object that many ask for at once comes from the upstream once', async () => {
    const clone = await mirror('many', 'http', randomBytes(100));
    const big = randomBytes(3_000_000);
    const tree = path();
    await gitOk(upstream.admin, ['clone', '-q', url(upstream.gate, 'ssh', 'many'), tree]);
    await commitFiles(upstream.admin, tree, { 'big.bin': big });
    await gitOk(upstream.admin, ['push', '-q', 'origin', 'main'], tree);
    assert.ok(clone !== '');
    const token = await tokenOf(site.admin, site, ['token', 'create', 'many']);
    const target = `http://${site.gate.http}/many.git/info/lfs/objects/${oidOf(big)}/${big.length}`;
    const answers = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const answer = await fetch(target, { headers: { authorization: `Bearer ${token}` } });
        return Buffer.from(await answer.arrayBuffer());
      }),
    );
    for (const bytes of answers) assert.deepEqual(bytes, big);
    const lines = await sshOk(upstream.admin, upstream.gate, ['audit', 'log', '--repo', 'many', '--json']);
    assert.equal(lines.split(`"download","${oidOf(big)}"`).length - 1, 1);
  });

  test('the objects of a held push go upstream when it is approved, and not before', async () => {
    const clone = await mirror('waits', 'ssh', randomBytes(100));
    const agent = withLfs(await addPerson(site, 'agent'));
    await sshOk(site.admin, site.gate, ['group', 'add', 'agents', 'The', 'agents']);
    await sshOk(site.admin, site.gate, ['group', 'adduser', 'agents', 'agent']);
    await sshOk(site.admin, site.gate, ['config', 'waits', 'set', 'writers.*', 'agents']);
    const bytes = randomBytes(900);
    const question = Buffer.from(plantedSecret().replace('\n', ' # gitleaks:allow\n'));
    await commitFiles(agent, clone, { 'kept.bin': bytes, 'conf.py': question });
    const { stderr } = await git(agent, ['push', 'origin', 'main'], clone);
    const id = /held for approval as ([a-z0-9]+)/.exec(stderr)?.[1] ?? assert.fail(stderr);
    const oid = oidOf(bytes);
    const log = (): Promise<string> =>
      sshOk(upstream.admin, upstream.gate, ['audit', 'log', '--repo', 'waits', '--json']);
    assert.ok(!(await log()).includes(oid));
    await sshOk(site.admin, site.gate, ['hold', 'approve', id, '--reason', 'no secret']);
    assert.ok((await log()).includes(`"upload","${oid}"`));
    const there = path();
    await gitOk(upstream.admin, ['clone', '-q', url(upstream.gate, 'ssh', 'waits'), there]);
    assert.deepEqual(readFileSync(join(there, 'kept.bin')), bytes);
  });

  test('what was scanned by other rules is scanned again when a push names it', async () => {
    const clone = await mirror('rules', 'ssh', randomBytes(100));
    const before = await pushedThere('rules', 'refs/heads/main');
    await sshOk(site.admin, site.gate, ['config', 'rules', 'set', 'scan', 'off']);
    await commitFiles(site.admin, clone, { 'early.bin': Buffer.from(plantedSecret()) });
    await gitOk(site.admin, ['lfs', 'push', 'origin', 'main'], clone);
    await sshOk(site.admin, site.gate, ['config', 'rules', 'set', 'scan', 'on']);
    const { code, stderr } = await git(site.admin, ['push', 'origin', 'main'], clone);
    assert.notEqual(code, 0);
    assert.match(stderr, /LFS object of early\.bin: secret scan: aws-access-key/);
    assert.equal(await pushedThere('rules', 'refs/heads/main'), before);
  });
});
