/** The SSH door with real SSH clients: who gets in, what they may ask for, what they read. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import type { Principal } from '../../src/identity/principal.ts';
import type { CommandRun } from '../../src/request/request.ts';
import { startSsh, type SshDoor } from '../../src/transport/ssh.ts';
import { git, GitWalk, makeDirectory, makeKey, makeRepository, person, run, SILENT, type Ran } from './kit.ts';

let directory: AsyncDisposable & { readonly path: string };
let door: SshDoor;
let walk: GitWalk;
const waiting = Promise.withResolvers<void>();
const waited = Promise.withResolvers<void>();
const keys = new Map<string, Principal>();

/** Written one after another from one block of memory. */
const REUSED = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN';
const REUSED_BYTES = 200_000;

async function command({ argv, origin, stdin, stdout, stderr, signal }: CommandRun): Promise<number> {
  switch (argv[0] ?? '') {
    case 'echo':
      stdout.write(`${argv.slice(1).join('|')}\n`);
      return 0;
    case 'whoami':
      stdout.write(`${origin.principal.kind === 'user' ? origin.principal.name : ''} ${origin.address}\n`);
      return 0;
    case 'cat':
      stdout.write(await text(stdin));
      return 0;
    case 'many':
      for (let at = 0; at < 64; at += 1) {
        stdout.write(Buffer.alloc(65_536, 'o'));
        stderr.write(Buffer.alloc(65_536, 'e'));
      }
      return 5;
    case 'reuse': {
      const block = Buffer.alloc(REUSED_BYTES);
      for (const letter of REUSED) {
        block.fill(letter);
        await new Promise<void>((resolve) => stdout.write(block, () => resolve()));
      }
      return 0;
    }
    case 'fail':
      throw new Fault('internal', 'secret is hunter2');
    case 'wait':
      waiting.resolve();
      await once(signal, 'abort');
      waited.resolve();
      return 0;
    default:
      stderr.write(`unknown: ${argv.join(' ')}\n`);
      return 2;
  }
}

before(async () => {
  directory = await makeDirectory();
  for (const [name, args] of [
    ['ed25519', ['-t', 'ed25519']],
    ['ecdsa256', ['-t', 'ecdsa', '-b', '256']],
    ['ecdsa521', ['-t', 'ecdsa', '-b', '521']],
    ['rsa', ['-t', 'rsa', '-b', '3072']],
  ] as const) {
    const { blob } = await makeKey(directory.path, name, args);
    keys.set(blob.toString('base64'), person(name));
  }
  await makeKey(directory.path, 'stranger');
  await makeRepository(directory.path, 'api');
  walk = new GitWalk(directory.path);
  door = await startSsh({
    listen: { host: '127.0.0.1', port: 0 },
    hostKeysDirectory: join(directory.path, 'host-keys'),
    walk,
    commands: {
      run: command,
      greeting: async ({ principal }) => `hello ${principal.kind === 'user' ? principal.name : ''}\n`,
    },
    directory: {
      isKnownKey: async (blob) => keys.has(blob.toString('base64')),
      byKey: async (blob) => keys.get(blob.toString('base64')),
    },
    clock: systemClock,
    log: SILENT,
  });
  const known = door.hostKeys.map((key) => `[127.0.0.1]:${port()} ${key.publicKey}\n`).join('');
  await writeFile(join(directory.path, 'known_hosts'), known);
});

after(async () => {
  await door.close();
  await directory[Symbol.asyncDispose]();
});

function port(): string {
  return door.address.split(':').at(-1) ?? '';
}

function sshArgs(key: string, ...more: readonly string[]): string[] {
  const options = [
    'BatchMode=yes',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'StrictHostKeyChecking=yes',
    `UserKnownHostsFile=${join(directory.path, 'known_hosts')}`,
    'LogLevel=ERROR',
    ...more,
  ];
  return [
    '-F',
    '/dev/null',
    ...options.flatMap((option) => ['-o', option]),
    '-i',
    join(directory.path, key),
    '-p',
    port(),
  ];
}

function ssh(
  key: string,
  words: readonly string[],
  options: { readonly more?: readonly string[]; readonly input?: string | Buffer } = {},
): Promise<Ran> {
  return run('ssh', [...sshArgs(key, ...(options.more ?? [])), 'git@127.0.0.1', ...words], {
    input: options.input ?? '',
  });
}

