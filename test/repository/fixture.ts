/** A catalogue on a real store and a real disk, and git as the test's own witness. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '../../src/base/clock.ts';
import type { Parsed } from '../../src/base/fault.ts';
import type { GitProcesses } from '../../src/git/processes.ts';
import { startGitProcesses } from '../../src/git/spawner.ts';
import { Catalogue, type CatalogueOptions } from '../../src/repository/catalogue.ts';
import { parseRepositoryName, type RepositoryName } from '../../src/repository/name.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { Store } from '../../src/store/store.ts';

export interface Fixture {
  readonly data: string;
  readonly root: string;
  readonly store: Store;
  readonly processes: GitProcesses;
  readonly catalogue: Catalogue;
  readonly logged: readonly string[];
}

type Extra = Partial<Pick<CatalogueOptions, 'ownerCheck'>>;

export async function openCatalogue(scope: Pick<TestContext, 'after'>, extra: Extra = {}): Promise<Fixture> {
  const data = mkdtempSync(join(tmpdir(), 'gatehouse-repository-'));
  const store = await openSqliteStore({ path: join(data, 'gatehouse.db') });
  const processes = await startGitProcesses({ isolation: 'off' });
  scope.after(async () => {
    await processes.close();
    await store.close();
    rmSync(data, { recursive: true, force: true });
  });
  const root = join(data, 'repositories');
  const logged: string[] = [];
  const log = (text: string): void => void logged.push(text);
  const catalogue = new Catalogue({ store, processes, root, clock: systemClock, log, ...extra });
  return { data, root, store, processes, catalogue, logged };
}

export function named(text: string): RepositoryName {
  return must(parseRepositoryName(text));
}

/** The value, where a refusal is the test's failure. */
export function must<T>(result: Parsed<T>): T {
  if (result.kind === 'refused') throw new Error(`refused: ${result.reason}`);
  return result.value;
}

/** The reason, where success is the test's failure. */
export function reasonOf(result: Parsed<unknown>): string {
  if (result.kind === 'ok') throw new Error('was not refused');
  return result.reason;
}

const ENVIRONMENT = {
  PATH: process.env['PATH'],
  HOME: '/nonexistent',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Test',
  GIT_AUTHOR_EMAIL: 'test@example.org',
  GIT_COMMITTER_NAME: 'Test',
  GIT_COMMITTER_EMAIL: 'test@example.org',
} as const;

/** Runs git and gives its output; a failing exit code rejects. */
export async function git(cwd: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('git', args, { cwd, env: ENVIRONMENT, maxBuffer: 1 << 26 });
  return stdout.trimEnd();
}

/** One commit on a branch of the bare repository, made by plumbing; gives its oid. */
export async function commit(path: string, refname: string, content: string): Promise<string> {
  const tree = await git(path, 'hash-object', '-t', 'tree', '-w', '/dev/null');
  const oid = await git(path, 'commit-tree', '-m', content, tree);
  await git(path, 'update-ref', refname, oid);
  return oid;
}
