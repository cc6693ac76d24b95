/**
 * What gitolite's shell adds to a request through OpenSSH, ours next to the real gitolite's in one run: the same sshd
 * settings, the same repository, the same client, taking turns.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { Account, OWN_PROGRAMS, realPrograms, type Programs } from '../test/support/account.ts';
import { type AnyProgram, readFlags } from '../test/support/flags.ts';
import { noSshd, startSshd, type Sshd } from '../test/support/sshd.ts';
import { expectRun, suiteScope, type Scope } from '../test/support/workspace.ts';
import { lineOf, skipped, summaryOf, timed, type Summary } from './measure.ts';

interface Side {
  readonly account: Account;
  readonly sshd: Sshd;
  readonly keyPath: string;
}

const ROUNDS = 20;
const KEYS = 20_000;
const CONNECTION = '192.0.2.7 40000 192.0.2.1 22';

const PROGRAM = {
  call: 'npm run bench -- openssh',
  about: "What gitolite's shell adds to a request through OpenSSH, ours beside the real one's; one key of many.",
  flags: {
    rounds: { kind: 'count', about: 'turns of each side', default: ROUNDS, least: 1 },
    json: { kind: 'switch', about: 'one line of JSON' },
  },
  examples: ['', '--rounds 5'],
} satisfies AnyProgram;

/** Resolves with the exit code. */
export async function benchOpenSsh(args: readonly string[]): Promise<number> {
  const flags = readFlags(PROGRAM, args);
  if (flags.kind === 'end') return flags.code;
  const { rounds, json } = flags.values;
  const real = realPrograms();
  const reason = noSshd() || (real === undefined ? 'the real gitolite is not installed' : false);
  if (reason !== false || real === undefined) return skipped('openssh', reason, json);
  const scope = suiteScope();
  try {
    const ours = await open(scope, OWN_PROGRAMS);
    const theirs = await open(scope, real);
    const summaries = await compare(ours, theirs, { rounds, json });
    const key = await lookUp(ours, rounds);
    const { middleMs, firstMs } = key;
    process.stdout.write(
      json
        ? `${JSON.stringify({ bench: 'openssh', rounds, summaries, key })}\n`
        : `one key of ${KEYS}, as sshd asks: ${middleMs.toFixed(1)} ms, the first time ${firstMs.toFixed(1)} ms\n`,
    );
    return 0;
  } finally {
    await scope.close();
  }
}

async function open(scope: Scope, programs: Programs): Promise<Side> {
  const account = new Account(scope, programs);
  const keyPath = join(account.work, 'admin');
  await expectRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', keyPath]);
  await expectRun(programs.gitolite, ['setup', '-pk', `${keyPath}.pub`], { env: account.env, cwd: account.home });
  const lines = [`AuthorizedKeysFile ${account.home}/.ssh/authorized_keys`];
  return { account, keyPath, sshd: await startSshd(scope, { home: account.home, lines }) };
}

interface Shape {
  readonly rounds: number;
  readonly json: boolean;
}

async function compare(ours: Side, theirs: Side, { rounds, json }: Shape): Promise<readonly Summary[]> {
  const measures: readonly (readonly [string, (side: Side) => Promise<unknown>])[] = [
    ['ls-remote through sshd', lsRemote],
    ['the shell alone, ls-remote', (side) => shell(side, "git-upload-pack 'testing'", '0000')],
    ['the shell alone, info', (side) => shell(side, 'info', '')],
  ];
  const summaries: Summary[] = [];
  for (const [what, act] of measures) {
    const [own, other]: readonly [number[], number[]] = [[], []];
    for (const side of [ours, theirs]) await act(side);
    for (let round = 0; round < rounds; round += 1) {
      own.push(await timed(() => act(ours)));
      other.push(await timed(() => act(theirs)));
    }
    const summary = summaryOf({ what, ours: own, theirs: other });
    summaries.push(summary);
    if (!json) process.stdout.write(lineOf(summary));
  }
  return summaries;
}

function lsRemote({ account, sshd, keyPath }: Side): Promise<string> {
  const env = { ...account.env, GIT_SSH_COMMAND: sshd.client(keyPath) };
  return expectRun('git', ['ls-remote', 'site:testing'], { env, cwd: account.work });
}

function shell({ account }: Side, command: string, stdin: string): Promise<string> {
  const env = { ...account.env, SSH_CONNECTION: CONNECTION, SSH_ORIGINAL_COMMAND: command };
  return expectRun(account.programs.shell, ['admin'], { env, cwd: account.home, stdin });
}

interface KeyTimes {
  readonly keys: number;
  readonly middleMs: number;
  readonly firstMs: number;
}

/** One of 20,000 keys, as sshd asks for it. */
async function lookUp({ account }: Side, rounds: number): Promise<KeyTimes> {
  const folder = join(account.home, '.gitolite/keydir/many');
  mkdirSync(folder);
  const head = Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.from([0, 0, 0, 32])]);
  let encoded = '';
  for (let index = 0; index < KEYS; index += 1) {
    encoded = Buffer.concat([head, randomBytes(32)]).toString('base64');
    writeFileSync(join(folder, `user${index}.pub`), `ssh-ed25519 ${encoded} user${index}\n`);
  }
  const program = join(account.programs.shell, '..', 'gatehouse-shell');
  const words = ['--authorized-keys', userInfo().username, encoded];
  const ask = async (): Promise<void> => {
    const line = await expectRun(program, words, { env: account.env, cwd: account.home });
    if (!line.startsWith('command=')) throw new Error(`the key was not found: ${line}`);
  };
  const firstMs = await timed(ask);
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) times.push(await timed(ask));
  const middleMs = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
  return { keys: KEYS, middleMs, firstMs };
}
