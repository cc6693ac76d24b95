/**
 * `repo-specific-hooks`: the hooks that `option hook.NAME = a b` gives a repository, linked from LOCAL_CODE as `NAME.h00-a`,
 * `NAME.h01-b`, with a driver under the hook's own name that runs them one after another.
 */
import { constants } from 'node:fs';
import { access, chmod, readdir, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryPath } from '../disk.ts';
import { glWarn } from '../gl-log.ts';
import { ADMIN_REPOSITORY } from '../hooks.ts';
import { configOf } from '../options.ts';
import { scalarOf, wordsOf } from '../rc-value.ts';
import type { Run } from '../run.ts';
import { isAbsent } from '../small-file.ts';
import { dies } from '../words.ts';
import type { BuiltInTrigger } from './trigger.ts';

const OPTION = /^gitolite-options\.hook\.([^.]*)/;
const HOOKS: ReadonlySet<string> = new Set(['pre-receive', 'post-receive', 'post-update', 'pre-auto-gc']);
const WARNING = 'repo-specific-hooks:';

const DRIVER = `#!/bin/sh
# Runs every hook that lies beside this one as NAME.*, in order, each with the arguments or the input of this one.
# A pre-receive hook that fails ends the push.

case $0 in
    */post-update) input= ;;
    *) input=$(cat) ;;
esac

for part in "$0".*; do
    [ -x "$part" ] || continue
    case $0 in
        */post-update) "$part" "$@" ;;
        *) printf '%s\\n' "$input" | "$part" ;;
    esac && continue
    case $0 in */pre-receive) exit 1 ;; esac
done
exit 0
`;

export const REPOSITORY_HOOKS: BuiltInTrigger = {
  name: 'repo-specific-hooks',
  async run(run, { point, args: [repository = ''] }) {
    const { localCode } = run.rc;
    if (localCode === undefined) throw dies(`${WARNING} LOCAL_CODE not defined in rc`);
    const folder = `${localCode}/hooks/repo-specific`;
    if (!(await isDirectory(folder))) throw dies(`${WARNING} '${folder}' does not exist or is not a directory`);
    const driver = scalarOf(run.rc.values['MULTI_HOOK_DRIVER']) || `${localCode}/hooks/multi-hook-driver`;
    await writeFile(driver, DRIVER);
    await chmod(driver, 0o755);
    const names = point === 'POST_CREATE' ? [repository] : await run.site.physical(run.rc);
    for (const name of names) {
      const chains = await chainsOf(run, name);
      for (const [hook, codes] of chains) await link(run, { name, hook, codes, folder, driver });
    }
  },
};

/** By hook: what is to run, in the order of the options' names. A hook without any is emptied. */
async function chainsOf(run: Run, name: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const chains = new Map<string, string[]>();
  const config = await configOf(run, name, { isEmptyToo: true });
  for (const [key, value] of [...config].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const hook = OPTION.exec(key)?.[1];
    if (hook === undefined) continue;
    const codes = wordsOf(value);
    if (name === ADMIN_REPOSITORY && hook === 'post-update') {
      if (codes.length > 0)
        await glWarn(run, `${WARNING} ignoring attempts to set post-update hook for the admin repo`);
    } else if (HOOKS.has(hook)) {
      chains.set(hook, [...(chains.get(hook) ?? []), ...codes]);
    } else if (codes.length > 0) {
      await glWarn(run, `${WARNING} '${hook}' is not allowed, ignoring`);
      await glWarn(run, '    (only pre-receive, post-receive, post-update, and pre-auto-gc are allowed)');
    }
  }
  return chains;
}

interface Chain {
  readonly name: string;
  readonly hook: string;
  readonly codes: readonly string[];
  readonly folder: string;
  readonly driver: string;
}

/** Touches only what is not as it should be: most repositories are, each time that a conf is compiled. */
async function link(run: Run, { name, hook, codes, folder, driver }: Chain): Promise<void> {
  const hooks = join(repositoryPath(run.rc, name), 'hooks');
  const wanted = new Map([[hook, driver]]);
  for (const code of codes) {
    const source = `${folder}/${code}`;
    if (/^\/|\.\./.test(code)) await glWarn(run, `${WARNING} double dot or leading slash not allowed in '${code}'`);
    else if (!(await isRunnable(source)))
      await glWarn(run, `${WARNING} '${source}' doesn't exist or is not executable`);
    else {
      const place = String(wanted.size - 1).padStart(2, '0');
      wanted.set(`${hook}.h${place}-${code.replaceAll('/', '_')}`, source);
    }
  }
  const there = (await readdir(hooks)).filter((entry) => entry === hook || entry.startsWith(`${hook}.`));
  for (const entry of there) if (!wanted.has(entry)) await rm(join(hooks, entry), { force: true });
  for (const [entry, target] of wanted) {
    const path = join(hooks, entry);
    if ((await targetOf(path)) === target) continue;
    await rm(path, { force: true });
    await symlink(target, path);
  }
}

async function targetOf(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch {
    return undefined;
  }
}

async function isRunnable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
