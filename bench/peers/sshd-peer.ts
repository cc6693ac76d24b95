/**
 * What most people run: OpenSSH as Debian sets it up, with gitolite or git-shell behind a forced command. Tuned means: no
 * sntrup key exchange, no PAM, room for 200 logins at once. All of them take GIT_PROTOCOL, which helps them.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { realPrograms } from '../../test/support/account.ts';
import { cleanEnvironment, expectRun, freePort } from '../../test/support/workspace.ts';
import { Meter } from './meter.ts';
import {
  clientEnvironment,
  fillings,
  newHome,
  sshArgv,
  type BenchGround,
  type Peer,
  type PeerName,
  type Served,
} from './peer.ts';
import { fill } from './shapes.ts';

const SSHD = '/usr/sbin/sshd';
const CLASSIC_KEX = 'curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group16-sha512';

export async function startGitShell(ground: BenchGround, name: 'git-shell' | 'git-shell tuned'): Promise<Peer> {
  const home = newHome(ground, name);
  const keyPath = await makeKey(home);
  const served = await fillFolder(ground, join(home, 'served'));
  mkdirSync(join(home, '.ssh'), { recursive: true });
  const command = `git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"`;
  writeFileSync(
    join(home, '.ssh/authorized_keys'),
    `command="${command}",restrict ${readFileSync(`${keyPath}.pub`, 'utf8')}`,
  );
  return open(ground, {
    name,
    home,
    keyPath,
    tuned: name === 'git-shell tuned',
    path: (repository) => join(served, `${repository}.git`),
  });
}

/** Undefined where the real gitolite is not installed. */
export async function startGitolite(ground: BenchGround): Promise<Peer | undefined> {
  const programs = realPrograms();
  if (programs === undefined) return undefined;
  const home = newHome(ground, 'gitolite');
  const keyPath = await makeKey(home);
  const env = { ...cleanEnvironment(home), USER: userInfo().username, LOGNAME: userInfo().username };
  await expectRun(programs.gitolite, ['setup', '-pk', `${keyPath}.pub`], { env, cwd: home });
  const names = fillings(ground.templates).map(([name]) => name);
  writeFileSync(
    join(home, '.gitolite/conf/gitolite.conf'),
    `repo gitolite-admin ${names.join(' ')}\n    RW+ = bench\n`,
  );
  await expectRun(programs.gitolite, ['compile'], { env, cwd: home });
  for (const [name, template] of fillings(ground.templates))
    await fill(template, join(home, 'repositories', `${name}.git`));
  return open(ground, { name: 'gitolite', home, keyPath, tuned: false, path: (repository) => repository });
}

/** The bare repositories as plain directories. */
export async function fillFolder(ground: BenchGround, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  for (const [name, template] of fillings(ground.templates)) {
    const path = join(folder, `${name}.git`);
    await expectRun('git', ['init', '-q', '--bare', path], { env: cleanEnvironment('/') });
    await expectRun('git', ['-C', path, 'config', 'http.receivepack', 'true'], { env: cleanEnvironment('/') });
    // Large files are sent as they lie there, without a search for deltas: the row is about bytes.
    if (name === 'stream')
      await expectRun('git', ['-C', path, 'config', 'core.bigFileThreshold', '1m'], { env: cleanEnvironment('/') });
    await fill(template, path);
  }
  return folder;
}

interface Account {
  readonly name: PeerName;
  readonly home: string;
  readonly keyPath: string;
  readonly tuned: boolean;
  path(repository: Served): string;
}

async function open(ground: BenchGround, account: Account): Promise<Peer> {
  const { name, home, keyPath } = account;
  const path = (repository: Served): string => account.path(repository);
  const meter = new Meter(ground.scope, name.replaceAll(' ', '-'));
  const port = await startServer(ground, { ...account, meter });
  const argv = sshArgv(keyPath, { host: '127.0.0.1', port: String(port), user: userInfo().username });
  return {
    name,
    meter,
    reach: { kind: 'ssh', argv, path },
    env: { ...clientEnvironment(home), GIT_SSH_COMMAND: argv.join(' '), GIT_SSH_VARIANT: 'ssh' },
    url: (repository) => `bench:${path(repository)}`,
  };
}

async function startServer(
  ground: BenchGround,
  { home, tuned, meter }: Account & { readonly meter: Meter },
): Promise<number> {
  const port = await freePort();
  const hostKey = join(home, 'host-key');
  await expectRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', hostKey]);
  const config = join(home, 'sshd_config');
  const lines = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${hostKey}`,
    `PidFile ${join(home, 'sshd.pid')}`,
    `AuthorizedKeysFile ${home}/.ssh/authorized_keys`,
    'StrictModes no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'AcceptEnv LANG LC_* GIT_PROTOCOL',
    `SetEnv HOME=${home}`,
    ...(tuned ? ['UsePAM no', 'MaxStartups 200', `KexAlgorithms ${CLASSIC_KEX}`] : ['UsePAM yes']),
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const child = spawn(SSHD, ['-D', '-e', '-f', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: cleanEnvironment(home),
  });
  const ended = once(child, 'exit');
  ground.scope.after(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  await new Promise<void>((resolve, reject) => {
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000);
      if (said.includes('Server listening')) resolve();
    });
    child.once('exit', (code) => {
      reject(new Error(`sshd ended with ${code}: ${said}`));
    });
  });
  meter.add(child.pid ?? 0);
  return port;
}

async function makeKey(home: string): Promise<string> {
  const keyPath = join(home, 'bench');
  await expectRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'bench', '-f', keyPath]);
  chmodSync(keyPath, 0o600);
  return keyPath;
}
