/** Mirrors of another host as people use them: a real gate, real clients, OpenSSH as the upstream. Fresh, or an error. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  addPerson,
  git,
  gitOk,
  ssh,
  sshOk,
  startGate,
  startSite,
  url,
  type Person,
  type Site,
} from '../support/gate.ts';
import {
  noHttpsUpstream,
  noSshUpstream,
  startDaemonUpstream,
  startHttpsUpstream,
  startSshUpstream,
  type SshUpstream,
} from '../support/upstream.ts';
import { cleanEnvironment, run, suiteScope, type Ended } from '../support/workspace.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/gatehouse');
const TRANSPORTS = ['ssh', 'http', 'git'] as const;

describe('mirrors', { skip: noSshUpstream() }, () => {
  const scope = suiteScope();
  let site: Site;
  let upstream: SshUpstream;
  let reader: Person;

  /** The local command line, as the administrator: a process for each call. */
  const local = (words: readonly string[], stdin = ''): Promise<Ended> =>
    run(PROGRAM, ['--data', site.gate.data, ...words], { env: cleanEnvironment(site.admin.home), stdin });
  const localOk = async (words: readonly string[], stdin = ''): Promise<string> => {
    const ended = await local(words, stdin);
    assert.equal(ended.code, 0, `${words.join(' ')}\n${ended.stdout}${ended.stderr}`);
    return ended.stdout;
  };
  const admin = (words: readonly string[], stdin = ''): Promise<Ended> => ssh(site.admin, site.gate, words, stdin);
  const adminOk = (words: readonly string[], stdin = ''): Promise<string> => sshOk(site.admin, site.gate, words, stdin);
  /** A mirror NAME of an upstream NAME with one commit, which anybody may read. */
  const mirror = async (name: string, flags: readonly string[] = []): Promise<string> => {
    await upstream.repositories.create(name);
    const oid = await upstream.repositories.commit(name, 'refs/heads/main', { 'a.txt': `${name}\n` });
    await add(name, flags);
    await adminOk(['config', name, 'set', 'public', 'yes']);
    return oid;
  };
  const addWords = (name: string, flags: readonly string[] = []): readonly string[] => {
    return ['mirror', 'add', name, upstream.url(name), '--key', '-', '--host-key', upstream.hostKey, ...flags];
  };
  const add = (name: string, flags: readonly string[] = []): Promise<string> =>
    adminOk(addWords(name, flags), upstream.privateKey);
  const refsOf = async (name: string, transport: (typeof TRANSPORTS)[number] = 'ssh'): Promise<string> =>
    gitOk(site.admin, ['ls-remote', url(site.gate, transport, name)]);
  const shownOf = async (name: string): Promise<Record<string, unknown>> =>
    JSON.parse(await adminOk(['mirror', 'show', name, '--json'])) as Record<string, unknown>;

  before(async () => {
    [site, upstream] = await Promise.all([startSite(scope), startSshUpstream(scope)]);
    reader = await addPerson(site, 'reader');
  });
  after(() => scope.close());

  test('the owner of a mirror does not decide whom its credential is shown to', async () => {
    await mirror('kept', ['--owner', 'reader']);
    const pinned = await shownOf('kept');
    const asOwner = (...words: readonly string[]): Promise<Ended> =>
      ssh(reader, site.gate, ['mirror', 'set', 'kept', ...words]);
    const other = readFileSync(`${reader.keyFile}.pub`, 'utf8').trim();
    assert.match((await asOwner('--host-key', other)).stderr, /only administrators do this \(mirroradd\)/);
    assert.deepEqual((await shownOf('kept'))['hostKeys'], pinned['hostKeys']);
    assert.equal((await asOwner('--fresh', '1s')).code, 0);
  });

  test('a client sees what came upstream a moment ago, over every transport and protocol version', async () => {
    const first = await mirror('fresh');
    const second = await upstream.repositories.commit('fresh', 'refs/heads/main', { 'a.txt': 'second' });
    const path = upstream.repositories.path('fresh');
    let oid = first;
    for (const transport of TRANSPORTS) {
      for (const version of ['0', '1', '2']) {
        oid = oid === first ? second : first;
        await upstream.repositories.git(['-C', path, 'update-ref', 'refs/heads/main', oid]);
        const words = ['-c', `protocol.version=${version}`, 'ls-remote', url(site.gate, transport, 'fresh'), 'main'];
        assert.match(await gitOk(site.admin, words), new RegExp(`^${oid}\t`), `${transport} v${version}`);
      }
    }
    const tree = join(site.root, 'fresh-clone');
    await gitOk(site.admin, ['clone', '-q', url(site.gate, 'ssh', 'fresh'), tree]);
    const topic = await upstream.repositories.commit('fresh', 'refs/heads/topic', { 'b.txt': 'b' });
    await gitOk(site.admin, ['fetch', '-q'], tree);
    assert.equal(await gitOk(site.admin, ['rev-parse', 'origin/topic'], tree), topic);
  });

  test('an object that came upstream meanwhile is fetched by its name, without ls-refs', async () => {
    await mirror('by-name');
    const tree = join(site.root, 'by-name');
    await gitOk(site.admin, ['init', '-q', tree]);
    const words = (version: string, oid: string): readonly string[] => {
      return ['-c', `protocol.version=${version}`, 'fetch', '-q', url(site.gate, 'http', 'by-name'), oid];
    };
    const oid = await upstream.repositories.commit('by-name', 'refs/heads/main', { 'a.txt': 'newer' });
    await gitOk(site.admin, words('2', oid), tree);
    assert.equal(await gitOk(site.admin, ['cat-file', '-t', oid], tree), 'commit');
    const strange = await git(site.admin, words('2', 'e'.repeat(40)), tree);
    assert.match(strange.stderr, /not our ref/);
  });

  test('deletions, rewinds, a renamed default branch and a branch that became a directory are followed', async () => {
    const { repositories } = upstream;
    const first = await mirror('moves');
    const path = repositories.path('moves');
    const second = await repositories.commit('moves', 'refs/heads/main', { 'a.txt': 'two' });
    await repositories.git(['-C', path, 'update-ref', 'refs/heads/topic', second]);
    await repositories.git(['-C', path, 'update-ref', 'refs/pull/1/head', second]);
    await repositories.git(['-C', path, 'tag', '-a', '-m', 'v1', 'v1', second]);
    const tag = await repositories.ref('moves', 'refs/tags/v1');
    const shown = await refsOf('moves');
    assert.match(
      shown,
      new RegExp(`${second}\trefs/heads/topic\n${tag}\trefs/tags/v1\n${second}\trefs/tags/v1\\^\\{\\}`),
    );
    assert.doesNotMatch(shown, /refs\/pull/, 'pull requests are not asked for');
    await repositories.git(['-C', path, 'update-ref', 'refs/heads/main', first]);
    assert.match(await refsOf('moves'), new RegExp(`${first}\trefs/heads/main`), 'a rewind');
    await repositories.git(['-C', path, 'branch', '-m', 'main', 'trunk']);
    await repositories.git(['-C', path, 'update-ref', '-d', 'refs/heads/topic']);
    await repositories.git(['-C', path, 'update-ref', 'refs/heads/topic/sub', second]);
    const moved = await gitOk(site.admin, ['ls-remote', '--symref', url(site.gate, 'ssh', 'moves')]);
    assert.match(moved, /^ref: refs\/heads\/trunk\tHEAD/);
    assert.match(moved, new RegExp(`${second}\trefs/heads/topic/sub`));
    assert.doesNotMatch(moved, /refs\/heads\/(?:main|topic)\n/);
    await repositories.git(['-C', path, 'update-ref', '-d', 'refs/heads/trunk']);
    await repositories.git(['-C', path, 'update-ref', '-d', 'refs/heads/topic/sub']);
    assert.doesNotMatch(await refsOf('moves'), /refs\/heads\//, 'the default branch goes, too');
  });

  test('refs are chosen by pattern', async () => {
    const { repositories } = upstream;
    await repositories.create('chosen');
    const oid = await repositories.commit('chosen', 'refs/heads/main', { a: '1' });
    await repositories.git(['-C', repositories.path('chosen'), 'update-ref', 'refs/pull/7/head', oid]);
    await repositories.git(['-C', repositories.path('chosen'), 'update-ref', 'refs/heads/other', oid]);
    await add('chosen', ['--refs', 'refs/heads/main', '--refs', 'refs/pull/*/head']);
    const shown = (await refsOf('chosen')).split('\n').map((line) => line.split('\t')[1]);
    assert.deepEqual(shown, ['HEAD', 'refs/heads/main', 'refs/pull/7/head']);
  });

  test('within its bound a mirror is served without a question; refresh and set ask again', async () => {
    const old = await mirror('bounded', ['--fresh', '1h']);
    const oid = await upstream.repositories.commit('bounded', 'refs/heads/main', { 'a.txt': 'new' });
    assert.match(await refsOf('bounded'), new RegExp(old));
    assert.match(await adminOk(['mirror', 'refresh', 'bounded']), /1 ref changed/);
    assert.match(await refsOf('bounded'), new RegExp(oid));
    const next = await upstream.repositories.commit('bounded', 'refs/heads/main', { 'a.txt': 'newer' });
    await adminOk(['mirror', 'set', 'bounded', '--fresh', '0s']);
    assert.match(await refsOf('bounded'), new RegExp(next));
  });

  test('fifty clients at once cost one refresh', async () => {
    await mirror('busy');
    const oid = await upstream.repositories.commit('busy', 'refs/heads/main', { 'a.txt': 'for fifty' });
    const clients = Array.from({ length: 50 }, () => refsOf('busy', 'git'));
    for (const shown of await Promise.all(clients)) assert.match(shown, new RegExp(oid));
    const log = await adminOk(['audit', 'log', '--repo', 'busy']);
    assert.equal(log.match(/gatehouse refresh busy/g)?.length, 2, 'the first when it was added, one for all fifty');
  });

  test('an upstream that did not change costs no git process here and no new login there', async () => {
    await refsOf('busy', 'git');
    const spent = async (): Promise<readonly [number, number]> => {
      const text = await (await fetch(`http://${site.gate.http}/metrics`)).text();
      // Not those of housekeeping, which has a time of its own.
      const kinds = 'upload-pack|index-pack|rev-list|update-ref|cat-file';
      const started = [
        ...text.matchAll(new RegExp(`^gatehouse_git_processes_total{subcommand="(?:${kinds})"} (\\d+)$`, 'gm')),
      ];
      const logins = upstream.log().match(/Accepted publickey/g)?.length ?? 0;
      return [started.reduce((sum, match) => sum + Number(match[1]), 0), logins];
    };
    const before = await spent();
    assert.ok(before[0] > 0 && before[1] > 0, 'both are counted');
    for (let round = 0; round < 10; round += 1) await refsOf('busy', 'git');
    assert.deepEqual(await spent(), before);
  });

  test('an upstream that is gone: every client reads why, and nothing stale', async () => {
    const gone = suiteScope();
    const daemon = await startDaemonUpstream(gone);
    await daemon.repositories.create('gone');
    const oid = await daemon.repositories.commit('gone', 'refs/heads/main', { a: '1' });
    await adminOk(['mirror', 'add', 'gone', daemon.url('gone')]);
    await adminOk(['config', 'gone', 'set', 'public', 'yes']);
    assert.match(await refsOf('gone', 'git'), new RegExp(oid));
    await gone.close();
    const reason = new RegExp(`refusing to serve stale data: the upstream ${daemon.url('gone')}: `);
    for (const transport of TRANSPORTS) {
      for (const version of ['0', '1', '2']) {
        const words = ['-c', `protocol.version=${version}`, 'ls-remote', url(site.gate, transport, 'gone')];
        const ended = await git(site.admin, words);
        assert.notEqual(ended.code, 0, `${transport} v${version}`);
        assert.match(ended.stderr, reason, `${transport} v${version}`);
        assert.equal(ended.stdout, '');
      }
    }
    const tree = join(site.root, 'gone');
    await gitOk(site.admin, ['init', '-q', tree]);
    await gitOk(site.admin, ['commit', '-q', '--allow-empty', '-m', 'x'], tree);
    for (const transport of ['ssh', 'http'] as const) {
      const token = (await sshOk(site.admin, site.gate, ['token', 'create', `gone-${transport}`]))
        .trim()
        .split('\n')
        .at(-1);
      const pushed = await git(
        site.admin,
        ['push', url(site.gate, transport, 'gone', token), 'HEAD:refs/heads/x'],
        tree,
      );
      assert.match(pushed.stderr, reason, transport);
    }
    assert.notEqual((await ssh(site.admin, site.gate, ['copy', 'gone', 'gone-copy'])).code, 0, 'no stale copy either');
    const shown = await shownOf('gone');
    assert.match(String(shown['failure']), /./);
    assert.match(await adminOk(['mirror', 'list']), /gone\s+git:\S+\s+FAILS: /);
  });

  test('without the right host key there is no mirror, and no trust on first use', async () => {
    await upstream.repositories.create('pinned');
    const bare = ['mirror', 'add', 'pinned', upstream.url('pinned'), '--key', upstream.keyPath];
    const unpinned = await local(bare);
    assert.equal(unpinned.code, 1);
    assert.match(
      unpinned.stderr,
      /whoever answers first is not trusted[\s\S]*ssh-keyscan -t ed25519 -p \d+ 127\.0\.0\.1/,
    );
    const other = readFileSync(`${reader.keyFile}.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
    const wrong = await local([...bare, '--host-key', other]);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /host key[\s\S]*nothing was made/);
    assert.doesNotMatch(await localOk(['ls']), /pinned/);
  });

  test('a mirror that cannot be filled is not there: its name is free and no credential stays', async () => {
    const sealed = async (): Promise<string> => adminOk(['mirror', 'list', '--json']);
    const listed = await sealed();
    const nowhere = await admin(addWords('nowhere'), upstream.privateKey);
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /nothing was made/);
    const { repositories } = upstream;
    await repositories.create('evil');
    // A tree with an entry `.git` would escape from a check-out.
    const blob = await repositories.git(['-C', repositories.path('evil'), 'hash-object', '-w', '--stdin'], {
      stdin: 'x',
    });
    const tree = await repositories.git(
      ['-C', repositories.path('evil'), 'hash-object', '-t', 'tree', '--literally', '-w', '--stdin'],
      { stdin: Buffer.concat([Buffer.from('100644 .git\0'), Buffer.from(blob, 'hex')]) },
    );
    const commit = await repositories.git(['-C', repositories.path('evil'), 'commit-tree', tree, '-m', 'evil']);
    await repositories.git(['-C', repositories.path('evil'), 'update-ref', 'refs/heads/main', commit]);
    const evil = await admin(addWords('evil'), upstream.privateKey);
    assert.equal(evil.code, 1);
    assert.match(evil.stderr, /hasDotgit[\s\S]*nothing was made/);
    assert.equal(await sealed(), listed);
    assert.doesNotMatch(await adminOk(['graveyard', 'list']), /evil|nowhere/);
    assert.doesNotMatch(await adminOk(['ls']), /evil|nowhere/);
    const taken = await admin(addWords('fresh'), upstream.privateKey);
    assert.match(taken.stderr, /already a repository fresh/);
  });

  test('old defects of a real history are taken as they are', async () => {
    const { repositories } = upstream;
    const path = await repositories.create('old');
    const tree = await repositories.git(['-C', path, 'hash-object', '-t', 'tree', '-w', '/dev/null']);
    const text = `tree ${tree}\nauthor A <a@example.org 123> 1112911993 -7\ncommitter A <> 1112911993 +0000\n\nold\n`;
    const commit = await repositories.git(['-C', path, 'hash-object', '-t', 'commit', '--literally', '-w', '--stdin'], {
      stdin: text,
    });
    await repositories.git(['-C', path, 'update-ref', 'refs/heads/main', commit]);
    await add('old');
    assert.match(await refsOf('old'), new RegExp(commit));
  });

  test('a mirror has the object format of its upstream', async () => {
    await upstream.repositories.create('long', { objectFormat: 'sha256' });
    const oid = await upstream.repositories.commit('long', 'refs/heads/main', { a: '1' });
    await add('long');
    assert.equal(oid.length, 64);
    assert.match(await refsOf('long'), new RegExp(oid));
  });

  test('an empty upstream is mirrored, and its first branch appears', async () => {
    await upstream.repositories.create('empty');
    await add('empty');
    assert.equal(await refsOf('empty'), '');
    const oid = await upstream.repositories.commit('empty', 'refs/heads/main', { a: '1' });
    assert.match(await refsOf('empty'), new RegExp(`${oid}\tHEAD`));
  });

  test('hundreds of refs are taken in one go, each of them there', async () => {
    const { repositories } = upstream;
    const path = await repositories.create('many');
    const oid = await repositories.commit('many', 'refs/heads/main', { a: '1' });
    const lines = Array.from({ length: 400 }, (_, index) => `create refs/tags/v${index} ${oid}\n`);
    await repositories.git(['-C', path, 'update-ref', '--stdin'], { stdin: lines.join('') });
    await add('many');
    assert.equal((await refsOf('many')).split('\n').length, 402);
    assert.match(await adminOk(['mirror', 'refresh', 'many']), /nothing changed/);
  });

  test('only who may add mirrors adds them; who may not read one does not see it', async () => {
    await adminOk(['config', 'long', 'set', 'public', 'no']);
    const flags = ['--key', '-', '--host-key', `'${upstream.hostKey}'`];
    const refused = await ssh(reader, site.gate, [
      'mirror',
      'add',
      'mine',
      upstream.url('fresh'),
      ...flags.slice(0, 2),
    ]);
    assert.match(refused.stderr, /only administrators do this/);
    const seen = await sshOk(reader, site.gate, ['mirror', 'list']);
    assert.match(seen, /^fresh /m);
    assert.doesNotMatch(seen, /^long /m);
    assert.match((await ssh(reader, site.gate, ['mirror', 'show', 'long'])).stderr, /no such repository/);
    for (const verb of ['refresh', 'check', 'set', 'remove'])
      assert.match((await ssh(reader, site.gate, ['mirror', verb, 'fresh'])).stderr, /refused/, verb);
    const config = await sshOk(reader, site.gate, ['mirror', 'gitconfig']);
    assert.match(config, new RegExp(`\\[url "ssh://git@${site.gate.ssh}/fresh"\\]`));
    assert.doesNotMatch(config, /long/);
  });

  test('over SSH the key comes as standard input, and no file of the gate is read', async () => {
    await upstream.repositories.create('by-ssh');
    const words = (key: string): readonly string[] => {
      return ['mirror', 'add', 'by-ssh', upstream.url('by-ssh'), '--key', key, '--host-key', upstream.hostKey];
    };
    const file = await ssh(site.admin, site.gate, words(upstream.keyPath));
    assert.match(file.stderr, /names a file on the local command line only/);
    await sshOk(site.admin, site.gate, words('-'), upstream.privateKey);
    assert.match(await sshOk(site.admin, site.gate, ['mirror', 'check', 'by-ssh']), /pushes:\s+possible/);
  });

  test('an https upstream with a token and an authority of its own', { skip: noHttpsUpstream() }, async () => {
    const https = await startHttpsUpstream(scope);
    await https.repositories.create('secure');
    const oid = await https.repositories.commit('secure', 'refs/heads/main', { a: '1' });
    const authority = join(site.root, 'authority.pem');
    writeFileSync(authority, https.authority);
    const words = ['mirror', 'add', 'secure', https.url('secure'), '--token', '-', '--ca', authority];
    const wrong = `planted-${crypto.randomUUID()}`;
    const refused = await local(words, wrong);
    assert.match(refused.stderr, /401|credential/i);
    assert.ok(!refused.stderr.includes(wrong));
    await localOk(words, `${https.token}\n`);
    assert.match(await refsOf('secure'), new RegExp(oid));
    assert.equal((await shownOf('secure'))['ownAuthorities'], true);
    await adminOk(['mirror', 'set', 'secure', '--token', '-'], wrong);
    const closed = await git(site.admin, ['ls-remote', url(site.gate, 'ssh', 'secure')]);
    assert.match(closed.stderr, /refusing to serve stale data/);
    assert.ok(!closed.stderr.includes(wrong));
    await adminOk(['mirror', 'set', 'secure', '--token', '-'], https.token);
    assert.match(await refsOf('secure'), new RegExp(oid));
  });

  test('no setting moves the HEAD of a mirror', async () => {
    const refused = await ssh(site.admin, site.gate, ['config', 'fresh', 'set', 'default-branch', 'topic']);
    assert.match(refused.stderr, /follows the default branch of its upstream/);
    const gone = await ssh(site.admin, site.gate, ['config', 'fresh', 'del', 'default-branch']);
    assert.match(gone.stderr, /follows the default branch/);
  });

  test('the secret is nowhere in the clear: data directory, journal, log, process list', async () => {
    const secret = upstream.privateKey.split('\n')[2] ?? '';
    assert.ok(secret.length > 60);
    const seen: string[] = [];
    for (const file of readdirSync(site.gate.data, { recursive: true, encoding: 'utf8' })) {
      const text = readOrEmpty(join(site.gate.data, file));
      if (text.includes(secret)) seen.push(file);
    }
    assert.deepEqual(seen, []);
    assert.ok(!site.gate.log().includes(secret));
    assert.ok(!(await adminOk(['audit', 'log'])).includes(upstream.keyPath), 'what --key says is not kept either');
    const refreshing = Array.from({ length: 4 }, () => refsOf('fresh', 'git'));
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
      for (const part of ['cmdline', 'environ']) assert.ok(!readOrEmpty(`/proc/${pid}/${part}`).includes(secret));
    await Promise.all(refreshing);
  });

  test('a secret that was typed where a file belongs, or into the URL, is not kept by the journal', async () => {
    const secret = `planted-${crypto.randomUUID()}`;
    const typed = await local(['mirror', 'add', 'slip', 'https://127.0.0.1/x', '--token', secret]);
    const inUrl = await local(['mirror', 'add', 'slip', `https://x:${secret}@127.0.0.1/x`]);
    for (const ended of [typed, inUrl]) {
      assert.notEqual(ended.code, 0);
      assert.ok(!ended.stderr.includes(secret));
    }
    const journal = join(site.gate.data, 'journal');
    await localOk(['audit', 'verify']);
    for (const file of readdirSync(journal))
      assert.ok(!readFileSync(join(journal, file), 'utf8').includes(secret), file);
    assert.ok(!site.gate.log().includes(secret));
  });

  test('remove makes an ordinary repository of a mirror; a destroyed mirror comes back as one', async () => {
    const oid = await mirror('leaving');
    const asked = await sshOk(site.admin, site.gate, ['destroy', 'leaving']);
    await sshOk(site.admin, site.gate, ['destroy', 'leaving', asked.trim().split(/\s+/).at(-1) ?? '']);
    assert.doesNotMatch(await adminOk(['mirror', 'list']), /^leaving /m);
    await adminOk(['graveyard', 'restore', 'leaving']);
    const next = await upstream.repositories.commit('leaving', 'refs/heads/main', { 'a.txt': 'next' });
    assert.match(await refsOf('leaving'), new RegExp(next));
    await adminOk(['mirror', 'remove', 'leaving']);
    await upstream.repositories.commit('leaving', 'refs/heads/main', { 'a.txt': 'later' });
    assert.match(await refsOf('leaving'), new RegExp(next), 'it keeps what it had and follows no more');
    assert.notEqual(oid, next);
    assert.match((await admin(['mirror', 'show', 'leaving'])).stderr, /is no mirror/);
  });

  test('the commands of docs/mirrors.md work as printed', async () => {
    await upstream.repositories.create('documented');
    const oid = await upstream.repositories.commit('documented', 'refs/heads/main', { 'a.txt': 'docs' });
    const place = join(site.root, 'docs');
    mkdirSync(join(place, 'bin'), { recursive: true });
    symlinkSync(PROGRAM, join(place, 'bin/gatehouse'));
    writeFileSync(join(place, 'api-key'), upstream.privateKey, { mode: 0o600 });
    const text = readFileSync(join(import.meta.dirname, '../../docs/mirrors.md'), 'utf8');
    const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
    assert.ok(blocks.length >= 6, 'the blocks were found');
    const script = ['set -eu', ...blocks]
      .join('\n')
      .replaceAll('git@git.example:org/api.git', upstream.url('documented'))
      .replaceAll('ed25519 git.example', `ed25519 -p ${upstream.port} ${upstream.host}`);
    const env = { ...site.admin.env, GATEHOUSE_DATA: site.gate.data };
    const ended = await run('sh', ['-c', script], { cwd: place, env });
    assert.equal(ended.code, 0, ended.stdout + ended.stderr);
    assert.match(ended.stdout, /pushes:\s+possible/);
    assert.match(ended.stdout, /team\/api is an ordinary repository now/);
    assert.equal(await gitOk(site.admin, ['rev-parse', 'HEAD'], join(place, 'documented')), oid);
    const remote = await gitOk(site.admin, ['config', 'remote.origin.url'], join(place, 'documented'));
    assert.equal(remote, upstream.url('documented'), 'the client knows the upstream by its own name');
  });

  test('another vault key, a command without a gate, a wrong key, upstreams out of reach: each start shows the right thing', async () => {
    assert.match(await adminOk(['mirror', 'rekey']), /\d+ credentials sealed anew/);
    const { data } = site.gate;
    assert.equal(await site.gate.stop(), 0);
    const oid = await upstream.repositories.commit('fresh', 'refs/heads/main', { 'a.txt': 'offline' });
    assert.match(await localOk(['mirror', 'refresh', 'fresh']), /1 ref changed/, 'without a gate, after rekey');
    const key = Buffer.alloc(32, 1).toString('base64');
    const gate = await startGate(scope, { data, home: site.admin.home, env: { GATEHOUSE_VAULT_KEY: key } });
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && name !== String(gate.pid)))
      assert.ok(!readOrEmpty(`/proc/${pid}/environ`).includes(key), 'nothing that the gate starts has its key');
    const wrong = await git(site.admin, ['ls-remote', url(gate, 'ssh', 'fresh')]);
    assert.match(wrong.stderr, /refusing to serve stale data: .*sealed with the vault key/);
    await sshOk(site.admin, gate, ['create', 'ordinary']);
    await gitOk(site.admin, ['ls-remote', url(gate, 'ssh', 'ordinary')]);
    assert.equal(await gate.stop(), 0);
    assert.match(readFileSync(join(data, 'vault.key'), 'utf8'), /^#.*\n[A-Za-z0-9+/]{43}=\n$/, 'the file stays');
    site = { ...site, gate: await startGate(scope, { data, home: site.admin.home }) };
    assert.match(await refsOf('fresh'), new RegExp(oid));
    assert.match(String((await shownOf('gone'))['failure']), /./, 'what is known of a mirror outlives the gate');
  });
});

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
