/** The command line of `git archive --remote`: what is let through and what is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { archiveWords, parseArchiveArguments } from '../../src/upload/archive-arguments.ts';

function wordsFor(...words: readonly string[]): readonly string[] {
  const parsed = parseArchiveArguments(words);
  assert.ok(parsed.kind === 'ok', `refused: ${words.join(' ')}`);
  return archiveWords(parsed.value, parsed.value.revision === undefined ? undefined : 'OID');
}

test('the harmless options are passed on, in one spelling, and the operands behind a --', () => {
  assert.deepEqual(wordsFor('main'), ['--', 'OID']);
  assert.deepEqual(wordsFor('--format=zip', '-9', '-v', '--prefix=p/', 'v1.0', 'docs', ':!x'), [
    '--verbose',
    '--format=zip',
    '--prefix=p/',
    '-9',
    '--',
    'OID',
    'docs',
    ':!x',
  ]);
  assert.deepEqual(wordsFor('--format', 'tgz', 'main:src/lib', '--prefix', 'p/'), [
    '--format=tgz',
    '--prefix=p/',
    '--',
    'OID:src/lib',
  ]);
  assert.deepEqual(wordsFor('-l'), ['--list']);
  assert.deepEqual(wordsFor('--', 'main', '--output=x'), ['--', 'OID', '--output=x']);
});

test('options that read or write files of the server, or that git would abbreviate, are refused', () => {
  const options = [
    '--output=/tmp/x',
    '-o',
    '-o/tmp/x',
    '--add-file=/etc/passwd',
    '--add-virtual-file=a:b',
    '--worktree-attributes',
  ];
  for (const option of [
    ...options,
    '--remote=x',
    '--exec=x',
    '--form=tar',
    '--format=../x',
    '--format=',
    '-10',
    '--mtime=0',
  ]) {
    assert.equal(parseArchiveArguments([option, 'main']).kind, 'refused', option);
  }
});

test('a tree-ish in the revision language is refused', () => {
  for (const treeish of [
    'main~1',
    'main^',
    'main^{tree}',
    'main@{1}',
    '@{-1}',
    ':/fix',
    '',
    ':path',
    '*',
    'a b',
    '@',
    'main\u0000',
  ]) {
    assert.equal(parseArchiveArguments([treeish]).kind, 'refused', JSON.stringify(treeish));
  }
});

test('a newline or NUL in an argument is refused wherever it stands', () => {
  for (const word of ['a\nb', 'a\0b']) {
    for (const words of [[word], ['main', word], [`--prefix=${word}`, 'main'], ['--', 'main', word]]) {
      assert.equal(parseArchiveArguments(words).kind, 'refused');
    }
  }
});

test('no tree-ish is refused', () => {
  assert.equal(parseArchiveArguments([]).kind, 'refused');
  assert.equal(parseArchiveArguments(['-v']).kind, 'refused');
});
