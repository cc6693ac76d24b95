/** Benches, soaks and comparisons read what is typed behind their names alike, and say what is wrong with it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from './workspace.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const call = (file: string, ...words: readonly string[]): ReturnType<typeof run> =>
  run(process.execPath, [join(ROOT, file), ...words], { cwd: ROOT });

const PROGRAMS: readonly (readonly string[])[] = [
  ['bench/run.ts'],
  ...['gitolite', 'peers', 'openssh', 'mirror', 'scan'].map((name) => ['bench/run.ts', name]),
  ...['crash', 'gate', 'receive', 'load'].map((name) => [`test/soak/${name}.ts`]),
  ['test/compare/gitolite.ts'],
];

test('every command of the repository shows what it takes, and says what it does not take', async () => {
  for (const [file = '', ...words] of PROGRAMS) {
    const help = await call(file, ...words, '--help');
    assert.equal(help.code, 0, help.stderr);
    assert.match(help.stdout, /\n\nUsage: npm run [a-z:]+.*\[FLAGS\]\n\n.*\n\nExamples:\n {2}npm run /s, file);
  }
  for (const [file = '', ...words] of [PROGRAMS[0] ?? [], PROGRAMS[1] ?? [], PROGRAMS.at(-1) ?? []]) {
    const wrong = await call(file, ...words, '--nonsense');
    assert.equal(wrong.code, 2, wrong.stdout);
    assert.match(wrong.stderr, /--nonsense/);
    assert.match(wrong.stderr, /--help shows what there is\n$/);
    assert.doesNotMatch(wrong.stderr, /\n {4}at /, 'no stack trace');
  }
});

test('what is no number, or too small a one, is refused before anything runs', async () => {
  for (const [file, ...words] of [
    ['test/compare/gitolite.ts', '--decisions', 'many'],
    ['test/compare/gitolite.ts', '--decisions', '0'],
    ['test/compare/gitolite.ts', '--seed=-1'],
    ['test/compare/gitolite.ts', '--seed=1e3'],
  ] as const) {
    const { code, stderr } = await call(file, ...words);
    assert.equal(code, 2);
    assert.match(stderr, /^--(?:decisions|seed) takes a whole number from [01] on, not '(?:many|0|-1|1e3)'\n/);
  }
  const { code, stderr } = await call('test/compare/gitolite.ts', 'adapt');
  assert.equal(code, 2);
  assert.match(stderr, /^'adapt' means nothing here\n/);
});
