/** `htpasswd`: lets a user set the password that a web server asks for. */
import { access, constants } from 'node:fs/promises';
import { inputLines } from '../input.ts';
import { runInstalled } from '../installed.ts';
import { isTrue, scalarOf } from '../rc-value.ts';
import { assertAsker } from '../rights.ts';
import type { Run } from '../run.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const LINE_BYTES_MAX = 4096;

export const htpasswd: SiteCommand = {
  name: 'htpasswd',
  summary: 'set your password for the web server',
  usage: `
Usage:  ssh git@host htpasswd

Asks for the password that the site's web server is to know you by, where the site has that.

`,
  async run(run, args) {
    if (args[0] === '-h') return showUsage(run, htpasswd);
    const user = assertAsker(run);
    const file = run.rc.values['HTPASSWD_FILE'];
    if (!isTrue(file)) throw dies('htpasswd not enabled\n');
    const path = scalarOf(file);
    if (!(await isWritable(path))) throw dies(`${path} doesn't exist or is not writable\n`);
    await run.print(`Type your new password, once. IT CAN BE SEEN while you type: look around first, and clear your screen afterwards.

new htpasswd: `);
    const password = await firstLine(run);
    if (!isTrue(password)) throw dies('empty passwords are not allowed\n');
    // By standard input: who lists processes is not to see it.
    const { code } = await runInstalled(run, {
      file: 'htpasswd',
      args: ['-mi', path, user],
      stdin: Buffer.from(`${password}\n`, 'latin1'),
    });
    if (code !== 0) throw dies(`htpasswd command seems to have failed with return code: ${code << 8}.\n`);
    return 0;
  },
};

async function firstLine(run: Run): Promise<string> {
  for await (const line of inputLines(run, LINE_BYTES_MAX)) return line.replace(/[\n\r]*$/, '');
  return '';
}

async function isWritable(path: string): Promise<boolean> {
  try {
    await access(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
