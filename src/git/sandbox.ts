/**
 * How far a git process is confined on this machine, found at start by trying. The spawner is put into namespaces without
 * network once, which costs a git process nothing; each git then gets a file system of its own from bubblewrap, in which
 * there is the system's /usr and its own repository, and no other. docs/isolation.md has the costs and the reasons.
 */
import { execFile } from 'node:child_process';
import { access, constants, lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Fault } from '../base/fault.ts';
import type { GitProgram } from './git-program.ts';
import type { GitSpec, Subcommand } from './processes.ts';

export const ISOLATION_MODES = ['auto', 'off', 'required'] as const;
export type IsolationMode = (typeof ISOLATION_MODES)[number];

export interface Command {
  readonly file: string;
  readonly argv: readonly string[];
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface Confinement {
  /** Lines for a person: what is confined, and what is missing and why. */
  describe(): string[];
  /** Whether each git has a file system of its own. */
  readonly confinesFiles: boolean;
  /** The command that runs `command` confined to what `spec` says. */
  wrap(command: Command, spec: GitSpec): Command;
  /** What the spawner itself is started through. */
  readonly spawnerPrefix: readonly string[];
}

export interface ConfinementOptions {
  readonly mode: IsolationMode;
  readonly git: GitProgram;
  readonly owner?: Owner;
}

/** Data (not mapped packs) in one process: RLIMIT_DATA. index-pack and pack-objects stay far below (invocation.ts). */
const DATA_BYTES_MAX = 4 * 1024 ** 3;
const PROGRAM_DIRECTORIES = ['/usr/bin', '/usr/local/bin', '/bin', '/run/current-system/sw/bin'];
const PROBE_MS = 10_000;
const run = promisify(execFile);

/** These write new objects where the spec says new objects go. */
const WRITES_OBJECTS: ReadonlySet<Subcommand> = new Set(['index-pack', 'hash-object', 'mktree', 'commit-tree']);

/** @throws Fault `usage` where `mode` is `required` and something is missing. */
export async function findConfinement({ mode, git, owner }: ConfinementOptions): Promise<Confinement> {
  if (mode === 'off') return unconfined();
  const missing: string[] = [];
  const limits = await findLimits(missing);
  const namespaces = await findNamespaces(limits, missing);
  const spawnerPrefix = [...namespaces, ...limits];
  const mounts = await findMounts({ git, spawnerPrefix, shared: namespaces.length > 0, ...(owner ? { owner } : {}) });
  if (typeof mounts === 'string') missing.push(mounts);
  if (mode === 'required' && missing.length > 0) {
    const publicMessage = `isolation is required, but this machine lacks: ${missing.join('; ')}`;
    throw new Fault('usage', 'isolation is required and incomplete', { context: { missing }, publicMessage });
  }
  const found = { limits, namespaces, isMounted: typeof mounts !== 'string' };
  return {
    describe: () => [...describeFound(found), ...missing.map((line) => `not confined: ${line}`)],
    confinesFiles: found.isMounted,
    wrap: (command, spec) => (typeof mounts === 'string' ? command : wrapIn(mounts, command, spec)),
    spawnerPrefix,
  };
}

function unconfined(): Confinement {
  return {
    describe: () => ['not confined: isolation is off, git processes reach whatever the gate reaches'],
    confinesFiles: false,
    wrap: (command) => command,
    spawnerPrefix: [],
  };
}

interface Found {
  readonly limits: readonly string[];
  readonly namespaces: readonly string[];
  readonly isMounted: boolean;
}

function describeFound({ limits, namespaces, isMounted }: Found): readonly string[] {
  const lines: string[] = [];
  if (isMounted) {
    lines.push(
      'confined: a git process sees its own repository and /usr, read-only where it need not write (bubblewrap)',
    );
    lines.push('confined: a git process sees and signals no process but its own');
  }
  if (isMounted || namespaces.length > 0) lines.push('confined: a git process has no network');
  if (limits.length > 0) lines.push('confined: 4 GiB of data in each git process, no core dumps (prlimit)');
  lines.push(
    'not confined: memory and number of processes of all gits together; set MemoryMax and TasksMax on the service',
  );
  return lines;
}

async function findLimits(missing: string[]): Promise<readonly string[]> {
  const prlimit = await findProgram('prlimit');
  if (prlimit === undefined) {
    missing.push('limits of memory in each process (prlimit, of util-linux, is not installed)');
    return [];
  }
  const command = [prlimit, '--core=0:0', `--data=${DATA_BYTES_MAX}:${DATA_BYTES_MAX}`, '--'];
  const problem = await problemOf([...command, '/usr/bin/env']);
  if (problem === undefined) return command;
  missing.push(`limits of memory in each process (prlimit: ${problem})`);
  return [];
}

/** Namespaces for the spawner, so for all gits: making a network namespace for each would double the cost of starting one. */
async function findNamespaces(limits: readonly string[], missing: string[]): Promise<readonly string[]> {
  const unshare = await findProgram('unshare');
  if (unshare !== undefined) {
    const spaces = ['--net', '--ipc', '--uts', '--'];
    for (const user of [[], ['--user', '--map-current-user']]) {
      const command = [unshare, ...user, ...spaces];
      if ((await problemOf([...command, ...limits, '/usr/bin/env'])) === undefined) return command;
    }
  }
  if ((await findProgram('bwrap')) === undefined) missing.push('network (unshare cannot make namespaces here)');
  return [];
}

interface MountQuestion {
  readonly git: GitProgram;
  readonly spawnerPrefix: readonly string[];
  /** The spawner is already cut off from the network. */
  readonly shared: boolean;
  readonly owner?: Owner;
}

/** bubblewrap with everything but the repository; or why not. */
async function findMounts({ git, spawnerPrefix, shared, owner }: MountQuestion): Promise<readonly string[] | string> {
  const bwrap = await findProgram('bwrap');
  if (bwrap === undefined) return 'files and processes (bubblewrap is not installed: package bubblewrap)';
  const command = [
    bwrap,
    '--die-with-parent',
    '--unshare-pid',
    '--as-pid-1',
    ...(shared ? [] : ['--unshare-net', '--unshare-ipc', '--unshare-uts']),
    ...(await systemBinds(git)),
    '--dev-bind',
    '/dev/null',
    '/dev/null',
    '--dev-bind',
    '/dev/urandom',
    '/dev/urandom',
  ];
  const problem = await problemOf([...spawnerPrefix, ...command, '--', git.path, 'version'], owner);
  return problem === undefined ? command : `files and processes (bubblewrap: ${problem})`;
}

/** /usr, the links that lead into it, and wherever else this git lies. */
async function systemBinds(git: GitProgram): Promise<readonly string[]> {
  const binds = ['--ro-bind', '/usr', '/usr', '--ro-bind-try', '/etc/ld.so.cache', '/etc/ld.so.cache'];
  for (const path of ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/nix/store']) {
    const stat = await lstat(path).catch(() => undefined);
    if (stat === undefined) continue;
    if (stat.isSymbolicLink()) binds.push('--symlink', await readlink(path), path);
    else binds.push('--ro-bind', path, path);
  }
  const isThere = (path: string): boolean => ['/usr/', '/bin/', '/nix/store/'].some((top) => path.startsWith(top));
  if (!isThere(git.execPath)) binds.push('--ro-bind', git.execPath, git.execPath);
  if (!isThere(git.path)) binds.push('--ro-bind', git.path, git.path);
  return binds;
}

function wrapIn(mounts: readonly string[], { file, argv }: Command, spec: GitSpec): Command {
  const [bwrap = '', ...fixed] = mounts;
  return { file: bwrap, argv: [...fixed, ...bindsOf(spec), '--remount-ro', '/', '--', file, ...argv] };
}

/** What `spec` may see, shortest path first so that a bind inside another comes after it. */
function bindsOf(spec: GitSpec): readonly string[] {
  const { gitDir, objectDirectory, readable = [], writable = [], subcommand } = spec;
  const writesObjects = WRITES_OBJECTS.has(subcommand) && objectDirectory !== undefined;
  const writes = new Set([...writable, ...(writesObjects ? [objectDirectory] : [])]);
  const reads = new Set(readable);
  if (gitDir !== undefined) reads.add(gitDir);
  if (objectDirectory !== undefined) reads.add(objectDirectory);
  const isCovered = (path: string): boolean => [...writes].some((top) => path === top || path.startsWith(`${top}/`));
  const binds = [
    ...[...reads].filter((path) => !isCovered(path)).map((path) => ({ option: '--ro-bind', path })),
    ...[...writes].map((path) => ({ option: '--bind', path })),
  ];
  binds.sort((a, b) => a.path.length - b.path.length);
  return binds.flatMap(({ option, path }) => [option, path, path]);
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of PROGRAM_DIRECTORIES) {
    const path = join(directory, name);
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return undefined;
}

/** Why a command does not work here, in one line; undefined where it works. */
async function problemOf(command: readonly string[], owner?: Owner): Promise<string | undefined> {
  const [file = '', ...argv] = command;
  try {
    await run(file, argv, { env: { LC_ALL: 'C' }, cwd: '/', timeout: PROBE_MS, ...owner });
    return undefined;
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    return said.split('\n').at(-1) || String(error).split('\n')[0] || 'failed';
  }
}
