/** A gate that serves a gitolite site through its own doors: keys of the keydir, the conf, changes beside the server. */
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { commitFile, git, gitOk, makePerson, ssh, startGate, url, type Gate, type Person } from '../support/gate.ts';
import { run, suiteScope, workspace, type Ended, type Scope } from '../support/workspace.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/gatehouse');

interface SitePlace {
  readonly home: string;
  readonly repositories: string;
  readonly admin: Person;
  readonly ann: Person;
  gate: Gate;
  cli(...words: readonly string[]): Promise<Ended>;
  /** Starts the gate once more, on the same data. */
  again(...args: readonly string[]): Promise<void>;
  /** Pushes the text as conf, with ann's key in the keydir. */
  conf(text: string): Promise<Ended>;
}

/** A site set up through the gate's own command line, with a clone of its admin repository. */
async function openPlace(scope: Scope, ...args: readonly string[]): Promise<SitePlace> {
  const root = workspace(scope, 'gatehouse-site-');
  const home = join(root, 'account');
  mkdirSync(home);
  const data = join(root, 'data');
  const admin = await makePerson(root, 'admin');
  const ann = await makePerson(root, 'ann');
  const start = (more: readonly string[]): Promise<Gate> =>
    startGate(scope, { data, home, args: ['--gitolite', home, '--admin', 'keeper', '--log-level', 'warn', ...more] });
  const place: SitePlace = {
    home,
    repositories: join(home, 'repositories'),
    admin,
    ann,
    gate: await start(args),
    cli: (...words) => run(PROGRAM, ['--data', data, ...words], { env: { ...process.env, HOME: home } }),
    async again(...more) {
      await place.gate.stop();
      place.gate = await start(more);
    },
    async conf(text) {
      const tree = join(admin.home, 'ga');
      mkdirSync(join(tree, 'keydir'), { recursive: true });
      writeFileSync(join(tree, 'keydir/ann.pub'), ann.publicKey);
      await gitOk(admin, ['add', 'keydir'], tree);
      await commitFile(admin, tree, 'conf/gitolite.conf', text);
      return git(admin, ['push', '-q', 'origin', 'HEAD:master'], tree);
    },
  };
  // The administrator is named by the key's file.
  writeFileSync(join(root, 'admin.pub'), admin.publicKey);
  const set = await place.cli('gitolite', 'setup', '-pk', join(root, 'admin.pub'));
  assert.equal(set.code, 0, set.stderr);
  return place;
}

const CONF = `
repo gitolite-admin
    RW+ = admin

repo testing
    RW+ = @all

repo lab
    RW+      = ann
    R        = @all
    -   master = admin
    RW       = admin

repo private
    RW+ = ann

@labs = lab
repo @labs
    RW = ann

repo people/CREATOR/..*
    C   = @all
    RW+ = CREATOR
`;

