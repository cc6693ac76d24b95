/**
 * What `gitolite-shell` says to callers of every kind, by its exit code, its words and its lines in the log. Where the real
 * gitolite is installed the same is asked of it, which proves that what is expected here is a fact.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Account, OWN_PROGRAMS, realPrograms, type Programs } from '../support/account.ts';
import { run, suiteScope, type Ended } from '../support/workspace.ts';

interface Case {
  readonly name: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly argv?: readonly string[];
  readonly code: number;
  readonly stderr: string;
  /** The lines of the log behind time and transaction, without the extra detail. */
  readonly log?: readonly string[];
}

const SSH = { SSH_CONNECTION: '192.0.2.7 40000 192.0.2.1 22' };

function overSsh(command: string): NodeJS.ProcessEnv {
  return { ...SSH, SSH_ORIGINAL_COMMAND: command };
}

const CASES: readonly Case[] = [
  {
    name: 'somebody from nowhere',
    code: 25,
    stderr: 'FATAL: who the *heck* are you?\n',
    log: ['die\twho the *heck* are you?'],
  },
  {
    name: 'a command that is not enabled',
    env: overSsh('format everything'),
    code: 25,
    stderr: "FATAL: unknown git/gitolite command: 'format everything'\n",
    log: [
      'ssh\tARGV=ann\tSOC=format everything\tFROM=192.0.2.7',
      "die\tunknown git/gitolite command: 'format everything'",
    ],
  },
  {
    name: 'a service of git in two words',
    env: overSsh('git upload-pack testing'),
    code: 25,
    stderr: "FATAL: unknown git/gitolite command: 'git upload-pack testing'\n",
  },
  {
    name: 'a repository that may not be read',
    env: overSsh("git-upload-pack 'gitolite-admin'"),
    code: 25,
    stderr: 'FATAL: R any gitolite-admin ann DENIED by fallthru\n(or you mis-spelled the reponame)\n',
    log: [
      "ssh\tARGV=ann\tSOC=git-upload-pack 'gitolite-admin'\tFROM=192.0.2.7",
      'die\tR any gitolite-admin ann DENIED by fallthru<<newline>>(or you mis-spelled the reponame)',
    ],
  },
  {
    name: 'a push that may not be',
    env: overSsh("git-receive-pack '/gitolite-admin.git/'"),
    code: 25,
    stderr: 'FATAL: W any gitolite-admin ann DENIED by fallthru\n(or you mis-spelled the reponame)\n',
  },
  {
    name: 'a name that is none',
    env: overSsh("git-upload-pack '../etc'"),
    code: 25,
    stderr: "FATAL: invalid repo name: '../etc'\n",
  },
  {
    name: 'a name that climbs',
    env: overSsh("git-upload-pack 'a/../b'"),
    code: 25,
    stderr: "FATAL: 'a/../b' contains '..'\n",
  },
  {
    name: 'a name inside a repository',
    env: overSsh("git-upload-pack 'testing.git/hooks'"),
    code: 25,
    stderr: "FATAL: 'testing.git/hooks' contains '.git/'\n",
  },
  {
    name: 'characters that a shell would act on',
    env: overSsh('info `id`'),
    code: 25,
    stderr: "FATAL: suspicious characters loitering about 'info `id`'\n",
  },
  {
    name: 'a relative path',
    env: overSsh('info ../../x'),
    code: 25,
    stderr: 'FATAL: no relative paths allowed anywhere!\n',
  },
  {
    name: 'two lines',
    env: overSsh('info\nhelp'),
    code: 25,
    stderr: "FATAL: I don't like newlines in the command: 'info<<newline>>help'\n\n",
  },
  {
    name: 'a command as users of a login shell give it, of another program',
    env: SSH,
    argv: ['-c', 'rm -rf /'],
    code: 25,
    stderr: "FATAL: unknown git/gitolite command: 'rm -rf /'\n",
  },
  {
    name: 'a user whose name is none',
    env: overSsh("git-upload-pack 'testing'"),
    argv: ['a;b'],
    code: 25,
    stderr: "FATAL: invalid user 'a;b'\n",
  },
  {
    name: 'a user whose name is false in Perl',
    env: overSsh("git-upload-pack 'testing'"),
    argv: ['0'],
    code: 25,
    stderr: "FATAL: invalid user '0'\n",
  },
  {
    name: 'a test harness with a command of git',
    env: { G3T_USER: 'ann', SSH_ORIGINAL_COMMAND: "git-upload-pack 'no/such'" },
    code: 25,
    stderr:
      "TRACE: gsh(ann)\nTRACE: gsh(SOC=git-upload-pack 'no/such')\n" +
      'FATAL: R any no/such ann DENIED by fallthru\n(or you mis-spelled the reponame)\n',
    log: [
      "file\tARGV=ann\tSOC=git-upload-pack 'no/such'",
      'die\tR any no/such ann DENIED by fallthru<<newline>>(or you mis-spelled the reponame)',
    ],
  },
  {
    name: 'a test harness with another command',
    env: { G3T_USER: 'ann', SSH_ORIGINAL_COMMAND: 'nothing' },
    code: 25,
    stderr: "FATAL: unknown git/gitolite command: 'nothing'\n",
  },
];

