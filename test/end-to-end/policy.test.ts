/** The policy of a site lives in a repository: compiled and tested inside the push, swapped in whole, kept over restarts. */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  addPerson,
  commitFile,
  git,
  gitOk,
  ssh,
  sshOk,
  startGate,
  startSite,
  url,
  type Gate,
  type Person,
  type Site,
} from '../support/gate.ts';
import { suiteScope } from '../support/workspace.ts';

describe('the policy in gatehouse-admin', () => {
  let site: Site;
  let ian: Person;
  let tree: string;
  const scope = suiteScope();

  before(
    async () => {
      site = await startSite(scope);
      ian = await addPerson(site, 'ian');
      await sshOk(site.admin, site.gate, ['create', 'project', 'ian']);
      tree = join(site.admin.home, 'rules');
      await gitOk(site.admin, ['clone', '-q', url(site.gate, 'ssh', 'gatehouse-admin'), tree]);
    },
    { timeout: 60_000 },
  );
  after(() => scope.close());

  const push = () => git(site.admin, ['push', url(site.gate, 'ssh', 'gatehouse-admin'), 'HEAD:main'], tree);
  const startOver = () => gitOk(site.admin, ['reset', '-q', '--hard', 'origin/main'], tree);

  /** Ian, the owner, tries what only a changed policy would refuse. */
  async function ianCreates(gate: Gate, name: string): Promise<string> {
    const ended = await ssh(ian, gate, ['create', name]);
    return ended.code === 0 ? 'created' : ended.stderr;
  }

  test('is hidden from everybody else, word for word like what does not exist', async () => {
    const [hidden, absent] = await Promise.all(
      ['gatehouse-admin', 'no-such-thing'].map(async (name) =>
        (await git(ian, ['ls-remote', url(site.gate, 'ssh', name)])).stderr.replaceAll(name, 'NAME'),
      ),
    );
    assert.equal(hidden, absent);
    assert.match(String(hidden), /gatehouse: no such repository, or you may not read it: NAME/);
  });

  test('a rule that does not compile is refused with file, line and carets, and nothing changes', async () => {
    appendFileSync(join(tree, 'rules/house.lace'), 'allow "typing error" is_raeder\n');
    const line = readFileSync(join(tree, 'rules/house.lace'), 'utf8').split('\n').length - 1;
    await gitOk(site.admin, ['commit', '-aqm', 'Break the rules'], tree);
    const refused = await push();
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, new RegExp(`rules/house\\.lace:${line}`));
    assert.match(refused.stderr, /is_raeder/);
    assert.match(refused.stderr, /\^{9}/, 'carets stand under the guilty word');
    assert.match(refused.stderr, /\[remote rejected\] HEAD -> main \(.+\)/);
    await startOver();
    assert.equal(await ianCreates(site.gate, 'still-allowed'), 'created');
  });

  test('a scenario that fails is refused with its file and line', async () => {
    await commitFile(
      site.admin,
      tree,
      'rules/local.lace',
      'deny "no new repositories on Sundays" op_creates_repository !is_admin\n',
    );
    const main = readFileSync(join(tree, 'rules/main.lace'), 'utf8').replace(
      'include global:repositories',
      'include global:local\ninclude global:repositories',
    );
    await commitFile(site.admin, tree, 'rules/main.lace', main);
    const refused = await push();
    assert.equal(refused.code, 1, 'a shipped scenario says that people may create repositories');
    assert.match(refused.stderr, /scenarios\/[a-z-]+\.yarn:\d+/);
    assert.equal(await ianCreates(site.gate, 'still-allowed-2'), 'created');
  });

  test('a policy whose rules and scenarios agree takes effect at once, and explain names its lines', async () => {
    const { stdout: files } = await git(site.admin, ['ls-files', 'scenarios'], tree);
    for (const file of files.trim().split('\n')) rmSync(join(tree, file));
    writeFileSync(
      join(tree, 'scenarios/local.yarn'),
      [
        'SCENARIO nobody creates on Sundays',
        'GIVEN a user ian',
        'WHEN ian creates the repository sunday',
        'THEN it is refused, saying "Sundays"',
        '',
      ].join('\n'),
    );
    await gitOk(site.admin, ['add', '-A'], tree);
    await gitOk(site.admin, ['commit', '-qm', 'Keep Sundays'], tree);
    const pushed = await push();
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.match(await ianCreates(site.gate, 'refused-now'), /rules\/local\.lace:1: no new repositories on Sundays/);
    const explained = await ssh(site.admin, site.gate, ['access', 'explain', 'ian', 'create-repository', 'x']);
    assert.equal(explained.code, 1);
    assert.match(explained.stdout, /rules\/local\.lace:1/);
    const json = await ssh(site.admin, site.gate, ['access', 'explain', 'ian', 'create-repository', 'x', '--json']);
    assert.equal(JSON.parse(json.stdout).rule, 'rules/local.lace:1');
    assert.match(await sshOk(site.admin, site.gate, ['policy', 'scenarios']), /nobody creates on Sundays/);
  });

  test('the owner sets rules of a repository; they hold for pushes, and wrong ones are refused with their line', async () => {
    const wrong = await ssh(ian, site.gate, ['rules', 'project', 'set'], 'allow nonsense is_nothing\n');
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /:1\b[\s\S]*is_nothing/);
    await sshOk(site.admin, site.gate, ['config', 'project', 'set', 'public', 'yes']);
    await sshOk(
      ian,
      site.gate,
      ['rules', 'project', 'set'],
      'define on_notes ref prefix refs/heads/notes/\nallow "anybody with an account takes notes" on_notes\nallow "notes are pushed" [operation is write]\n',
    );
    const olive = await addPerson(site, 'olive');
    const notes = join(olive.home, 'notes');
    await gitOk(olive, ['init', '-q', '-b', 'main', notes]);
    await commitFile(olive, notes, 'note', 'x\n');
    const project = url(site.gate, 'ssh', 'project');
    const pushed = await git(olive, ['push', project, 'HEAD:refs/heads/notes/one'], notes);
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.equal((await git(olive, ['push', project, 'HEAD:refs/heads/main'], notes)).code, 1);
    assert.match(await sshOk(ian, site.gate, ['rules', 'project', 'show']), /takes notes/);
  });

  test(
    'outlives kill -9 and a restart, even where the repository was broken behind its back',
    { timeout: 60_000 },
    async (t) => {
      await site.gate.kill();
      const options = { data: site.gate.data, home: site.admin.home };
      const second = await startGate(t, options);
      assert.match(await ianCreates(second, 'refused-still'), /rules\/local\.lace:1/);
      await second.stop();
      const admin = await adminRepository(site.gate.data);
      const broken = join(site.root, 'broken');
      await gitOk(site.admin, ['clone', '-q', admin, broken]);
      await commitFile(site.admin, broken, 'rules/main.lace', 'this is no rule\n');
      await gitOk(site.admin, ['-c', 'core.hooksPath=/dev/null', 'push', '-q', admin, 'HEAD:main'], broken);
      const third = await startGate(t, options);
      assert.match(await ianCreates(third, 'refused-still'), /rules\/local\.lace:1/, 'the last good policy holds');
      assert.match(third.log(), /rules\/main\.lace/, 'and the log says what is wrong');
      await third.stop();
    },
  );

  /** Where gatehouse-admin lies: the bare repository that records its name. */
  async function adminRepository(data: string): Promise<string> {
    const { stdout } = await git(
      site.admin,
      ['grep', '--no-index', '-l', 'name = gatehouse-admin', '--', '*/config'],
      join(data, 'repositories'),
    );
    const found = stdout.trim().split('\n')[0];
    assert.ok(found, 'the repository records its name');
    return join(data, 'repositories', found.replace(/\/config$/, ''));
  }
});