describe('a gate with a gitolite site', () => {
  const scope = suiteScope();
  let place: SitePlace;

  before(async () => {
    place = await openPlace(scope);
    await gitOk(place.admin, ['clone', '-q', url(place.gate, 'ssh', 'gitolite-admin'), 'ga']);
    const pushed = await place.conf(CONF);
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.match(pushed.stderr, /remote: Initialized empty Git repository in .*\/lab\.git\//);
  });
  after(() => scope.close());

  test('a key of the keydir logs in as its user; the site answers commands in its own words', async () => {
    const { ann, gate } = place;
    const info = await ssh(ann, gate, ['info']);
    assert.equal(info.code, 0);
    assert.match(info.stdout, /^hello ann, /);
    assert.match(info.stdout, /^ R W\tlab$/m);
    const journal = await place.cli('audit', 'log');
    assert.match(journal.stdout, /ann .*gitolite info|gitolite info.*ann/);
    assert.match(journal.stdout, /gitolite setup -pk/);
    const wrong = await ssh(ann, gate, ['whoami']);
    assert.equal(wrong.stderr, "FATAL: unknown git/gitolite command: 'whoami'\n");
    assert.notEqual(wrong.code, 0);
  });

  test('a push is decided by the conf, and refused in its words', async () => {
    const { ann, admin, gate, home } = place;
    await gitOk(ann, ['clone', '-q', url(gate, 'ssh', 'lab'), 'lab']);
    await commitFile(ann, join(ann.home, 'lab'), 'a', '1');
    await gitOk(ann, ['push', '-q', 'origin', 'HEAD:master'], join(ann.home, 'lab'));
    await gitOk(admin, ['clone', '-q', url(gate, 'ssh', 'lab'), 'lab']);
    await commitFile(admin, join(admin.home, 'lab'), 'b', '2');
    const refused = await git(admin, ['push', 'origin', 'HEAD:master', 'HEAD:other'], join(admin.home, 'lab'));
    assert.match(refused.stderr, /remote: FATAL: W refs\/heads\/master lab admin DENIED by refs\/heads\/master/);
    assert.match(refused.stderr, /! \[remote rejected\] HEAD -> master/);
    assert.match(refused.stderr, /\* \[new branch\] +HEAD -> other/);
    const logged = readFileSync(join(home, '.gitolite/logs', logName()), 'utf8');
    assert.match(logged, /\tupdate\tlab\tann\tW\trefs\/heads\/master\t/);
    const journal = await place.cli('audit', 'log', '--repo', 'lab');
    assert.match(journal.stdout, /ann/);
  });

  test('what may not be read looks like what is not there, and both are told in the words of gitolite', async () => {
    const { admin, gate } = place;
    for (const name of ['private', 'nothing']) {
      const ended = await git(admin, ['ls-remote', url(gate, 'ssh', name)]);
      assert.ok(
        ended.stderr.startsWith(`FATAL: R any ${name} admin DENIED by fallthru\n(or you mis-spelled the reponame)\n`),
        ended.stderr,
      );
    }
  });

  test('a group that somebody may read is no repository, and is told to be none', async () => {
    const { ann, gate } = place;
    const ended = await git(ann, ['ls-remote', url(gate, 'ssh', '@labs')]);
    assert.notEqual(ended.code, 0);
    assert.doesNotMatch(ended.stderr, /refs\//);
    assert.match(ended.stderr, /^FATAL: no such repository/m);
  });

  test('a wild repository is made by its first clone, for its creator', async () => {
    const { ann, admin, gate, repositories } = place;
    const cloned = await git(ann, ['clone', url(gate, 'ssh', 'people/ann/x+y@z'), 'wild']);
    assert.match(cloned.stderr, /Initialized empty Git repository in .*people\/ann\/x\+y@z\.git\//);
    assert.equal(readFileSync(join(repositories, 'people/ann/x+y@z.git/gl-creator'), 'utf8'), 'ann');
    assert.notEqual((await git(admin, ['ls-remote', url(gate, 'ssh', 'people/ann/x+y@z')])).code, 0);
    assert.notEqual((await git(admin, ['ls-remote', url(gate, 'ssh', 'people/ann/new')])).code, 0);
    assert.ok(!existsSync(join(repositories, 'people/ann/new.git')));
  });

  test('without a name nobody reads by @all: the house opens doors that the site never had', async () => {
    const { admin, gate } = place;
    for (const door of ['http', 'git'] as const)
      assert.notEqual((await git(admin, ['ls-remote', url(gate, door, 'testing')])).code, 0);
  });

  test('the house keeps its own repositories and its own people beside the site', async () => {
    const { gate, admin } = place;
    assert.equal((await place.cli('create', 'ours')).code, 0);
    const token = readFileSync(join(gate.data, 'admin-token'), 'utf8').trim();
    assert.equal((await git(admin, ['ls-remote', url(gate, 'http', 'ours', token)])).code, 0);
    assert.equal((await git(admin, ['ls-remote', url(gate, 'http', 'gatehouse-admin', token)])).code, 0);
    // A user of the site gets to nothing but the site.
    const other = await git(admin, ['ls-remote', url(gate, 'ssh', 'ours')]);
    assert.match(other.stderr, /^FATAL: R any ours admin DENIED by fallthru/);
  });

  test('refs that the configuration of a repository hides are hidden from everybody', async () => {
    const { ann, gate, repositories } = place;
    const remote = url(gate, 'ssh', 'people/ann/hiding');
    await gitOk(ann, ['clone', '-q', remote, 'hiding']);
    const tree = join(ann.home, 'hiding');
    await commitFile(ann, tree, 'a', '1');
    await gitOk(
      ann,
      ['push', '-q', 'origin', 'HEAD:refs/heads/master', 'HEAD:refs/secret/a', 'HEAD:refs/secret/b'],
      tree,
    );
    const config = join(repositories, 'people/ann/hiding.git/config');
    writeFileSync(config, '[transfer]\n\thideRefs = refs/secret\n\thideRefs = !refs/secret/b\n', { flag: 'a' });
    const shown = (await gitOk(ann, ['ls-remote', remote])).split('\n').map((line) => line.split('\t')[1]);
    assert.deepEqual(shown, ['HEAD', 'refs/heads/master', 'refs/secret/b']);
    assert.notEqual((await git(ann, ['push', 'origin', ':refs/secret/a'], tree)).code, 0);
  });

  test('the house makes no repository of a name that the conf has', async () => {
    const made = await place.cli('create', 'private');
    assert.notEqual(made.code, 0);
    assert.match(made.stderr, /the conf of the gitolite site has this name/);
  });

  test('the house makes no repository of a name that lies on the disk of the site, and brings none back', async () => {
    const path = join(place.repositories, 'stray.git');
    assert.equal((await place.cli('create', 'stray')).code, 0);
    const asked = JSON.parse((await place.cli('destroy', 'stray', '--json')).stdout) as { confirm: string };
    assert.equal((await place.cli('destroy', 'stray', asked.confirm)).code, 0);
    await gitOk(place.ann, ['init', '-q', '--bare', path]);
    const buried = JSON.parse((await place.cli('graveyard', 'list', '--json')).stdout) as { id: string }[];
    for (const words of [
      ['create', 'stray'],
      ['graveyard', 'restore', buried[0]?.id ?? ''],
    ]) {
      const made = await place.cli(...words);
      assert.notEqual(made.code, 0);
      assert.match(made.stderr, /the gitolite site has a repository stray/);
    }
    rmSync(path, { recursive: true });
    assert.equal((await place.cli('create', 'stray')).code, 0);
  });

  test('ls lists the house and the site in one order, as far as the asker may read', async () => {
    const { repositories } = place;
    writeFileSync(join(repositories, 'lab.git/description'), 'all \x1b[31mred\n');
    const rights = async (...words: readonly string[]): Promise<string> => (await place.cli(...words)).stdout;
    // The administrator of the house is one of @all on the site.
    assert.match(
      await rights('ls'),
      /^RW\* {2}gatehouse-admin\nR {4}lab\nRW\* {2}ours\nRW\* {2}stray\nRW {3}testing\n$/,
    );
    assert.doesNotMatch(await rights('ls'), /private|gitolite-admin|people/);
    assert.match(await rights('ls', '-v', 'lab'), /^R {4}lab +all {2}\[31mred\n$/);
    const [lab] = JSON.parse(await rights('ls', 'lab', '--json')) as readonly unknown[];
    const described = { description: 'all  [31mred', site: 'gitolite' };
    assert.deepEqual(lab, { name: 'lab', owner: '', ...described, read: true, write: false, own: false });
  });

  test('access explain says what the conf tried, in order, with file and line', async () => {
    const refused = await place.cli('access', 'explain', 'admin', 'update-ref', 'lab', 'refs/heads/master');
    assert.equal(refused.code, 1);
    assert.match(refused.stdout, /DENIED by refs\/heads\/master/);
    assert.match(
      refused.stdout,
      /conf\/gitolite\.conf:\d+[^]*RW\+ += ann|conf\/gitolite\.conf:\d+[^]*- +master += admin/,
    );
    const allowed = await place.cli('access', 'explain', 'ann', 'create-repository', 'people/ann/later');
    assert.equal(allowed.code, 0, allowed.stdout + allowed.stderr);
    const config = await place.cli('config', 'lab', 'set', 'description', 'x');
    assert.notEqual(config.code, 0);
  });

  test('a repository has an id, which follows it; a copy gets its own; what is removed is gone', async () => {
    const { ann, gate, repositories } = place;
    const at = (name: string): string => join(repositories, `${name}.git`);
    const served = async (name: string): Promise<boolean> =>
      (await git(ann, ['ls-remote', url(gate, 'ssh', name)])).code === 0;
    assert.ok(await served('testing'));
    const id = idOf(at('testing'));
    assert.match(id, /^[0-9a-f]{32}$/);
    cpSync(at('testing'), at('people/ann/copy'), { recursive: true });
    writeFileSync(join(at('people/ann/copy'), 'gl-creator'), 'ann');
    assert.ok(await served('people/ann/copy'));
    assert.notEqual(idOf(at('people/ann/copy')), id);
    assert.equal(idOf(at('testing')), id);
    const copied = idOf(at('people/ann/copy'));
    renameSync(at('people/ann/copy'), at('people/ann/moved'));
    assert.ok(await served('people/ann/moved'));
    assert.equal(idOf(at('people/ann/moved')), copied);
    await gitOk(ann, ['clone', '-q', url(gate, 'ssh', 'people/ann/moved'), 'moved']);
    await commitFile(ann, join(ann.home, 'moved'), 'a', '1');
    await gitOk(ann, ['push', '-q', 'origin', 'HEAD:main'], join(ann.home, 'moved'));
    rmSync(at('people/ann/moved'), { recursive: true });
    const gone = await git(ann, ['fetch'], join(ann.home, 'moved'));
    // Reading makes it again, as gitolite does: empty.
    assert.equal(gone.code, 0, gone.stderr);
    assert.equal((await git(ann, ['ls-remote', url(gate, 'ssh', 'people/ann/moved')])).stdout, '');
  });

  test('a repository behind a symbolic link is served, under both names with one id', async () => {
    const { ann, gate, repositories, home } = place;
    const elsewhere = join(home, 'elsewhere.git');
    await gitOk(ann, ['clone', '-q', '--bare', url(gate, 'ssh', 'testing'), elsewhere]);
    for (const name of ['people/ann/link', 'people/ann/link2']) {
      symlinkSync(elsewhere, join(repositories, `${name}.git`));
      writeFileSync(join(elsewhere, 'gl-creator'), 'ann');
    }
    assert.equal((await place.cli('gitolite', 'setup', '--hooks-only')).code, 0);
    const tree = join(ann.home, 'link');
    await gitOk(ann, ['clone', '-q', url(gate, 'ssh', 'people/ann/link'), tree]);
    const oid = await commitFile(ann, tree, 'a', '1');
    await gitOk(ann, ['push', '-q', 'origin', 'HEAD:main'], tree);
    const id = idOf(elsewhere);
    assert.match((await git(ann, ['ls-remote', url(gate, 'ssh', 'people/ann/link2')])).stdout, new RegExp(oid));
    assert.equal(idOf(elsewhere), id);
  });

  test('a wrong conf is taken with FATAL, and what was in force stays', async () => {
    const { ann, gate } = place;
    const pushed = await place.conf(`${CONF}\nrepo lab\n    RW+ = @nobody-said-who @@\n`);
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.match(pushed.stderr, /remote: FATAL: /);
    assert.equal((await git(ann, ['ls-remote', url(gate, 'ssh', 'lab')])).code, 0);
    assert.equal((await place.conf(CONF)).code, 0);
  });

  test('a key that leaves the keydir lets nobody in any more', async () => {
    const { admin, ann, gate } = place;
    const tree = join(admin.home, 'ga');
    await gitOk(admin, ['rm', '-q', 'keydir/ann.pub'], tree);
    await gitOk(admin, ['commit', '-q', '-m', 'Remove ann'], tree);
    await gitOk(admin, ['push', '-q', 'origin', 'HEAD:master'], tree);
    assert.match((await ssh(ann, gate, ['info'])).stderr, /Permission denied/);
    assert.equal((await place.conf(CONF)).code, 0);
    assert.equal((await ssh(ann, gate, ['info'])).code, 0);
  });

  test('settings of the site say who may read its files; the data directory stays closed', async () => {
    const { ann, gate, repositories, home } = place;
    const rc = join(home, '.gitolite.rc');
    writeFileSync(rc, readFileSync(rc, 'utf8').replace(/UMASK( *)=>( *)0077/, 'UMASK$1=>$20027'));
    await gitOk(ann, ['clone', '-q', url(gate, 'ssh', 'people/ann/open'), 'open']);
    await commitFile(ann, join(ann.home, 'open'), 'a', '1');
    await gitOk(ann, ['push', '-q', 'origin', 'HEAD:refs/heads/topic/one'], join(ann.home, 'open'));
    const ref = join(repositories, 'people/ann/open.git/refs/heads/topic/one');
    assert.equal(statSync(ref).mode & 0o777, 0o640);
    assert.equal(statSync(join(ref, '..')).mode & 0o777, 0o750);
    assert.equal(statSync(gate.data).mode & 0o077, 0);
  });

  test('after a crash the gate opens the site again, ids and all', async () => {
    const { ann, repositories } = place;
    const id = idOf(join(repositories, 'lab.git'));
    await place.gate.kill();
    await place.again();
    assert.match((await git(ann, ['ls-remote', url(place.gate, 'ssh', 'lab')])).stdout, /refs\/heads\/master/);
    assert.equal(idOf(join(repositories, 'lab.git')), id);
  });
});

test('an admin push that a crash cut off behind its commit point is applied and in force after the next start', async (t) => {
  const place = await openPlace(t);
  await gitOk(place.admin, ['clone', '-q', url(place.gate, 'ssh', 'gitolite-admin'), 'ga']);
  const tree = join(place.admin.home, 'ga');
  const before = await gitOk(place.admin, ['rev-parse', 'HEAD'], tree);
  assert.equal((await place.conf(`${CONF}\nrepo late\n    RW+ = ann\n`)).code, 0);
  const pushed = await gitOk(place.admin, ['rev-parse', 'HEAD'], tree);
  await place.gate.stop();
  // As the crash would have left it: committed in the store, logged in the repository, nothing applied.
  const bare = join(place.repositories, 'gitolite-admin.git');
  const late = join(place.repositories, 'late.git');
  await gitOk(place.admin, ['--git-dir', bare, 'update-ref', 'refs/heads/master', before]);
  rmSync(late, { recursive: true });
  const store = await openSqliteStore({ path: join(place.gate.data, 'gatehouse.db'), create: false });
  const state = await store.get('repository-state', idOf(bare));
  assert.ok(state);
  await store.transact({ writes: [{ kind: 'pending', key: idOf(bare), put: state.value }] });
  await store.close();
  await place.again();
  assert.equal(await gitOk(place.admin, ['--git-dir', bare, 'rev-parse', 'master']), pushed);
  assert.ok(existsSync(late));
  assert.match((await place.cli('audit', 'log')).stdout, /recover/);
});

test('a site may have a push of a wrong conf refused', async (t) => {
  const place = await openPlace(t);
  writeFileSync(join(place.gate.data, 'gatehouse.toml'), '[gitolite]\nbroken-conf = "refuse"\n');
  await place.again();
  await gitOk(place.admin, ['clone', '-q', url(place.gate, 'ssh', 'gitolite-admin'), 'ga']);
  const wrong = await place.conf(`${CONF}\nrepo lab\n    RW+ = @nobody-said-who @@\n`);
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.stderr, /conf\/gitolite\.conf:\d+/);
  assert.ok(!existsSync(join(place.repositories, 'lab.git')));
  const away = await place.conf(`${CONF}\nrepo x..y\n    RW+ = ann\n`);
  assert.match(away.stderr, /rejected.*'x\.\.y' contains '\.\.'/);
  writeFileSync(join(place.admin.home, 'ga/conf/part.txt'), 'repo lab\n    RW+ = ann\n');
  await gitOk(place.admin, ['add', 'conf/part.txt'], join(place.admin.home, 'ga'));
  const noConf = await place.conf(`${CONF}\ninclude "part.txt"\n`);
  assert.match(noConf.stderr, /rejected.*invalid include\/subconf filename/);
  const right = await place.conf(CONF);
  assert.equal(right.code, 0, right.stderr);
  assert.ok(existsSync(join(place.repositories, 'lab.git')));
});

function idOf(path: string): string {
  return /^\tid = (\w+)$/m.exec(readFileSync(join(path, 'config'), 'utf8'))?.[1] ?? '';
}

function logName(): string {
  const now = new Date();
  return `gitolite-${now.getFullYear()}-${String(now.getMonth() + 1).padStart(2, '0')}.log`;
}
