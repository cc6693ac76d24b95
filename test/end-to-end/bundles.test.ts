/** A repository as one bundle through a real gate: with git's own `--bundle-uri`, and with requests that no client makes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { addPerson, git, gitOk, sshOk, startSite, url } from '../support/gate.ts';
import type { Person, Site } from '../support/gate.ts';
import { tokenOf } from '../support/lfs.ts';
import { suiteScope } from '../support/workspace.ts';

const scope = suiteScope();
let site: Site;
let stranger: Person;
let token: string;
let strangerToken: string;
let work: string;

before(async () => {
  site = await startSite(scope);
  stranger = await addPerson(site, 'stranger');
  token = await tokenOf(site.admin, site, ['token', 'create', 'mine']);
  strangerToken = await tokenOf(stranger, site, ['token', 'create', 'theirs']);
  await sshOk(site.admin, site.gate, ['create', 'lab']);
  work = join(site.root, 'work');
  await gitOk(site.admin, ['init', '-q', '-b', 'main', work]);
  writeFileSync(join(work, 'file'), randomBytes(400_000));
  await gitOk(site.admin, ['add', '-A'], work);
  await gitOk(site.admin, ['commit', '-q', '-m', 'one'], work);
  await gitOk(site.admin, ['push', '-q', url(site.gate, 'ssh', 'lab'), 'main'], work);
});

after(() => scope.close());

function ask(secret: string | undefined, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> {
  const login = secret === undefined ? {} : { authorization: `Basic ${Buffer.from(`x:${secret}`).toString('base64')}` };
  return fetch(`http://${site.gate.http}/lab.git/clone.bundle`, { method, headers: { ...login, ...headers } });
}

function withToken(secret: string): string {
  return `http://x:${secret}@${site.gate.http}/lab.git`;
}

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

test('git clones with it, with the credential that it clones with', async () => {
  const target = join(site.root, 'cloned');
  const from = withToken(token);
  await gitOk(site.admin, ['clone', '-q', `--bundle-uri=${from}/clone.bundle`, from, target]);
  await gitOk(site.admin, ['fsck', '--strict'], target);
  assert.match(await gitOk(site.admin, ['for-each-ref'], target), /refs\/bundles\/main/);
});

test('who may not read the repository gets neither it nor a word about it', async () => {
  const theirs = await ask(strangerToken);
  assert.equal(theirs.status, 404);
  assert.equal((await ask(undefined)).status, 401);
  assert.equal((await ask('ght_wrong')).status, 401);
  const missing = await fetch(`http://${site.gate.http}/nothing.git/clone.bundle`, {
    headers: { authorization: `Basic ${Buffer.from(`x:${strangerToken}`).toString('base64')}` },
  });
  assert.equal(missing.status, 404);
  const words = async (response: Response, name: string): Promise<string> =>
    (await response.text()).replaceAll(name, 'NAME');
  assert.equal(await words(theirs, 'lab'), await words(missing, 'nothing'));
  const target = join(site.root, 'theirs');
  const cloned = await git(stranger, [
    'clone',
    '-q',
    `--bundle-uri=${withToken(strangerToken)}/clone.bundle`,
    withToken(strangerToken),
    target,
  ]);
  assert.notEqual(cloned.code, 0);
});

test('a broken download goes on where it ended, and not into another bundle', async () => {
  const first = await ask(token);
  assert.equal(first.status, 200);
  const etag = first.headers.get('etag') ?? '';
  const all = await bytesOf(first);
  assert.match(first.headers.get('cache-control') ?? '', /private/);
  const rest = await ask(token, { range: 'bytes=200000-', 'if-range': etag });
  assert.equal(rest.status, 206);
  assert.ok((await bytesOf(rest)).equals(all.subarray(200_000)));
  const other = await ask(token, { range: 'bytes=200000-', 'if-range': '"another"' });
  assert.equal(other.status, 200);
  assert.ok((await bytesOf(other)).equals(all));
  assert.equal((await ask(token, { 'if-none-match': etag })).status, 304);
  const behind = await ask(token, { range: `bytes=${all.length}-` });
  assert.equal(behind.status, 416);
  const head = await ask(token, {}, 'HEAD');
  assert.equal(head.headers.get('content-length'), String(all.length));
  assert.equal((await ask(token, {}, 'POST')).status, 405);
});

test('a token that is revoked gets no more of it', async () => {
  const brief = await tokenOf(site.admin, site, ['token', 'create', 'brief']);
  const first = await ask(brief);
  assert.equal(first.status, 200);
  const etag = first.headers.get('etag') ?? '';
  await bytesOf(first);
  await sshOk(site.admin, site.gate, ['token', 'revoke', 'brief']);
  assert.equal((await ask(brief, { range: 'bytes=10-', 'if-range': etag })).status, 401);
  assert.equal((await ask(brief, { 'if-none-match': etag })).status, 401);
});

test('who may only read gets it, too', async () => {
  await sshOk(site.admin, site.gate, ['config', 'lab', 'set', 'public', 'yes']);
  for (const secret of [undefined, strangerToken]) {
    const response = await ask(secret);
    assert.equal(response.status, 200);
    assert.match((await bytesOf(response)).subarray(0, 20).toString('latin1'), /^# v2 git bundle/);
  }
});
