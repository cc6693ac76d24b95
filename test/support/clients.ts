/** Git clients by name, each able to clone and to commit and push, with what it speaks and what it cannot. */
import { chmodSync, writeFileSync } from 'node:fs';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import * as fs from 'node:fs';
import { join } from 'node:path';
import * as isomorphic from 'isomorphic-git';
import http from 'isomorphic-git/http/node';
import { commitFile, git, splitAddress, type Gate, type Person } from './gate.ts';
import { hasProgram, run, type Ended } from './workspace.ts';

export type Door = 'ssh' | 'http' | 'git';

export interface Client {
  readonly name: string;
  /** Programs that must be there; checked by `missing`. */
  readonly needs: readonly string[];
  readonly doors: readonly Door[];
  readonly sha256: boolean;
  clone(person: Person, gate: Gate, url: string, directory: string): Promise<Ended>;
  /** Adds `file` in one commit on top of HEAD and pushes it as `refname`. */
  push(person: Person, gate: Gate, job: PushJob): Promise<Ended>;
}

export interface PushJob {
  readonly directory: string;
  readonly url: string;
  readonly refname: string;
  readonly file: string;
}

/** What keeps a client from running here, or undefined. */
export function missing(client: Client): string | undefined {
  const absent = client.needs.filter((need) =>
    need.startsWith('python:') ? !hasPython(need.slice(7)) : !hasProgram(need),
  );
  return absent.length === 0 ? undefined : `not installed: ${absent.join(', ')}`;
}

function hasPython(module: string): boolean {
  return hasProgram(`/usr/bin/python3`) && pythonModules.includes(module);
}

const pythonModules = await (async (): Promise<readonly string[]> => {
  const probe = 'import importlib.util as u; print(" ".join(m for m in ("dulwich","pygit2") if u.find_spec(m)))';
  const ended = await run('/usr/bin/python3', ['-c', probe]).catch(() => undefined);
  return ended?.stdout.trim().split(' ') ?? [];
})();

/** git itself, with the SSH program given: its environment decides which. */
function gitOver(
  name: string,
  needs: readonly string[],
  prepare: (person: Person, gate: Gate) => Promise<Person>,
): Client {
  const isOpenSsh = needs.length === 1;
  return {
    name,
    needs: ['git', ...needs],
    doors: isOpenSsh ? ['ssh', 'http', 'git'] : ['ssh'],
    sha256: true,
    clone: async (person, gate, url, directory) => git(await prepare(person, gate), ['clone', '-q', url, directory]),
    async push(person, gate, { directory, url, refname, file }) {
      await commitFile(person, directory, file, `written over ${name}\n`);
      return git(await prepare(person, gate), ['push', url, `HEAD:${refname}`], directory);
    },
  };
}

/** A wrapper script as GIT_SSH with the client's own way to name key and port. */
function sshScript(person: Person, name: string, line: string, variant: string): Person {
  const script = join(person.home, name);
  writeFileSync(script, `#!/bin/sh\nexec ${line}\n`);
  chmodSync(script, 0o755);
  return { ...person, env: { ...person.env, GIT_SSH_COMMAND: script, GIT_SSH_VARIANT: variant } };
}

async function withDropbear(person: Person): Promise<Person> {
  const key = `${person.keyFile}.dropbear`;
  await run('dropbearconvert', ['openssh', 'dropbear', person.keyFile, key]);
  // git's "ssh" variant passes -p PORT and, for protocol 2, -o SendEnv: dbclient knows only the first.
  return sshScript(person, 'dbclient.sh', `dbclient -y -y -i ${key} "$@"`, 'simple-port');
}

async function withPlink(person: Person, gate: Gate): Promise<Person> {
  const key = `${person.keyFile}.ppk`;
  await run('puttygen', [person.keyFile, '-O', 'private', '-o', key]);
  const { host } = splitAddress(gate.ssh);
  const keys = await readFile(join(gate.data, 'host-keys', 'ssh_host_ed25519_key.pub'), 'utf8');
  const finger = await run('ssh-keygen', ['-l', '-f', '-'], { stdin: keys });
  const hostKey = finger.stdout.split(' ')[1] ?? '';
  return sshScript(
    person,
    'plink.sh',
    `plink -batch -hostkey ${hostKey} -i ${key} "$@"`,
    host === '' ? 'auto' : 'plink',
  );
}

const python = (script: string, args: readonly string[], person: Person): Promise<Ended> =>
  run('/usr/bin/python3', [join(import.meta.dirname, 'clients', script), ...args], {
    env: { ...person.env, CLIENT_KEY: person.keyFile },
    cwd: person.home,
  });

