/**
 * What a site's rules can be asked: its users and repositories, those that its patterns would let come to be, and the refs
 * that its rules speak of with what lies just beside them. In batches, since the old gitolite is asked a process a batch.
 */
import type { CompiledConf } from '../../access/gitolite/compile-conf.ts';
import type { Attempt } from '../../access/gitolite/conf-access.ts';
import { insaneRepository, isPlainWord, isRefWord, isUserWord } from '../../access/gitolite/words.ts';
import { Meter } from '../../access/meter.ts';
import type { SiteRepository } from '../site.ts';
import { samplesOf } from './sample-text.ts';

export interface Pair {
  readonly repository: string;
  readonly user: string;
}

export interface Batch {
  readonly attempt: Attempt;
  readonly ref: string;
  /** Whom the question comes from, where that counts: a repository that is not there would be theirs. */
  readonly asker?: string;
  readonly pairs: readonly Pair[];
}

export interface Questions {
  readonly batches: readonly Batch[];
  readonly asked: number;
  /** How many there would be without bounds. */
  readonly possible: number;
  readonly users: readonly string[];
  readonly repositories: readonly string[];
}

export interface QuestionBounds {
  readonly decisionsMax: number;
  /** Each is a process of the old gitolite. */
  readonly batchesMax: number;
}

export interface Universe {
  readonly compiled: CompiledConf;
  readonly users: readonly string[];
  /** On disk, and those that the conf names. */
  readonly repositories: readonly SiteRepository[];
}

/** Nobody's name, and nobody's repository. */
const STRANGER = 'nobody-in-particular';
const COMMON_REFS = ['refs/heads/master', 'refs/heads/main', 'refs/heads/topic/x', 'refs/tags/v1.0', 'refs/notes/x'];
/** Askers whose repositories-to-be are asked about. */
const ASKERS_MAX = 100;
const NEW_NAMES_MAX = 2_000;
/** Users in whose name a refex with USER is asked about. */
const NAMED_MAX = 3;

export function questionsAbout(universe: Universe, bounds: QuestionBounds): Questions {
  const users = [...new Set([...universe.users, STRANGER])].filter(isUserWord);
  const there = universe.repositories.filter(({ name }) => isAskable(name));
  const names = there.map(({ name }) => name);
  const attempts = attemptsOf(universe.compiled);
  const batches: Batch[] = [];
  for (const attempt of attempts) batches.push({ attempt, ref: 'any', pairs: product(names, users) });
  batches.push(...creations(universe, users));
  batches.push(...refBatches({ ...universe, repositories: there }, users, attempts));
  return bounded(batches, { bounds, users, repositories: names });
}

/** Merges are asked about where some rule looks at them. */
function attemptsOf({ conf }: CompiledConf): readonly Attempt[] {
  const rules = rulesOf(conf);
  return [
    'R',
    'W',
    '+',
    'C',
    'D',
    ...(rules.some(({ permission }) => permission.includes('M')) ? (['M'] as const) : []),
  ];
}

function rulesOf(conf: CompiledConf['conf']): readonly { readonly permission: string; readonly user: string }[] {
  return [...conf.stanzas.values()].flat().flatMap(({ rules }) => [...rules.values()].flat());
}

/** Repositories that nobody made yet: what patterns would allow, and names next to those that are there. */
function creations({ compiled, repositories }: Universe, users: readonly string[]): readonly Batch[] {
  const patterns = [
    ...compiled.conf.stanzas.keys(),
    ...[...compiled.conf.groups.values()].flatMap((group) => [...group]),
  ].filter((key) => !key.startsWith('@') && !(isPlainWord(key) && !key.includes('CREATOR')));
  const there = new Set(repositories.map(({ name }) => name));
  const askers = thinned(users, ASKERS_MAX);
  return askers.flatMap((asker) => {
    const named = [...new Set(patterns)].flatMap((pattern) => samplesOf(pattern.replaceAll('CREATOR', asker)));
    const near = thinned([...there], 20).map((name) => `${name}-x`);
    const names = thinned([...new Set([...named, ...near])], Math.ceil(NEW_NAMES_MAX / askers.length));
    const pairs = names
      .filter((name) => isAskable(name) && !there.has(name))
      .map((repository) => ({ repository, user: asker }));
    return (['^C', 'R', 'W'] as const).map((attempt) => ({ attempt, ref: 'any', asker, pairs }));
  });
}

