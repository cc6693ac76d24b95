/** The `list-*` commands: what the conf names, and what lies on disk. Sorted, one a line. */
import { Meter } from '../../access/meter.ts';
import { compilePerl } from '../../access/gitolite/perl-pattern.ts';
import { isPlainWord, isTrue } from '../../access/gitolite/words.ts';
import { assertSane, repositoryMemberships, repositoryOf, siteUser } from '../ask.ts';
import { isDiskName, repositoryPath, statOf } from '../disk.ts';
import { getOptionsAnyhow } from '../getopt.ts';
import { glWarn } from '../gl-log.ts';
import type { Run } from '../run.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

/** More repositories than this are announced as slow. */
const MANY = 100;

function lister(
  name: string,
  { summary, operands, list }: { readonly summary: string; readonly operands: string; readonly list: List },
): SiteCommand {
  const usage = `Usage:  gitolite ${name}${operands === '' ? '' : ` ${operands}`}\n\n${summary[0]?.toUpperCase()}${summary.slice(1)}.\n`;
  return {
    name,
    summary,
    usage,
    async run(run, args) {
      const names = await list(run, args);
      if (names === undefined) {
        await run.print(`${usage}\n`);
        return 1;
      }
      const sorted = [...new Set(names)].sort();
      await run.print(sorted.map((one) => `${one}\n`).join(''));
      return 0;
    },
  };
}

/** Undefined: the caller does not know how to ask. */
type List = (run: Run, args: readonly string[]) => Promise<Iterable<string> | undefined>;

const listGroups = lister('list-groups', {
  summary: 'all groups that the conf defines',
  operands: '',
  async list(run, args) {
    if (args.length > 0) return undefined;
    const { groups } = (await run.site.conf(run.rc)).compiled.conf;
    return [...groups].filter(([, members]) => members.size > 0).map(([group]) => group);
  },
});

const listUsers = lister('list-users', {
  summary: 'users and groups of users that rules name, of repositories whose name the pattern matches somewhere',
  operands: '[REPOSITORY-PATTERN]',
  async list(run, [pattern = '.', ...rest]) {
    if (pattern === '-h' || rest.length > 0) return undefined;
    const compiled = compilePerl(pattern === '' || pattern === '0' ? '.' : pattern);
    if (compiled.kind === 'wrong') throw dies(`bad pattern '${pattern}': ${compiled.message}`);
    const { stanzas } = (await run.site.conf(run.rc)).compiled.conf;
    const users = new Set<string>();
    let matching = 0;
    for (const [key, list] of stanzas) {
      const isOnDisk = isRepository(run, key);
      if (isOnDisk && !compiled.pattern.find(key, new Meter())) continue;
      if (isOnDisk) matching += 1;
      for (const { rules } of list) for (const user of rules.keys()) users.add(user);
    }
    if (matching > MANY)
      await glWarn(run, `WARNING: you have ${matching} repos to check; this could take some time!\n`);
    if (matching >= MANY) await run.warn('\n');
    return users;
  },
});

const listRepos = lister('list-repos', {
  summary: 'all repositories and groups of repositories that the conf names',
  operands: '',
  async list(run, args) {
    if (args.length > 0) return undefined;
    const { stanzas } = (await run.site.conf(run.rc)).compiled.conf;
    return [...stanzas]
      .filter(([key, list]) =>
        list.some(({ rules, settings }) => rules.size > 0 || (settings.length > 0 && isRepository(run, key))),
      )
      .map(([key]) => key);
  },
});

const listPhysical: SiteCommand = {
  name: 'list-phy-repos',
  summary: 'all repositories on disk',
  usage: 'Usage:  gitolite list-phy-repos\n\nAll repositories on disk.\n',
  async run(run, args) {
    const names = await run.site.physical(run.rc, { anew: args.length > 0 });
    await run.print(names.map((name) => `${name}\n`).join(''));
    return 0;
  },
};

const listMemberships = lister('list-memberships', {
  summary: 'all groups that a user or a repository is in',
  operands: '-u USER|-r REPOSITORY',
  async list(run, args) {
    const { options } = await getOptionsAnyhow(run, args, [
      { names: ['user', 'u'], takesValue: true },
      { names: ['repo', 'r'], takesValue: true },
      { names: ['help', 'h'] },
    ]);
    const [user = '', repository = ''] = ['user', 'repo'].map((name) => options.get(name));
    if (options.has('help') || !(isTrue(user) || isTrue(repository))) return undefined;
    const found = isTrue(user) ? await ofUser(run, user, repository) : await ofRepository(run, repository);
    return [...found].filter((one) => one !== '@all' && one !== (isTrue(user) ? user : repository));
  },
});

async function ofRepository(run: Run, name: string): Promise<Iterable<string>> {
  assertSane(name);
  const { stanzas } = (await run.site.conf(run.rc)).compiled.conf;
  const found = await repositoryMemberships(run, await repositoryOf(run, name));
  // A pattern that nothing is said about is none that the compiled conf knows.
  return [...found].filter((one) => isPlainWord(one) || saysSomething(stanzas.get(one)) || !stanzas.has(one));
}

function saysSomething(
  list: readonly { readonly rules: ReadonlyMap<string, unknown>; readonly settings: readonly unknown[] }[] = [],
): boolean {
  return list.some(({ rules, settings }) => rules.size > 0 || settings.length > 0);
}

/** With the roles that the user has in the repository, where one is given. */
async function ofUser(run: Run, name: string, repository: string): Promise<Iterable<string>> {
  const { compiled } = await run.site.conf(run.rc);
  const user = await siteUser(run, name);
  if (!isTrue(repository)) return compiled.index.userMemberships(user);
  assertSane(repository);
  return compiled.index.userMemberships(user, await repositoryOf(run, repository));
}

const listMembers = lister('list-members', {
  summary: 'all members of a group',
  operands: 'GROUP',
  async list(run, [group]) {
    if (group === undefined || group === '-h') return undefined;
    return (await run.site.conf(run.rc)).compiled.conf.groups.get(group) ?? [];
  },
});

function isRepository(run: Run, key: string): boolean {
  return isDiskName(key) && statOf(repositoryPath(run.rc, key))?.isDirectory() === true;
}

export const LIST_COMMANDS: readonly SiteCommand[] = [
  listGroups,
  listUsers,
  listRepos,
  listPhysical,
  listMemberships,
  listMembers,
];
