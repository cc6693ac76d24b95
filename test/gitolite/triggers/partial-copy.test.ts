/** The trigger `partial-copy`: what of a repository somebody may read is in the copy, whatever was there before. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Said } from '../ground.ts';
import { newTwins, NO_GITOLITE, type Twins } from '../twins.ts';

const CONF = `
repo gitolite-admin
    RW+ = admin
repo whole
    RW+ = ann
repo part
    -   hidden = bob
    R          = bob cid
    -   VREF/partial-copy = @all
`;
const DATES = { GIT_AUTHOR_DATE: '2026-01-02T03:04:05Z', GIT_COMMITTER_DATE: '2026-01-02T03:04:05Z' };

async function copied(): Promise<Twins> {
  const twins = await newTwins({ conf: CONF });
  await twins.both('git', ['config', '-f', 'repositories/part.git/config', 'gitolite.partialCopyOf', 'whole']);
  return twins;
}

/** On both: a commit of its own on each branch, every one on top of what the branch has. */
async function commit(twins: Twins, ...branches: readonly string[]): Promise<void> {
  const script = `set -e
    cd repositories/whole.git; export ${Object.entries(DATES)
      .map((pair) => pair.join('='))
      .join(' ')}
    for branch in ${branches.join(' ')}; do
      parent=$(git rev-parse -q --verify $branch) || parent=
      tree=$(printf '100644 blob %s\\t%s\\n' $(echo $branch | git hash-object -w --stdin) file | git mktree)
      git update-ref refs/heads/$branch $(git -c user.name=t -c user.email=t commit-tree $tree \${parent:+-p $parent} -m $branch)
    done`;
  await twins.both('sh', ['-c', script]);
}

const inWhole = (twins: Twins, ...args: readonly string[]): Promise<void> =>
  twins.both('git', ['--git-dir', 'repositories/whole.git', ...args]);

/** What was said of refs that went, and all that the log has of them. */
function removals({ stderr }: Said, home: string): readonly string[] {
  const logs = join(home, '.gitolite/logs');
  const logged = readdirSync(logs).flatMap((name) => readFileSync(join(logs, name), 'utf8').split('\n'));
  return [
    ...stderr.split('\n').filter((line) => /^To |deleted/.test(line)),
    ...logged.filter((line) => /bypass/.test(line)),
  ].map((line) => line.replaceAll(home, '~').replace(/^[-.:\d]+\t\d+\t/, ''));
}

/** The copy's refs after the trigger ran for somebody: the same on both. */
async function copyFor(twins: Twins, user: string): Promise<readonly string[]> {
  const call = ['../triggers/partial-copy', 'PRE_GIT', 'part', user];
  const said = [await twins.own(call), await twins.real(call)] as const;
  const [own = [], real] = [twins.ours.home, twins.realHome].map((home) => {
    const gitDir = join(home, 'repositories/part.git');
    const { stdout } = spawnSync('git', ['--git-dir', gitDir, 'for-each-ref', '--format=%(refname) %(objectname)']);
    return stdout.toString().split('\n').slice(0, -1);
  });
  assert.deepEqual(own, real);
  assert.deepEqual([said[0].code, said[1].code], [0, 0]);
  assert.deepEqual(removals(said[0], twins.ours.home), removals(said[1], twins.realHome));
  return own.map((line) => line.replace(/ .*/, ''));
}

test('a copy has what its user may read, and only that', { skip: NO_GITOLITE }, async () => {
  await using twins = await copied();
  await commit(twins, 'main', 'hidden');
  await inWhole(twins, 'tag', 'open', 'main');
  await inWhole(twins, 'tag', 'secret', 'hidden');
  await inWhole(twins, '-c', 'user.name=t', '-c', 'user.email=t', 'tag', '-am', 'x', 'told', 'main');
  const own = ['refs/heads/main', 'refs/tags/open', 'refs/tags/told'];
  assert.deepEqual(await copyFor(twins, 'bob'), own);
  assert.deepEqual(await copyFor(twins, 'cid'), ['refs/heads/hidden', ...own.slice(0, 2), 'refs/tags/secret', own[2]]);
  assert.deepEqual(await copyFor(twins, 'bob'), own);
});

test('what cannot be fetched locks nobody out, and holds nothing else back', { skip: NO_GITOLITE }, async () => {
  await using twins = await copied();
  await commit(twins, 'main', 'topic', 'old/one');
  assert.deepEqual(await copyFor(twins, 'bob'), ['refs/heads/main', 'refs/heads/old/one', 'refs/heads/topic']);
  await inWhole(twins, 'update-ref', '-d', 'refs/heads/topic');
  await inWhole(twins, 'update-ref', '-d', 'refs/heads/old/one');
  await commit(twins, 'topic/one', 'old', 'new');
  assert.deepEqual(await copyFor(twins, 'bob'), ['refs/heads/main', 'refs/heads/new']);
  const names = ['main', 'new', 'old', 'topic/one'].map((name) => `refs/heads/${name}`);
  assert.deepEqual(await copyFor(twins, 'bob'), names);
  await twins.both('sh', ['-c', `echo ${'12'.repeat(20)} > repositories/whole.git/refs/heads/broken`]);
  await commit(twins, 'newer');
  assert.deepEqual(await copyFor(twins, 'bob'), [...names.slice(0, 2), 'refs/heads/newer', ...names.slice(2)]);
});

test('a tag that leads to no commit is not in a copy: nobody says whose it is', { skip: NO_GITOLITE }, async () => {
  await using twins = await copied();
  await commit(twins, 'main', 'hidden');
  await inWhole(twins, 'tag', 'tree', 'hidden^{tree}');
  const call = ['../triggers/partial-copy', 'PRE_GIT', 'part'];
  assert.equal((await twins.own([...call, 'cid'])).code, 0);
  const { code, stderr } = await twins.own([...call, 'bob']);
  assert.equal(code, 0);
  assert.doesNotMatch(stderr, /error/);
  const { stdout } = spawnSync('git', ['--git-dir', join(twins.ours.home, 'repositories/part.git'), 'tag']);
  assert.equal(stdout.toString(), '');
});
