/**
 * A fresh account with `bin/gitolite` and `bin/gitolite-shell` in place of gitolite's own: set up, administered by
 * pushes, used by real git clients. Where the real gitolite is installed the same conversation is held with it, which
 * proves that what is expected here is a fact.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Account, OWN_PROGRAMS, realPrograms, type Programs } from '../support/account.ts';
import { suiteScope, type Ended } from '../support/workspace.ts';

const CONF = `
@staff = ann bob

repo gitolite-admin
    RW+ = admin

repo testing
    RW+ = @all

repo lab
    RW+ refs/tags/ = ann
    -   main       = bob
    RW+            = @staff
    R              = eve

repo people/CREATOR/..*
    C   = @staff
    RW+ = CREATOR
    RW  = WRITERS
    R   = READERS

repo counted
    RW+             = @staff
    -   VREF/COUNT/2 = bob
    -   VREF/NAME/secret/ = bob
`;

converse('Gatehouse', OWN_PROGRAMS);
const real = realPrograms();
if (real === undefined) test('the real gitolite holds the same conversation', { skip: 'gitolite is not installed' });
else converse('the real gitolite', real);

function converse(name: string, programs: Programs): void {
  describe(`an account with ${name}`, () => {
    const scope = suiteScope();
    let account: Account;
    let admin: string;

    before(
      async () => {
        account = new Account(scope, programs);
        ok(await account.gitolite(['setup', '-a', 'admin']));
        admin = join(account.work, 'admin');
        ok(await account.git('admin', ['clone', '-q', 'site:gitolite-admin', admin]));
        await account.git('admin', ['config', 'push.default', 'current'], { cwd: admin });
        const pushed = await pushConf(CONF, 'first conf');
        assert.match(pushed.stderr, /Initialized empty Git repository in .*\/lab\.git\//);
        assert.doesNotMatch(pushed.stderr, /FATAL/);
      },
      { timeout: 120_000 },
    );
    after(() => scope.close());

    async function pushConf(text: string, message: string): Promise<Ended> {
      account.put(join(admin, 'conf/gitolite.conf'), text);
      ok(await account.git('admin', ['commit', '-qam', message], { cwd: admin }));
      return ok(await account.git('admin', ['push', 'origin', 'master'], { cwd: admin }));
    }

    async function cloned(user: string, repository: string, directory: string): Promise<string> {
      const tree = join(account.work, directory);
      ok(await account.git(user, ['clone', '-q', `site:${repository}`, tree]));
      return tree;
    }

    async function commit(tree: string, file: string, text = `${file}\n`): Promise<void> {
      account.put(join(tree, file), text);
      ok(await account.git('nobody', ['add', '-A'], { cwd: tree }));
      ok(await account.git('nobody', ['commit', '-qm', file], { cwd: tree }));
    }

    test('answers what is where', async () => {
      const base = ok(await account.gitolite(['query-rc', '-n', 'GL_REPO_BASE'])).stdout;
      assert.equal(base, join(account.home, 'repositories'));
      assert.equal((await account.gitolite(['query-rc', '-q', 'NO_SUCH_THING'])).code, 1);
      const listed = ok(await account.gitolite(['list-phy-repos'])).stdout;
      assert.equal(listed, 'counted\ngitolite-admin\nlab\ntesting\n');
    });

    test('lets in and refuses by ref, in the same words', async () => {
      const tree = await cloned('ann', 'lab', 'lab-ann');
      await commit(tree, 'a');
      ok(await account.git('ann', ['push', '-q', 'origin', 'HEAD:main'], { cwd: tree }));
      const topic = ok(await account.git('bob', ['push', 'origin', 'HEAD:topic'], { cwd: tree }));
      assert.match(topic.stderr, /\[new branch\]\s+HEAD -> topic/);
      const rewound = await cloned('bob', 'lab', 'lab-bob');
      ok(await account.git('bob', ['reset', '-q', '--hard', 'origin/main'], { cwd: rewound }));
      await commit(rewound, 'b');
      const main = await account.git('bob', ['push', 'origin', 'HEAD:main'], { cwd: rewound });
      assert.equal(main.code, 1);
      assert.match(main.stderr, /FATAL: W refs\/heads\/main lab bob DENIED by refs\/heads\/main/);
      assert.match(main.stderr, /error: hook declined to update refs\/heads\/main/);
      assert.match(main.stderr, /! \[remote rejected\] HEAD -> main \(hook declined/);
      const stranger = await account.git('mallory', ['ls-remote', 'site:lab']);
      assert.equal(stranger.code, 128);
      assert.match(stranger.stderr, /FATAL: R any lab mallory DENIED by fallthru\n\(or you mis-spelled the reponame\)/);
      const reader = await account.git('eve', ['push', 'origin', 'HEAD:x'], { cwd: rewound });
      assert.match(reader.stderr, /FATAL: W any lab eve DENIED by fallthru/);
    });

    test('makes a wild repository for who may, and its roles are theirs to give', async () => {
      const tree = await cloned('ann', 'people/ann/notes', 'notes');
      assert.equal(readFileSync(join(account.home, 'repositories/people/ann/notes.git/gl-creator'), 'utf8'), 'ann');
      await commit(tree, 'n');
      ok(await account.git('ann', ['push', '-q', 'origin', 'HEAD:main'], { cwd: tree }));
      const other = await account.git('bob', ['ls-remote', 'site:people/ann/notes']);
      assert.match(other.stderr, /R any people\/ann\/notes bob DENIED by fallthru/);
      ok(await account.ssh('ann', 'perms people/ann/notes + READERS bob'));
      assert.equal(
        readFileSync(join(account.home, 'repositories/people/ann/notes.git/gl-perms'), 'utf8'),
        'READERS bob\n',
      );
      ok(await account.git('bob', ['ls-remote', 'site:people/ann/notes']));
      const theirs = await account.ssh('bob', 'perms people/ann/notes + WRITERS bob');
      assert.notEqual(theirs.code, 0);
      assert.match((await account.git('bob', ['ls-remote', 'site:people/ann/x'])).stderr, /DENIED by fallthru/);
    });

    test('asks virtual refs', async () => {
      const tree = await cloned('bob', 'counted', 'counted');
      await commit(tree, 'one');
      ok(await account.git('bob', ['push', '-q', 'origin', 'HEAD:main'], { cwd: tree }));
      for (const file of ['two', 'three', 'four']) account.put(join(tree, file), `${file}\n`);
      await commit(tree, 'five');
      const many = await account.git('bob', ['push', 'origin', 'HEAD:main'], { cwd: tree });
      assert.equal(many.code, 1);
      assert.match(many.stderr, /FATAL: W VREF\/COUNT\/2 counted bob DENIED by VREF\/COUNT\/2/);
      ok(await account.git('bob', ['reset', '-q', '--hard', 'origin/main'], { cwd: tree }));
      await commit(tree, 'secret/key');
      const secret = await account.git('bob', ['push', 'origin', 'HEAD:main'], { cwd: tree });
      assert.match(secret.stderr, /FATAL: W VREF\/NAME\/secret\/key counted bob DENIED by VREF\/NAME\/secret\//);
      ok(await account.git('ann', ['push', '-q', 'origin', 'HEAD:main'], { cwd: tree }));
    });

    test('answers access questions with the exit code and the words', async () => {
      const allowed = await account.gitolite(['access', 'lab', 'ann', 'W', 'main']);
      assert.deepEqual([allowed.code, allowed.stdout], [0, 'refs/.*\n']);
      const denied = await account.gitolite(['access', 'lab', 'bob', 'W', 'main']);
      assert.deepEqual([denied.code, denied.stdout], [1, 'W refs/heads/main lab bob DENIED by refs/heads/main\n']);
      const quiet = await account.gitolite(['access', '-q', 'lab', 'eve', 'W']);
      assert.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [1, '', '']);
      const batch = await account.gitolite(['access', '%', 'ann', 'R'], { stdin: 'lab\ntesting\nnone\n' });
      assert.equal(
        batch.stdout,
        'lab\tann\trefs/tags/\ntesting\tann\trefs/.*\nnone\tann\tR any none ann DENIED by fallthru\n',
      );
    });

    test('keeps the old rules where a pushed conf is wrong, and says why', async () => {
      const pushed = await pushConf(`${CONF}\nrepo lab\n    RW+ = a!b\n`, 'broken');
      assert.match(pushed.stderr, /FATAL: bad username 'a!b'/);
      ok(await account.git('eve', ['ls-remote', 'site:lab']));
      const mended = await pushConf(`${CONF}\nrepo lab\n    R = zoe\n`, 'mended');
      assert.doesNotMatch(mended.stderr, /FATAL/);
      ok(await account.git('zoe', ['ls-remote', 'site:lab']));
    });

    test('refuses words that are no command', async () => {
      for (const [command, words] of [
        ['rm -rf /', /FATAL: unknown git\/gitolite command: 'rm -rf \/'/],
        ["git-upload-pack '../../etc'", /FATAL: /],
        ['info ; id', /FATAL: suspicious characters loitering about 'info ; id'/],
        ['info\nid', /FATAL: I don't like newlines in the command/],
      ] as const) {
        const refused = await account.ssh('ann', command);
        assert.notEqual(refused.code, 0, command);
        assert.match(refused.stderr, words);
      }
    });

    test('writes the log that tools read', async () => {
      const file = ok(await account.gitolite(['query-rc', '-n', 'GL_LOGFILE'])).stdout;
      const log = readFileSync(file, 'utf8');
      const stamp = String.raw`\d{4}-\d\d-\d\d\.\d\d:\d\d:\d\d\t\d+`;
      assert.match(
        log,
        new RegExp(`^${stamp}\\tssh\\tARGV=ann\\tSOC=git-receive-pack '(?:/)?lab'\\tFROM=192\\.0\\.2\\.7$`, 'm'),
      );
      assert.match(log, new RegExp(`^${stamp}\\tpre_git\\tlab\\tann\\tW\\tany\\trefs/`, 'm'));
      assert.match(
        log,
        new RegExp(`^${stamp}\\tupdate\\tlab\\tann\\tW\\trefs/heads/main\\t0{40}\\t[0-9a-f]{40}\\trefs/`, 'm'),
      );
      assert.match(log, new RegExp(`^${stamp}\\tdie\\tW refs/heads/main lab bob DENIED by refs/heads/main`, 'm'));
      assert.match(log, new RegExp(`^${stamp}\\tEND$`, 'm'));
    });
  });
}

function ok(ended: Ended): Ended {
  assert.equal(ended.code, 0, `${ended.stdout}${ended.stderr}`);
  return ended;
}
