/**
 * A repository made as a copy of another. It is made whole under a name that no repository can have and then renamed: what
 * is cut short leaves nothing behind that anybody could take for the copy.
 */
import { readdir, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncDirectory, syncFile } from '../base/durable.ts';
import { inCreation } from './create-repository.ts';
import { CREATOR_FILE, repositoryPath, statOf } from './disk.ts';
import { hookLinks, makeDirectory } from './hooks.ts';
import { runProgram } from './programs.ts';
import type { Run } from './run.ts';
import { writeSiteFile } from './site-file.ts';
import { isAbsent } from './small-file.ts';
import { refuses } from './usage.ts';

export interface CopyOptions {
  readonly from: string;
  readonly to: string;
  readonly user: string;
}

/** Copies that were cut short are cleared away when they are this old. */
const STALE_MS = 24 * 3_600_000;
const PREFIX = '.gatehouse-copy-';

/** Git's exit code, or 1 where the name was taken meanwhile. */
export async function copyRepository(run: Run, { from, to, user }: CopyOptions): Promise<number> {
  const target = repositoryPath(run.rc, to);
  const parent = dirname(target);
  makeDirectory(parent, run.rc);
  await clearStale(run, parent);
  const temporary = join(parent, `${PREFIX}${run.clock.randomBytes(8).toString('hex')}`);
  try {
    const code = await clone(run, { source: repositoryPath(run.rc, from), temporary, target });
    if (code !== 0) return code;
    // Written as a shell's echo writes it: with a line end, which the creator of any other repository lacks.
    await writeSiteFile(run, join(temporary, CREATOR_FILE), { data: `${user}\n` });
    await writeSiteFile(run, join(temporary, 'gl-forked-from'), { data: `${from}\n` });
    await linkHooks(run, join(temporary, 'hooks'));
    await syncTree(temporary);
    return await inCreation(run, to, async () => {
      await rename(temporary, target);
      await syncDirectory(parent);
      return 0;
    });
  } catch (error) {
    if (!isTaken(error)) throw error;
    return await refuses(run, `'${to}' already exists or you are not allowed to create it`);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

interface Cloning {
  readonly source: string;
  readonly temporary: string;
  readonly target: string;
}

/** What git says names the place that the copy will have. */
async function clone(run: Run, { source, temporary, target }: Cloning): Promise<number> {
  let said = '';
  const listening: Run = {
    ...run,
    warn: (text) => {
      said += typeof text === 'string' ? text : Buffer.from(text).toString();
      return Promise.resolve();
    },
  };
  const args = ['-c', 'core.fsync=all', 'clone', '--bare', '-l', source, temporary];
  const { code } = await runProgram(listening, { file: 'git', args });
  await run.warn(said.replaceAll(temporary, () => target));
  return code;
}

/** As every repository of the site has them. */
async function linkHooks(run: Run, hooks: string): Promise<void> {
  makeDirectory(hooks, run.rc);
  for (const [hook, target] of hookLinks(run.rc).common) {
    await rm(join(hooks, hook), { force: true });
    await symlink(target, join(hooks, hook));
  }
}

/** Objects that git wrote are on disk, those it linked were; the rest is small. */
async function syncTree(top: string): Promise<void> {
  for (const entry of await readdir(top, { withFileTypes: true }))
    if (entry.isFile()) await syncFile(join(top, entry.name));
  for (const folder of ['objects/pack', 'objects/info', 'objects', 'refs', 'hooks', '.'])
    await syncDirectory(join(top, folder)).catch(ignoreAbsent);
}

async function clearStale(run: Run, parent: string): Promise<void> {
  const names = (await readdir(parent)).filter((name) => name.startsWith(PREFIX));
  for (const path of names.map((name) => join(parent, name))) {
    const stat = statOf(path);
    if (stat !== undefined && stat.ctimeMs < run.clock.now() - STALE_MS)
      await rm(path, { recursive: true, force: true });
  }
}

function isTaken(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return error.code === 'ENOTEMPTY' || error.code === 'EEXIST';
}

function ignoreAbsent(error: unknown): void {
  if (!isAbsent(error)) throw error;
}
