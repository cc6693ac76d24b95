/** Git LFS through a real gate with the real git-lfs, over SSH and HTTP. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { addPerson, gitOk, git, ssh, sshOk, startSite, url, type Person, type Site } from '../support/gate.ts';
import { hasProgram, suiteScope } from '../support/workspace.ts';

const scope = suiteScope();
const skip = hasProgram('git-lfs') ? false : 'git-lfs is not installed';
let site: Site;
let reader: Person;
let token: string;
let count = 0;

before(async () => {
  if (skip !== false) return;
  const started = await startSite(scope);
  site = { ...started, admin: withLfs(started.admin) };
  reader = withLfs(await addPerson(started, 'reader'));
  token = await tokenOf(site.admin, 'lfs');
});

after(() => scope.close());

/** The person with git-lfs set up, in a configuration of their own: never in one that the machine shares. */
function withLfs(person: Person): Person {
  const config = join(person.home, 'gitconfig');
  const filter = ['clean = git-lfs clean -- %f', 'smudge = git-lfs smudge -- %f', 'process = git-lfs filter-process'];
  writeFileSync(config, ['[filter "lfs"]', 'required = true', ...filter, ''].join('\n'));
  return { ...person, env: { ...person.env, GIT_CONFIG_GLOBAL: config } };
}

async function tokenOf(person: Person, name: string): Promise<string> {
  return /ght_[A-Za-z0-9]+/.exec(await sshOk(person, site.gate, ['token', 'create', name]))?.[0] ?? '';
}

/** A work tree whose `*.bin` are LFS files, with one commit. */
async function treeOf(remote: string, files: Readonly<Record<string, Buffer>>): Promise<string> {
  count += 1;
  const tree = join(site.root, `tree-${count}`);
  mkdirSync(tree);
  await gitOk(site.admin, ['init', '-q', '-b', 'main', tree]);
  await gitOk(site.admin, ['lfs', 'track', '*.bin'], tree);
  await gitOk(site.admin, ['remote', 'add', 'origin', remote], tree);
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(tree, name), bytes);
  await gitOk(site.admin, ['add', '.'], tree);
  await gitOk(site.admin, ['commit', '-q', '-m', 'Add files'], tree);
  return tree;
}

function oidOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('Git LFS', { skip }, () => {
  for (const transport of ['ssh', 'http'] as const) {
    test(`files pushed over ${transport} come back by clone`, async () => {
      const name = `over-${transport}`;
      await sshOk(site.admin, site.gate, ['create', name]);
      const bytes = randomBytes(300_000);
      const remote = url(site.gate, transport, name, transport === 'http' ? token : undefined);
      const tree = await treeOf(remote, { 'a.bin': bytes, 'b.bin': randomBytes(10) });
      await gitOk(site.admin, ['push', '-q', 'origin', 'main'], tree);
      const clone = join(site.root, `clone-${transport}`);
      await gitOk(site.admin, ['clone', '-q', remote, clone]);
      assert.deepEqual(readFileSync(join(clone, 'a.bin')), bytes);
    });
  }
});
