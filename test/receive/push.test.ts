/** Real git pushes: what succeeds, what is refused, and with which words. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitFile, git, gitOk, openSite } from './site.ts';

for (const format of ['sha1', 'sha256'] as const) {
  for (const door of ['gitUrl', 'httpUrl'] as const) {
    test(`a ${format} repository takes a first push, a fast-forward, a tag and a deletion over ${door}`, async (t) => {
      const site = await openSite(t, { format });
      const tree = await site.workTree();
      const url = site[door];
      const first = await commitFile(tree, 'a');
      await gitOk(tree, 'push', '-q', url, 'main');
      assert.equal(await site.refs(), `${first} refs/heads/main`);
      const second = await commitFile(tree, 'b');
      await gitOk(tree, 'tag', '-a', '-m', 'One', 'v1');
      await gitOk(tree, 'push', '-q', url, 'main', 'v1', 'main:refs/heads/topic');
      const tag = await gitOk(tree, 'rev-parse', 'v1');
      assert.equal(await site.refs(), `${second} refs/heads/main\n${second} refs/heads/topic\n${tag} refs/tags/v1`);
      await gitOk(tree, 'push', '-q', url, ':topic');
      assert.equal(await site.refs(), `${second} refs/heads/main\n${tag} refs/tags/v1`);
      await gitOk(site.repository.path, 'fsck', '--strict');
      assert.deepEqual(site.leftovers(), []);
      const lines = await site.journalLines();
      assert.deepEqual(
        lines.map(({ event, outcome }) => `${event} ${outcome}`),
        Array(3).fill('push served'),
      );
      assert.ok(site.ends.every((end) => !('fault' in end)));
      assert.ok(!existsSync(join(site.repository.path, 'gatehouse', 'incoming', 'x')));
    });
  }
}

test('a push that is up to date asks for nothing', async (t) => {
  const site = await openSite(t);
  const tree = await site.workTree();
  await commitFile(tree, 'a');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  const { code, stderr } = await git(tree, 'push', site.gitUrl, 'main');
  assert.equal(code, 0);
  assert.match(stderr, /Everything up-to-date/);
});