function gitOver(key: string, args: readonly string[], more: readonly string[] = []): Promise<Ran> {
  return git(args, { env: { GIT_SSH_COMMAND: ['ssh', ...sshArgs(key, ...more)].join(' ') } });
}

for (const key of ['ed25519', 'ecdsa256', 'ecdsa521', 'rsa']) {
  test(`a user with an ${key} key logs in under any SSH user name and is known by the key`, async () => {
    const ran = await run('ssh', [...sshArgs(key), 'whoever@127.0.0.1', 'whoami']);
    assert.deepEqual(ran, { code: 0, stdout: `${key} 127.0.0.1\n`, stderr: '' });
  });
}

test('an RSA signature with SHA-1 is refused', async () => {
  const ran = await ssh('rsa', ['whoami'], { more: ['PubkeyAcceptedAlgorithms=ssh-rsa'] });
  assert.equal(ran.code, 255);
  assert.match(ran.stderr, /Permission denied|no mutual signature/);
});

test('a key nobody has is refused, with public keys as the only way left', async () => {
  const ran = await ssh('stranger', ['whoami']);
  assert.equal(ran.code, 255);
  assert.match(ran.stderr, /Permission denied \(publickey\)/);
});

test('passwords and keyboard-interactive are refused', async () => {
  const more = ['PreferredAuthentications=password,keyboard-interactive'];
  assert.match((await ssh('ed25519', ['whoami'], { more })).stderr, /Permission denied \(publickey\)/);
});

test('a shell request is greeted and ends with 0, with a terminal refused or not asked for', async () => {
  assert.deepEqual(await ssh('ed25519', []), { code: 0, stdout: 'hello ed25519\n', stderr: '' });
  const terminal = await run('ssh', ['-tt', ...sshArgs('ed25519', 'LogLevel=INFO'), 'git@127.0.0.1']);
  assert.match(terminal.stderr, /PTY allocation request failed/);
});

test('a command gets its words as quoted, its input, and gives its exit code', async () => {
  assert.equal((await ssh('ed25519', ['echo', "'a b'", '"c d"', String.raw`e\ f`, 'g*'])).stdout, 'a b|c d|e f|g*\n');
  assert.equal((await ssh('ed25519', ['cat'], { input: 'in and out' })).stdout, 'in and out');
  assert.deepEqual(await ssh('ed25519', ['nonsense']), { code: 2, stdout: '', stderr: 'unknown: nonsense\n' });
});

test('what a shell would expand or run is refused, and never reaches a shell', async () => {
  for (const line of ['echo $HOME', 'echo `id`', 'echo a; id', 'echo a | id', 'echo "$(id)"', "echo 'open"]) {
    const ran = await ssh('ed25519', [line]);
    assert.equal(ran.code, 2, line);
    assert.equal(ran.stdout, '');
    assert.match(ran.stderr, /^gatehouse: (?:there is no shell here|a quote in the command line)/);
  }
});

test('a failing command shows the request id and no more', async () => {
  const ran = await ssh('ed25519', ['fail']);
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /^gatehouse: internal error \(request [0-9a-f]{32}\)\n$/);
});

test('more output on both streams than the windows hold arrives whole and once', async () => {
  const ran = await ssh('ed25519', ['many']);
  assert.equal(ran.code, 5);
  assert.equal(ran.stdout, 'o'.repeat(64 * 65_536));
  assert.equal(ran.stderr, 'e'.repeat(64 * 65_536));
});

test('forwarding, subsystems, agent and X11 are refused', async () => {
  const sftp = await run('ssh', [...sshArgs('ed25519'), '-s', 'git@127.0.0.1', 'sftp']);
  assert.notEqual(sftp.code, 0);
  assert.match(sftp.stderr, /subsystem request failed/);
  const remote = await ssh('ed25519', ['echo', 'x'], {
    more: ['RemoteForward=0 127.0.0.1:9', 'ExitOnForwardFailure=yes'],
  });
  assert.equal(remote.code, 255);
  assert.match(remote.stderr, /remote port forwarding failed/);
  const through = await run('ssh', [...sshArgs('ed25519'), '-W', '127.0.0.1:9', 'git@127.0.0.1']);
  assert.notEqual(through.code, 0);
  assert.match(through.stderr, /stdio forwarding failed/);
});

