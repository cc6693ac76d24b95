/** A small push with the rules of the house, the secret scan and default checks starts no git process. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitFile, gitOk, sshOk, startSite, url } from '../support/gate.ts';

test(
  'pushes of a commit, a branch, a tag and a deletion start no git process over ssh and http',
  { timeout: 120_000 },
  async (t) => {
    const site = await startSite(t);
    const { admin, gate } = site;
    const made = await sshOk(admin, gate, ['token', 'create', 'count', '--scope', 'admin']);
    const token = /ght_[A-Za-z0-9]+/.exec(made)?.[0] ?? '';
    const counts = async (name: string): Promise<readonly string[]> => {
      const answer = await fetch(`http://${gate.http}/metrics`, { headers: { authorization: `Bearer ${token}` } });
      return (await answer.text()).split('\n').filter((line) => line.startsWith(`gatehouse_${name}{`));
    };
    await sshOk(admin, gate, ['create', 'small']);
    const tree = join(site.root, 'tree');
    await gitOk(admin, ['init', '-q', '-b', 'main', tree]);
    mkdirSync(join(tree, 'dir/sub'), { recursive: true });
    for (const name of ['a', 'dir/b', 'dir/sub/c']) await commitFile(admin, tree, name, `${name}\n`.repeat(50));
    await gitOk(admin, ['push', '-q', url(gate, 'ssh', 'small'), 'main'], tree);

    const before = await counts('git_processes_total');
    for (const to of [url(gate, 'ssh', 'small'), url(gate, 'http', 'small', token)]) {
      const door = to.startsWith('ssh') ? 'ssh' : 'http';
      await commitFile(admin, tree, 'dir/sub/c', `${'dir/sub/c\n'.repeat(50)}${door}\n`);
      await gitOk(admin, ['push', '-q', to, 'main'], tree);
      await gitOk(admin, ['tag', '-a', '-m', 'x', door], tree);
      await gitOk(admin, ['push', '-q', to, door, 'main~1:refs/heads/earlier'], tree);
      await gitOk(admin, ['switch', '-q', '-c', `side-${door}`, 'main~1'], tree);
      await gitOk(admin, ['mv', 'dir/b', 'moved'], tree);
      await commitFile(admin, tree, 'e', 'e\n');
      await gitOk(admin, ['switch', '-q', 'main'], tree);
      await gitOk(admin, ['merge', '-q', '--no-edit', `side-${door}`], tree);
      await gitOk(admin, ['push', '-q', to, 'main'], tree);
      await gitOk(admin, ['push', '-q', to, ':refs/heads/earlier'], tree);
      await gitOk(admin, ['mv', 'moved', 'dir/b'], tree);
      await commitFile(admin, tree, 'f', door);
      await gitOk(admin, ['push', '-q', to, 'main'], tree);
    }
    assert.deepEqual(await counts('git_processes_total'), before);
    const judged = await counts('push_in_process_total');
    assert.ok(
      judged.some((line) => line.includes('answer="taken"')),
      judged.join('\n'),
    );
    assert.ok(!judged.some((line) => line.includes('fallback')), judged.join('\n'));
    await gitOk(admin, ['clone', '-q', url(gate, 'ssh', 'small'), join(site.root, 'clone')]);
    await gitOk(admin, ['fsck', '--strict', '--full'], join(site.root, 'clone'));
  },
);
