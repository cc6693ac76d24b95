/** Command lines as Perl's Getopt::Long reads them. */
import assert from 'node:assert/strict';
import { test, suite } from 'node:test';
import { getOptions, type OptionSpec } from '../../src/gitolite/getopt.ts';
import { newGround } from './ground.ts';

const SPECS: readonly OptionSpec[] = [
  { names: ['admin', 'a'], takesValue: true },
  { names: ['hooks-only', 'ho'] },
  { names: ['help', 'h'] },
];

async function read(...args: readonly string[]): Promise<unknown> {
  return readWith(SPECS, args);
}

async function readWith(specs: readonly OptionSpec[], args: readonly string[]): Promise<unknown> {
  await using ground = await newGround();
  const { run, stderr } = await ground.newRun();
  const given = await getOptions(run, args, specs);
  return given === undefined ? stderr() : [Object.fromEntries(given.options), ...given.operands];
}

suite('getOptions', () => {
  test('finds options anywhere, in any case, with one dash or two, and shortened', async () => {
    assert.deepEqual(await read('x', '-a', 'me', '--HO', 'y', '--hoo'), [{ admin: 'me', 'hooks-only': '' }, 'x', 'y']);
    assert.deepEqual(await read('--admin=me', '--adm=you'), [{ admin: 'you' }]);
    assert.deepEqual(await read('-h', '--', '-a', '-x'), [{ help: '' }, '-a', '-x']);
    assert.deepEqual(await read('-'), [{}, '-']);
  });

  test('says what it does not know', async () => {
    assert.equal(await read('-x'), 'WARNING: Unknown option: x\n\n');
    assert.equal(await read('--ho=x'), 'WARNING: Option ho does not take an argument\n\n');
    assert.equal(await read('-HOO=x'), 'WARNING: Option hooks-only does not take an argument\n\n');
    assert.equal(await read('-XyZ'), 'WARNING: Unknown option: xyz\n\n');
    assert.equal(await read('-adm'), 'WARNING: Option admin requires an argument\n\n');
    assert.equal(await read('--h=x'), 'WARNING: Option h does not take an argument\n\n');
    assert.equal(await read('-a'), 'WARNING: Option a requires an argument\n\n');
  });

  test('says between what it cannot choose, and chooses between two names of one option', async () => {
    const specs: readonly OptionSpec[] = [{ names: ['nothing'] }, { names: ['nonl', 'n'] }, { names: ['quiet', 'qq'] }];
    assert.equal(await readWith(specs, ['-NO']), 'WARNING: Option no is ambiguous (nonl, nothing)\n\n');
    assert.deepEqual(await readWith(specs, ['-n', '-q']), [{ nonl: '', quiet: '' }]);
    assert.equal(await readWith(specs, ['-q=1']), 'WARNING: Option quiet does not take an argument\n\n');
  });
});
