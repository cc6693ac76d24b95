/** `mirror`: brings copies of a repository on other servers up to date, and tells which could not be. */
import { assertSane } from '../ask.ts';
import { repositoryPath, statOf } from '../disk.ts';
import { copiesOf, masterOf } from '../mirror-copies.ts';
import { failedCopies, failuresText, pushToCopy } from '../mirror-push.ts';
import { isTrue } from '../rc-value.ts';
import { askerOf, type Run } from '../run.ts';
import { showUsage } from '../usage.ts';
import { dies, REPOSITORY_WORD } from '../words.ts';
import type { SiteCommand } from './command.ts';

export const mirror: SiteCommand = {
  name: 'mirror',
  summary: 'push to copies of a repository on other servers, and show what failed',
  usage: `
Usage:  gitolite mirror push COPY REPO
        gitolite mirror status COPY|all REPO
        gitolite mirror status all all          # names of repositories of which a push failed
        gitolite mirror list master|copies REPO
        ssh git@host mirror push COPY REPO
        ssh git@host mirror status COPY REPO

On the server any COPY that 'git push' reaches will do; from outside it has to be one that the conf names.

`,
  async run(run, args) {
    const [verb = '', given = '', word = ''] = args;
    if (verb === '' || verb === '-h') return showUsage(run, mirror);
    if (!isTrue(run.rc.values['HOSTNAME'])) throw dies('HOSTNAME not set');
    const host = given === 'slaves' ? 'copies' : given;
    const name = word.replace(/\.git$/, '');
    if (name === '') return showUsage(run, mirror);
    if (verb === 'push') return push(run, name, host);
    if (verb === 'status') return status(run, name, host);
    if (askerOf(run) !== undefined) return showUsage(run, mirror);
    return list(run, { verb, what: host, name });
  },
};

async function push(run: Run, name: string, host: string): Promise<number> {
  if (askerOf(run) !== undefined) await assertCopy(run, name, host);
  assertRepository(run, name);
  // It becomes a word of a command line, and part of a file's name.
  if (!/^[\w.][-\w.@]*$/.test(host)) throw dies(`'${host}' not a valid copy for '${name}'`);
  return pushToCopy(run, name, host);
}

async function status(run: Run, name: string, host: string): Promise<number> {
  if (askerOf(run) === undefined && name === 'all') {
    for (const one of await run.site.physical(run.rc, { anew: true }))
      if ((await failedCopies(run, one)).length > 0) await run.print(`${one}\n`);
    return 0;
  }
  if (askerOf(run) !== undefined) await assertCopy(run, name, host);
  assertRepository(run, name);
  await run.print(await failuresText(run, name, host === 'all' ? undefined : host));
  return 0;
}

async function list(
  run: Run,
  { verb, what, name }: { readonly verb: string; readonly what: string; readonly name: string },
): Promise<number> {
  if (verb !== 'list') throw dies('invalid command');
  if (what === 'master') await run.print(`${await masterOf(run, name)}\n`);
  else if (what === 'copies') await run.print(`${(await copiesOf(run, name)).join(' ')}\n`);
  else throw dies('gitolite mirror list master|copies <reponame>');
  return 0;
}

async function assertCopy(run: Run, name: string, host: string): Promise<void> {
  if (!REPOSITORY_WORD.test(name)) throw dies(`invalid repo '${name}'`);
  if (!(await copiesOf(run, name)).includes(host)) throw dies(`'${host}' not a valid copy for '${name}'`);
}

function assertRepository(run: Run, name: string): void {
  assertSane(name);
  if (statOf(repositoryPath(run.rc, name))?.isDirectory() !== true)
    throw dies(`chdir ${name}.git failed: No such file or directory\n`);
}