converse('Gatehouse', OWN_PROGRAMS);
const real = realPrograms();
if (real === undefined) test('the real gitolite-shell says the same', { skip: 'gitolite is not installed' });
else converse('the real gitolite', real);

function converse(owner: string, programs: Programs): void {
  describe(`gitolite-shell of ${owner}`, () => {
    const scope = suiteScope();
    let account: Account;

    before(
      async () => {
        account = new Account(scope, programs);
        const made = await account.gitolite(['setup', '-a', 'admin']);
        assert.equal(made.code, 0, made.stderr);
      },
      { timeout: 120_000 },
    );
    after(() => scope.close());

    function shell(env: NodeJS.ProcessEnv, argv: readonly string[] = ['ann']): Promise<Ended> {
      return run(programs.shell, argv, { cwd: account.home, env: { ...account.env, ...env } });
    }

    /** What the log says from here on; without the transaction's end, which some kinds of end do not write. */
    function logSince(bytes: number): readonly string[] {
      const lines = readLog().slice(bytes).split('\n');
      return lines
        .map((line) => line.split('\t').slice(2).join('\t'))
        .filter((line) => line !== '' && line[0] !== '\t');
    }

    function readLog(): string {
      const directory = join(account.home, '.gitolite/logs');
      return readdirSync(directory)
        .map((name) => readFileSync(join(directory, name), 'utf8'))
        .join('');
    }

    for (const { name, env = {}, argv, code, stderr, log } of CASES) {
      test(`answers ${name}`, async () => {
        const before = readLog().length;
        assert.deepEqual(await shell(env, argv), { code, stdout: '', stderr });
        if (log !== undefined) assert.deepEqual(logSince(before), log);
      });
    }

    test('shows what may be reached where no command is given, also to who has it as login shell', async () => {
      for (const argv of [['ann'], ['-c', `${programs.shell} ann`]]) {
        const ended = await shell(SSH, argv);
        assert.equal(ended.code, 0, ended.stderr);
        assert.match(ended.stdout, /^hello ann, this is hoster@\S+ running gitolite3 .*\n\n R W\ttesting\n$/);
        assert.equal(ended.stderr, '');
      }
    });

    test('gives back what a remote command ends with', async () => {
      const ended = await shell(overSsh('perms testing'));
      assert.equal(ended.code, 1);
      assert.match(ended.stdout, /perms/);
    });

    test('writes the beginning and the end of a request that is served', async () => {
      const before = readLog().length;
      const ended = await account.git('ann', ['ls-remote', 'site:testing']);
      assert.equal(ended.code, 0, ended.stderr);
      assert.deepEqual(logSince(before), [
        "ssh\tARGV=ann\tSOC=git-upload-pack 'testing'\tFROM=192.0.2.7",
        'pre_git\ttesting\tann\tR\tany\trefs/.*',
        'END',
      ]);
    });

    test('serves archives', async () => {
      const tree = join(account.work, 'tree');
      assert.equal((await account.git('ann', ['clone', '-q', 'site:testing', tree])).code, 0);
      account.put(join(tree, 'a file'), 'text\n');
      await account.git('ann', ['add', '-A'], { cwd: tree });
      await account.git('ann', ['commit', '-qm', 'one'], { cwd: tree });
      assert.equal((await account.git('ann', ['push', '-q', 'origin', 'HEAD:refs/heads/main'], { cwd: tree })).code, 0);
      const archive = await account.git('ann', ['archive', '--remote=site:testing', 'main']);
      assert.equal(archive.code, 0, archive.stderr);
      assert.match(archive.stdout, /a file/);
    });
  });
}
