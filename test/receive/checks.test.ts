/** Checks of pushes, each against a real git: what is refused, in which words, and what passes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { must } from '../identity/fixture.ts';
import { makeSshKey, openCheckSite, table, type CheckSite } from './check-site.ts';
import { GIT_ENV, gitOk } from './site.ts';

async function put(tree: string, path: string, content: string | Buffer = path): Promise<void> {
  await mkdir(dirname(join(tree, path)), { recursive: true });
  await writeFile(join(tree, path), content);
}

/** Adds everything and commits. */
async function commit(tree: string, message: string, ...config: readonly string[]): Promise<string> {
  await gitOk(tree, 'add', '-A');
  await gitOk(tree, ...config, 'commit', '-q', '--allow-empty', '-m', message);
  return gitOk(tree, 'rev-parse', 'HEAD');
}

async function refused(at: CheckSite, tree: string, ...words: readonly string[]): Promise<string> {
  const before = await at.site.refs();
  const { code, stderr } = await at.push(tree, ...words);
  assert.notEqual(code, 0, stderr);
  assert.equal(await at.site.refs(), before);
  assert.deepEqual(at.site.leftovers(), []);
  return stderr.replaceAll(/ +$/gm, '');
}

async function taken(at: CheckSite, tree: string, ...words: readonly string[]): Promise<string> {
  const { code, stderr } = await at.push(tree, ...words);
  assert.equal(code, 0, stderr);
  return stderr.replaceAll(/ +$/gm, '');
}

