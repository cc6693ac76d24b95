/** `Alias`: a repository answers to other names too, in Git's own requests, as REPO_ALIASES of the settings says. */
import { glWarn } from '../gl-log.ts';
import type { RcValue } from '../rc.ts';
import { dies } from '../words.ts';
import type { BuiltInTrigger } from './trigger.ts';

const GIT_COMMAND = /(?:git-upload-pack|git-receive-pack|git-upload-archive) '\/?(\S+)'$/;
/** In front of a target that is no repository: the client is told to use the new name. */
const MOVED = '301/';

export const ALIAS: BuiltInTrigger = {
  name: 'Alias::input',
  async run(run, { args: [user = '@all'] }) {
    const command = run.env['SSH_ORIGINAL_COMMAND'] ?? '';
    const repository = GIT_COMMAND.exec(command)?.[1];
    if (repository === undefined) return undefined;
    const named = repository.replace(/\.git$/, '');
    const aliases = tableOf(run.rc.values['REPO_ALIASES']);
    const target = targetOf(aliases, named, user);
    if (target === '' || target === '0' || target === named) return undefined;
    if (target.startsWith(MOVED)) throw dies(`please use '${target.slice(MOVED.length)}' instead of '${named}'`);
    const told = (textOf(aliases['WARNING']) ?? `'%old' is an alias for '%new'`)
      .replaceAll('%new', () => target)
      .replaceAll('%old', () => named);
    await glWarn(run, told);
    return { command: command.replace(/'\/?\S+'$/, () => `'${target}'`) };
  },
};

/** The prefixes first, then whole names; a whole name may go elsewhere for each user. */
function targetOf(aliases: Table, named: string, user: string): string {
  const prefixes = Object.entries(tableOf(aliases['PREFIX_MAPS']));
  const prefix = prefixes.find(([key]) => named.startsWith(key));
  const mapped = prefix === undefined ? named : `${textOf(prefix[1]) ?? ''}${named.slice(prefix[0].length)}`;
  const whole = aliases[mapped];
  if (whole === undefined) return mapped;
  return typeof whole === 'string' ? (isSet(whole) ? whole : mapped) : (textOf(tableOf(whole)[user]) ?? '');
}

type Table = Readonly<Record<string, RcValue>>;

function tableOf(value: RcValue | undefined): Table {
  if (value === undefined || typeof value === 'string' || isList(value)) return {};
  return value;
}

function isList(value: RcValue): value is readonly RcValue[] {
  return Array.isArray(value);
}

function textOf(value: RcValue | undefined): string | undefined {
  return typeof value === 'string' && isSet(value) ? value : undefined;
}

function isSet(text: string): boolean {
  return text !== '' && text !== '0';
}