for (const protocol of [0, 1, 2] as const) {
  test(`git clones and pushes with protocol ${protocol}`, async () => {
    const config = ['-c', `protocol.version=${protocol}`];
    const url = `ssh://git@127.0.0.1:${port()}/api.git`;
    const work = join(directory.path, `clone-${protocol}`);
    const cloned = await gitOver('ed25519', [...config, 'clone', '-q', url, work]);
    assert.deepEqual(cloned, { code: 0, stdout: '', stderr: '' });
    assert.equal(walk.requests.at(-1)?.protocol, protocol);
    const made = await git(['-C', work, 'commit', '-q', '--allow-empty', '-m', `over ${protocol}`]);
    assert.equal(made.code, 0);
    const pushed = await gitOver('ed25519', [
      ...config,
      '-C',
      work,
      'push',
      '-q',
      'origin',
      `HEAD:refs/heads/p${protocol}`,
    ]);
    assert.deepEqual(pushed, { code: 0, stdout: '', stderr: '' });
  });
}

test('git archives a remote branch', async () => {
  const url = `ssh://git@127.0.0.1:${port()}/api`;
  const ran = await gitOver('ed25519', ['archive', `--remote=${url}`, '--format=tar', 'main']);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /pax_global_header/);
});

test('a repository that is not there and one that is broken say so and exit with 1', async () => {
  const missing = await ssh('ed25519', ['git-upload-pack', "'/hidden/x'"]);
  const stderr = 'gatehouse: no such repository, or you may not read it: hidden/x\n';
  assert.deepEqual(missing, { code: 1, stdout: '', stderr });
  const refused = await ssh('ed25519', ['git-receive-pack', "'/readonly'"]);
  assert.deepEqual(refused, { code: 1, stdout: '', stderr: 'gatehouse: rules/main.lace:7: readers do not write\n' });
  const broken = await ssh('ed25519', ['git', 'upload-pack', "'/broken'"]);
  assert.match(broken.stderr, /^gatehouse: internal error \(request [0-9a-f]{32}\)\n$/);
  assert.equal(broken.code, 1);
});

test('git service lines with no path or two are a usage error; Git LFS is not here', async () => {
  for (const line of ['git-upload-pack', "git-upload-pack 'a' 'b'", "git-upload-pack ''"]) {
    const ran = await ssh('ed25519', [line]);
    assert.deepEqual(ran, { code: 2, stdout: '', stderr: 'gatehouse: usage: git-upload-pack PATH\n' });
  }
  assert.equal((await ssh('ed25519', ['git-lfs-authenticate', 'api', 'upload'])).code, 127);
});

test('a key that is taken away does nothing more on an open connection', async () => {
  const control = join(directory.path, 'ctl');
  const more = ['ControlMaster=auto', `ControlPath=${control}`, 'ControlPersist=60'];
  const extra = await makeKey(directory.path, 'leaver');
  keys.set(extra.blob.toString('base64'), person('leaver'));
  assert.equal((await ssh('leaver', ['whoami'], { more })).stdout, 'leaver 127.0.0.1\n');
  const both = await Promise.all([ssh('leaver', ['echo', '1'], { more }), ssh('leaver', ['echo', '2'], { more })]);
  assert.deepEqual(both.map((ran) => ran.stdout).sort(), ['1\n', '2\n']);
  keys.delete(extra.blob.toString('base64'));
  const ran = await ssh('leaver', ['whoami'], { more });
  assert.deepEqual(ran, { code: 1, stdout: '', stderr: 'gatehouse: your key is not accepted any more\n' });
  await run('ssh', [...sshArgs('leaver', `ControlPath=${control}`), '-O', 'exit', 'git@127.0.0.1']);
});

test('a client that dies ends its command', async () => {
  const child = spawn('ssh', [...sshArgs('ed25519'), 'git@127.0.0.1', 'wait'], { stdio: 'ignore' });
  await waiting.promise;
  child.kill('SIGKILL');
  await waited.promise;
});

test('the algorithms offered are modern: no SHA-1, no CBC, no compression', async () => {
  const ran = await run('ssh', ['-vv', ...sshArgs('ed25519', 'LogLevel=DEBUG2'), 'git@127.0.0.1', 'whoami']);
  const server = ran.stderr.slice(ran.stderr.indexOf('peer server KEXINIT proposal'));
  const line = (name: string): string => new RegExp(`debug2: ${name}: (.*)`).exec(server)?.[1]?.trim() ?? 'absent';
  assert.equal(line('host key algorithms'), 'ssh-ed25519,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256');
  assert.doesNotMatch(line('KEX algorithms'), /sha1|group1-|exchange/);
  assert.match(line('KEX algorithms'), /curve25519-sha256,/);
  assert.doesNotMatch(line('ciphers stoc'), /cbc|arcfour|absent/);
  assert.doesNotMatch(line('MACs stoc'), /sha1|md5|absent/);
  assert.equal(line('compression stoc'), 'none');
});