describe('checks', { concurrency: 4 }, () => {
  test('all failures are told at once, each with its check, its commit and its path', async (t) => {
    const at = await openCheckSite(t);
    at.check(
      [
        table('name = "people"', 'author-email = ["*@example.org"]'),
        table('name = "words"', 'subject = ["^[A-Z]"]', 'forbidden-words = ["wip"]'),
        table('name = "files"', 'extensions-refuse = ["exe"]', 'file-bytes-max = "1KiB"'),
      ].join('\n'),
    );
    const tree = await at.site.workTree();
    await put(tree, 'a.EXE');
    const first = await commit(tree, 'start, WIP');
    await put(tree, 'big', 'x'.repeat(2_000));
    const second = await commit(tree, 'Add "big"');
    const text = await refused(at, tree, 'main');
    assert.match(text, /checks\/site\.toml:1, people\n/);
    for (const oid of [first, second]) {
      assert.match(
        text,
        new RegExp(
          `commit ${oid.slice(0, 10)} ".*": the author's e-mail address author@example\\.com is not \\*@example`,
        ),
      );
    }
    assert.match(
      text,
      new RegExp(`commit ${first.slice(0, 10)} "start, WIP": its subject does not match \\^\\[A-Z\\]`),
    );
    assert.match(text, /has a forbidden word in its message: wip/);
    assert.match(
      text,
      new RegExp(`commit ${first.slice(0, 10)} "start, WIP": a\\.EXE: files of the type \\.exe are not taken`),
    );
    assert.match(
      text,
      new RegExp(`commit ${second.slice(0, 10)} "Add "big"": big: the file has 2000 bytes: at most 1024`),
    );
    assert.match(
      text,
      /\[remote rejected\] main -> main \(checks\/site\.toml:1, people: commit .* \(and 5 more failures, listed above\)\)/,
    );
  });

  test('a list of failures ends after fifty, and counts the rest', async (t) => {
    const at = await openCheckSite(t);
    at.check(table('name = "files"', 'paths-refuse = ["gen/*"]'));
    const tree = await at.site.workTree();
    for (let index = 0; index < 80; index += 1) await put(tree, `gen/${index}`);
    await commit(tree, 'Add');
    const text = await refused(at, tree, 'main');
    assert.equal(text.match(/this path is not to be changed/g)?.length, 51, 'fifty lines and the reason');
    assert.match(text, /and 30 more\n/);
  });

  test('a warning tells and refuses nothing; a check held only for some does not hold for others', async (t) => {
    const at = await openCheckSite(t);
    at.check(
      [
        table('name = "tell"', 'subject-chars-max = 3', 'action = "warn"'),
        table('name = "bob"', 'users = ["bob"]', 'changes-refuse = ["create"]'),
        table('name = "not alice"', 'except-users = ["alice"]', 'changes-refuse = ["create"]'),
        table('name = "ci"', 'accounts = ["ci"]', 'changes-refuse = ["create"]'),
        table('name = "elsewhere"', 'repositories = ["other/*"]', 'changes-refuse = ["create"]'),
      ].join('\n'),
    );
    const tree = await at.site.workTree();
    await commit(tree, 'Longer');
    const text = await taken(at, tree, 'main');
    assert.match(text, /tell \(a warning: nothing is refused for it\)/);
    assert.match(text, /its subject has 6 characters/);
  });

  test('no check in force, or none for this ref, costs no git process', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    await commit(tree, 'Zero');
    await taken(at, tree, 'main');
    await commit(tree, 'One');
    const plain = await at.started(() => taken(at, tree, 'main:refs/heads/a'));
    at.check(table('name = "releases"', 'refs = ["refs/heads/release/*"]', 'commits-signed = "any"'));
    await commit(tree, 'Two');
    assert.equal(await at.started(() => taken(at, tree, 'main:refs/heads/b')), plain);
    at.check(table('name = "names"', 'ref-names = ["^refs/heads/[a-z]+$"]'));
    await commit(tree, 'Three');
    assert.equal(await at.started(() => taken(at, tree, 'main:refs/heads/c')), plain);
    assert.match(await refused(at, tree, 'main:refs/heads/C1'), /the name does not match/);
  });

  test('a commit that came in by a ref without the check does not slip through by another', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    await commit(tree, 'Fine');
    await taken(at, tree, 'main');
    at.check(table('name = "main"', 'refs = ["refs/heads/main"]', 'subject = ["^[A-Z]"]'));
    const bad = await commit(tree, 'not fine');
    await commit(tree, 'Fine again');
    await taken(at, tree, 'main:refs/heads/side');
    assert.match(await refused(at, tree, 'main'), new RegExp(`commit ${bad.slice(0, 10)} "not fine": its subject`));
    at.check(
      table('name = "main"', 'refs = ["refs/heads/main"]', 'subject = ["^[A-Z]"]', `known-commits = ["${bad}"]`),
    );
    await taken(at, tree, 'main:refs/heads/main');
  });

  test('of several refs those are refused that lead to the failure', async (t) => {
    const at = await openCheckSite(t);
    at.check(table('name = "words"', 'subject = ["^[A-Z]"]'));
    const tree = await at.site.workTree();
    await commit(tree, 'Good');
    await gitOk(tree, 'branch', 'good');
    await commit(tree, 'bad');
    await commit(tree, 'Good on bad');
    await gitOk(tree, 'branch', 'worse');
    await gitOk(tree, 'tag', '-m', 'Tag', 'v1');
    const { code, stderr } = await at.push(tree, 'good', 'main', 'worse', 'v1');
    assert.notEqual(code, 0);
    assert.match(stderr, /\[new branch\] +good -> good/);
    for (const name of ['main', 'worse', 'v1'])
      assert.match(stderr, new RegExp(`remote rejected\\] ${name} -> ${name}`));
    assert.match(await at.site.refs(), /^[0-9a-f]+ refs\/heads\/good$/);
  });

  test('addresses and names are compared with the pusher and with everybody registered', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    const as = (name: string, email: string): readonly string[] => [
      '-c',
      `user.name=${name}`,
      '-c',
      `user.email=${email}`,
    ];
    const authored = async (author: string, ...rest: readonly string[]): Promise<void> => {
      await gitOk(tree, ...rest, 'commit', '-q', '--allow-empty', '-m', 'One', `--author=${author}`);
    };
    at.check(table('name = "people"', 'author-email = ["registered", "*@partner.example"]'));
    await authored('The bob <BOB@example.org>');
    await authored('X <x@partner.example>');
    await taken(at, tree, 'main');
    await authored('X <x@else.example>');
    assert.match(await refused(at, tree, 'main'), /is not one of that of a user of this gate, \*@partner\.example/);
    at.check(table('name = "people"', 'author-email = ["pusher"]', 'author-name = ["pusher"]'));
    await gitOk(tree, 'checkout', '-q', '--orphan', 'own');
    await authored('Alice <alice@example.com>', ...as('x', 'y@z'));
    await taken(at, tree, 'own');
    await authored('The bob <bob@example.org>');
    const text = await refused(at, tree, 'own');
    assert.match(text, /the author's e-mail address bob@example\.org is not your own/);
    assert.match(text, /the author's name The bob is not your own/);
  });

  test('unsigned, foreign, transplanted and wrongly signed commits are told apart', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    const [alice, bob, nobody] = await Promise.all(
      ['alice', 'bob', 'nobody'].map((name) => makeSshKey(at.site.root, name)),
    );
    assert.ok(alice && bob && nobody);
    must(await at.users.keys.add({ user: 'alice', tag: 'laptop', text: alice.line }));
    must(await at.users.signingKeys.add({ user: 'bob', tag: 'sign', text: bob.line }));
    at.check(table('name = "signed"', 'commits-signed = "ssh"', 'tags-signed = "ssh"', 'signed-by = "pusher"'));
    const signed = (key: { readonly config: readonly string[] }): readonly string[] => [
      ...key.config,
      '-c',
      'commit.gpgSign=true',
    ];
    const good = await commit(tree, 'Good', ...signed(alice));
    await taken(at, tree, 'main');
    await gitOk(tree, ...alice.config, 'tag', '-s', '-m', 'Tag', 'v1');
    await taken(at, tree, 'v1');
    await gitOk(tree, 'tag', '-m', 'Tag', 'v2');
    await gitOk(tree, 'tag', 'v3');
    await gitOk(tree, ...bob.config, 'tag', '-s', '-m', 'Tag', 'v4');
    assert.match(await refused(at, tree, 'v2'), /refs\/tags\/v2: the tag is not signed/);
    assert.match(await refused(at, tree, 'v3'), /refs\/tags\/v3: the tag is not signed: git tag -s/);
    assert.match(await refused(at, tree, 'v4'), /the tag is signed by bob, not by who pushes/);
    // A tag around a tag that is not signed.
    await gitOk(tree, ...alice.config, 'tag', '-s', '-m', 'Outer', 'v5', 'v2');
    assert.match(await refused(at, tree, 'v5'), /the tag is not signed/);

    await commit(tree, 'Bob', ...signed(bob));
    assert.match(await refused(at, tree, 'main'), /is signed by bob, not by who pushes/);
    await gitOk(tree, 'reset', '-q', '--hard', good);
    await commit(tree, 'Nobody', ...signed(nobody));
    assert.match(
      await refused(at, tree, 'main'),
      /has a signature that is by a key that nobody registered here: SHA256:/,
    );
    await gitOk(tree, 'reset', '-q', '--hard', good);
    await commit(tree, 'Unsigned');
    assert.match(await refused(at, tree, 'main'), /"Unsigned": is not signed/);

    const raw = execFileSync('git', ['cat-file', 'commit', good], { cwd: tree, env: GIT_ENV }).toString();
    const write = (text: string): string =>
      execFileSync('git', ['hash-object', '-t', 'commit', '-w', '--stdin', '--literally'], {
        cwd: tree,
        env: GIT_ENV,
        input: text,
      })
        .toString()
        .trim();
    const forged = write(raw.replace('Good', 'Evil'));
    assert.match(
      await refused(at, tree, `${forged}:refs/heads/forged`),
      /"Evil": has a signature that is not good: .* did not sign this/,
    );
    const header = /gpgsig [^]*?-----END SSH SIGNATURE-----\n/.exec(raw)?.[0] ?? '';
    const twice = write(raw.replace(header, header + header));
    assert.match(await refused(at, tree, `${twice}:refs/heads/twice`), /has more than one header gpgsig/);
    const other = write(raw.replace(header, header.replace('gpgsig', 'gpgsig-sha256')));
    assert.match(await refused(at, tree, `${other}:refs/heads/other`), /is not signed/);

    at.check(table('name = "signed"', 'commits-signed = "any"'));
    await gitOk(tree, 'reset', '-q', '--hard', good);
    await commit(tree, 'Bob', ...signed(bob));
    await taken(at, tree, 'main');
    at.check(table('name = "signed"', 'commits-signed = "openpgp"'));
    await commit(tree, 'Bob', ...signed(bob));
    assert.match(await refused(at, tree, 'main'), /is signed with ssh, not with openpgp/);
  });

  test('in a sha256 repository signatures are found in their own header', async (t) => {
    const at = await openCheckSite(t, { format: 'sha256' });
    const tree = await at.site.workTree();
    const alice = await makeSshKey(at.site.root, 'alice');
    must(await at.users.signingKeys.add({ user: 'alice', tag: 'k', text: alice.line }));
    at.check(
      table(
        'name = "signed"',
        'commits-signed = "ssh"',
        'tags-signed = "any"',
        'merges = "none"',
        'paths-refuse = ["no"]',
      ),
    );
    await commit(tree, 'Good', ...alice.config, '-c', 'commit.gpgSign=true');
    await gitOk(tree, ...alice.config, 'tag', '-s', '-m', 'Tag', 'v1');
    await taken(at, tree, 'main', 'v1');
    await commit(tree, 'Bad');
    assert.match(await refused(at, tree, 'main'), /is not signed/);
  });

  test('messages: patterns, trailers, sign-off, lines, and text that cannot be read', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    at.check(
      table(
        'name = "message"',
        'message = ["(?m)^Issue: #[0-9]+$"]',
        'message-refuse = ["https?://intern"]',
        'trailers = ["Reviewed-by"]',
        'signed-off-by = "author"',
        'message-line-chars-max = 60',
      ),
    );
    await commit(tree, 'One\n\nBody\n\nIssue: #12\nReviewed-by: Bob\nSigned-off-by: A <author@example.com>');
    await taken(at, tree, 'main');
    await commit(tree, `Two\n\nsee http://intern/1\n\nSigned-off-by: A <x@example.com>\n${'y'.repeat(61)}`);
    const text = await refused(at, tree, 'main');
    for (const words of [
      /its message does not match/,
      /what is not wanted in a message/,
      /has no trailer Reviewed-by/,
    ]) {
      assert.match(text, words);
    }
    assert.match(text, /has no Signed-off-by of its author <author@example\.com>/);
    assert.match(text, /line 6 of its message has more than 60/);
    await gitOk(tree, 'reset', '-q', '--hard', 'HEAD^');
    const raw = execFileSync('git', ['cat-file', 'commit', 'HEAD'], { cwd: tree, env: GIT_ENV });
    const latin = Buffer.concat([raw, Buffer.from('caf\xe9\n', 'latin1')]);
    const oid = execFileSync('git', ['hash-object', '-t', 'commit', '-w', '--stdin'], {
      cwd: tree,
      env: GIT_ENV,
      input: latin,
    });
    assert.match(await refused(at, tree, `${oid.toString().trim()}:refs/heads/x`), /a message that is not in UTF-8/);
  });

  test('paths: forbidden, only these, executable, links, submodules, lengths', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    at.check(
      table(
        'name = "paths"',
        'paths-only = ["src/*", ".gitmodules", "l*"]',
        'executables-only = ["src/bin/*"]',
        'symlinks = "inside"',
        'submodules-only = ["https://git.example/*"]',
        'name-bytes-max = 20',
      ),
    );
    await put(tree, 'src/bin/run');
    await chmod(join(tree, 'src/bin/run'), 0o755);
    await symlink('../src/bin', join(tree, 'src/in'));
    await put(tree, '.gitmodules', '[submodule "x"]\n\tpath = src/x\n\turl = https://git.example/x\n');
    await commit(tree, 'Good');
    await taken(at, tree, 'main');
    await put(tree, 'src/run');
    await chmod(join(tree, 'src/run'), 0o755);
    await put(tree, 'README');
    await put(tree, `src/${'n'.repeat(21)}`);
    await symlink('../etc/passwd', join(tree, 'lout'));
    await symlink('/etc/passwd', join(tree, 'src/abs'));
    await put(tree, '.gitmodules', '[submodule "x"]\n\tpath = src/x\n\turl = https://evil.example/x\n');
    await commit(tree, 'Bad');
    const text = await refused(at, tree, 'main');
    assert.match(text, /README: only src\/\*, \.gitmodules, l\* may be changed/);
    assert.match(text, /src\/run: the file is executable here/);
    assert.match(text, /lout: the symbolic link leads out of the repository/);
    assert.match(text, /src\/abs: the symbolic link leads out/);
    assert.match(text, /n{21}: the name has 21 bytes/);
    assert.match(text, /\.gitmodules: submodules from https:\/\/evil\.example\/x are not taken/);
    await gitOk(tree, 'reset', '-q', '--hard', 'HEAD^');
    await put(tree, '.gitmodules', '[submodule "x"] url = https://evil.example/x\n');
    await commit(tree, 'Sly');
    assert.match(await refused(at, tree, 'main'), /lines that are not of the plain form/);
  });

  test('new binary files are known by their bytes, and a text file does not become one unseen', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    await put(tree, 'old.png', Buffer.from([0, 1, 2]));
    await put(tree, 'text', 'text');
    await commit(tree, 'Before');
    await taken(at, tree, 'main');
    at.check(table('name = "binary"', 'binary-bytes-max = 0'));
    await put(tree, 'old.png', Buffer.from([0, 1, 2, 3]));
    await put(tree, 'more', 'text');
    await commit(tree, 'Good');
    await taken(at, tree, 'main');
    await put(tree, 'text', Buffer.from([0, 9]));
    await put(tree, 'new', Buffer.concat([Buffer.from('x'.repeat(100)), Buffer.alloc(1)]));
    await commit(tree, 'Bad');
    await rm(join(tree, 'new'));
    await commit(tree, 'Take it away again');
    const text = await refused(at, tree, 'main');
    assert.match(text, /text: the new binary file has 2 bytes: none is taken/);
    assert.match(text, /new: the new binary file has 101 bytes/);
  });

  test('names that differ in case only are found, in directories and composed letters too', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    await put(tree, 'Docs/a');
    await commit(tree, 'One');
    await taken(at, tree, 'main');
    at.check(table('name = "case"', 'case-collisions = "refuse"'));
    await put(tree, 'docs/b');
    await put(tree, 'x\u00e9');
    await put(tree, 'xe\u0301');
    await commit(tree, 'Two');
    const text = await refused(at, tree, 'main');
    assert.match(text, /docs: differs from Docs in case only/);
    assert.equal(text.match(/in case only/g)?.length, 3, 'two names and the reason');
    await gitOk(tree, 'reset', '-q', '--hard', 'HEAD^');
    await put(tree, 'Docs/c');
    await commit(tree, 'Three');
    await taken(at, tree, 'main');
  });

  test('history: number of commits, merges, empty commits, where it starts, where it has to be', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    await put(tree, 'a');
    await commit(tree, 'One');
    await taken(at, tree, 'main');
    at.check(
      [
        table(
          'name = "shape"',
          'commits-max = 2',
          'merges = "none"',
          'empty-commits = "refuse"',
          'except-refs = ["refs/tags/*"]',
        ),
        table(
          'name = "base"',
          'refs = ["refs/heads/topic/*"]',
          'based-on = ["refs/heads/main"]',
          'new-to = "repository"',
        ),
        table('name = "release"', 'refs = ["refs/tags/*"]', 'within = ["refs/heads/main"]', 'tags = "annotated"'),
      ].join('\n'),
    );
    await commit(tree, 'Empty');
    assert.match(await refused(at, tree, 'main'), /"Empty": changes nothing/);
    await gitOk(tree, 'reset', '-q', '--hard', 'HEAD^');
    await gitOk(tree, 'checkout', '-q', '-b', 'side');
    await put(tree, 's');
    const side = await commit(tree, 'Side');
    await gitOk(tree, 'checkout', '-q', 'main');
    await put(tree, 'b');
    await commit(tree, 'Two');
    await gitOk(tree, 'merge', '-q', '-m', 'Merge', 'side');
    const text = await refused(at, tree, 'main');
    assert.match(text, /refs\/heads\/main: the push brings 3 commits: at most 2/);
    assert.match(text, /"Merge": is a merge/);
    await gitOk(tree, 'tag', '-m', 'Tag', 'early', side);
    await gitOk(tree, 'tag', 'light', 'main~2');
    assert.match(await refused(at, tree, 'early'), /refs\/tags\/early: it leads to what is not in refs\/heads\/main/);
    assert.match(await refused(at, tree, 'light'), /the tag is not annotated/);
    await gitOk(tree, 'tag', '-m', 'Tag', 'fine', 'main^1^1');
    await taken(at, tree, 'fine');
    await gitOk(tree, 'checkout', '-q', '--orphan', 'stray');
    await put(tree, 'z');
    await commit(tree, 'Stray');
    assert.match(await refused(at, tree, 'stray:refs/heads/topic/x'), /"Stray": begins a history of its own/);
    await taken(at, tree, `${side}:refs/heads/topic/y`);
    at.check(table('name = "only merges"', 'refs = ["refs/heads/main"]', 'merges = "only"'));
    assert.match(await refused(at, tree, 'main'), /"Two": is no merge/);
    await gitOk(tree, 'checkout', '-q', '-B', 'main', 'main~2');
    await gitOk(tree, 'merge', '-q', '--no-ff', '-m', 'Merge', 'side');
    await taken(at, tree, 'main');
  });

  test('what a merge slips in is seen, what it takes over is not asked twice', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    await put(tree, 'a');
    await commit(tree, 'One');
    await gitOk(tree, 'checkout', '-q', '-b', 'side');
    await put(tree, 'old.exe');
    await commit(tree, 'Side');
    await gitOk(tree, 'checkout', '-q', 'main');
    await put(tree, 'b');
    await commit(tree, 'Two');
    await taken(at, tree, 'main', 'side');
    at.check(table('name = "types"', 'extensions-refuse = [".exe"]'));
    await gitOk(tree, 'merge', '-q', '-m', 'Plain', 'side');
    await taken(at, tree, 'main');
    await gitOk(tree, 'checkout', '-q', 'side');
    await put(tree, 'c');
    await commit(tree, 'Three');
    await gitOk(tree, 'merge', '-q', '--no-commit', '--no-ff', 'main');
    await put(tree, 'evil.exe');
    await commit(tree, 'Evil');
    const text = await refused(at, tree, 'side');
    assert.match(text, /"Evil": evil\.exe: files of the type/);
    assert.doesNotMatch(text, /old\.exe/);
  });

  test('a merge does not put back an old version of a file that nobody may change, nor takes it away', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    await put(tree, 'ci/run', 'old');
    await commit(tree, 'Old');
    const old = await gitOk(tree, 'rev-parse', 'HEAD');
    await put(tree, 'ci/run', 'new');
    await put(tree, 'ci/more', 'new');
    await commit(tree, 'New');
    await taken(at, tree, 'main');
    at.check(table('name = "ci"', 'paths-refuse = ["ci/*"]'));
    await gitOk(tree, 'checkout', '-q', '-b', 'side', old);
    await put(tree, 'a');
    await commit(tree, 'Harmless');
    const merge = async (treeOf: string, ...parents: readonly string[]): Promise<string> => {
      const words = parents.flatMap((parent) => ['-p', parent]);
      return gitOk(tree, 'commit-tree', ...words, '-m', 'Merge', `${treeOf}^{tree}`);
    };
    for (const parents of [
      ['main', 'side'],
      ['side', 'main'],
      ['main', old],
      ['main', 'side', old],
    ]) {
      const evil = await merge('side', ...parents);
      const text = await refused(at, tree, `${evil}:refs/heads/main`);
      assert.match(text, /"Merge": ci\/more: this path is not to be changed/);
      assert.match(text, /"Merge": ci\/run: this path is not to be changed/);
    }
    await gitOk(tree, 'merge', '-q', '-m', 'Follow', 'main');
    await taken(at, tree, 'side', 'side:main');
  });

  test('sizes of files are asked about while git still lists what changed', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    at.check(table('name = "size"', 'file-bytes-max = "1KiB"'));
    // More than are asked about together, then more than git can write before somebody reads it.
    const of = (name: string, count: number): string =>
      Array.from({ length: count }, (_, index) => `M 100644 :1 ${name}/${index}\n`).join('');
    const head = 'commit refs/heads/many\ncommitter C <c@example.org> 1700000000 +0000\ndata 0\n';
    const input = `blob\nmark :1\ndata 2000\n${'x'.repeat(2_000)}\n${head}${of('few', 5_001)}\n${head}${of('more', 30_000)}\n`;
    execFileSync('git', ['fast-import', '--quiet'], { cwd: tree, env: GIT_ENV, input });
    assert.match(await refused(at, tree, 'many'), /few\/0: the file has 2000 bytes: at most 1024/);
  });

  test('what leads to no commit does not pass a check of files', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    await put(tree, 'a');
    await commit(tree, 'One');
    at.check(table('name = "size"', 'file-bytes-max = "1MiB"'));
    await gitOk(tree, 'tag', 'blob', 'HEAD:a');
    await gitOk(tree, 'tag', '-m', 'A tree', 'tree', 'HEAD^{tree}');
    await gitOk(tree, 'tag', 'old', 'HEAD:a');
    at.check('');
    await taken(at, tree, 'old');
    at.check(table('name = "size"', 'refs = ["refs/tags/*", "refs/heads/*"]', 'file-bytes-max = "1MiB"'));
    assert.match(await refused(at, tree, 'blob'), /it leads to no commit/);
    assert.match(await refused(at, tree, 'tree'), /it leads to no commit/);
    await taken(at, tree, 'main');
  });

  test('changes of refs: deletions and rewinds are refused where a check says so', async (t) => {
    const at = await openCheckSite(t);
    const tree = await at.site.workTree();
    await commit(tree, 'One');
    await commit(tree, 'Two');
    await taken(at, tree, 'main', 'main:topic');
    at.check(table('name = "keep"', 'changes-refuse = ["delete", "rewind"]', 'push-certificate = false'));
    assert.match(await refused(at, tree, '+main^:main'), /taking commits away from a ref is not allowed here/);
    assert.match(await refused(at, tree, ':topic'), /deleting a ref is not allowed here/);
  });
});
