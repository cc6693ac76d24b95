/** `info`: what the asker may reach: patterns to make repositories from, and repositories. */
import type { Attempt } from '../../access/gitolite/conf-access.ts';
import { compilePerl } from '../../access/gitolite/perl-pattern.ts';
import { Meter } from '../../access/meter.ts';
import { Stint } from '../../base/stint.ts';
import { decided, permissionWarnings, repositoryOf, siteUser } from '../ask.ts';
import { descriptionOf } from '../description.ts';
import { getOptions, type OptionSpec } from '../getopt.ts';
import { glWarn } from '../gl-log.ts';
import { greeting, greetingFields } from '../greeting.ts';
import { prettyJson, type JsonValue } from '../pretty-json.ts';
import { isTrue, scalarOf } from '../rc-value.ts';
import { assertAsker } from '../rights.ts';
import type { Run } from '../run.ts';
import { showUsage } from '../usage.ts';
import { dies, REPOSITORY_WORD } from '../words.ts';
import type { SiteCommand } from './command.ts';

const USAGE = `
Usage:  gitolite info [-lc] [-ld] [-json] [-p] [PATTERN]

Lists the repositories that you can reach, and patterns that you have a right to.

    -lc      with the creator of each repository
    -ld      with its description
    -json    as JSON
    -p       repositories only, no patterns

With a PATTERN, a regular expression, only what it matches somewhere is listed.

`;

const SWITCHES: readonly OptionSpec[] = ['lc', 'ld', 'json', 'p', 'h'].map((name) => ({ names: [name] }));

export const info: SiteCommand = {
  name: 'info',
  summary: 'list what you can reach',
  usage: USAGE,
  async run(run, args) {
    const given = await getOptions(run, args, SWITCHES);
    if (given === undefined || given.operands.length > 1 || given.options.has('h')) return showUsage(run, info);
    const { options, operands } = given;
    assertAsker(run);
    const isWanted = filterOf(operands[0]);
    const listing: Listing = {
      isWanted,
      hasCreators: options.has('lc'),
      hasDescriptions: options.has('ld'),
      isJson: options.has('json'),
    };
    await (options.has('json') ? showJson(run, listing, !options.has('p')) : showText(run, listing, !options.has('p')));
    return 0;
  },
};

interface Listing {
  readonly isWanted: (name: string) => boolean;
  readonly hasCreators: boolean;
  readonly hasDescriptions: boolean;
  readonly isJson: boolean;
}

/** One line: attempts that are allowed, each padded to two columns. */
interface Reach {
  readonly name: string;
  readonly permissions: string;
  readonly creator: string;
  /** One character a byte: what users write is in whatever encoding they like. */
  readonly description: string;
}

/** Somewhere in the name, as Perl matches it. */
function filterOf(pattern: string | undefined): (name: string) => boolean {
  if (pattern === undefined || !isTrue(pattern)) return () => true;
  const compiled = compilePerl(pattern);
  if (compiled.kind === 'wrong') return () => fail(`bad pattern '${pattern}': ${compiled.message}`);
  return (name) => compiled.pattern.find(name, new Meter());
}

function fail(text: string): never {
  throw dies(text);
}

async function showText(run: Run, listing: Listing, withPatterns: boolean): Promise<void> {
  await run.print(await greeting(run));
  const plain = { ...listing, hasCreators: false, hasDescriptions: false };
  if (withPatterns) await run.print(tableOf(await patternsReached(run, plain), plain));
  await run.print(tableOf(await repositoriesReached(run, listing), listing));
  const siteInfo = run.rc.values['SITE_INFO'];
  if (isTrue(siteInfo)) await run.print(`\n${scalarOf(siteInfo)}\n`);
}

