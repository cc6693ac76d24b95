/** `npm run check`: types, lint, format, unused code and tests; one line a part, output only of what failed. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { runChild } from './child.mjs';
import { ROOT, setUpOrExit } from './setup.mjs';

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

const { node } = setUpOrExit({ tests: true });
const bin = (name) => join(ROOT, 'node_modules', '.bin', name);
const PARTS = [
  { name: 'types', program: bin('tsc'), args: ['-p', '.'] },
  { name: 'lint', program: bin('oxlint'), args: ['--type-aware', 'src', 'test', 'scripts'] },
  { name: 'format', program: bin('oxfmt'), args: ['--check', 'src', 'test', 'scripts'] },
  { name: 'unused', program: bin('knip'), args: [] },
];

/** @returns whether the part passed */
function run(part) {
  const started = Date.now();
  const env = { ...process.env, PATH: `${join(ROOT, 'node_modules', '.bin')}:${process.env.PATH ?? ''}` };
  const result = spawnSync(part.program, part.args, { cwd: ROOT, encoding: 'utf8', env, maxBuffer: OUTPUT_BYTES_MAX });
  const passed = result.status === 0;
  process.stdout.write(`${passed ? 'ok  ' : 'FAIL'} ${part.name}  ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
  if (!passed) process.stdout.write(`${result.error?.message ?? ''}${result.stdout ?? ''}${result.stderr ?? ''}\n`);
  return passed;
}

const failed = PARTS.filter((part) => !run(part)).map((part) => part.name);
const testsExit = await runChild({ program: node, args: [join(ROOT, 'scripts', 'test.mjs')], cwd: ROOT });
process.stdout.write(`${testsExit === 0 ? 'ok  ' : 'FAIL'} tests\n`);
if (testsExit !== 0) failed.push('tests');
process.stdout.write(failed.length === 0 ? 'everything passed\n' : `failed: ${failed.join(', ')}\n`);
process.exitCode = failed.length === 0 ? 0 : 1;
