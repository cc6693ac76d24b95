/**
 * `npm test`: set-up (client programs too), then every test but the long ones of test/soak.
 * `npm test -- PATTERN ...` runs only the files whose path contains a pattern; words that start with `-` go to
 * node --test as they are.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { runChild } from './child.mjs';
import { ROOT, setUpOrExit } from './setup.mjs';

const TEST_MS_MAX = 10 * 60_000;

/** In no order: `node --test` sorts what it is given. */
function testFiles() {
  const found = readdirSync(join(ROOT, 'test'), { recursive: true }).map((path) => join('test', path));
  return found.filter((path) => path.endsWith('.test.ts') && !path.startsWith(join('test', 'soak')));
}

/** A file named in full is taken even from test/soak. */
function select(files, patterns) {
  if (patterns.length === 0) return files;
  const named = patterns
    .map((pattern) => relative(ROOT, join(process.cwd(), pattern)))
    .filter((path) => path.endsWith('.ts'));
  return [...new Set([...files.filter((file) => patterns.some((pattern) => file.includes(pattern))), ...named])];
}

const { node } = setUpOrExit({ tests: true });
const words = process.argv.slice(2);
const files = select(
  testFiles(),
  words.filter((word) => !word.startsWith('-')),
);
if (files.length === 0) {
  process.stderr.write(`gatehouse test: no test file matches ${words.join(' ')}\n`);
  process.exit(1);
}
// Tests wait for disks and for each other's programs about as long as they compute.
const concurrency = Math.min(8, 2 * availableParallelism());
process.exitCode = await runChild({
  program: node,
  args: [
    '--test',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${TEST_MS_MAX}`,
    `--test-reporter=${join(ROOT, 'scripts', 'reporter.mjs')}`,
    '--test-reporter-destination=stdout',
    ...words.filter((word) => word.startsWith('-')),
    ...files,
  ],
  cwd: ROOT,
  // Tests that call `node` mean the one that runs them.
  env: { ...process.env, PATH: `${join(ROOT, 'node_modules', '.bin')}:${process.env.PATH ?? ''}` },
});
