/** `gitolite compile`: the conf is read and put in force, and what it names is made. */
import { compileConf, type CompiledConf } from '../access/gitolite/compile-conf.ts';
import type { ConfChange } from '../access/gitolite/conf-change.ts';
import { SUGARS } from '../access/gitolite/conf-settings.ts';
import { TEMPLATES_IGNORED } from '../access/gitolite/plain-rules.ts';
import { isPlainWord, isTrue, refusedRepository } from '../access/gitolite/words.ts';
import type { Problem } from '../access/problem.ts';
import { Stint } from '../base/stint.ts';
import { readSources } from './conf-sources.ts';
import { Creation, isIdle, type ToCreate } from './create-repository.ts';
import { repositoryPath, SENTINEL_FILE, statOf } from './disk.ts';
import { glWarn } from './gl-log.ts';
import { resetHooks } from './hooks.ts';
import { keepInForce } from './in-force.ts';
import type { PerlFiles } from './perl-files.ts';
import { trigger } from './run-triggers.ts';
import type { Rc } from './rc.ts';
import type { Run } from './run.ts';
import { applyTemplates } from './template-data.ts';
import { dies } from './words.ts';

export interface CompileParts {
  /** What is in force; what stayed the same since is taken over. */
  readonly previous: CompiledConf | undefined;
  /** Decisions are made by it from here on. */
  putInForce(compiled: CompiledConf, changed: ConfChange): void;
  /** More changed than the conf. */
  noteChange(changed: ConfChange): void;
  /** What programs written for gitolite read. */
  readonly perlFiles: Pick<PerlFiles, 'write' | 'newText' | 'noteWritten'>;
}

/** @throws `dies` in gitolite's words; then what was in force stays. */
export async function compileSite(run: Run, parts: CompileParts): Promise<void> {
  const { rc } = run;
  for (const name of rc.sugar)
    if (!SUGARS.some((known) => known === name)) await glWarn(run, `skipped sugar script '${name}'`);
  const sources = readSources(rc);
  const result = compileConf({ ...sources, folder: 'conf/', previous: parts.previous });
  for (const { message } of result.warnings) if (message !== TEMPLATES_IGNORED) await glWarn(run, message);
  if (result.kind === 'wrong')
    throw dies(result.problems[0] === undefined ? 'the conf is wrong' : fatalOf(result.problems[0]));
  const made = await makeNamed(run, result.compiled, parts.perlFiles);
  const { repositories, users } = result.changed;
  const changed = repositories === 'all' ? repositories : repositories.union(new Set(made));
  parts.putInForce(result.compiled, { repositories: changed, users });
  keepInForce(rc, sources);
  await parts.perlFiles.write(rc, result.compiled);
  const creating = { ...run, rc: withoutCompileTriggers(rc) };
  if (!isIdle(creating.rc, 'POST_CREATE')) for (const name of made) await trigger(creating, 'POST_CREATE', [name]);
  parts.noteChange({ repositories: await applyTemplates(run), users: new Set() });
}

/** Gitolite's words, then where it is. */
function fatalOf({ file, line, message, text }: Problem): string {
  const said = message.replace(/^(git config '.*' not allowed); .*$/s, '$1\ncheck GIT_CONFIG_KEYS in the rc file');
  return line === 0 ? said : `${said}\n${file}:${line}: ${text}`;
}

/** The names of new ones. @throws `dies` before any is made, where a name leads out of the place of repositories. */
async function makeNamed(
  run: Run,
  { conf }: CompiledConf,
  perlFiles: CompileParts['perlFiles'],
): Promise<readonly string[]> {
  const { rc } = run;
  await using creation = new Creation(run);
  const stint = new Stint();
  const missing: Named[] = [];
  const named = namedRepositories(conf);
  // A path that leads elsewhere is not even looked at.
  const refused = refusedIn(named);
  if (refused !== undefined) throw dies(refused);
  for (const one of named) {
    if (statOf(`${repositoryPath(rc, one.name)}/${SENTINEL_FILE}`)?.isFile() !== true) missing.push(one);
    if (stint.isOver) await stint.rest();
  }
  if (missing.length > 0) resetHooks(rc);
  const prepare = (): readonly ToCreate[] =>
    missing.splice(0, creation.atOnce).map(({ name, isOwnLine }) => ({
      name,
      sentinel: isOwnLine ? perlFiles.newText(rc, conf, name) : undefined,
    }));
  let some = prepare();
  while (some.length > 0) {
    let following: readonly ToCreate[] | undefined;
    await creation.createNamed(some, () => {
      following = prepare();
    });
    for (const { name, sentinel } of some) if (sentinel !== undefined) perlFiles.noteWritten(conf, name);
    if (stint.isOver) await stint.rest();
    some = following ?? prepare();
  }
  await creation.settle();
  return creation.made;
}

/** Why a compile of it will die of the first name that leads out of the place of repositories, in gitolite's words. */
export function refusedName({ conf }: Pick<CompiledConf, 'conf'>): string | undefined {
  return refusedIn(namedRepositories(conf));
}

function refusedIn(named: readonly Named[]): string | undefined {
  for (const { name } of named) {
    const refused = isTrue(name) ? refusedRepository(name) : undefined;
    if (refused !== undefined) return refused;
  }
  return undefined;
}

interface Named {
  readonly name: string;
  /** Behind `repo` itself, not by way of a group. */
  readonly isOwnLine: boolean;
}

/** Each repository that the conf names and says something about, sorted; patterns are nobody's name. */
function namedRepositories({ stanzas, groups }: CompiledConf['conf']): readonly Named[] {
  const named = new Map<string, boolean>();
  for (const [key, list] of stanzas) {
    const hasRules = list.some(({ rules }) => rules.size > 0);
    if (!hasRules && !list.some(({ settings }) => settings.length > 0)) continue;
    if (!key.startsWith('@')) named.set(key, true);
    else if (hasRules && key !== '@all')
      for (const member of groups.get(key) ?? []) if (!named.has(member)) named.set(member, false);
  }
  return [...named]
    .filter(([name]) => isPlainWord(name) && !/^@|EXTCMD\//.test(name))
    .map(([name, isOwnLine]) => ({ name, isOwnLine }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What runs at POST_COMPILE need not run for each new repository before. */
function withoutCompileTriggers(rc: Rc): Rc {
  const compile = rc.values['POST_COMPILE'];
  const create = rc.values['POST_CREATE'];
  if (!Array.isArray(compile) || !Array.isArray(create)) return rc;
  const kept = create.filter((line) => !compile.includes(line));
  const lines = kept.filter((line) => typeof line === 'string');
  return {
    ...rc,
    values: { ...rc.values, POST_CREATE: kept },
    triggers: new Map([...rc.triggers, ['POST_CREATE', lines]]),
  };
}
