/** `help`: who answers here, and what may be asked: on the server everything, from outside what is enabled. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { greeting } from '../greeting.ts';
import { findProgram } from '../programs.ts';
import { isTrue, scalarOf } from '../rc-value.ts';
import { askerOf, type Run } from '../run.ts';
import type { SiteCommand } from './command.ts';

const NAMES_MAX = 10_000;
const DEPTH_MAX = 8;

/** Needs every other command's name, so `all.ts` hands them in. */
export function helpCommand(names: () => Iterable<string>): SiteCommand {
  const usage = `
Usage:  ssh git@host help       # from outside
        gitolite help           # on the server

Lists the commands of this site. Each says more about itself with -h.

`;
  return {
    name: 'help',
    summary: 'list the commands of this site',
    usage,
    async run(run, args) {
      if (args.length > 0) {
        await run.print(usage);
        return 1;
      }
      await run.print(await greeting(run));
      const asker = askerOf(run);
      await run.print(`list of ${asker === undefined ? 'gitolite' : 'remote'} commands available:\n\n`);
      const listed = await commandNames(run, names());
      const shown = listed.filter((name) => asker === undefined || run.rc.commands.has(name));
      await run.print(shown.map((name) => `\t${name}\n`).join(''));
      const info = run.rc.values['SITE_INFO'];
      await run.print(isTrue(info) ? `\n${scalarOf(info)}\n` : '\n');
      return 0;
    },
  };
}

/** Ours, and the programs that the site has. */
async function commandNames(run: Run, ours: Iterable<string>): Promise<readonly string[]> {
  const names = new Set(ours);
  for (const top of [run.rc.binDirectory, run.rc.localCode]) {
    if (top !== undefined) for (const name of await filesBelow(join(top, 'commands'), '', 0)) names.add(name);
  }
  const runnable: string[] = [];
  const own = new Set(ours);
  for (const name of names) {
    if (own.has(name) || (await findProgram(run.rc, 'commands', name)) !== undefined) runnable.push(name);
  }
  return runnable.sort();
}

async function filesBelow(top: string, folder: string, depth: number): Promise<readonly string[]> {
  const names: string[] = [];
  const entries = await readdir(join(top, folder), { withFileTypes: true }).catch(() => []);
  for (const entry of entries.slice(0, NAMES_MAX)) {
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory() && depth < DEPTH_MAX) names.push(...(await filesBelow(top, name, depth + 1)));
    else if (entry.isFile() || (await isFile(join(top, name)))) names.push(name);
  }
  return names;
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}
