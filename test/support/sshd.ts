/** A real sshd on a loopback port, as the user who runs the test, for that user alone. */
import { spawn } from 'node:child_process';
import { accessSync, chmodSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { cleanEnvironment, expectRun, freePort, hasProgram, workspace, type Scope } from './workspace.ts';

const PROGRAM = '/usr/sbin/sshd';

/** Why there is none; false: there is. */
export function noSshd(): string | false {
  if (!hasProgram('ssh') || !hasProgram('ssh-keygen')) return 'the OpenSSH client is not installed';
  try {
    accessSync(PROGRAM, constants.X_OK);
    return false;
  } catch {
    return 'sshd is not installed';
  }
}

export interface SshdOptions {
  /** HOME of the sessions, in place of the user's own. */
  readonly home: string;
  /** Further lines of sshd_config. */
  readonly lines: readonly string[];
  /** Clients may ask for a version of Git's protocol. Default true. */
  readonly takesProtocol?: boolean;
}

export interface Sshd {
  readonly port: number;
  /** `TYPE BASE64`. */
  readonly hostKey: string;
  /** `GIT_SSH_COMMAND` of a client with this key. */
  client(keyPath: string): string;
  /** What sshd has said. */
  log(): string;
}

/** Serves until the scope ends. */
export async function startSshd(scope: Scope, { home, lines, takesProtocol = true }: SshdOptions): Promise<Sshd> {
  const directory = workspace(scope, 'gatehouse-sshd-');
  const hostKey = join(directory, 'host-key');
  await expectRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', hostKey]);
  const port = await freePort();
  const config = join(directory, 'sshd_config');
  const { username } = userInfo();
  const protocol = takesProtocol ? ['AcceptEnv GIT_PROTOCOL'] : [];
  writeFileSync(
    config,
    [...baseConfig({ port, hostKey, directory, home, username }), ...protocol, ...lines, ''].join('\n'),
  );
  // Where sshd runs as root it asks for this directory.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const sshd = spawn(PROGRAM, ['-D', '-e', '-f', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: cleanEnvironment(home),
  });
  scope.after(() => sshd.kill('SIGKILL'));
  let said = '';
  await new Promise<void>((resolve, reject) => {
    sshd.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('Server listening')) resolve();
    });
    sshd.once('exit', (code) => {
      reject(new Error(`sshd ended with ${code}: ${said}`));
    });
  });
  const known = join(directory, 'known_hosts');
  return {
    port,
    hostKey: readFileSync(`${hostKey}.pub`, 'utf8').split(' ').slice(0, 2).join(' ').trim(),
    client: (keyPath) => clientCommand({ port, keyPath, known, username }),
    log: () => said,
  };
}

interface Base {
  readonly port: number;
  readonly hostKey: string;
  readonly directory: string;
  readonly home: string;
  readonly username: string;
}

function baseConfig({ port, hostKey, directory, home, username }: Base): readonly string[] {
  return [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${hostKey}`,
    `PidFile ${join(directory, 'sshd.pid')}`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin yes',
    `AllowUsers ${username}`,
    'MaxStartups 200',
    `SetEnv HOME=${home}`,
  ];
}

/** A wrapper of ssh's options; the host is `site`. */
function clientCommand(about: {
  readonly port: number;
  readonly keyPath: string;
  readonly known: string;
  readonly username: string;
}): string {
  const { port, keyPath, known, username } = about;
  chmodSync(keyPath, 0o600);
  const options = [
    'HostName=127.0.0.1',
    `Port=${port}`,
    `User=${username}`,
    `IdentityFile=${keyPath}`,
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'BatchMode=yes',
    'StrictHostKeyChecking=no',
    `UserKnownHostsFile=${known}`,
    'LogLevel=ERROR',
  ];
  return `ssh -F none ${options.map((option) => `-o ${option}`).join(' ')}`;
}