async function showJson(run: Run, listing: Listing, withPatterns: boolean): Promise<void> {
  const { user, account, gitolite, git } = await greetingFields(run);
  const patterns = withPatterns ? await patternsReached(run, listing) : [];
  const repositories = await repositoriesReached(run, listing);
  const reached = new Map<string, JsonValue>();
  for (const { name, permissions } of patterns) reached.set(name, { perms: permissionsOf(permissions) });
  for (const { name, permissions, creator, description } of repositories) {
    reached.set(name, {
      ...(listing.hasCreators ? { creator } : {}),
      ...(listing.hasDescriptions ? { description: Buffer.from(description, 'latin1').toString() } : {}),
      perms: permissionsOf(permissions),
    });
  }
  const siteInfo = run.rc.values['SITE_INFO'];
  const answer: JsonValue = {
    GL_USER: user,
    USER: account,
    git_version: git,
    gitolite_version: gitolite,
    ...(isTrue(siteInfo) ? { SITE_INFO: scalarOf(siteInfo) } : {}),
    ...(reached.size > 0 ? { repos: Object.fromEntries(reached) } : {}),
  };
  await run.print(prettyJson(answer));
}

function permissionsOf(text: string): JsonValue {
  return Object.fromEntries((text.match(/\S/g) ?? []).map((letter) => [letter, 1]));
}

/** Patterns that rules stand below, those in groups of repositories too: a name is no pattern. */
async function patternsReached(run: Run, listing: Listing): Promise<readonly Reach[]> {
  const { conf } = (await run.site.conf(run.rc)).compiled;
  const patterns: string[] = [];
  for (const [key, stanzas] of [...conf.stanzas].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!stanzas.some(({ rules }) => rules.size > 0)) continue;
    if (key.startsWith('@')) patterns.push(...[...(conf.groups.get(key) ?? [])].sort());
    else patterns.push(key);
  }
  const wanted = patterns.filter((name) => !REPOSITORY_WORD.test(name) && listing.isWanted(name));
  const permissionsOn = await permissionsFor(run, ['R', 'W', '^C']);
  const reached: Reach[] = [];
  for (const name of wanted) {
    const permissions = await permissionsOn(name);
    if (permissions !== undefined) reached.push({ name, permissions, creator: '', description: '' });
  }
  return reached;
}

async function repositoriesReached(run: Run, listing: Listing): Promise<readonly Reach[]> {
  const names = (await run.site.physical(run.rc)).filter((name) => listing.isWanted(name));
  const permissionsOn = await permissionsFor(run, ['R', 'W']);
  const stint = new Stint();
  const reached: Reach[] = [];
  for (const name of names) {
    if (stint.isOver) await stint.rest();
    const permissions = await permissionsOn(name);
    if (permissions === undefined) continue;
    const creator = listing.hasCreators ? (await run.site.repository(run.rc, name)).creator : '';
    const description = listing.hasDescriptions ? await descriptionOf(run, name) : '';
    reached.push({ name, permissions, creator, description });
  }
  return reached;
}

/** For each name what is allowed there, two columns for each attempt; undefined: nothing is. The name is read once. */
async function permissionsFor(
  run: Run,
  attempts: readonly Attempt[],
): Promise<(name: string) => Promise<string | undefined>> {
  const { access } = (await run.site.conf(run.rc)).compiled;
  const user = await siteUser(run, assertAsker(run));
  return async (name) => {
    const repository = await repositoryOf(run, name);
    if (repository.exists && !repository.isHooked) return undefined;
    for (const warning of permissionWarnings(repository.permissions, run.rc.roles)) await glWarn(run, warning);
    let text = '';
    for (const attempt of attempts) {
      const answer = decided(access.access({ repository, user, attempt, ref: 'any' }));
      text += answer.kind === 'allowed' ? ` ${attempt.replace('^', '')}` : '  ';
    }
    return text.trim() === '' ? undefined : text;
  };
}

function tableOf(reached: readonly Reach[], { hasCreators, hasDescriptions }: Listing): Uint8Array {
  const width = (texts: readonly string[]): number => texts.reduce((most, text) => Math.max(most, text.length), 0);
  const nameWidth = hasCreators || hasDescriptions ? width(reached.map(({ name }) => name)) : 0;
  const creatorWidth = hasCreators && hasDescriptions ? width(reached.map(({ creator }) => creator)) : 0;
  const lines = reached
    .map(({ permissions, name, creator, description }) => {
      const line = [permissions, name.padEnd(nameWidth), creator.padEnd(creatorWidth), description].join('\t');
      return `${withoutTrailingBlanks(line.replace('\t\t', '\t'))}\n`;
    })
    .join('');
  return Buffer.from(lines, 'latin1');
}

function withoutTrailingBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && /[ \t\n\r\f\v]/.test(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end);
}
