/**
 * A site of the real gitolite, taken over in place: real git clients hold a conversation with it, the site is put back to
 * where it was, taken over, and the same conversation has the same results, in exit codes, words, refs and files.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { realPrograms } from '../support/account.ts';
import { GitoliteSite } from '../support/gitolite-site.ts';
import { run, suiteScope, type Ended } from '../support/workspace.ts';

const GATEHOUSE = join(import.meta.dirname, '..', '..', 'bin', 'gatehouse');
const real = realPrograms();
/** As `npm run compare:gitolite -- adopt` has it: fifty repositories, every part of the conversation, more decisions. */
const IS_WHOLE = process.env['GATEHOUSE_TEST_WHOLE'] === '1';
const REPOSITORIES = IS_WHOLE ? 50 : 15;
const DECISIONS = IS_WHOLE ? 8_000 : 600;

interface Told {
  readonly code: number;
  readonly text: string;
}
type Conversation = ReadonlyMap<string, Told>;

describe('a site of the real gitolite', { skip: real === undefined ? 'gitolite is not installed' : false }, () => {
  const scope = suiteScope();
  let site: GitoliteSite;
  let backup: string;
  let old: Conversation;
  let oldState: Readonly<Record<string, string>>;

  before(
    async () => {
      assert.ok(real);
      site = new GitoliteSite(scope, real, REPOSITORIES);
      await site.build();
      backup = join(site.work, '..', 'backup');
      cpSync(site.home, backup, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
      old = await converse(site, 'old');
      oldState = await site.state();
      rmSync(site.home, { recursive: true });
      cpSync(backup, site.home, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
    },
    { timeout: 300_000 },
  );
  after(() => scope.close());

  const adopt = (...args: string[]): Promise<Ended> =>
    run(GATEHOUSE, ['gitolite', 'adopt', site.home, ...args], { cwd: site.home, env: site.env, deadlineMs: 300_000 });

  test('--dry-run changes nothing and finds no difference', { timeout: 300_000 }, async () => {
    const compared = await adopt('--dry-run', '--json', '--decisions', String(DECISIONS));
    assert.equal(compared.code, 0, compared.stdout.slice(-4000) + compared.stderr);
    const { plan, comparison } = JSON.parse(compared.stdout);
    assert.deepEqual(comparison.differences, []);
    assert.ok(comparison.decisions > DECISIONS / 2, String(comparison.decisions));
    assert.equal(plan.repositories.onDisk, REPOSITORIES);
    assert.equal(plan.repositories.wild, 3);
    assert.deepEqual(plan.blockers, []);
    const own = plan.features.filter(({ fate }: { fate: string }) => fate === 'own program');
    assert.deepEqual(own.map(({ kind, name }: { kind: string; name: string }) => `${kind} ${name}`).toSorted(), [
      'VREF TICKET',
      'command hello',
      'hook post-receive',
      'trigger POST_GIT: note',
    ]);
    assert.equal((await run('diff', ['-r', '--no-dereference', backup, site.home])).stdout, '');
  });

  test('taken over, it answers the same conversation with the same results', { timeout: 300_000 }, async (t) => {
    const plain = await adopt('--yes');
    assert.equal(plain.code, 0, plain.stdout + plain.stderr);
    assert.match(plain.stdout, /generated lines start .*\/bin\/gitolite-shell instead of /);
    const now = await converse(site, 'new');
    for (const [step, told] of old) {
      await t.test(step, () => assert.deepEqual(now.get(step), told));
    }
    await t.test('refs and files', async () => assert.deepEqual(await site.state(), oldState));
    assert.ok(existsSync(join(site.home, '.gitolite/gatehouse')), 'the gate has served it');
  });

  test('--undo puts it back, with what was pushed meanwhile', { timeout: 120_000 }, async () => {
    const undone = await adopt('--undo');
    assert.equal(undone.code, 0, undone.stdout + undone.stderr);
    assert.match(undone.stdout, /gitolite compile: done/);
    const listed = await site.git('carol', ['ls-remote', 'site:added']);
    assert.equal(listed.code, 0, listed.stderr);
    assert.match(await site.ssh('ann', 'hello again').then(({ stdout }) => stdout), /^hello ann: again$/m);
    assert.equal((await adopt('--undo')).code, 1);
  });
});

interface Clients {
  /** By step. */
  readonly record: Map<string, Told>;
  /** The site's conf. */
  readonly conf: string;
  readonly git: (step: string, user: string, tree: string, ...args: readonly string[]) => Promise<void>;
  readonly ssh: (step: string, user: string, command: string, stdin?: string) => Promise<void>;
  readonly clone: (step: string, user: string, repository: string, tree: string) => Promise<void>;
  readonly commit: (tree: string, files: readonly string[], message: string) => Promise<void>;
  /** Takes the last commit of a tree back. */
  readonly back: (tree: string) => Promise<void>;
  /** Writes a file below the trees. */
  readonly put: (path: string, text: string) => void;
}

/** The same steps, in the same order, at the same dates. */
async function converse(site: GitoliteSite, name: string): Promise<Conversation> {
  const trees = join(site.work, 'trees');
  rmSync(trees, { recursive: true, force: true });
  mkdirSync(trees);
  const clients = clientsOf(site, trees);
  for (const part of IS_WHOLE ? [apps, lab, checks, hooks, wild, commands, administration] : PARTS_IN_SHORT)
    await part(clients);
  renameSync(trees, join(site.work, name));
  return clients.record;
}

function clientsOf(site: GitoliteSite, trees: string): Clients {
  const record = new Map<string, Told>();
  const env = { GIT_AUTHOR_DATE: '2026-02-03T04:05:06Z', GIT_COMMITTER_DATE: '2026-02-03T04:05:06Z' };
  const tree = (of: string): string => join(trees, of);
  const keep = (step: string, { code, stdout, stderr }: Ended): void => {
    assert.ok(!record.has(step), step);
    record.set(step, { code, text: told(stdout + stderr) });
  };
  const own = async (of: string, ...args: readonly string[]): Promise<void> => {
    const ended = await site.git('nobody', args, { cwd: tree(of), env });
    assert.equal(ended.code, 0, ended.stdout + ended.stderr);
  };
  return {
    record,
    conf: site.conf,
    git: async (step, user, of, ...args) => keep(step, await site.git(user, args, { cwd: tree(of), env })),
    ssh: async (step, user, command, stdin = '') => keep(step, await site.ssh(user, command, { stdin })),
    clone: async (step, user, repository, of) =>
      keep(step, await site.git(user, ['clone', `site:${repository}`, tree(of)], { env })),
    async commit(of, files, message) {
      for (const file of files) site.put(join(tree(of), file), `${file} ${message}\n`);
      await own(of, 'add', '-A');
      await own(of, 'commit', '-qm', message);
    },
    back: (of) => own(of, 'reset', '-q', '--hard', 'HEAD~1'),
    put: (path, text) => site.put(tree(path), text),
  };
}

async function apps({ git, clone, commit }: Clients): Promise<void> {
  await clone('a member clones', 'ann', 'app-01', 'app');
  await commit('app', ['a'], 'one');
  await git('a lead pushes a new branch', 'ann', 'app', 'push', 'origin', 'HEAD:master');
  await commit('app', ['b'], 'two');
  await git('a member pushes on', 'bob', 'app', 'push', 'origin', 'HEAD:master');
  await git('a member rewinds: refused', 'bob', 'app', 'push', '-f', 'origin', 'HEAD~1:master');
  await git('a lead rewinds', 'ann', 'app', 'push', '-f', 'origin', 'HEAD~1:master');
  await git('a tag that a deny rule names', 'bob', 'app', 'push', 'origin', 'HEAD:refs/tags/v1');
  await git('any other tag', 'bob', 'app', 'push', 'origin', 'HEAD:refs/tags/nightly');
  await git('several refs, one refused', 'bob', 'app', 'push', 'origin', 'HEAD:topic', 'HEAD:refs/tags/v2');
  await git('a member deletes: refused', 'bob', 'app', 'push', 'origin', ':topic');
  await git('a lead deletes', 'ann', 'app', 'push', 'origin', ':topic');
  await git(
    'several refs, one refused, all or nothing',
    'bob',
    'app',
    'push',
    '--atomic',
    'origin',
    'HEAD:t2',
    'HEAD:refs/tags/v3',
  );
  await git('a reader lists', 'carol', 'app', 'ls-remote', 'origin');
  await git('a reader pushes: refused', 'carol', 'app', 'push', 'origin', 'HEAD:x');
  await git('a stranger lists: refused', 'mallory', 'app', 'ls-remote', 'origin');
  await git('a repository that is not there', 'ann', 'app', 'ls-remote', 'site:no-such');
  await git('a name that is none', 'ann', 'app', 'ls-remote', 'site:../app-01');
  await git('a fetch of what came', 'carol', 'app', 'fetch', 'origin');
}

async function lab({ git, clone, commit }: Clients): Promise<void> {
  await clone('the lab', 'ann', 'lab', 'lab');
  await commit('lab', ['a'], 'one');
  await git('create where creating needs C', 'ann', 'lab', 'push', 'origin', 'HEAD:main');
  await git('create without C: refused', 'bob', 'lab', 'push', 'origin', 'HEAD:other');
  await git("create in one's own name", 'bob', 'lab', 'push', 'origin', 'HEAD:dev/bob/x');
  await git("create in another's name: refused", 'bob', 'lab', 'push', 'origin', 'HEAD:dev/ann/x');
  await commit('lab', ['b'], 'two');
  await git('a deny rule about a branch', 'bob', 'lab', 'push', 'origin', 'HEAD:main');
  await git("delete one's own", 'bob', 'lab', 'push', 'origin', ':dev/bob/x');
  await git('deny rules for readers', 'eve', 'lab', 'ls-remote', 'site:vault');
  await git('and for others not', 'carol', 'lab', 'ls-remote', 'site:vault');
}

async function checks({ git, clone, commit, back }: Clients): Promise<void> {
  await clone('what is checked', 'bob', 'checked', 'checked');
  await commit('checked', ['one'], 'fix #1');
  await git('a push that passes the checks', 'bob', 'checked', 'push', 'origin', 'HEAD:master');
  await commit('checked', ['two', 'three', 'four'], 'fix #2');
  await git('too many files', 'bob', 'checked', 'push', 'origin', 'HEAD:master');
  await git('not too many for who is not checked', 'ann', 'checked', 'push', 'origin', 'HEAD:many');
  await back('checked');
  await commit('checked', ['secret/key'], 'fix #3');
  await git('a file that a rule names', 'bob', 'checked', 'push', 'origin', 'HEAD:master');
  await back('checked');
  await commit('checked', ['plain'], 'no ticket');
  await git("the site's own check refuses", 'bob', 'checked', 'push', 'origin', 'HEAD:master');
}

async function hooks({ git, clone, commit }: Clients): Promise<void> {
  await clone('what is hooked', 'ann', 'hooked', 'hooked');
  await commit('hooked', ['a'], 'plain');
  await git('a hook of the repository lets in', 'ann', 'hooked', 'push', 'origin', 'HEAD:master');
  await commit('hooked', ['b'], 'with\ttab');
  await git('a hook of the repository refuses', 'ann', 'hooked', 'push', 'origin', 'HEAD:master');
}

async function wild({ git, ssh, clone, commit }: Clients): Promise<void> {
  await clone('a wild repository comes to be', 'bob', 'people/bob/fresh', 'fresh');
  await commit('fresh', ['a'], 'one');
  await git('its creator pushes', 'bob', 'fresh', 'push', 'origin', 'HEAD:master');
  await git('roles that it starts with', 'ann', 'fresh', 'ls-remote', 'origin');
  await git('nobody else reads it', 'carol', 'fresh', 'ls-remote', 'origin');
  await ssh('its creator gives a role', 'bob', 'perms people/bob/fresh + WRITERS carol');
  await ssh('and a role of the site', 'bob', 'perms people/bob/fresh + TESTERS eve');
  await ssh('a role that is none', 'bob', 'perms people/bob/fresh + OWNERS eve');
  await ssh('roles listed', 'bob', 'perms -l people/bob/fresh');
  await ssh('roles that are not theirs to give', 'carol', 'perms people/bob/fresh + WRITERS mallory');
  await commit('fresh', ['b'], 'two');
  await git('a writer pushes', 'carol', 'fresh', 'push', 'origin', 'HEAD:master');
  await git('a writer makes a branch', 'carol', 'fresh', 'push', 'origin', 'HEAD:side');
  await git('a writer deletes: refused', 'carol', 'fresh', 'push', 'origin', ':side');
  await git('a tester reads', 'eve', 'fresh', 'ls-remote', 'origin');
  await git('no wild repository for who may not', 'carol', 'fresh', 'ls-remote', 'site:people/carol/x');
  await git("nor in another's name", 'bob', 'fresh', 'ls-remote', 'site:people/ann/x');
  await ssh('roles from standard input', 'ann', 'perms -c people/ann/notes', 'READERS carol\nWRITERS bob\n');
  await ssh('create by command', 'ann', 'create people/ann/made');
  await ssh('create again', 'ann', 'create people/ann/made');
  await ssh('fork', 'ann', 'fork people/bob/fresh people/ann/forked');
  await ssh('fork what one may not read', 'lee', 'fork people/bob/notes people/lee/x');
  await ssh('a description', 'ann', 'desc people/ann/made a place for things');
  await ssh('a description read', 'ann', 'desc people/ann/made');
  await ssh('a deletion without unlocking', 'ann', 'D rm people/ann/made');
  await ssh('unlocking', 'ann', 'D unlock people/ann/made');
  await ssh('deletion', 'ann', 'D rm people/ann/made');
  await ssh('writes off', 'bob', 'writable people/bob/fresh off moving house');
  await commit('fresh', ['c'], 'three');
  await git('a push while writes are off', 'bob', 'fresh', 'push', 'origin', 'HEAD:master');
  await ssh('writes on', 'bob', 'writable people/bob/fresh on');
  await git('a push when they are on again', 'bob', 'fresh', 'push', 'origin', 'HEAD:master');
}

async function commands({ git, ssh }: Clients): Promise<void> {
  for (const user of ['ann', 'carol', 'lee']) await ssh(`info for ${user}`, user, 'info');
  await ssh('info with creators', 'ann', 'info -lc');
  await ssh('info of some', 'ann', 'info people');
  await ssh('help', 'ann', 'help');
  await ssh("the site's own command", 'ann', 'hello there world');
  await ssh("the site's own command fails", 'ann', 'hello fail');
  await ssh('a command that is none', 'ann', 'sudo make');
  await ssh('suspicious words', 'ann', 'info $(id)');
  await ssh('a command with newlines', 'ann', 'info\nid');

  await git('the delegated part', 'lee', 'app', 'push', 'site:eng-1', 'HEAD:master');
  await git('what was not delegated', 'lee', 'app', 'ls-remote', 'site:app-01');
}

async function administration({ git, clone, commit, put, conf }: Clients): Promise<void> {
  await clone('the administration', 'admin', 'gitolite-admin', 'admin');
  put('admin/conf/gitolite.conf', `${conf}\nrepo added\n    RW+ = carol\n`);
  await commit('admin', [], 'add');
  await git('a pushed conf makes repositories', 'admin', 'admin', 'push', 'origin', 'HEAD:master');
  await git('and is in force', 'carol', 'app', 'push', 'site:added', 'HEAD:master');
  put('admin/conf/gitolite.conf', `${conf}\nrepo added\n    RW+ = ca!rol\n`);
  await commit('admin', [], 'break');
  await git('a wrong conf', 'admin', 'admin', 'push', 'origin', 'HEAD:master');
  await git('leaves the rules before in force', 'carol', 'app', 'ls-remote', 'site:added');
  put('admin/conf/gitolite.conf', `${conf}\nrepo added\n    R = carol\n`);
  await commit('admin', [], 'mend');
  await git('a mended conf', 'admin', 'admin', 'push', 'origin', 'HEAD:master');
  await git('takes the write away', 'carol', 'app', 'push', 'site:added', 'HEAD:other');
  await git('nobody else administers', 'ann', 'admin', 'push', 'origin', 'HEAD:master');
}

/** What every `npm test` holds: the virtual refs and hooks of a push are compared in a test of their own. */
const PARTS_IN_SHORT = [apps, wild, administration];

/**
 * Without what tells the two apart by right: the version in the greeting, times, and the reason that a refused ref gets
 * here beside gitolite's own words. Hooks of the site and the compile speak in another order: lines are sorted. A conf
 * that dies is read to its end here, warnings and all, and the line is named.
 */
function told(text: string): string {
  return text
    .replaceAll(/running gitolite3? .*? on git/g, 'running gitolite on git')
    .replaceAll(/\d{4}-\d\d-\d\d[_.]\d\d:\d\d:\d\d/g, 'TIME')
    .replaceAll(/\(hook declined \(.*\)\)$/gm, '(hook declined)')
    .replaceAll(/\(atomic push: .*\)$/gm, '(atomic push failure)')
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => !text.includes('FATAL: bad username') || !/^remote: (?:WARNING: |conf\/\S+:\d+: )/.test(line))
    .toSorted()
    .join('\n');
}
