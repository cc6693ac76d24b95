/** `config REPO ...` and `rules REPO ...`: a repository's settings, and its owner's own rules. */
import { refuse } from '../base/fault.ts';
import type { Repository, SettingValue } from '../repository/repository.ts';
import { KNOWN_SETTINGS, parseSettingKey } from '../repository/settings.ts';
import { done, type Answer, type Call, type RepositoryCommand } from './command.ts';
import { shown } from './find.ts';
import { fields } from './table.ts';

const GROUP_LISTS: ReadonlySet<string> = new Set(['readers', 'writers', 'guests']);

export const CONFIG_COMMANDS: readonly RepositoryCommand[] = [
  {
    form: 'config REPO show [KEY]',
    summary: "Show a repository's settings",
    examples: ['config hello show', 'config hello show readers --json'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'repository', operation: 'configure', action: 'config_show' },
    run: show,
  },
  {
    form: 'config REPO set KEY VALUE…',
    summary: "Change one of a repository's settings",
    details: [
      `Keys with a meaning of their own: ${KNOWN_SETTINGS.join(', ')}. readers, writers and guests are names of groups, protected names of branches: several, with spaces or commas between them. public is yes or no, scan is on, off or report. Other keys are free for a site's own rules and hold one text.`,
      '`readers.*` adds to the list; so it does to a list of any other key.',
    ],
    examples: [
      'config hello set public yes',
      'config hello set readers staff partners',
      'config hello set protected stable next',
      'config hello set readers.* partners',
      'config hello set owner ian',
    ],
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'config_set', variables: { key: 'KEY' } },
    run: set,
  },
  {
    form: 'config REPO del KEY [ENTRY]',
    summary: 'Take a setting away, or one entry of a list',
    examples: ['config hello del public', 'config hello del readers partners'],
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'config_del', variables: { key: 'KEY' } },
    run: del,
  },
  {
    form: 'rules REPO show',
    summary: "Show a repository's own rules",
    examples: ['rules hello show'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'rules_show' },
    async run(_call, { rules }) {
      return done({ rules: rules ?? null }, rules ?? '');
    },
  },
  {
    form: 'rules REPO set',
    summary: "Set a repository's own rules: they narrow or widen what the site's rules leave to its owner",
    details: ['Rules that do not compile are refused with line and carets; the old ones stay.'],
    stdin: 'the rules, in Lace',
    examples: ['rules hello set < hello.lace'],
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'rules_set' },
    run: setRules,
  },
  {
    form: 'rules REPO check',
    summary: 'Compile rules for a repository without setting them',
    stdin: 'the rules, in Lace',
    examples: ['rules hello check < hello.lace'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'rules_show' },
    async run(call) {
      const text = await rulesFrom(call);
      if (typeof text !== 'string') return text;
      const problems = call.parts.policyDesk.problemsOfOwnRules(text);
      return problems.length > 0 ? wrong(problems) : done({ problems: [] }, 'the rules compile\n');
    },
  },
  {
    form: 'rules REPO del',
    summary: "Take a repository's own rules away",
    examples: ['rules hello del'],
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'rules_del' },
    async run(call, repository) {
      if (repository.rules === undefined) return refuse(`${repository.name} has no rules of its own`);
      const changed = await call.parts.catalogue.setRules(repository, undefined);
      return changed.kind === 'refused'
        ? changed
        : done({ rules: null }, `${repository.name} has no rules of its own now\n`);
    },
  },
];

function asText(value: SettingValue): string {
  return typeof value === 'string' ? value : value.join(' ');
}

function settingsJson({ owner, description, settings }: Repository): Readonly<Record<string, SettingValue>> {
  return { owner, description, ...settings };
}

