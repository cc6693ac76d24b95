/** A conf pushed to `gatehouse-admin`: refused with its line where it is wrong, in force for real pushes where it is not. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  addPerson,
  commitFile,
  git,
  gitOk,
  ssh,
  sshOk,
  startSite,
  url,
  type Person,
  type Site,
} from '../support/gate.ts';
import { suiteScope } from '../support/workspace.ts';

describe('a gitolite.conf in gatehouse-admin', () => {
  let site: Site;
  let ann: Person;
  let tree: string;
  let work: string;
  const scope = suiteScope();

  before(
    async () => {
      site = await startSite(scope);
      ann = await addPerson(site, 'ann');
      await sshOk(site.admin, site.gate, ['create', 'lab']);
      tree = join(site.admin.home, 'policy');
      await gitOk(site.admin, ['clone', '-q', url(site.gate, 'ssh', 'gatehouse-admin'), tree]);
      mkdirSync(join(tree, 'conf'));
      mkdirSync(join(tree, 'conf/teams'));
      work = join(ann.home, 'work');
      await gitOk(ann, ['init', '-q', '-b', 'main', work]);
    },
    { timeout: 60_000 },
  );
  after(() => scope.close());

  const pushPolicy = () => git(site.admin, ['push', '-q', 'origin', 'HEAD:main'], tree);
  const push = (...refspecs: string[]) => git(ann, ['push', '-q', url(site.gate, 'ssh', 'lab'), ...refspecs], work);

  test('one that is wrong is refused with file, line and message', async () => {
    await commitFile(site.admin, tree, 'conf/gitolite.conf', 'repo lab\n  include "teams/*.conf"\n');
    await commitFile(site.admin, tree, 'conf/teams/a.conf', '\n  RW = a!b\n');
    const refused = await pushPolicy();
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /conf\/teams\/a\.conf:2: bad username 'a!b'/);
  });

  test('one that is right is in force at once: refs, paths and merges are refused with the line', async () => {
    const rules = '\n  - frozen = ann\n  - NAME/secret/ = ann\n  RWC = ann\n  RWM = boss\n';
    await commitFile(site.admin, tree, 'conf/teams/a.conf', rules);
    const pushed = await pushPolicy();
    assert.equal(pushed.code, 0, pushed.stderr);
    await commitFile(ann, work, 'a', '1\n');
    assert.equal((await push('HEAD:main')).code, 0);
    assert.match((await push('HEAD:frozen')).stderr, /conf\/teams\/a\.conf:2: DENIED by refs\/heads\/frozen/);
    assert.equal((await push('HEAD:topic')).code, 0);
    assert.match((await push(':topic')).stderr, /DENIED by fallthru \(\+ refs\/heads\/topic lab ann\)/);
    mkdirSync(join(work, 'secret'));
    await commitFile(ann, work, 'secret/b', '1\n');
    assert.match((await push('HEAD:main')).stderr, /conf\/teams\/a\.conf:3: DENIED by VREF\/NAME\/secret\//);
    await gitOk(ann, ['reset', '-q', '--hard', 'HEAD^'], work);
    rmSync(join(work, 'secret'), { recursive: true, force: true });
    await gitOk(ann, ['checkout', '-q', '-b', 'side'], work);
    await commitFile(ann, work, 'c', '1\n');
    await gitOk(ann, ['checkout', '-q', 'main'], work);
    await gitOk(ann, ['merge', '-q', '--no-ff', '-m', 'Merge', 'side'], work);
    assert.match((await push('HEAD:main')).stderr, /DENIED by fallthru \(WM refs\/heads\/main lab ann\)/);
    assert.equal((await push('side:main')).code, 0, 'without the merge it goes');
  });

  test('virtual refs that are built in are checked, in the order of the rules', async () => {
    const rules = `
  RWC = ann
  - VREF/EMAIL-CHECK/nowhere.example = boss
  - VREF/COUNT/2 = ann
  - VREF/NAME/secret/ = ann
`;
    await commitFile(site.admin, tree, 'conf/teams/a.conf', rules);
    const pushed = await pushPolicy();
    assert.equal(pushed.code, 0, pushed.stderr);
    await gitOk(ann, ['reset', '-q', '--hard', 'side'], work);
    for (const name of ['d', 'e', 'f']) await commitFile(ann, work, name, '1\n');
    const { stderr } = await push('HEAD:main');
    assert.match(
      stderr,
      /FATAL: W VREF\/COUNT\/2 lab ann DENIED by VREF\/COUNT\/2 *\n.*too many changed files in this push/,
    );
    assert.match(
      stderr,
      /remote rejected\] HEAD -> main \(hook declined \(conf\/teams\/a\.conf:4: DENIED by VREF\/COUNT\/2 \(W VREF\/COUNT\/2 lab ann\); \(too many/,
    );
    assert.equal((await push('HEAD~1:main')).code, 0);
    assert.equal((await push('HEAD:main')).code, 0, 'one more file is no more than two');
  });

  test('explain and policy check know the conf', async () => {
    const explained = await ssh(site.admin, site.gate, [
      'access',
      'explain',
      'ann',
      'delete-ref',
      'lab',
      'refs/heads/main',
    ]);
    // The administrator does not read what the conf does not let them read.
    assert.notEqual(explained.code, 0);
    const own = await ssh(ann, site.gate, ['access', 'explain', 'ann', 'update-ref', 'lab', 'refs/heads/frozen']);
    assert.match(own.stdout, /^allowed: ann update-ref lab refs\/heads\/frozen\n[^]*conf\/teams\/a\.conf:2 {2}decides/);
    assert.match(await sshOk(site.admin, site.gate, ['policy', 'check']), /rule files compile/);
  });
});
