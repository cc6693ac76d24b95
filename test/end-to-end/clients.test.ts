/** Seven Git clients clone and push over every door that they speak, in both object formats where they know both. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CLIENTS, missing, type Client, type Door } from '../support/clients.ts';
import { addPerson, commitFile, gitOk, sshOk, startSite, url, type Person, type Site } from '../support/gate.ts';
import { suiteScope } from '../support/workspace.ts';

const FORMATS = ['sha1', 'sha256'] as const;

describe('Git clients', () => {
  let site: Site;
  let alice: Person;
  let token: string;
  const scope = suiteScope();

  before(
    async () => {
      site = await startSite(scope);
      // ECDSA: the one type of key that every client here can use.
      alice = await addPerson(site, 'alice', { type: 'ecdsa' });
      token =
        /ght_[A-Za-z0-9]+/.exec(
          await sshOk(alice, site.gate, ['token', 'create', 'clients', '--scope', 'write']),
        )?.[0] ?? '';
      assert.notEqual(token, '');
      for (const format of FORMATS) await seed(format);
    },
    { timeout: 120_000 },
  );
  after(() => scope.close());

  async function seed(format: (typeof FORMATS)[number]): Promise<void> {
    await sshOk(alice, site.gate, ['create', `clients/${format}`, '--object-format', format]);
    await sshOk(alice, site.gate, ['config', `clients/${format}`, 'set', 'public', 'yes']);
    const tree = join(alice.home, `seed-${format}`);
    await gitOk(alice, ['init', '-q', '-b', 'main', `--object-format=${format}`, tree]);
    for (let count = 0; count < 20; count += 1)
      await commitFile(alice, tree, `file-${count}`, `content ${count}\n`.repeat(50));
    await gitOk(alice, ['tag', '-a', '-m', 'one', 'v1'], tree);
    await gitOk(alice, ['push', '-q', url(site.gate, 'ssh', `clients/${format}`), 'main', 'v1'], tree);
  }

  for (const client of CLIENTS) {
    const reason = missing(client);
    for (const format of FORMATS) {
      if (format === 'sha256' && !client.sha256) continue;
      for (const door of client.doors) {
        const fact = door === 'git' ? 'clones' : 'clones and pushes';
        test(
          `${client.name} ${fact} over ${door} (${format})`,
          { skip: reason ?? false, timeout: 120_000 },
          async () => {
            await converse(client, door, format);
          },
        );
      }
    }
  }

  async function converse(client: Client, door: Door, format: (typeof FORMATS)[number]): Promise<void> {
    const id = `${client.name.replaceAll(' ', '-')}-${door}-${format}`;
    const from = url(site.gate, door, `clients/${format}`, door === 'http' ? token : undefined);
    const directory = join(alice.home, id);
    const cloned = await client.clone(alice, site.gate, from, directory);
    assert.equal(cloned.code, 0, cloned.stderr);
    assert.match(await gitOk(alice, ['ls-tree', '--name-only', 'HEAD'], directory), /file-19/);
    await gitOk(alice, ['fsck', '--strict'], directory);
    if (door === 'git') return;
    const job = { directory, url: from, refname: `refs/heads/${id}`, file: `by-${id}` };
    const pushed = await client.push(alice, site.gate, job);
    assert.equal(pushed.code, 0, pushed.stderr);
    const seen = join(alice.home, `${id}-seen`);
    const ssh = url(site.gate, 'ssh', `clients/${format}`);
    await gitOk(alice, ['clone', '-q', '--branch', id, ssh, seen]);
    assert.match(await gitOk(alice, ['ls-tree', '--name-only', 'HEAD'], seen), new RegExp(`by-${id}`));
    await gitOk(alice, ['fsck', '--strict'], seen);
  }
});
