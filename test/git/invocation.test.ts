import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Fault } from '../../src/base/fault.ts';
import { ALLOWED } from '../../src/git/allowed-options.ts';
import { invocationOf } from '../../src/git/invocation.ts';
import { type GitSpec, SUBCOMMANDS } from '../../src/git/processes.ts';
import { addCommits, git, initBare, openGround } from './ground.ts';

const PATH = '/usr/bin:/bin';

function argvOf(spec: Partial<GitSpec> & Pick<GitSpec, 'subcommand'>): readonly string[] {
  return invocationOf({ gitDir: '/r.git', deadlineMs: 1_000, ...spec }, PATH).argv;
}

function isInternal(error: unknown): boolean {
  return error instanceof Fault && error.code === 'internal';
}

test('a subcommand that is not listed cannot be started', () => {
  for (const subcommand of ['config', 'daemon', 'fetch', 'push', '-c', '--exec-path=/tmp', 'constructor', '']) {
    assert.throws(() => argvOf({ subcommand: subcommand as 'init' }), isInternal, subcommand);
  }
});

test('options that start programs, read files or write elsewhere are allowed nowhere', () => {
  const hostile = [
    '--upload-pack=sh --receive-pack=sh --exec=sh -u -c --config=core.sshCommand=sh --ext-diff --textconv --filters',
    '--output=/etc/x -o --git-dir=/x --work-tree=/x --exec-path=/x -p --template=/tmp/t --separate-git-dir=/x',
    '--reference=/x --index-pack=/x --no-index -S -Skey --gpg-sign --shell --lost-found - HEAD --end-of-options --',
    '-F/etc/passwd --stdin-paths --path=x --stdin\0 --stdin\n',
  ].flatMap((line) => line.split(' '));
  for (const subcommand of SUBCOMMANDS) {
    for (const option of hostile) {
      // cat-file -p prints; everywhere else -p is a program or a patch.
      if (subcommand === 'cat-file' && option === '-p') continue;
      assert.throws(() => argvOf({ subcommand, options: [option] }), isInternal, `${subcommand} ${option}`);
    }
  }
});

test('a format that would start gpg is refused where it would', () => {
  for (const format of ['%GG', '%h %G?', '%x00%GK']) {
    assert.throws(() => argvOf({ subcommand: 'rev-list', options: [`--format=${format}`] }), isInternal);
    assert.throws(() => argvOf({ subcommand: 'rev-list', options: [`--pretty=${format}`] }), isInternal);
  }
  assert.throws(() => argvOf({ subcommand: 'for-each-ref', options: ['--format=%(signature:grade)'] }), isInternal);
  assert.deepEqual(argvOf({ subcommand: 'rev-list', options: ['--format=%H %P'] }), ['rev-list', '--format=%H %P']);
});

test('every pattern of the allow-list is anchored at both ends', () => {
  for (const subcommand of SUBCOMMANDS) {
    for (const { source, flags } of ALLOWED[subcommand].patterns ?? []) {
      assert(source.startsWith('^') && source.endsWith('$') && !flags.includes('m'), source);
    }
  }
});

test('an operand never becomes an option', () => {
  const hostile = fc.stringMatching(/^-{1,2}[a-z-]{1,20}(=[ -~]{0,20})?$/);
  fc.assert(
    fc.property(fc.constantFrom(...SUBCOMMANDS), hostile, (subcommand, operand) => {
      let argv: readonly string[];
      try {
        argv = argvOf({ subcommand, operands: [operand] });
      } catch (error) {
        assert(isInternal(error));
        return;
      }
      const position = argv.lastIndexOf(operand);
      assert(['--end-of-options', '--'].includes(argv[position - 1] ?? ''), argv.join(' '));
    }),
  );
});

test('an operand with NUL, a path that is not absolute and a strange configuration key are faults', () => {
  assert.throws(() => argvOf({ subcommand: 'ls-tree', operands: ['a\0b'] }), isInternal);
  assert.throws(() => argvOf({ subcommand: 'ls-tree', gitDir: 'r.git' }), isInternal);
  assert.throws(() => argvOf({ subcommand: 'ls-tree', writable: ['../x'] }), isInternal);
  assert.throws(() => argvOf({ subcommand: 'ls-tree', config: { 'a b': 'x' } }), isInternal);
  assert.throws(() => argvOf({ subcommand: 'ls-tree', config: { 'core.x': 'a\0b' } }), isInternal);
});

test('the environment is built and holds nothing of the gate', () => {
  process.env['GIT_SSH_COMMAND'] = 'leak';
  const { env } = invocationOf({ subcommand: 'ls-tree', gitDir: '/r.git', deadlineMs: 1, protocol: 2 }, PATH);
  delete process.env['GIT_SSH_COMMAND'];
  assert(!Object.values(env).includes('leak'));
  assert.equal(env['PATH'], PATH);
  assert.equal(env['GIT_PROTOCOL'], 'version=2');
  assert.equal(env['GIT_DIR'], '/r.git');
  assert.equal(env['GIT_CONFIG_NOSYSTEM'], '1');
});

test('the configuration of a spec comes after the hardening and wins', async () => {
  const spec = { subcommand: 'ls-tree', gitDir: '/r.git', deadlineMs: 1, config: { 'pack.threads': '1' } } as const;
  const { env } = invocationOf(spec, PATH);
  const pairs = Object.entries(env).filter(([, value]) => value === 'pack.threads');
  assert.equal(pairs.length, 1);
  const number = pairs[0]?.[0].replace('GIT_CONFIG_KEY_', '');
  assert.equal(env[`GIT_CONFIG_VALUE_${number}`], '1');
});

test('this git knows the separator that stands before each subcommand’s operands', async () => {
  await using ground = await openGround();
  const gitDir = await initBare(join(ground.path, 'r.git'));
  const commits = await addCommits(gitDir, 2);
  const [first = '', second = ''] = commits;
  await git(gitDir, ['repack', '-adq']);
  const operands: Partial<Record<GitSpec['subcommand'], readonly string[]>> = {
    'rev-list': [second, `^${first}`],
    'diff-tree': [first, second],
    'ls-tree': [second],
    'merge-base': [first, second],
    'commit-tree': [`${second}^{tree}`],
    'symbolic-ref': ['HEAD'],
    'for-each-ref': ['refs/heads/main'],
    'update-ref': ['refs/heads/new', second],
    'commit-graph': ['write'],
    'multi-pack-index': ['write'],
  };
  for (const [subcommand, words] of Object.entries(operands)) {
    const argv = argvOf({ subcommand: subcommand as GitSpec['subcommand'], operands: words });
    await assert.doesNotReject(git(gitDir, argv, ''), argv.join(' '));
  }
});
