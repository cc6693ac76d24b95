/** What git-daemon and gitweb serve: their marks in each repository, and gitweb's list of projects. */
import { rmSync } from 'node:fs';
import { Stint } from '../../base/stint.ts';
import { ask } from '../ask.ts';
import { changedOf } from '../changed.ts';
import { isDiskName, LIST_BYTES_MAX, repositoryPath, statOf, textOf, writeText } from '../disk.ts';
import { configOf, optionOf } from '../options.ts';
import { isTrue, scalarOf } from '../rc-value.ts';
import type { Run } from '../run.ts';
import { dies } from '../words.ts';
import type { BuiltInTrigger } from './trigger.ts';

const EXPORT_MARK = 'git-daemon-export-ok';

const DAEMON: BuiltInTrigger = {
  name: 'post-compile/update-git-daemon-access-list',
  async run(run, { point, args: [repository = ''] }) {
    await eachOf(run, point === 'POST_CREATE' ? [repository] : touched(run, ['daemon']), async (name) => {
      await mark(run, name, await mayRead(run, name, 'daemon'));
    });
  },
};

const GITWEB: BuiltInTrigger = {
  name: 'post-compile/update-gitweb-access-list',
  async run(run, { point, args: [repository = '', , attempt] }) {
    const isNew = point === 'POST_CREATE';
    // Git's own text for it; one that somebody changed since is not new any more.
    if (isNew && attempt !== 'perms') rmSync(`${repositoryPath(run.rc, repository)}/description`, { force: true });
    if (!isNew || repository === '') return listProjects(run, ['gitweb'], isShown);
    const isListed = isDiskName(repository) && (await isShown(run, repository));
    // Read and written in one go: others make repositories at the same time.
    const line = `${repository}.git`;
    const others = projectLines(run).filter((other) => other !== line);
    return writeProjects(run, isListed ? [...others, line] : others);
  },
};

const FROM_OPTIONS: BuiltInTrigger = {
  name: 'post-compile/update-gitweb-daemon-from-options',
  async run(run) {
    await listProjects(run, [], async (_run, name) => {
      const config = await configOf(run, name);
      return isTrue(config.get('gitolite-options.gitweb')) || hasGitweb(config);
    });
    await eachOf(run, touched(run, []), async (name) => {
      const isExported = isTrue(await optionOf(run, name, 'daemon'));
      if (isExported) await writeIn(run, name, { file: EXPORT_MARK, text: '\n' });
      else unmark(run, name);
    });
  },
};

const DESCRIPTION: BuiltInTrigger = {
  name: 'post-compile/update-description-file',
  async run(run) {
    await eachOf(run, touched(run, []), async (name) => {
      const text = (await configOf(run, name)).get('gitweb.description');
      if (text !== undefined) await writeIn(run, name, { file: 'description', text: `${text}\n` });
    });
  },
};

export const PUBLISHED: readonly BuiltInTrigger[] = [DAEMON, GITWEB, FROM_OPTIONS, DESCRIPTION];

async function eachOf(
  run: Run,
  names: readonly string[] | undefined,
  act: (name: string) => Promise<void>,
): Promise<void> {
  const stint = new Stint();
  for (const name of names ?? (await run.site.physical(run.rc))) {
    if (isDiskName(name)) await act(name);
    if (stint.isOver) await stint.rest();
  }
}

async function mayRead(run: Run, repository: string, user: string): Promise<boolean> {
  return (await ask(run, { repository, user, attempt: 'R', ref: 'any' })).kind === 'allowed';
}

async function mark(run: Run, name: string, isExported: boolean): Promise<void> {
  const path = `${repositoryPath(run.rc, name)}/${EXPORT_MARK}`;
  if (!isExported) unmark(run, name);
  else if (statOf(path)?.isFile() !== true) await writeIn(run, name, { file: EXPORT_MARK, text: '' });
}

function unmark({ rc }: Run, name: string): void {
  rmSync(`${repositoryPath(rc, name)}/${EXPORT_MARK}`, { force: true });
}

async function writeIn(
  run: Run,
  name: string,
  { file, text }: { readonly file: string; readonly text: string },
): Promise<void> {
  const path = `${repositoryPath(run.rc, name)}/${file}`;
  if (statOf(path)?.isFile() === true && textOf(path) === text) return;
  const umask = await optionOf(run, name, 'umask');
  writeText(path, text, { umask: /^[0-7]+$/.test(umask) ? Number.parseInt(umask, 8) : run.rc.umask });
}

function projectsList({ rc }: Run): string {
  const setting = rc.values['GITWEB_PROJECTS_LIST'];
  return isTrue(setting) ? scalarOf(setting) : `${rc.home}/projects.list`;
}

async function isShown(run: Run, name: string): Promise<boolean> {
  return (await mayRead(run, name, 'gitweb')) || hasGitweb(await configOf(run, name));
}

function hasGitweb(config: ReadonlyMap<string, string>): boolean {
  for (const key of config.keys()) if (/gitweb\./.test(key)) return true;
  return false;
}

/** Anew where a compile may have changed something. @param users whose rights decide. */
async function listProjects(
  run: Run,
  users: readonly string[],
  isOne: (run: Run, name: string) => Promise<boolean>,
): Promise<void> {
  const shown = new Map<string, boolean>();
  await eachOf(run, touched(run, users), async (name) => {
    shown.set(name, await isOne(run, name));
  });
  const physical = await run.site.physical(run.rc);
  // Read and written in one go: what was made meanwhile has put itself on the list, and stays there.
  const listed = new Set(projectLines(run).map((line) => line.replace(/\.git$/, '')));
  const kept = physical.filter((name) => shown.get(name) ?? listed.has(name));
  const known = new Set(physical);
  const added = [...listed].filter((name) => !known.has(name) && !shown.has(name) && isThere(run, name));
  writeProjects(
    run,
    [...kept, ...added].map((name) => `${name}.git`),
  );
}

function projectLines(run: Run): readonly string[] {
  return textOf(projectsList(run), LIST_BYTES_MAX)
    .split('\n')
    .filter((line) => line !== '');
}

function isThere({ rc }: Run, name: string): boolean {
  return isDiskName(name) && statOf(repositoryPath(rc, name))?.isDirectory() === true;
}

/** Repositories that are there and that a compile may have changed for these users; undefined: any. */
function touched(run: Run, users: readonly string[]): readonly string[] | undefined {
  const names = changedOf(run, users);
  return names?.filter((name) => isThere(run, name));
}

function writeProjects(run: Run, lines: readonly string[]): void {
  const text = lines.map((line) => `${line}\n`).join('');
  const path = projectsList(run);
  if (statOf(path) !== undefined && textOf(path, LIST_BYTES_MAX) === text) return;
  try {
    writeText(path, text, run.rc);
  } catch (error) {
    throw dies(
      `cannot write the list of projects '${path}'; GITWEB_PROJECTS_LIST in the rc file says where it is`,
      error,
    );
  }
}
