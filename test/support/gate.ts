/** A real gate in a process of its own, and the people who use it with real clients. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { placeHostKeys } from './host-keys.ts';
import { cleanEnvironment, expectRun, run, workspace, type Ended, type Scope } from './workspace.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/gatehouse');

export interface Gate {
  /** HOST:PORT of each door. */
  readonly ssh: string;
  readonly http: string;
  readonly git: string;
  readonly data: string;
  readonly pid: number;
  readonly child: ChildProcess;
  /** SIGTERM, and its exit code. */
  stop(): Promise<number | null>;
  kill(): Promise<void>;
  /** What the gate wrote to standard error so far. */
  log(): string;
}

export interface GateOptions {
  readonly data: string;
  readonly home: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts a gate on ports that the system chooses; resolves at its ready line. */
export async function startGate(scope: Scope, options: GateOptions): Promise<Gate> {
  const any = '127.0.0.1:0';
  const args = ['serve', '--data', options.data, '--ssh', any, '--http', any, '--git', any, ...(options.args ?? [])];
  await placeHostKeys(options.data);
  const child = spawn(PROGRAM, args, {
    env: { ...cleanEnvironment(options.home), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-200_000);
  });
  const ended = once(child, 'exit');
  scope.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  });
  const ready = await readyLine(child, () => log);
  const door = (name: string): string => new RegExp(`\\b${name}=(\\S+)`).exec(ready)?.[1] ?? 'off';
  return {
    ssh: door('ssh'),
    http: door('http'),
    git: door('git'),
    data: options.data,
    pid: child.pid ?? 0,
    child,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      return child.exitCode;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    log: () => log,
  };
}

async function readyLine(child: ChildProcess, log: () => string): Promise<string> {
  if (child.stdout === null) throw new Error('the gate has no standard output');
  for await (const line of createInterface(child.stdout)) {
    if (line.startsWith('gatehouse ready ')) return line;
  }
  throw new Error(`the gate ended before it was ready:\n${log()}`);
}

/** A person with a home directory, a key and the usual clients. */
export interface Person {
  readonly name: string;
  readonly home: string;
  readonly env: NodeJS.ProcessEnv;
  readonly keyFile: string;
  readonly publicKey: string;
}

export type KeyType = 'ed25519' | 'ecdsa' | 'rsa';

/** Makes a home with a key pair in `<root>/<name>`; nothing is told to the gate yet. */
export async function makePerson(root: string, name: string, type: KeyType = 'ed25519'): Promise<Person> {
  const home = join(root, name);
  const keyFile = join(home, '.ssh', `id_${type}`);
  mkdirSync(join(home, '.ssh'), { recursive: true, mode: 0o700 });
  if (!existsSync(keyFile)) await expectRun('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', name, '-f', keyFile]);
  const ssh = `ssh -F /dev/null -i ${keyFile} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes -o IdentityAgent=none`;
  const env = { ...cleanEnvironment(home), GIT_SSH_COMMAND: ssh, GIT_SSH_VARIANT: 'ssh' };
  return { name, home, env, keyFile, publicKey: readFileSync(`${keyFile}.pub`, 'utf8') };
}

/** Runs `ssh git@HOST WORDS...` as that person. */
export function ssh(person: Person, gate: Gate, words: readonly string[], stdin = ''): Promise<Ended> {
  const { host, port } = splitAddress(gate.ssh);
  const command = (person.env['GIT_SSH_COMMAND'] ?? '').split(' ').slice(1);
  return run('ssh', [...command, '-p', port, `git@${host}`, ...words.map(quoteWord)], { env: person.env, stdin });
}

/** The same, where failing is the test's failure. */
export async function sshOk(person: Person, gate: Gate, words: readonly string[], stdin = ''): Promise<string> {
  const ended = await ssh(person, gate, words, stdin);
  if (ended.code !== 0)
    throw new Error(`${person.name}: ${words.join(' ')}: ${ended.code}\n${ended.stdout}${ended.stderr}`);
  return ended.stdout;
}

/** Destroy, user del, group del: asks once, then again with the token that was printed last. */
export async function sshConfirmed(person: Person, gate: Gate, words: readonly string[]): Promise<string> {
  const token = (await sshOk(person, gate, words)).trim().split(/\s+/).at(-1) ?? '';
  return sshOk(person, gate, [...words, token]);
}

export function git(person: Person, args: readonly string[], cwd = person.home): Promise<Ended> {
  return run('git', args, { env: person.env, cwd });
}

export async function gitOk(person: Person, args: readonly string[], cwd = person.home): Promise<string> {
  return expectRun('git', args, { env: person.env, cwd });
}

export function splitAddress(address: string): { readonly host: string; readonly port: string } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at), port: address.slice(at + 1) };
}

/** The URL of a repository by transport; `token` goes into the HTTP URL as a password. */
export function url(gate: Gate, transport: 'ssh' | 'http' | 'git', name: string, token?: string): string {
  switch (transport) {
    case 'ssh':
      return `ssh://git@${gate.ssh}/${name}`;
    case 'http':
      return `http://${token === undefined ? '' : `any:${token}@`}${gate.http}/${name}`;
    case 'git':
      return `git://${gate.git}/${name}`;
    default:
      throw new Error(transport satisfies never);
  }
}

/** A fresh site: its administrator, its gate, and a place for people. */
export interface Site {
  readonly root: string;
  readonly admin: Person;
  readonly gate: Gate;
}

export async function startSite(scope: Scope, options: { readonly args?: readonly string[] } = {}): Promise<Site> {
  const root = workspace(scope, 'gatehouse-site-');
  const admin = await makePerson(root, 'admin');
  const gate = await startGate(scope, {
    data: join(root, 'data'),
    home: admin.home,
    args: ['--admin', 'admin', '--admin-key', `${admin.keyFile}.pub`, ...(options.args ?? [])],
  });
  return { root, admin, gate };
}

/** Makes the person known to the gate, key included, as an administrator would. */
export async function addPerson(
  site: Site,
  name: string,
  options: { readonly type?: KeyType; readonly flags?: readonly string[] } = {},
): Promise<Person> {
  const person = await makePerson(site.root, name, options.type);
  await sshOk(site.admin, site.gate, [
    'user',
    'add',
    name,
    `${name}@example.org`,
    'The',
    'Person',
    name,
    ...(options.flags ?? []),
  ]);
  await sshOk(site.admin, site.gate, ['as', name, 'sshkey', 'add', 'default'], person.publicKey);
  return person;
}

/** Creates a commit on `branch` of the work tree and gives its oid. */
export async function commitFile(person: Person, tree: string, file: string, content: string): Promise<string> {
  writeFileSync(join(tree, file), content);
  await gitOk(person, ['add', '--', file], tree);
  await gitOk(person, ['commit', '-q', '-m', `Change ${file}`], tree);
  return gitOk(person, ['rev-parse', 'HEAD'], tree);
}

function quoteWord(word: string): string {
  return /^[A-Za-z0-9_./:@=+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
