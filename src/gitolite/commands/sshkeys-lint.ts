/** `sshkeys-lint`: looks for what is wrong with the keys of a site: which one leads to whom, and which never will. */
import { join, resolve } from 'node:path';
import { filesBelow } from '../conf-sources.ts';
import { getOptions } from '../getopt.ts';
import { glWarn } from '../gl-log.ts';
import { readInput } from '../input.ts';
import type { Run } from '../run.ts';
import { readSiteFile } from '../site-file.ts';
import { fingerprintOfKey } from '../site-keys.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

const AUTHORIZED_KEYS_BYTES_MAX = 64 * 1024 * 1024;
const EXIT_MAX = 255;

export const sshkeysLint: SiteCommand = {
  name: 'sshkeys-lint',
  summary: 'look for mistakes in ssh keys',
  usage: `
Usage:  gitolite sshkeys-lint [-q] [-a NAME] [FILE...]

Looks at the lines of an authorized_keys on standard input, else of ~/.ssh/authorized_keys, and at the public keys in the
FILEs, else in keydir, and says which key leads to whom. -q: only what is wrong. -a: whether NAME.pub leads to NAME. The
exit code is the number of warnings.

`,
  async run(run, args) {
    const given = await getOptions(run, args, [
      { names: ['admin', 'a'], takesValue: true },
      { names: ['quiet', 'q'] },
      { names: ['help', 'h'] },
    ]);
    if (given === undefined || given.options.has('help')) return showUsage(run, sshkeysLint);
    const lint = new Lint(run, given.options.has('quiet'));
    await lint.lookAtLines(await authorizedKeys(run));
    const admin = given.options.get('admin');
    if (admin !== undefined) await lint.assertLeadsTo(admin);
    await lint.lookAtFiles(given.operands);
    if (lint.warnings > 0) await run.print(`\n${lint.warnings} warnings found\n`);
    return Math.min(lint.warnings, EXIT_MAX);
  },
};

/** A terminal has nothing to say; neither has a cron job's empty input. */
async function authorizedKeys(run: Run): Promise<string> {
  const isAsked = run.env['GATEHOUSE_STDIN'] !== 'terminal';
  const input = isAsked ? await readInput(run, AUTHORIZED_KEYS_BYTES_MAX) : Buffer.alloc(0);
  if (input.length > 0) return input.toString();
  return (await readSiteFile(join(run.rc.home, '.ssh/authorized_keys'), AUTHORIZED_KEYS_BYTES_MAX))?.toString() ?? '';
}

class Lint {
  readonly #run: Run;
  readonly #isQuiet: boolean;
  /** By fingerprint: whose line of authorized_keys it is, and which. */
  readonly #lines = new Map<string, { readonly user: string; readonly line: number }>();
  warnings = 0;

  constructor(run: Run, isQuiet: boolean) {
    this.#run = run;
    this.#isQuiet = isQuiet;
  }

  async lookAtLines(text: string): Promise<void> {
    await this.#say('==== checking authkeys file:\n');
    let isInside = false;
    for (const [at, line] of text.split('\n').entries()) {
      if (line.startsWith('# gitolite start')) isInside = true;
      if (line.startsWith('# gitolite end')) isInside = false;
      if (/^#.*gitosis/.test(line)) throw dies("gitosis?  what's that?\n");
      if (/^\s*(?:#|$)/.test(line)) continue;
      await this.#lookAtLine(line, at + 1, isInside);
    }
  }

  async #lookAtLine(text: string, line: number, isInside: boolean): Promise<void> {
    const fingerprint = fingerprintOfKey(text);
    if (fingerprint === undefined) {
      await glWarn(this.#run, `Bad line: ${text}\n`);
      return;
    }
    const user = userOfLine(text);
    const isSiteUser = user.startsWith('user ');
    if (isSiteUser && !isInside) await this.#warn(`line ${line}, ${user} key found *outside* gitolite section!\n`);
    if (!isSiteUser && isInside) await this.#warn(`line ${line}, ${user} key found *inside* gitolite section!\n`);
    const earlier = this.#lines.get(fingerprint);
    if (earlier === undefined) this.#lines.set(fingerprint, { user, line });
    else
      await this.#warn(
        `authkeys line ${line} (${user}) will be ignored by sshd; same key found on line ${earlier.line} (${earlier.user})\n`,
      );
  }

  async assertLeadsTo(name: string): Promise<void> {
    const text = await readSiteFile(resolve(this.#run.cwd, `${name}.pub`));
    if (text === undefined) throw dies(`file not found: ${name}.pub\n`);
    const user = this.#userOf(fingerprintOfKey(text.toString()));
    if (user === `user ${name}`) return;
    throw dies(
      `\t\t*** FATAL ***\n${name}.pub maps to ${user}, not ${name}.\nYou will not be able to access gitolite with this key.\n`,
    );
  }

  async lookAtFiles(given: readonly string[]): Promise<void> {
    const keydir = join(this.#run.rc.home, '.gitolite/keydir');
    const files =
      given.length > 0
        ? given.map((name) => ({ name, path: resolve(this.#run.cwd, name) }))
        : filesBelow(keydir, '.pub', { followsLinks: false }).map((name) => ({ name, path: join(keydir, name) }));
    if (files.length > 0) await this.#say('==== checking pubkeys:\n');
    const seen = new Map<string, string>();
    for (const { name, path } of files) {
      const text = await readSiteFile(path);
      if (text === undefined) throw dies(`file not found: ${name}\n`);
      const fingerprint = fingerprintOfKey(text.toString());
      if (fingerprint === undefined) {
        await glWarn(this.#run, `Bad line: ${path}\n`);
        continue;
      }
      const original = seen.get(fingerprint);
      if (original === undefined) seen.set(fingerprint, name);
      else await this.#warn(`${name} appears to be a COPY of ${original}\n`);
      await this.#say(`${name} maps to ${this.#userOf(fingerprint)}\n`);
    }
  }

  #userOf(fingerprint: string | undefined): string {
    return (fingerprint === undefined ? undefined : this.#lines.get(fingerprint)?.user) ?? 'no access';
  }

  async #say(text: string): Promise<void> {
    if (!this.#isQuiet) await this.#run.print(`sshkeys-lint: ${text}`);
  }

  async #warn(text: string): Promise<void> {
    this.warnings += 1;
    await this.#run.print(`sshkeys-lint: WARNING: ${text}`);
  }
}

function userOfLine(line: string): string {
  const [, user] = /^command=.*gitolite-shell (.*?)"/.exec(line) ?? [];
  if (user !== undefined) return `user ${user}`;
  return line.startsWith('command') ? 'unknown command' : 'shell access';
}