async function show(call: Call, repository: Repository): Promise<Answer> {
  const wanted = call.args.optional('KEY');
  const all = settingsJson(repository);
  if (wanted === undefined) {
    return done(all, fields(Object.entries(all).map(([key, value]) => [key, asText(value)])));
  }
  const key = parseSettingKey(wanted);
  if (key.kind === 'refused') return { kind: 'usage', reason: key.reason };
  const value = Object.hasOwn(all, key.value.key) ? all[key.value.key] : undefined;
  if (value === undefined) return refuse(`${repository.name} has no setting ${key.value.key}`);
  return done({ [key.value.key]: value }, `${asText(value)}\n`);
}

async function set(call: Call, repository: Repository): Promise<Answer> {
  const { args, parts } = call;
  const key = parseSettingKey(args.text('KEY'));
  if (key.kind === 'refused') return { kind: 'usage', reason: key.reason };
  const followed = followedHead(call, repository, key.value.key);
  if (followed !== undefined) return followed;
  const value = args.text('VALUE');
  if (key.value.key === 'owner' && (await parts.directory.users.show(value)) === undefined) {
    return refuse(`there is no user ${shown(value)}`);
  }
  const changed = await parts.catalogue.setSetting(repository, args.text('KEY'), value);
  if (changed.kind === 'refused') return changed;
  if (changed.warning !== undefined) await call.warn(`gatehouse: warning: ${changed.warning}\n`);
  if (GROUP_LISTS.has(key.value.key)) await warnOfUnknownGroups(call, value);
  return toldOf(changed.value, key.value.key);
}

/** What a mirror takes from its upstream is not set here: the next refresh would set it back. */
function followedHead({ parts }: Call, { id, name }: Repository, key: string): Answer | undefined {
  const url = key === 'default-branch' ? parts.mirrors?.urlOf(id) : undefined;
  return url === undefined ? undefined : refuse(`${name} follows the default branch of its upstream ${url}`);
}

/** The setting stands all the same: a group may be made later. */
async function warnOfUnknownGroups(call: Call, value: string): Promise<void> {
  for (const name of value.split(/[\s,]+/).filter((word) => word !== '')) {
    if ((await call.parts.directory.groups.show(name)) !== undefined) continue;
    await call.warn(`gatehouse: warning: there is no group ${shown(name)} yet: group add ${name} DESCRIPTION\n`);
  }
}

async function del(call: Call, repository: Repository): Promise<Answer> {
  const { args, parts } = call;
  const key = parseSettingKey(args.text('KEY'));
  if (key.kind === 'refused') return { kind: 'usage', reason: key.reason };
  const followed = followedHead(call, repository, key.value.key);
  if (followed !== undefined) return followed;
  const entry = args.optional('ENTRY');
  const changed =
    entry === undefined
      ? await parts.catalogue.setSetting(repository, key.value.key, undefined)
      : await parts.catalogue.dropEntry(repository, key.value.key, entry);
  return changed.kind === 'refused' ? changed : toldOf(changed.value, key.value.key);
}

function toldOf(repository: Repository, key: string): Answer {
  const all = settingsJson(repository);
  const value = Object.hasOwn(all, key) ? all[key] : undefined;
  const text = value === undefined ? `${key} is not set` : `${key}: ${asText(value)}`;
  return done(all, `${repository.name}: ${text}\n`);
}

async function rulesFrom(call: Call): Promise<string | Answer> {
  const read = await call.readStdin();
  if ('kind' in read) return read;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(read);
  } catch {
    return refuse('the rules are not UTF-8 text');
  }
}

async function setRules(call: Call, repository: Repository): Promise<Answer> {
  const text = await rulesFrom(call);
  if (typeof text !== 'string') return text;
  const problems = call.parts.policyDesk.problemsOfOwnRules(text);
  if (problems.length > 0) return wrong(problems);
  const changed = await call.parts.catalogue.setRules(repository, text);
  return changed.kind === 'refused' ? changed : done({ rules: text }, `${repository.name} has rules of its own now\n`);
}

function wrong(problems: readonly string[]): Answer {
  return refuse(`the rules do not compile\n${problems.join('\n')}`);
}
