/** `who-pushed`: whose push brought a commit, from the site's log. */
import { repositoryPath, statOf } from '../disk.ts';
import { runProgram } from '../programs.ts';
import { updatesOf, type PushedLine } from '../pushed-log.ts';
import { splitLog } from '../split-log.ts';
import { may } from '../rights.ts';
import { askerOf, type Run } from '../run.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const NO_OID = /^0+$/;

export const whoPushed: SiteCommand = {
  name: 'who-pushed',
  summary: 'show whose push brought a commit',
  usage: `
Usage:  ssh git@host who-pushed [--tip] REPO COMMIT
        gitolite who-pushed --migrate [--force]

Lists pushes that brought COMMIT, which may be shortened: time, transaction, user, ref, old and new commit. With --tip
only the new commit of each push is looked at. Where the site's LOG_DEST has 'repo-log', each repository's own log is
looked at; --migrate, on the server, makes these logs from the site's.

`,
  async run(run, args) {
    if (args[0] === '--migrate' && askerOf(run) === undefined) return splitLog(run, args[1] === '--force');
    const isTipOnly = args[0] === '--tip';
    const [name = '', commit = ''] = isTipOnly ? args.slice(1) : args;
    if (name === '' || name === '-h' || !/^[0-9a-f]+$/i.test(commit)) return showUsage(run, whoPushed);
    if (askerOf(run) !== undefined && !(await may(run, name, 'R'))) throw dies(`no read permissions on '${name}'`);
    const cwd = repositoryPath(run.rc, name);
    if (statOf(cwd)?.isDirectory() !== true) throw dies(`repo '${name}' missing`);
    const start = commit.toLowerCase();
    for await (const line of updatesOf(run, name)) {
      const isFound = isTipOnly ? line.newOid.startsWith(start) : await brought(run, { line, start, cwd });
      if (!isFound) continue;
      const { time, transaction, user, ref, oldOid, newOid } = line;
      await run.print(`${[time, transaction, user, ref, oldOid, newOid].join(' ')}\n`);
    }
    return 0;
  },
};

/** What git does not know any more, nobody can be shown to have brought. */
async function brought(
  run: Run,
  { line, start, cwd }: { readonly line: PushedLine; readonly start: string; readonly cwd: string },
): Promise<boolean> {
  const { oldOid, newOid } = line;
  if (!/^[0-9a-f]+$/.test(oldOid) || !/^[0-9a-f]+$/.test(newOid)) return false;
  const range = NO_OID.test(oldOid) ? newOid : `${oldOid}..${newOid}`;
  const silent: Run = { ...run, warn: () => Promise.resolve() };
  const { stdout } = await runProgram(silent, {
    file: 'git',
    args: ['rev-list', '--end-of-options', range],
    cwd,
    stdout: 'collect',
  });
  return stdout.startsWith(start) || stdout.includes(`\n${start}`);
}
