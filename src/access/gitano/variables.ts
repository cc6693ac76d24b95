/**
 * The variables of Gitano's rules, read from a question. Each is one text, a list of texts, or unset; an
 * unset one matches nothing. Names are settled when the rules compile.
 */
import type { ChangedPaths, Question } from '../decision.ts';
import type { Asked } from './asked.ts';

export type Value = string | readonly string[] | ReadonlySet<string> | undefined;
export type Reader = (asked: Asked) => Value;

export interface Variable {
  readonly read: Reader;
  /** It looks at paths, which are found out only where some rule wants them. */
  readonly isAboutPaths: boolean;
}

/** The anonymous user's name: no account can have it. */
export const ANONYMOUS_USER = 'gitano/anonymous';

const plain = (read: (question: Question) => Value): Variable => ({
  read: ({ question }) => read(question),
  isAboutPaths: false,
});
const paths = (read: (question: Question) => Value): Variable => ({
  read: ({ question }) => read(question),
  isAboutPaths: true,
});
/** A word that the asker of the question adds. */
const added = (name: string): Variable =>
  plain(({ variables }) => (variables !== undefined && Object.hasOwn(variables, name) ? variables[name] : undefined));

const VARIABLES: Readonly<Record<string, Variable>> = {
  operation: { read: ({ word }) => word, isAboutPaths: false },
  // Ours: the operation as `access explain` names it, whatever the finer word is.
  'operation/class': plain(({ operation }) => operation),
  user: plain(({ principal }) => (principal.kind === 'user' ? principal.name : ANONYMOUS_USER)),
  group: plain(({ principal }) => (principal.kind === 'user' ? principal.groups : undefined)),
  // Ours: 'person' or 'ci'; unset for the anonymous user.
  account: plain(({ principal }) => (principal.kind === 'user' ? principal.account : undefined)),
  as_user: plain(({ principal }) => (principal.kind === 'user' ? principal.asking?.name : undefined)),
  as_group: plain(({ principal }) => (principal.kind === 'user' ? principal.asking?.groups : undefined)),
  owner: plain(({ repository }) => repository?.owner),
  repository: plain(({ repository }) => repository?.name),
  ref: plain(({ ref }) => ref?.refname),
  oldtype: plain(({ ref }) => ref?.oldType),
  newtype: plain(({ ref }) => ref?.newType),
  oldsha: plain(({ ref }) => ref?.oldOid),
  newsha: plain(({ ref }) => ref?.newOid),
  start_tree: paths(({ ref }) => ref?.startTree),
  target_tree: paths(({ ref }) => ref?.targetTree),
  'treediff/targets': paths(({ ref }) => allTargets(ref?.changed)),
  'treediff/added': paths(({ ref }) => ref?.changed?.added),
  'treediff/deleted': paths(({ ref }) => ref?.changed?.deleted),
  'treediff/modified': paths(({ ref }) => ref?.changed?.modified),
  'treediff/renamed': paths(({ ref }) => ref?.changed?.renamed),
  source: added('source'),
  keytag: added('keytag'),
  key: added('key'),
  targetuser: added('targetuser'),
  targetgroup: added('targetgroup'),
  'targetgroup/prefix': plain(({ variables }) => prefixOf(variables?.['targetgroup'])),
  newrepository: added('newrepository'),
};

export const VARIABLE_NAMES: readonly string[] = Object.keys(VARIABLES);

/** The variable called `name`, or undefined: `repository/1` and `config/KEY` are made as needed. */
export function variableOf(name: string): Variable | undefined {
  if (Object.hasOwn(VARIABLES, name)) return VARIABLES[name];
  const component = /^repository\/([1-9]\d?)$/.exec(name)?.[1];
  if (component !== undefined) {
    const index = Number(component) - 1;
    return plain(({ repository }) => repository?.name.split('/')[index]);
  }
  const key = /^config\/(.+)$/.exec(name)?.[1];
  return key === undefined ? undefined : settingOf(key);
}

/** `config/readers`; a key with dots may be written with slashes, as Gitano's `config/project/owner`. */
function settingOf(key: string): Variable {
  if (key === 'project/owner') return plain(({ repository }) => repository?.owner);
  const dotted = key.replaceAll('/', '.');
  return plain(({ repository }) => {
    if (repository === undefined) return undefined;
    const { settings } = repository;
    if (Object.hasOwn(settings, key)) return settings[key];
    return Object.hasOwn(settings, dotted) ? settings[dotted] : undefined;
  });
}

/** What is in front of the first hyphen: `wiki` of `wiki-editors`. */
function prefixOf(group: string | undefined): string | undefined {
  const at = group?.indexOf('-') ?? -1;
  return at > 0 ? group?.slice(0, at) : undefined;
}

const TARGETS = new WeakMap<ChangedPaths, readonly string[]>();

function allTargets(changed: ChangedPaths | undefined): readonly string[] | undefined {
  if (changed === undefined) return undefined;
  const known = TARGETS.get(changed);
  if (known !== undefined) return known;
  const all = [...changed.added, ...changed.deleted, ...changed.modified, ...changed.renamed];
  TARGETS.set(changed, all);
  return all;
}