/** For each ref that a rule speaks of the repositories for which it does. */
function refBatches(
  { compiled, repositories }: Universe,
  users: readonly string[],
  attempts: readonly Attempt[],
): readonly Batch[] {
  const repositoriesOf = new Map<string, Set<string>>();
  const usersOf = new Map<string, readonly string[]>();
  const add = (ref: string, repository: string, who?: readonly string[]): void => {
    if (!isRefWord(ref) || ref === 'any') return;
    const known = repositoriesOf.get(ref);
    if (known === undefined) repositoriesOf.set(ref, new Set([repository]));
    else known.add(repository);
    if (who !== undefined && !usersOf.has(ref)) usersOf.set(ref, who);
  };
  const [first = STRANGER, second = STRANGER] = users;
  for (const repository of repositories) {
    for (const ref of COMMON_REFS) add(ref, repository.name);
    const memberships = compiled.index.repositoryMemberships(repository, new Meter());
    const refexes = new Set([...memberships].flatMap((name) => refexesBelow(compiled.conf, name)));
    for (const refex of refexes) {
      if (!refex.includes('/USER/')) for (const ref of besides(refex)) add(ref, repository.name);
      else
        for (const user of thinned(users, NAMED_MAX))
          for (const ref of besides(refex.replace('/USER/', () => `/${user}/`)))
            add(ref, repository.name, [user, user === first ? second : first, STRANGER]);
    }
  }
  return [...repositoriesOf].flatMap(([ref, names]) => {
    const pairs = product([...names], usersOf.get(ref) ?? users);
    return attempts.map((attempt) => ({ attempt, ref, pairs }));
  });
}

function refexesBelow(conf: CompiledConf['conf'], name: string): readonly string[] {
  const stanzas = conf.stanzas.get(name) ?? [];
  return stanzas.flatMap(({ rules }) => [...rules.values()].flat().map(({ refex }) => refex));
}

/** Refs that a refex is likely to match, and neighbours of the first, which it should not. */
function besides(refex: string): readonly string[] {
  const samples = samplesOf(refex);
  const [first = ''] = samples;
  const swapped = first.startsWith('refs/heads/')
    ? first.replace('refs/heads/', 'refs/tags/')
    : first.replace('refs/tags/', 'refs/heads/');
  const refs = [...samples, `${first}x`, first.slice(0, -1), swapped];
  return [...new Set(refs)].filter((one) => /^(?:refs|VREF)\//.test(one));
}

/** Every batch is kept as long as there is room, each with fewer pairs; too many batches are thinned evenly. */
function bounded(
  all: readonly Batch[],
  { bounds, users, repositories }: Pick<Questions, 'users' | 'repositories'> & { readonly bounds: QuestionBounds },
): Questions {
  const full = all.filter(({ pairs }) => pairs.length > 0);
  const possible = full.reduce((sum, { pairs }) => sum + pairs.length, 0);
  const kept = thinned(full, bounds.batchesMax);
  const wanted = kept.reduce((sum, { pairs }) => sum + pairs.length, 0);
  const share = Math.min(1, bounds.decisionsMax / Math.max(wanted, 1));
  const batches = kept.map((batch, index) => ({
    ...batch,
    pairs: share === 1 ? batch.pairs : thinned(batch.pairs, Math.max(1, Math.floor(batch.pairs.length * share)), index),
  }));
  const asked = batches.reduce((sum, { pairs }) => sum + pairs.length, 0);
  return { batches, asked, possible, users, repositories };
}

/** At most `count` of them, evenly spread; `from` moves which. */
function thinned<T>(list: readonly T[], count: number, from = 0): readonly T[] {
  if (list.length <= count) return list;
  const step = list.length / count;
  const start = from % Math.ceil(step);
  return Array.from(
    { length: count },
    (_none, index) => list[Math.min(list.length - 1, Math.floor(index * step) + start)],
  ).filter((one) => one !== undefined);
}

function product(repositories: readonly string[], users: readonly string[]): readonly Pair[] {
  return repositories.flatMap((repository) => users.map((user) => ({ repository, user })));
}

/** Gitolite would die of any other, and take the batch with it. */
function isAskable(name: string): boolean {
  return isPlainWord(name) && !name.startsWith('@') && insaneRepository(name) === undefined;
}