for (const algorithm of ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'rsa-sha2-512', 'rsa-sha2-256']) {
  test(`the host proves itself with ${algorithm}`, async () => {
    const ran = await ssh('ed25519', ['echo', 'ok'], { more: [`HostKeyAlgorithms=${algorithm}`] });
    assert.deepEqual(ran, { code: 0, stdout: 'ok\n', stderr: '' });
  });
}

for (const cipher of ['aes128-gcm@openssh.com', 'aes256-ctr', 'chacha20-poly1305@openssh.com']) {
  test(`${cipher} carries a command through key exchanges on the way`, async () => {
    const ran = await ssh('ed25519', ['many'], { more: [`Ciphers=${cipher}`, 'RekeyLimit=1M'] });
    assert.equal(ran.code, 5);
    assert.equal(ran.stdout.length, 64 * 65_536);
    assert.equal(ran.stderr.length, 64 * 65_536);
  });
}

for (const cipher of ['aes128-gcm@openssh.com', 'aes128-ctr', 'chacha20-poly1305@openssh.com']) {
  test(`with ${cipher} a block may be overwritten once its write has called back, in key exchanges and full windows too`, async () => {
    const ran = await ssh('ed25519', ['reuse'], { more: [`Ciphers=${cipher}`, 'RekeyLimit=1M'] });
    assert.equal(ran.code, 0, ran.stderr);
    assert.ok(ran.stdout === Array.from(REUSED, (letter) => letter.repeat(REUSED_BYTES)).join(''), 'other bytes came');
  });
}

test('plink logs in and runs commands', async (t) => {
  if ((await run('plink', ['-V'])).code === -1) return t.skip('plink is not installed');
  const ppk = join(directory.path, 'ed25519.ppk');
  const made = await run('puttygen', [join(directory.path, 'ed25519'), '-O', 'private', '-o', ppk]);
  assert.equal(made.code, 0, made.stderr);
  const fingerprint = door.hostKeys[0]?.fingerprint ?? '';
  const args = ['-batch', '-noagent', '-i', ppk, '-P', port(), '-hostkey', fingerprint, 'git@127.0.0.1'];
  const ran = await run('plink', [...args, 'many'], { env: { HOME: directory.path } });
  assert.equal(ran.code, 5, ran.stderr.slice(0, 300));
  assert.equal(ran.stdout.length, 64 * 65_536);
  return undefined;
});

test('dbclient logs in and runs commands', async (t) => {
  if ((await run('dbclient', ['-V'])).code === -1) return t.skip('dbclient is not installed');
  for (const key of ['ed25519', 'rsa']) {
    const own = join(directory.path, `${key}.db`);
    const made = await run('dropbearconvert', ['openssh', 'dropbear', join(directory.path, key), own]);
    if (made.code !== 0) return t.skip('dropbearconvert is not installed or cannot read the key');
    const ran = await run('dbclient', ['-y', '-y', '-i', own, '-p', port(), 'git@127.0.0.1', 'many'], {
      env: { HOME: directory.path },
    });
    assert.equal(ran.code, 5, ran.stderr.slice(0, 300));
    assert.equal(ran.stdout.length, 64 * 65_536);
  }
  return undefined;
});

test('the host keys are made once, readable by their owner only, and ssh-keygen reads them', async () => {
  const again = await readFile(join(directory.path, 'host-keys', 'ssh_host_rsa_key'), 'utf8');
  assert.equal(again, door.hostKeys.at(-1)?.privateKey);
  for (const name of ['ed25519', 'ecdsa', 'rsa']) {
    const path = join(directory.path, 'host-keys', `ssh_host_${name}_key`);
    await chmod(path, 0o600);
    const ran = await run('ssh-keygen', ['-y', '-P', '', '-f', path]);
    assert.equal(ran.code, 0, ran.stderr);
    const blob = ran.stdout.split(' ').slice(0, 2).join(' ').trim();
    assert.ok(door.hostKeys.some((key) => key.publicKey === blob));
  }
});
