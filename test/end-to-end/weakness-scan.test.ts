/**
 * The rows about secrets of the table of weaknesses of gates in front of an upstream (issue 4), each closed: whatever a
 * push may carry a secret in is looked at. A real gate, a real git; `scan on` on a repository that lies here.
 */
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { addPerson, git, gitOk, ssh, sshOk, startSite, url, type Person, type Site } from '../support/gate.ts';
import { Dice, makeSecret } from '../support/secret-maker.ts';
import { expectRun, suiteScope, type Ended } from '../support/workspace.ts';

describe('a push to a repository that is scanned', () => {
  const scope = suiteScope();
  after(() => scope.close());
  let site: Site;
  let alice: Person;
  let tree: string;
  const dice = new Dice(20_260_401);
  let round = 0;

  before(async () => {
    site = await startSite(scope);
    alice = await addPerson(site, 'alice');
    await sshOk(alice, site.gate, ['create', 'vault']);
    await sshOk(alice, site.gate, ['config', 'vault', 'set', 'scan', 'on']);
    tree = join(alice.home, 'vault');
    await gitOk(alice, ['clone', '-q', url(site.gate, 'ssh', 'vault'), tree]);
    await gitOk(alice, ['checkout', '-q', '-b', 'main'], tree);
    await put('README.md', 'A vault.\n');
    await gitOk(alice, ['push', '-q', 'origin', 'main'], tree);
  });

  const secret = (): string => makeSecret('github-pat', dice).text;

  async function put(path: string, content: string | Buffer, message = `Change ${path.slice(0, 20)}`): Promise<void> {
    mkdirSync(join(tree, path, '..'), { recursive: true });
    writeFileSync(join(tree, path), content);
    await gitOk(alice, ['add', '-A'], tree);
    await gitOk(alice, ['commit', '-q', '-m', message], tree);
  }

  /** A branch of its own for each test, from what the gate has. */
  async function fresh(): Promise<string> {
    round += 1;
    const branch = `try-${round}`;
    await gitOk(alice, ['checkout', '-q', '-f', '-B', branch, 'origin/main'], tree);
    return branch;
  }

  const push = (...refspecs: readonly string[]): Promise<Ended> => git(alice, ['push', 'origin', ...refspecs], tree);

  /** What the gate's refs are, seen from outside. */
  const refs = (): Promise<string> => gitOk(alice, ['ls-remote', url(site.gate, 'ssh', 'vault')], tree);

  async function assertRefused(act: () => Promise<Ended>, hidden: string, told: RegExp): Promise<void> {
    const before = await refs();
    const ended = await act();
    assert.equal(ended.code, 1, ended.stderr);
    assert.match(ended.stderr, /remote rejected\] .* \(secret scan: github-pat in /);
    assert.match(ended.stderr, told);
    assert.ok(!ended.stderr.includes(hidden), 'the secret itself is told');
    assert.ok(!site.gate.log().includes(hidden), 'the secret itself is logged');
    assert.equal(await refs(), before);
  }

  test('passes where it brings none', async () => {
    const branch = await fresh();
    await put('notes.md', 'Nothing to see.\n');
    const ended = await push(branch);
    assert.equal(ended.code, 0, ended.stderr);
  });

  test('with a secret in a file is told file, line, commit, rule and what to do, never the secret', async () => {
    const branch = await fresh();
    const hidden = secret();
    await put('config/app.ini', `[a]\nb = 1\nvalue = ${hidden}\n`);
    const commit = (await gitOk(alice, ['rev-parse', 'HEAD'], tree)).slice(0, 8);
    const place = new RegExp(`config/app\\.ini:3, commit ${commit}`);
    await assertRefused(() => push(branch), hidden, place);
  });

  test('with a secret in a commit message', async () => {
    const branch = await fresh();
    const hidden = secret();
    await put('a.txt', 'a\n', `Use the token\n\nIt is ${hidden}.`);
    await assertRefused(() => push(branch), hidden, /line \d+ of the commit itself/);
  });

  test("with a secret in an author's name", async () => {
    const branch = await fresh();
    const hidden = secret();
    writeFileSync(join(tree, 'b.txt'), 'b\n');
    await gitOk(alice, ['add', '-A'], tree);
    await gitOk(alice, ['commit', '-q', '-m', 'Plain', `--author=${hidden} <a@example.org>`], tree);
    await assertRefused(() => push(branch), hidden, /of the commit itself/);
  });

  test("with a secret in an annotated tag's message", async () => {
    await fresh();
    const hidden = secret();
    await gitOk(alice, ['tag', '-a', '-m', `Release\n\n${hidden}`, 'v-hidden'], tree);
    await assertRefused(() => push('refs/tags/v-hidden'), hidden, /of the tag itself/);
  });

  test('with a secret in the name of an empty file', async () => {
    const branch = await fresh();
    const hidden = secret();
    await put(`${hidden}.txt`, '');
    await assertRefused(() => push(branch), hidden, /a file name in the top directory/);
  });

  test("with a secret in a directory's name, whose path it does not tell", async () => {
    const branch = await fresh();
    const [hidden, second] = [secret(), secret()];
    await put(`${hidden}/x.txt`, `${second}\n`);
    await assertRefused(() => push(branch), hidden, /a path that holds a secret itself/);
  });

  test('with a secret in the name of a ref', async () => {
    await fresh();
    const hidden = secret();
    const before = await refs();
    const ended = await push(`HEAD:refs/heads/${hidden}`);
    assert.equal(ended.code, 1, ended.stderr);
    assert.match(ended.stderr, /secret scan: github-pat in the name of a ref/);
    assert.equal(await refs(), before);
  });

  test('with a secret behind a NUL byte', async () => {
    const branch = await fresh();
    const hidden = secret();
    await put('data.bin', Buffer.from(`\0\x01\x02${'\0'.repeat(4000)}value=${hidden}\0rest`));
    await assertRefused(() => push(branch), hidden, /data\.bin/);
  });

  for (const [name, encode] of [
    ['UTF-16 with a byte order mark', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['UTF-16 without one', (text: string) => Buffer.from(text, 'utf16le')],
    ['UTF-16, big end first', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
  ] as const) {
    test(`with a secret in ${name}`, async () => {
      const branch = await fresh();
      const hidden = secret();
      await put('export.txt', encode(`key;value\r\ntoken;${hidden}\r\n`));
      await assertRefused(() => push(branch), hidden, /export\.txt/);
    });
  }

  test('of a ref to a blob with a secret', async () => {
    await fresh();
    const hidden = secret();
    writeFileSync(join(tree, '.git', 'loose'), hidden);
    const blob = await gitOk(alice, ['hash-object', '-w', '.git/loose'], tree);
    await assertRefused(() => push(`${blob}:refs/tags/blob`), hidden, new RegExp(`blob ${blob.slice(0, 8)}:1`));
  });

  test('of a ref to a tree with a secret in it', async () => {
    const hidden = secret();
    await fresh();
    await put('deep/down/file.txt', hidden);
    const oid = await gitOk(alice, ['rev-parse', 'HEAD:deep'], tree);
    await assertRefused(() => push(`${oid}:refs/tags/tree`), hidden, /down\/file\.txt:1/);
  });

  test('of a tag of a blob with a secret', async () => {
    await fresh();
    const hidden = secret();
    writeFileSync(join(tree, '.git', 'loose'), hidden);
    const blob = await gitOk(alice, ['hash-object', '-w', '.git/loose'], tree);
    await gitOk(alice, ['tag', '-a', '-m', 'A key', 'key-file', blob], tree);
    await assertRefused(() => push('refs/tags/key-file'), hidden, new RegExp(`blob ${blob.slice(0, 8)}:1`));
  });

  test('with a file that only a merge commit adds', async () => {
    const branch = await fresh();
    const hidden = secret();
    await put('side.txt', 'side\n');
    await gitOk(alice, ['checkout', '-q', '-b', `${branch}-other`, 'origin/main'], tree);
    await put('other.txt', 'other\n');
    await gitOk(alice, ['merge', '-q', '--no-commit', '--no-ff', branch], tree);
    writeFileSync(join(tree, 'evil.txt'), `x ${hidden}\n`);
    await gitOk(alice, ['add', '-A'], tree);
    await gitOk(alice, ['commit', '-q', '-m', 'Merge'], tree);
    await assertRefused(() => push(`${branch}-other`), hidden, /evil\.txt:1/);
  });

  test('with a secret that a later commit of the same push takes out again', async () => {
    const branch = await fresh();
    const hidden = secret();
    await put('oops.txt', hidden);
    await put('oops.txt', 'gone\n');
    await assertRefused(() => push(branch), hidden, /oops\.txt:1/);
  });

  for (const path of ['package-lock.json', 'vendor/lib/key.go', 'logo.svg', 'node_modules/x/index.js']) {
    test(`renamed to ${path}, a path on the allow-list of a scanner's own file, asks an approver at the least`, async () => {
      const hidden = secret();
      const branch = await fresh();
      await put('plain.txt', `some text\n${hidden}\n`);
      mkdirSync(join(tree, path, '..'), { recursive: true });
      await gitOk(alice, ['mv', 'plain.txt', path], tree);
      await gitOk(alice, ['commit', '-q', '--amend', '-m', 'Hide it'], tree);
      const before = await refs();
      const ended = await push(branch);
      assert.equal(ended.code, 1, ended.stderr);
      assert.match(ended.stderr, /secret scan[^:]*: github-pat in /);
      assert.equal(await refs(), before);
    });
  }

  test('with an inline comment that allows it asks an approver, and is refused until then', async () => {
    const branch = await fresh();
    const hidden = secret();
    await put('conf.py', `T = "${hidden}"  # gitleaks:allow\n`);
    const before = await refs();
    const ended = await push(branch);
    assert.equal(ended.code, 1, ended.stderr);
    assert.match(ended.stderr, /asks an approver|held/);
    assert.equal(await refs(), before);
  });

  test('with a secret inside a zip in a tarball', async () => {
    const branch = await fresh();
    const hidden = secret();
    const packing = join(alice.home, `packing-${round}`);
    mkdirSync(packing);
    writeFileSync(join(packing, '.env'), `VALUE=${hidden}\n`);
    await expectRun('tar', ['-czf', join(tree, 'bundle.tar.gz'), '-C', packing, '.env'], { env: alice.env });
    await gitOk(alice, ['add', '-A'], tree);
    await gitOk(alice, ['commit', '-q', '-m', 'Bundle'], tree);
    await assertRefused(() => push(branch), hidden, /bundle\.tar\.gz!\//);
  });

  test('refuses only the refs that bring the secret, and all of an atomic push', async () => {
    const clean = await fresh();
    await put('clean.txt', 'clean\n');
    const dirty = await fresh();
    const hidden = secret();
    await put('dirty.txt', hidden);
    const atomic = await git(alice, ['push', '--atomic', 'origin', clean, dirty], tree);
    assert.equal(atomic.code, 1);
    assert.doesNotMatch(await refs(), new RegExp(`refs/heads/(?:${clean}|${dirty})\\b`));
    const both = await push(clean, dirty);
    assert.equal(both.code, 1);
    assert.match(await refs(), new RegExp(`refs/heads/${clean}$`, 'm'));
    assert.doesNotMatch(await refs(), new RegExp(`refs/heads/${dirty}\\b`));
  });

  test('brings again, to any ref and in any wrapping, what was refused beside a ref that passed', async () => {
    const branch = await fresh();
    await put('harmless.md', 'Nothing.\n');
    await gitOk(alice, ['branch', '-f', 'clean'], tree);
    const hidden = secret();
    await put('config.ini', `key = ${hidden}\n`);
    // Its objects came with those of the ref that passed.
    const both = await push(branch, 'clean');
    assert.match(both.stderr, /clean -> clean/);
    const oid = async (name: string): Promise<string> => gitOk(alice, ['rev-parse', name], tree);
    const [tip, blob] = [await oid(branch), await oid(`${branch}:config.ini`)];
    await gitOk(alice, ['tag', '-a', '-m', 'inner', 'inner', blob], tree);
    await gitOk(alice, ['tag', '-a', '-m', 'outer', 'outer', 'inner'], tree);
    await gitOk(alice, ['notes', '--ref', 'keys', 'add', '-f', '-C', blob, 'HEAD~2'], tree);
    for (const refspec of [
      `${tip}:refs/heads/other`,
      `${tip}:refs/notes/other`,
      `${tip}:refs/meta/config`,
      `${blob}:refs/tags/blob`,
      `${tip}^{tree}:refs/tags/tree`,
      'outer:refs/tags/outer',
      'refs/notes/keys',
    ]) {
      const ended = await push(refspec);
      assert.equal(ended.code, 1, refspec);
      assert.match(ended.stderr, /secret scan: github-pat/, refspec);
    }
    assert.doesNotMatch(await refs(), /other|meta|blob|tree|outer|keys/);
  });

  test('with a secret in the target of a link, the address of a submodule or a message in UTF-16', async () => {
    for (const wrap of ['link', 'submodule', 'message'] as const) {
      const branch = await fresh();
      const hidden = secret();
      if (wrap === 'link') symlinkSync(`/run/${hidden}`, join(tree, 'link'));
      const address = `https://u:${hidden}@git.example/r`;
      if (wrap === 'submodule') await put('.gitmodules', `[submodule "r"]\n\tpath = r\n\turl = ${address}\n`);
      if (wrap === 'message') {
        const wide = Buffer.from(`Use ${hidden} now\n`, 'utf16le');
        const head = await gitOk(alice, ['cat-file', 'commit', 'HEAD'], tree);
        const headers = `${head.slice(0, head.indexOf('\n\n'))}\nencoding UTF-16LE\n\n`;
        writeFileSync(join(tree, '.git', 'wide'), Buffer.concat([Buffer.from(headers), wide]));
        const commit = await gitOk(alice, ['hash-object', '-t', 'commit', '-w', '--literally', '.git/wide'], tree);
        await gitOk(alice, ['reset', '-q', '--hard', commit], tree);
      } else {
        await put('more', wrap);
      }
      const ended = await push(branch);
      assert.equal(ended.code, 1, wrap);
      assert.match(ended.stderr, /remote rejected\]/, wrap);
      if (wrap !== 'message') assert.match(ended.stderr, /secret scan: /, wrap);
      assert.ok(!ended.stderr.includes(hidden), wrap);
    }
  });

  test('that changes another line of a file whose secret was there before, passes; the history is not scanned again', async () => {
    const hidden = secret();
    await sshOk(alice, site.gate, ['config', 'vault', 'set', 'scan', 'off']);
    const branch = await fresh();
    await put('old.ini', `value = ${hidden}\nother = 1\n`);
    assert.equal((await push(branch)).code, 0);
    await sshOk(alice, site.gate, ['config', 'vault', 'set', 'scan', 'on']);
    await put('old.ini', `value = ${hidden}\nother = 2\n`);
    const again = await push(branch);
    assert.equal(again.code, 0, again.stderr);
    await put('copy.ini', `value = ${hidden}\n`);
    await assertRefused(() => push(branch), hidden, /copy\.ini:1/);
  });

  test('is told and let through where the repository only reports; the journal has it', async () => {
    await sshOk(alice, site.gate, ['config', 'vault', 'set', 'scan', 'report']);
    const branch = await fresh();
    const hidden = secret();
    await put('told.ini', `value = ${hidden}\n`);
    const ended = await push(branch);
    await sshOk(alice, site.gate, ['config', 'vault', 'set', 'scan', 'on']);
    assert.equal(ended.code, 0, ended.stderr);
    assert.match(ended.stderr, /this push brings a secret/);
    const journal = await sshOk(site.admin, site.gate, ['audit', 'log', '--event', 'scan', '--json']);
    assert.match(journal, /told\.ini:1/);
    assert.ok(!journal.includes(hidden));
  });

  test('passes once somebody else answered for the finding, and its author cannot', async () => {
    const branch = await fresh();
    const hidden = secret();
    await put('known.ini', `value = ${hidden}\n`);
    const first = await push(branch);
    const fingerprint = /fingerprint ([0-9a-f]{16})/.exec(first.stderr)?.[1] ?? '';
    const words = ['scan', 'waive', fingerprint, '--repo', 'vault', '--reason', 'revoked test key'];
    const own = await ssh(alice, site.gate, words);
    assert.equal(own.code, 1);
    assert.match(own.stderr, /nobody waives what they pushed themselves/);
    const acting = await ssh(site.admin, site.gate, ['as', 'alice', ...words]);
    assert.equal(acting.code, 1);
    const olive = await addPerson(site, 'olive');
    assert.equal((await ssh(olive, site.gate, words)).code, 1);
    await sshOk(site.admin, site.gate, [...words, '--expires', '1d']);
    const second = await push(branch);
    assert.equal(second.code, 0, second.stderr);
    assert.match(second.stderr, /waived by admin: github-pat in known\.ini:1/);
    assert.match(await sshOk(alice, site.gate, ['scan', 'waivers', '--repo', 'vault']), /revoked test key/);
    await sshOk(site.admin, site.gate, ['scan', 'unwaive', fingerprint, '--repo', 'vault']);
    await put('again.ini', `another = ${hidden}\n`);
    await assertRefused(() => push(branch), hidden, /again\.ini:1/);
  });

  test('is judged by rules of the site; a file of theirs that does not load refuses the policy', async () => {
    const admin = site.admin;
    const policy = join(admin.home, 'gatehouse-admin');
    await gitOk(admin, ['clone', '-q', url(site.gate, 'ssh', 'gatehouse-admin'), policy]);
    mkdirSync(join(policy, 'secrets'));
    const write = async (text: string): Promise<Ended> => {
      writeFileSync(join(policy, 'secrets', 'site.toml'), text);
      await gitOk(admin, ['add', '-A'], policy);
      await gitOk(admin, ['commit', '-q', '-m', 'Rules'], policy);
      return git(admin, ['push', 'origin', 'HEAD'], policy);
    };
    const bad = await write("[[rules]]\nid = 'acme'\nregex = '''acme-(['''\n");
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /secrets\/site\.toml/);
    const rule =
      "[[rules]]\nid = 'acme-key'\ndescription = 'Key of Acme'\nregex = '''\\bacme-[0-9a-f]{16}\\b'''\nkeywords = ['acme-']\n";
    const good = await write(`[[allowlists]]\npaths = ['''(^|/)vendor/''']\n${rule}`);
    assert.equal(good.code, 0, good.stderr);
    const branch = await fresh();
    await put('acme.txt', `acme-${dice.chars(16, '0123456789abcdef')}\n`);
    const ended = await push(branch);
    assert.match(ended.stderr, /secret scan: acme-key in acme\.txt:1/);
    assert.match(await sshOk(admin, site.gate, ['scan', 'rules']), /acme-key +Key of Acme/);
    const vendored = await fresh();
    await put('vendor/lib/key.go', `k := "${secret()}"\n`);
    assert.match((await push(vendored)).stderr, /secret scan asks an approver: github-pat in vendor\/lib\/key\.go:1/);
  });

  test('leaves what anybody may have looked at: a text of their own, a repository of theirs', async () => {
    const hidden = secret();
    const text = await ssh(alice, site.gate, ['scan', '--stdin', '--path', 'a.env'], `X=${hidden}\n`);
    assert.equal(text.code, 1);
    assert.match(text.stdout, /a\.env:1 {2}github-pat/);
    assert.ok(!text.stdout.includes(hidden));
    assert.equal((await ssh(alice, site.gate, ['scan', '--stdin'], 'nothing\n')).code, 0);
    const all = await ssh(alice, site.gate, ['scan', 'vault', '--all']);
    assert.match(all.stdout, /old\.ini:1 {2}github-pat/);
    const range = await ssh(alice, site.gate, ['scan', 'vault', 'main..main', '--json']);
    assert.equal(range.code, 0, range.stderr + range.stdout);
    const olive = await ssh(await addPerson(site, 'oscar'), site.gate, ['scan', 'vault']);
    assert.equal(olive.code, 1);
  });
});
