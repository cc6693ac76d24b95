/** A repository's git configuration, read and written without git: the same as git reads and writes it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, suite } from 'node:test';
import { appendSettings, gitConfigText, valuesIn } from '../../src/gitolite/git-config-file.ts';

const BARE = '[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n';

suite('the git configuration of a repository', () => {
  test('is read as git reads it', () => {
    using file = newFile(
      `${BARE}; comment\n[a "Sub \\"Q\\\\"]\n\tKey = " lead and trail "\n  Flag\n\tTab = a\\tb\n[A]\nx=1\n[a]\nX = 2\n`,
    );
    const found = valuesIn(gitConfigText(file.path) ?? assert.fail()) ?? assert.fail();
    const lines = [...found].flatMap(([key, values]) => values.map((value) => `${key}=${value}`));
    const listed = git(['config', '--file', file.path, '-l', '-z'])
      .split('\0')
      .filter((line) => line !== '');
    assert.deepEqual(
      lines.sort(),
      listed.map((line) => (line.includes('\n') ? line.replace('\n', '=') : `${line}=true`)).sort(),
    );
  });

  test('is left to git where it is not simple', () => {
    for (const text of ['[a]\nx = 1 # why\n', '[a]\nx = one \\\ntwo\n', '[a]\nx = "open\n', 'x = 1\n', '[a.b\nx = 1\n'])
      assert.equal(readGitConfigOf(text), undefined, text);
    assert.equal(gitConfigText('/nonexistent/config'), undefined);
  });

  test('gets new sections in the bytes that git would write', () => {
    const settings = [
      { key: 'gitweb.description', value: 'Project number 1' },
      { key: 'gitweb.owner', value: 'a, b' },
      { key: 'hooks.Mixed.Case', value: 'list-1@example.org' },
    ];
    using ours = newFile(BARE);
    using theirs = newFile(BARE);
    assert.equal(appendSettings(ours.path, settings), true);
    for (const { key, value } of settings) git(['config', '--file', theirs.path, key, value]);
    assert.equal(readFileSync(ours.path, 'utf8'), readFileSync(theirs.path, 'utf8'));
  });

  test('is not written where git must decide, or writes', () => {
    using file = newFile(BARE);
    for (const [key, value] of [
      ['core.sharedRepository', '0660'],
      ['a.b', ' leading'],
      ['a.b', 'with "quotes"'],
      ['a.b', 'one;two'],
      ['nodot', 'x'],
      ['a.b c"d.e', 'x'],
    ] as const)
      assert.equal(appendSettings(file.path, [{ key, value }]), false, `${key} ${value}`);
    writeFileSync(`${file.path}.lock`, '');
    assert.equal(appendSettings(file.path, [{ key: 'a.b', value: 'c' }]), false);
    assert.equal(readFileSync(file.path, 'utf8'), BARE);
  });
});

function readGitConfigOf(text: string): ReturnType<typeof valuesIn> {
  using file = newFile(text);
  return valuesIn(gitConfigText(file.path) ?? assert.fail());
}

function newFile(text: string): Disposable & { readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'gatehouse-config-'));
  const path = join(folder, 'config');
  writeFileSync(path, text);
  return {
    path,
    [Symbol.dispose]: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function git(args: readonly string[]): string {
  return execFileSync('git', args, { encoding: 'utf8', env: { PATH: process.env['PATH'], GIT_CONFIG_NOSYSTEM: '1' } });
}
