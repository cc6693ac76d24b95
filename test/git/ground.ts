/** Real repositories and processes for the tests of the git floor; everything is given back at the end. */
import { execFile, type ExecFileOptions } from 'node:child_process';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { promisify } from 'node:util';
import type { ObjectFormat } from '../../src/git/oid.ts';
import { type ConfinedGitProcesses, startGitProcesses } from '../../src/git/spawner.ts';

const run = promisify(execFile);

export const ENV: NodeJS.ProcessEnv = {
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  HOME: '/nonexistent',
  LC_ALL: 'C',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'A',
  GIT_AUTHOR_EMAIL: 'a@example.org',
  GIT_COMMITTER_NAME: 'C',
  GIT_COMMITTER_EMAIL: 'c@example.org',
  GIT_AUTHOR_DATE: '1700000000 +0000',
  GIT_COMMITTER_DATE: '1700000000 +0000',
};

/** The machine's own git, its output trimmed. */
export async function git(cwd: string, argv: readonly string[], input?: string): Promise<string> {
  const options: ExecFileOptions = { cwd, env: ENV, maxBuffer: 256 * 1024 * 1024 };
  const running = run('git', argv, { ...options, encoding: 'utf8' });
  // A git that reads no input may be gone before it is written.
  running.child.stdin?.on('error', () => {}).end(input ?? '');
  return (await running).stdout.trimEnd();
}

export interface Ground extends AsyncDisposable {
  readonly path: string;
}

export async function openGround(): Promise<Ground> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'gatehouse-git-')));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface ProcessGround extends AsyncDisposable {
  readonly processes: ConfinedGitProcesses;
}

export async function openProcesses(
  options: Partial<Parameters<typeof startGitProcesses>[0]> = {},
): Promise<ProcessGround> {
  const processes = await startGitProcesses({ isolation: 'auto', ...options });
  return { processes, [Symbol.asyncDispose]: () => processes.close() };
}

/** One for all tests of a file: there from its first test to its last. */
export function shareProcesses(): Pick<ProcessGround, 'processes'> {
  let open: ProcessGround | undefined;
  before(async () => {
    open = await openProcesses();
  });
  after(() => open?.[Symbol.asyncDispose]());
  return {
    get processes() {
      if (open === undefined) throw new Error('no test runs');
      return open.processes;
    },
  };
}

/** An empty bare repository at `path`. */
export async function initBare(path: string, objectFormat: ObjectFormat = 'sha1'): Promise<string> {
  await git('/', ['init', '-q', '--bare', `--object-format=${objectFormat}`, '-b', 'main', path]);
  return path;
}

/** `count` commits on refs/heads/main, made without a work tree; their oids, oldest first. */
export async function addCommits(gitDir: string, count: number, refname = 'refs/heads/main'): Promise<string[]> {
  const lines: string[] = [];
  for (let n = 1; n <= count; n += 1) {
    lines.push(`commit ${refname}`, `mark :${n}`, `committer C <c@example.org> ${1_700_000_000 + n} +0000`);
    const text = `${refname} ${n}\n`;
    lines.push(`data ${text.length}`, text, `M 100644 inline file-${n}`, `data ${text.length}`, text);
  }
  await git(gitDir, ['fast-import', '--quiet', '--force', '--date-format=raw'], `${lines.join('\n')}\n`);
  return (await git(gitDir, ['rev-list', '--reverse', refname])).split('\n');
}
