/** What is unchanged costs no child process: counted by the gate's own metric and checked against real work. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitFile, git, gitOk, sshOk, startSite, url, type Site } from '../support/gate.ts';

async function startedProcesses(site: Site, token: string): Promise<number> {
  const answer = await fetch(`http://${site.gate.http}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  const text = await answer.text();
  const counted = [...text.matchAll(/^gatehouse_git_processes(?:_started)?_total(?:\{[^}]*\})? (\d+)/gm)];
  assert.ok(counted.length > 0, `the metric is there: ${text.slice(0, 500)}`);
  return counted.reduce((sum, match) => sum + Number(match[1]), 0);
}

test('an unchanged ls-remote or fetch starts no process over ssh, http and git://', { timeout: 120_000 }, async (t) => {
  const site = await startSite(t);
  const { admin, gate } = site;
  const token =
    /ght_[A-Za-z0-9]+/.exec(await sshOk(admin, gate, ['token', 'create', 'count', '--scope', 'admin']))?.[0] ?? '';
  await sshOk(admin, gate, ['create', 'still']);
  await sshOk(admin, gate, ['config', 'still', 'set', 'public', 'yes']);
  const tree = join(site.root, 'tree');
  await gitOk(admin, ['init', '-q', '-b', 'main', tree]);
  await commitFile(admin, tree, 'a', 'a\n');
  await gitOk(admin, ['tag', '-a', '-m', 'one', 'v1'], tree);
  await gitOk(admin, ['push', '-q', url(gate, 'ssh', 'still'), 'main', 'v1'], tree);
  const urls = [url(gate, 'ssh', 'still'), url(gate, 'http', 'still', token), url(gate, 'git', 'still')];
  for (const [index, from] of urls.entries())
    await gitOk(admin, ['clone', '-q', from, join(site.root, `clone-${index}`)]);

  const before = await startedProcesses(site, token);
  for (const protocol of ['0', '1', '2']) {
    for (const [index, from] of urls.entries()) {
      const listed = await gitOk(admin, ['-c', `protocol.version=${protocol}`, 'ls-remote', from]);
      assert.match(listed, /refs\/tags\/v1\^\{\}/);
      await gitOk(admin, ['-c', `protocol.version=${protocol}`, 'fetch', '-q'], join(site.root, `clone-${index}`));
    }
  }
  assert.equal(await startedProcesses(site, token), before, 'eighteen unchanged requests');

  await commitFile(admin, tree, 'b', 'b\n');
  await gitOk(admin, ['push', '-q', url(gate, 'ssh', 'still'), 'main'], tree);
  const fetched = await git(admin, ['fetch', urls[1] ?? ''], join(site.root, 'clone-1'));
  assert.equal(fetched.code, 0, fetched.stderr);
  assert.ok((await startedProcesses(site, token)) > before, 'the count counts');
});
