/**
 * What gitolite's shell adds to a request through OpenSSH, ours next to the real gitolite's in one run: the same sshd
 * settings, the same repository, the same client, taking turns. `npm run bench -- openssh [ROUNDS]`
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { Account, OWN_PROGRAMS, realPrograms, type Programs } from '../test/support/account.ts';
import { noSshd, startSshd, type Sshd } from '../test/support/sshd.ts';
import { expectRun, suiteScope, type Scope } from '../test/support/workspace.ts';
import { lineOf, summaryOf, timed } from './measure.ts';

interface Side {
  readonly account: Account;
  readonly sshd: Sshd;
  readonly keyPath: string;
}

const ROUNDS = 20;
const KEYS = 20_000;
const CONNECTION = '192.0.2.7 40000 192.0.2.1 22';

/** Resolves with the exit code. */
export async function benchOpenSsh([rounds = String(ROUNDS)]: readonly string[]): Promise<number> {
  const real = realPrograms();
  const reason = noSshd() || (real === undefined ? 'the real gitolite is not installed' : false);
  if (reason !== false || real === undefined) {
    process.stdout.write(`openssh: skipped, ${String(reason)}\n`);
    return 0;
  }
  const scope = suiteScope();
  try {
    const ours = await open(scope, OWN_PROGRAMS);
    const theirs = await open(scope, real);
    await compare(ours, theirs, Number(rounds));
    await lookUp(ours);
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

async function compare(ours: Side, theirs: Side, rounds: number): Promise<void> {
  const measures: readonly (readonly [string, (side: Side) => Promise<unknown>])[] = [
    ['ls-remote through sshd', lsRemote],
    ['the shell alone, ls-remote', (side) => shell(side, "git-upload-pack 'testing'", '0000')],
    ['the shell alone, info', (side) => shell(side, 'info', '')],
  ];
  for (const [what, act] of measures) {
    const [own, other]: readonly [number[], number[]] = [[], []];
    for (const side of [ours, theirs]) await act(side);
    for (let round = 0; round < rounds; round += 1) {
      own.push(await timed(() => act(ours)));
      other.push(await timed(() => act(theirs)));
    }
    process.stdout.write(lineOf(summaryOf({ what, ours: own, theirs: other })));
  }
}

function lsRemote({ account, sshd, keyPath }: Side): Promise<string> {
  const env = { ...account.env, GIT_SSH_COMMAND: sshd.client(keyPath) };
  return expectRun('git', ['ls-remote', 'site:testing'], { env, cwd: account.work });
}

function shell({ account }: Side, command: string, stdin: string): Promise<string> {
  const env = { ...account.env, SSH_CONNECTION: CONNECTION, SSH_ORIGINAL_COMMAND: command };
  return expectRun(account.programs.shell, ['admin'], { env, cwd: account.home, stdin });
}

/** One of 20,000 keys, as sshd asks for it. */
async function lookUp({ account }: Side): Promise<void> {
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
  for (let round = 0; round < ROUNDS; round += 1) times.push(await timed(ask));
  const middleMs = times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
  process.stdout.write(
    `one key of ${KEYS}, as sshd asks: ${middleMs.toFixed(1)} ms, the first time ${firstMs.toFixed(1)} ms\n`,
  );
}