function pythonClient(name: string, module: string, script: string): Client {
  return {
    name,
    needs: [`python:${module}`],
    doors: ['ssh', 'http', 'git'],
    sha256: false,
    clone: (person, _gate, url, directory) => python(script, ['clone', url, directory], person),
    push: (person, _gate, { directory, url, refname, file }) =>
      python(script, ['push', directory, url, refname, file], person),
  };
}

// Debian's jgit names only some of the jars that it loads: the rest are named here.
const JGIT_JARS = [
  'org.eclipse.jgit.lfs',
  'org.eclipse.jgit.http.apache',
  'httpclient',
  'httpcore',
  'commons-logging',
  'slf4j-api',
  'slf4j-nop',
  'jsch',
  'jzlib',
  'commons-codec',
];
const JGIT_CLASSPATH = JGIT_JARS.map((jar) => `/usr/share/java/${jar}.jar`).join(':');

/** JGit reads key (PEM form only) and host from `~/.ssh` of the Java property user.home. */
async function jgit(person: Person, gate: Gate, args: readonly string[], cwd: string): Promise<Ended> {
  // It asks a person for what stands in the URL, unless ~/.netrc has it too.
  const credential = args.map((word) => /\/\/any:([^@]+)@/.exec(word)?.[1]).find((token) => token !== undefined);
  await writeFile(join(person.home, '.netrc'), `machine 127.0.0.1 login any password ${credential ?? 'none'}\n`);
  const { host, port } = splitAddress(gate.ssh);
  const key = `${person.keyFile}.pem`;
  await copyFile(person.keyFile, key);
  await run('ssh-keygen', ['-q', '-p', '-m', 'PEM', '-N', '', '-f', key]);
  await writeFile(
    join(person.home, '.ssh', 'config'),
    `Host ${host}\n  Port ${port}\n  IdentityFile ${key}\n  StrictHostKeyChecking no\n`,
  );
  return run('jgit', args, {
    cwd,
    env: { ...person.env, GIT_SSH_COMMAND: undefined, JGIT_CLASSPATH, JAVA_TOOL_OPTIONS: `-Duser.home=${person.home}` },
  });
}

const jgitClient: Client = {
  name: 'jgit',
  needs: ['jgit'],
  doors: ['ssh', 'http', 'git'],
  sha256: false,
  clone: (person, gate, url, directory) => jgit(person, gate, ['clone', url, directory], person.home),
  async push(person, gate, { directory, url, refname, file }) {
    await commitFile(person, directory, file, 'pushed by jgit\n');
    return jgit(person, gate, ['push', url, `HEAD:${refname}`], directory);
  },
};

/** isomorphic-git throws; a failure becomes an exit code here, as with the others. */
async function asEnded(work: () => Promise<unknown>): Promise<Ended> {
  try {
    await work();
    return { code: 0, stdout: '', stderr: '' };
  } catch (error) {
    return { code: 1, stdout: '', stderr: String(error) };
  }
}

const isomorphicClient: Client = {
  name: 'isomorphic-git',
  needs: [],
  doors: ['http'],
  sha256: false,
  clone: (_person, _gate, url, directory) =>
    asEnded(() => isomorphic.clone({ fs, http, dir: directory, url: bare(url), onAuth: auth(url) })),
  push: (_person, _gate, { directory, url, refname, file }) =>
    asEnded(async () => {
      await writeFile(join(directory, file), 'written by isomorphic-git\n');
      await isomorphic.add({ fs, dir: directory, filepath: file });
      await isomorphic.commit({
        fs,
        dir: directory,
        message: 'Add a file',
        author: { name: 'I', email: 'i@example.org' },
      });
      const pushed = await isomorphic.push({
        fs,
        http,
        dir: directory,
        url: bare(url),
        ref: 'HEAD',
        remoteRef: refname,
        onAuth: auth(url),
      });
      if (!pushed.ok) throw new Error(JSON.stringify(pushed));
    }),
};

function bare(url: string): string {
  return url.replace(/\/\/[^@/]+@/, '//');
}

function auth(url: string): () => { readonly username: string; readonly password: string } {
  const { username, password } = new URL(url);
  return () => ({ username, password });
}

export const CLIENTS: readonly Client[] = [
  gitOver('git with OpenSSH', ['ssh'], async (person) => person),
  gitOver('git with dbclient', ['dbclient', 'dropbearconvert'], withDropbear),
  gitOver('git with plink', ['plink', 'puttygen'], withPlink),
  jgitClient,
  pythonClient('dulwich', 'dulwich', 'dulwich_client.py'),
  pythonClient('libgit2', 'pygit2', 'libgit2_client.py'),
  isomorphicClient,
];
