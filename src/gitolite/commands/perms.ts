/** `perms`: who has which role in a repository that somebody made; kept in its gl-perms. */
import { assertSane } from '../ask.ts';
import { createWild } from '../create-repository.ts';
import { FILE_BYTES_MAX as PERMISSIONS_BYTES_MAX, PERMISSIONS_FILE, repositoryPath } from '../disk.ts';
import { glLog, glWarn } from '../gl-log.ts';
import { inputLines } from '../input.ts';
import { isTrue } from '../rc-value.ts';
import { assertAsker, may, owns } from '../rights.ts';
import { roleOf, roleRules, roleTable } from '../roles.ts';
import type { Run } from '../run.ts';
import { trigger } from '../run-triggers.ts';
import { readSiteFile, writeSiteFile } from '../site-file.ts';
import { inTurn } from '../turns.ts';
import { dies, REPOSITORY_WORD, USER_WORD } from '../words.ts';
import type { SiteCommand } from './command.ts';

const USAGE = `
Usage:  ssh git@host perms REPO -l              # who has which role
        ssh git@host perms REPO -lr             # which roles there are, and what they may do
        ssh git@host perms REPO + ROLE USER     # give
        ssh git@host perms REPO - ROLE USER     # take away
        ssh git@host perms -c REPO < FILE       # replace all; makes the repository where it is not there

For repositories that you made, or own. A USER may be a group with its @.

    ssh git@host perms my/repo + READERS alice

`;

const NOT_YOURS = 'repo does not exist, or you are not authorised';
/** Blanks as Perl sees them in bytes; one of 0xa0 in UTF-8 text is part of a letter. */
const WORD = /[^\t-\r ]+/;
const CANCEL = /^[\t-\r ]*cancel[\t-\r ]*$/i;
const WRONG_WORDS = "Invalid syntax.  Please re-run with '-h' for detailed usage";

export const perms: SiteCommand = {
  name: 'perms',
  summary: 'show and set who has which role in a repository of yours',
  usage: USAGE,
  async run(run, args) {
    const [first = '', second = ''] = args;
    if (args.length < 2 || first === '-h') return usage(run);
    const user = assertAsker(run);
    if (second === '-l') return show(run, first);
    const words = first === '-c' ? args.slice(1) : args;
    const [name = '', ...rest] = words;
    if (first === '-c') {
      if (!isTrue(name)) return usage(run);
      await createIfMissing(run, name, user);
    }
    if (rest[0] === '-lr') {
      assertSane(name);
      await run.print(roleTable(await roleRules(run, name)));
      return 0;
    }
    if (!(await owns(run, name))) throw dies(NOT_YOURS);
    const code = rest.length === 0 ? await replaceAll(run, name) : await change(run, name, rest);
    if (code !== 0) return code;
    await trigger(run, 'POST_CREATE', [name, user, 'perms']);
    return 0;
  },
};

async function usage(run: Run): Promise<number> {
  await run.print(USAGE);
  return 1;
}

async function show(run: Run, name: string): Promise<number> {
  if (!(await owns(run, name))) throw dies(NOT_YOURS);
  await run.print(bytesOf(await readPerms(run, name)));
  return 0;
}

async function createIfMissing(run: Run, name: string, user: string): Promise<void> {
  if (!REPOSITORY_WORD.test(name)) throw dies(`invalid repo '${name}'`);
  assertSane(name);
  if ((await run.site.repository(run.rc, name)).exists) return;
  const isAllowed = isTrue(run.env['GL_BYPASS_CREATOR_CHECK']) || (await may(run, name, '^C'));
  if (!isAllowed) throw dies(NOT_YOURS);
  await createWild(run, name, user, 'perms-c');
  await glLog(run, 'create', name, user, 'perms-c');
}

/** From standard input, a role and its users a line; nothing changes where a line is wrong. */
async function replaceAll(run: Run, name: string): Promise<number> {
  await run.warn("'batch' mode started, waiting for input (run with '-h' for details).\n");
  await run.warn("Please enter 'cancel' to abort if you did not intend to do this.\n");
  const lines: string[] = [];
  for await (const line of inputLines(run)) {
    if (CANCEL.test(line)) throw dies('CANCELLED');
    const role = WORD.exec(line)?.[0];
    if (role !== undefined && !run.rc.roles.has(role)) return invalidRole(run, name, bytesOf(role));
    lines.push(line);
  }
  await writePerms(run, name, lines);
  return 0;
}

async function change(run: Run, name: string, words: readonly string[]): Promise<number> {
  const [op, role = '', user = ''] = words;
  if (words.length !== 3 || (op !== '+' && op !== '-')) throw dies(WRONG_WORDS);
  if (!USER_WORD.test(user)) throw dies(`Invalid user '${user}'`);
  if (op === '+' && !(await roleRules(run, name)).some((rule) => roleOf(rule) === role))
    return invalidRole(run, name, Buffer.from(role));
  await inTurn(run, permsFile(run, name), () => put(run, { name, op, role, user }));
  return 0;
}

interface Change {
  readonly name: string;
  readonly op: '+' | '-';
  readonly role: string;
  readonly user: string;
}

async function put(run: Run, { name, op, role, user }: Change): Promise<void> {
  const line = `${role} ${user}\n`;
  const lines = linesOf(await readPerms(run, name));
  const isThere = lines.includes(line);
  if (op === '+' && isThere) await glWarn(run, `'${role} ${user}' already present in file`);
  else if (op === '+') await writePerms(run, name, [...lines, line].sort());
  else if (!isThere) await glWarn(run, `'${role} ${user}' was not present in file`);
  else
    await writePerms(
      run,
      name,
      lines.filter((one) => one !== line),
    );
}

async function invalidRole(run: Run, name: string, role: Buffer): Promise<number> {
  await run.warn(Buffer.concat([Buffer.from("Invalid role '"), role, Buffer.from("'; valid roles for this repo:\n")]));
  await run.warn(roleTable(await roleRules(run, name)));
  return 1;
}

/** Each with its line end, the last too: gitolite would run it together with what is sorted behind it. */
function linesOf(text: string): readonly string[] {
  return text.split(/(?<=\n)/).map((line) => (line === '' || line.endsWith('\n') ? line : `${line}\n`));
}

/** One character a byte: what is not ours to read stays as it is. */
async function readPerms(run: Run, name: string): Promise<string> {
  return (await readSiteFile(permsFile(run, name)))?.toString('latin1') ?? '';
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

async function writePerms(run: Run, name: string, lines: readonly string[]): Promise<void> {
  const data = bytesOf(lines.join(''));
  // What could not be read again would end every command that looks at the repository.
  if (data.length > PERMISSIONS_BYTES_MAX)
    throw dies(`perms of '${name}' are larger than ${PERMISSIONS_BYTES_MAX} bytes`);
  await writeSiteFile(run, permsFile(run, name), { data });
}

function permsFile(run: Run, name: string): string {
  return `${repositoryPath(run.rc, name)}/${PERMISSIONS_FILE}`;
}
