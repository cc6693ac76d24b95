/** `gitolite setup`: makes the site of an account, and puts its directories, links and conf right whenever it is run again. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { isPlainWord } from '../../access/gitolite/words.ts';
import { makeRepository, withoutGitEnv } from '../create-repository.ts';
import { defaultRcText } from '../default-rc.ts';
import { repositoryPath, statOf, textOf, writeText } from '../disk.ts';
import { getOptions } from '../getopt.ts';
import { ADMIN_REPOSITORY, hookLinks, hookRepository, makeDirectory, resetHooks } from '../hooks.ts';
import { runProgram } from '../programs.ts';
import { trigger } from '../run-triggers.ts';
import type { Run } from '../run.ts';
import { fingerprintOfKey, userOfKeyFile } from '../site-keys.ts';
import { dies, ends } from '../words.ts';
import type { SiteCommand } from './command.ts';

const USAGE = `Usage:  gitolite setup [OPTION]

Makes the site: settings, conf, the administrator's repository; puts the conf in force and links the hooks.
One of -a and -pk is needed the first time. Later runs make good what is missing.

    -a, --admin NAME        who administers the site
    -pk, --pubkey FILE      the administrator's public key, NAME.pub; later: another one
    -ho, --hooks-only       links the hooks, and nothing else
    -m, --message TEXT      of the commit in gitolite-admin
`;

export const setup: SiteCommand = {
  name: 'setup',
  summary: 'make the site, or put it right',
  usage: USAGE,
  async run(run, args) {
    const given = await getOptions(run, args, [
      { names: ['admin', 'a'], takesValue: true },
      { names: ['pubkey', 'pk'], takesValue: true },
      { names: ['message', 'm'], takesValue: true },
      { names: ['hooks-only', 'ho'] },
      { names: ['help', 'h'] },
    ]);
    const asked = given === undefined ? undefined : askedOf(given.options);
    if (asked === undefined) {
      await run.print(USAGE);
      return 1;
    }
    if (!asked.isHooksOnly) await setUp(run, asked, asked.message ?? `gitolite setup ${args.join(' ')}`);
    await hookAll({ ...run, rc: await run.site.rc(run.env) });
    return 0;
  },
};

interface Asked {
  readonly admin: string;
  readonly pubkey: string;
  readonly message: string | undefined;
  readonly isHooksOnly: boolean;
}

/** Undefined: options that do not go together, or a question for help. */
function askedOf(options: ReadonlyMap<string, string>): Asked | undefined {
  const admin = options.get('admin') ?? '';
  const pubkey = options.get('pubkey') ?? '';
  const isHooksOnly = options.has('hooks-only');
  if (options.has('help') || (admin !== '' && pubkey !== '')) return undefined;
  if (isHooksOnly && (admin !== '' || pubkey !== '')) return undefined;
  return { admin, pubkey, isHooksOnly, message: options.get('message') || undefined };
}

async function setUp(run: Run, { admin, pubkey }: Asked, message: string): Promise<void> {
  const key = pubkey === '' ? undefined : await keyOf(run, pubkey);
  const settings = `${run.rc.home}/.gitolite.rc`;
  if (statOf(settings)?.isFile() !== true) writeText(settings, defaultRcText(), run.rc);
  await setUpAdmin(run, { name: key?.user ?? admin, key: key?.text, message });
  // The settings may have been written only now.
  const anew = { ...run, rc: await run.site.rc(run.env) };
  await anew.site.compile(anew);
  await trigger(anew, 'POST_COMPILE', []);
}

/** @throws `dies` in gitolite's words where it is no public key of one line. */
async function keyOf(run: Run, file: string): Promise<{ readonly user: string; readonly text: string }> {
  if (!file.endsWith('.pub')) throw dies(`'${file}' name does not end in .pub`);
  const path = resolve(run.cwd, file);
  if (statOf(path)?.isFile() !== true) throw dies(`'${file}' not a readable file`);
  const text = textOf(path);
  if (text.replace(/\n+$/, '').split('\n').length !== 1) throw dies(`'${file}' must have exactly one line`);
  if (fingerprintOfKey(text) === undefined) throw dies(`'${file}' does not seem to be a valid ssh pubkey file`);
  const user = userOfKeyFile(file);
  // No trigger after a compile would go on with it.
  if (!isPlainWord(`keydir/${user}.pub`)) throw dies(`bad pubkey file '${file}'`);
  if (file.includes('@')) await run.warn(`NOTE: the admin username is '${user}'\n`);
  return { user, text };
}

interface Admin {
  /** Empty: the site has a conf. */
  readonly name: string;
  readonly key: string | undefined;
  readonly message: string;
}

async function setUpAdmin(run: Run, { name, key, message }: Admin): Promise<void> {
  const { rc } = run;
  const conf = `${rc.adminBase}/conf/gitolite.conf`;
  const hasConf = statOf(conf)?.isFile() === true;
  if (name === '' && !hasConf) throw dies("'-pk' or '-a' required; see 'gitolite setup -h' for more");
  for (const folder of ['conf', 'logs']) makeDirectory(`${rc.adminBase}/${folder}`, rc);
  if (!hasConf) writeText(conf, firstConf(name), rc);
  if (key !== undefined) {
    makeDirectory(`${rc.adminBase}/keydir`, rc);
    writeText(`${rc.adminBase}/keydir/${name}.pub`, key, rc);
  }
  makeDirectory(rc.repositoryBase, rc);
  const isThere = statOf(repositoryPath(rc, ADMIN_REPOSITORY))?.isDirectory() === true;
  if (!isThere) {
    resetHooks(rc);
    await makeRepository(run, ADMIN_REPOSITORY);
  }
  await commitAdmin(run, ['conf/gitolite.conf', ...(key === undefined ? [] : ['keydir'])], message);
}

/** The same bytes as gitolite's, so that the first commit is the same too. */
function firstConf(admin: string): string {
  return `repo gitolite-admin\n    RW+     =   ${admin}\n\nrepo testing\n    RW+     =   @all\n`;
}

/** With the account's own git, identity and dates, as gitolite commits. */
async function commitAdmin(run: Run, paths: readonly string[], message: string): Promise<void> {
  const { rc } = run;
  const cwd = repositoryPath(rc, ADMIN_REPOSITORY);
  const quiet: Run = { ...withoutGitEnv(run), cwd, warn: () => Promise.resolve() };
  const env = { GIT_WORK_TREE: rc.adminBase };
  const git = async (...args: readonly string[]): Promise<boolean> =>
    (await runProgram(quiet, { file: 'git', args, env, stdout: 'collect' })).code === 0;
  for (const path of paths) {
    const { code } = await runProgram(
      { ...quiet, warn: (text) => run.warn(text) },
      { file: 'git', args: ['add', path], env, stdout: 'stderr' },
    );
    if (code !== 0) throw ends(code);
  }
  const account = run.env['USER'] ?? '';
  const host = hostname();
  if (!(await git('config', '--get', 'user.email'))) await git('config', 'user.email', `${account}@${host}`);
  if (!(await git('config', '--get', 'user.name'))) await git('config', 'user.name', `${account} on ${host}`);
  if (await git('diff', '--cached', '--quiet')) return;
  if (!(await git('commit', '-am', message))) throw dies('setup failed to commit to the admin repo');
}

async function hookAll(run: Run): Promise<void> {
  const { rc } = run;
  resetHooks(rc);
  const links = hookLinks(rc);
  for (const name of await run.site.physical(rc, { anew: true })) {
    if (statOf(repositoryPath(rc, name))?.isDirectory() === true) hookRepository(rc, name, links);
  }
}
