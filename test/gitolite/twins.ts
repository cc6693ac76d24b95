/** Two sites of one conf: one is the real gitolite's, one ours. What is asked of both has to come out the same. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { lstat, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Env } from '../../src/gitolite/run.ts';
import { newGround, type Ground, type Said } from './ground.ts';

export const NO_GITOLITE = hasGitolite() ? false : 'the real gitolite is not installed here';

export interface Call {
  /** GL_USER. */
  readonly user?: string;
  readonly stdin?: string;
  readonly env?: Env;
}

export interface TwinOptions {
  /** Absent: the two homes are empty. */
  readonly conf?: string;
  /** Commands and features over those that a new site has. */
  readonly enable?: readonly string[];
  /** Lines of Perl behind the settings. */
  readonly settings?: string;
}

export interface Twins extends AsyncDisposable {
  readonly ours: Ground;
  readonly realHome: string;
  /** `gitolite ARGS` on both: exit code, output and complaints are the same. What ours said comes back. */
  same(args: readonly string[], call?: Call): Promise<Said>;
  /** Only the one, and only the other. */
  real(args: readonly string[], call?: Call): Promise<Said>;
  own(args: readonly string[], call?: Call): Promise<Said>;
  /** Both show how they are used, each in its own words. */
  sameUsage(args: readonly string[], call?: Call): Promise<void>;
  /** A file below the home, its content and its mode. Resolves to the content; undefined: neither has it. */
  sameFile(path: string): Promise<string | undefined>;
  /** Our content of a file, and the real one's. */
  files(path: string): Promise<readonly (string | undefined)[]>;
  /** On both, in the home: a program that has to succeed. */
  both(file: string, args: readonly string[]): Promise<void>;
}

/** The work of setting up is done once in a process; each test has a copy of what came of it. */
export async function newTwins({ conf, enable = [], settings = '' }: TwinOptions): Promise<Twins> {
  const twins = await emptyTwins();
  if (conf === undefined) return twins;
  copyTwins(
    await madeOnce(JSON.stringify([conf, enable, settings]), () => withConf({ conf, enable, settings })),
    twins,
  );
  return twins;
}

const made = new Map<string, Promise<Twins>>();

function madeOnce(key: string, make: () => Promise<Twins>): Promise<Twins> {
  const found = made.get(key);
  if (found !== undefined) return found;
  const making = make();
  made.set(key, making);
  void making.then(({ ours, realHome }) =>
    process.once('exit', () => {
      for (const home of [ours.home, realHome]) rmSync(home, { recursive: true, force: true });
    }),
  );
  return making;
}

async function withConf({ conf = '', enable = [], settings = '' }: TwinOptions): Promise<Twins> {
  const twins = await emptyTwins();
  copyTwins(await madeOnce('', withoutConf), twins);
  for (const home of [twins.ours.home, twins.realHome]) {
    const rc = await readFile(join(home, '.gitolite.rc'), 'utf8');
    const words = enable.map((word) => `'${word}',`).join(' ');
    const enabled = rc.replace(/^( *)'help',$/m, (line) => `${line} ${words}`).replace(/^1;$/m, `${settings}\n1;`);
    await writeFile(join(home, '.gitolite.rc'), enabled);
    await writeFile(join(home, '.gitolite/conf/gitolite.conf'), conf);
  }
  await twins.same(['compile']);
  return twins;
}

async function withoutConf(): Promise<Twins> {
  const twins = await emptyTwins();
  await twins.same(['setup', '-a', 'admin']);
  return twins;
}

function copyTwins(from: Twins, to: Twins): void {
  copyHome(from.ours.home, to.ours.home);
  copyHome(from.realHome, to.realHome);
}

/** Links into the old home lead into the new one. */
function copyHome(from: string, to: string): void {
  cpSync(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  for (const entry of readdirSync(to, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    const target = readlinkSync(path);
    rmSync(path);
    symlinkSync(target.replace(from, to), path);
  }
}

async function emptyTwins(): Promise<Twins> {
  // As the gate does with the site's umask: what git makes has it from its parent.
  process.umask(0o077);
  const ours = await newGround();
  const realHome = await mkdtemp(join(tmpdir(), 'gitolite-real-'));
  const twins: Twins = {
    ours,
    realHome,
    async same(args, call = {}) {
      const [real, own] = await Promise.all([twins.real(args, call), twins.own(args, call)]);
      assert.deepEqual(plain(own, ours.home), plain(real, realHome), `gitolite ${args.join(' ')}`);
      return own;
    },
    real: (args, call = {}) => askReal(ours.env, realHome, args, call),
    own: (args, call = {}) => ours.gitolite(args, ownCall(call)),
    async sameUsage(args, call = {}) {
      const [real, own] = await Promise.all([twins.real(args, call), twins.own(args, call)]);
      assert.equal(own.code, real.code, `gitolite ${args.join(' ')}`);
      assert.match(real.stdout, /usage/i);
      assert.match(own.stdout, /usage:/i);
    },
    async sameFile(path) {
      const [own, real] = await Promise.all([ours.home, realHome].map((home) => look(join(home, path))));
      assert.deepEqual(own, real, path);
      return own?.text;
    },
    async files(path) {
      const found = await Promise.all([ours.home, realHome].map((home) => look(join(home, path))));
      return found.map((file) => file?.text);
    },
    async both(file, args) {
      for (const home of [ours.home, realHome]) {
        const { status, stderr } = spawnSync(file, args, { cwd: home, env: { ...ours.env, HOME: home } });
        assert.equal(status, 0, String(stderr));
      }
    },
    async [Symbol.asyncDispose]() {
      await rm(realHome, { recursive: true, force: true });
      await ours[Symbol.asyncDispose]();
    },
  };
  // Else git explains itself at each repository that it makes.
  for (const home of [ours.home, realHome])
    await writeFile(join(home, '.gitconfig'), '[init]\n\tdefaultBranch = master\n');
  return twins;
}

function ownCall({ user, stdin, env }: Call): { readonly stdin?: string; readonly env: Env } {
  return {
    env: { ...env, ...(user === undefined ? {} : { GL_USER: user }) },
    ...(stdin === undefined ? {} : { stdin }),
  };
}

async function askReal(base: Env, home: string, args: readonly string[], call: Call): Promise<Said> {
  const env = { ...base, ...ownCall(call).env, HOME: home };
  const child = spawn('gitolite', args, { cwd: home, env, stdio: 'pipe' });
  const said = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  child.stdin.on('error', () => {});
  child.stdin.end(call.stdin ?? '');
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...said };
}

/** What may differ: where the home is, what a version is called, the time of day, and that ours names the guilty line of a conf. */
function plain({ code, stdout, stderr }: Said, home: string): Said {
  const text = (said: string): string =>
    said
      .replaceAll(home, '~')
      .replaceAll(/^conf\/\S+:\d+: .*\n/gm, '')
      .replaceAll(/running gitolite3 .* on git/g, 'running gitolite3 on git')
      .replaceAll(/\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}/g, 'TIME')
      .replaceAll(/\d{4}-\d\d-\d\d[_.]\d\d:\d\d:\d\d/g, 'TIME')
      .replaceAll(/(\.gitolite\.down)\.\d+/g, '$1');
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

async function look(path: string): Promise<{ readonly text: string; readonly mode: number } | undefined> {
  try {
    const { mode } = await lstat(path);
    return { text: await readFile(path, 'latin1'), mode };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function hasGitolite(): boolean {
  const { error } = spawnSync('gitolite', ['version'], {
    stdio: 'ignore',
    env: { PATH: process.env['PATH'], HOME: tmpdir() },
  });
  return error === undefined;
}
