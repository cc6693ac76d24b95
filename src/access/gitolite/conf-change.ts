/** What is different between two confs: the repositories about which some answer may be another now. */
import type { Conf, Stanza } from './conf.ts';
import { isPlainWord } from './words.ts';

export interface ConfChange {
  /** Those whose rules or settings differ, also by way of a group of repositories or a group of users. `all`: any may. */
  readonly repositories: 'all' | ReadonlySet<string>;
  /** Users, and groups that are none of the conf's own, whose groups differ: what a repository's own permissions give them may, too. */
  readonly users: 'all' | ReadonlySet<string>;
}

export const EVERYTHING_CHANGED: ConfChange = { repositories: 'all', users: 'all' };
export const NOTHING_CHANGED: ConfChange = { repositories: new Set(), users: new Set() };

export function confChange(before: Conf, after: Conf): ConfChange {
  const changed = new Changed(before, after);
  const kept = new Map<Stanza, Stanza>();
  for (const group of new Set([...before.groups.keys(), ...after.groups.keys()])) changed.compareGroup(group);
  for (const key of new Set([...before.stanzas.keys(), ...after.stanzas.keys()])) {
    const was = before.stanzas.get(key) ?? [];
    const is = after.stanzas.get(key) ?? [];
    if (!isSameList(was, is)) changed.noteKey(key);
    else for (const [i, stanza] of is.entries()) kept.set(stanza, was[i] ?? stanza);
  }
  if (isReordered(kept)) return EVERYTHING_CHANGED;
  changed.noteRulesOfGroups();
  const { repositories, users } = changed;
  return { repositories, users };
}

/** Both changes, one behind the other. */
export function bothChanges(a: ConfChange, b: ConfChange): ConfChange {
  const both = (x: 'all' | ReadonlySet<string>, y: 'all' | ReadonlySet<string>): 'all' | ReadonlySet<string> =>
    x === 'all' || y === 'all' ? 'all' : x.union(y);
  return { repositories: both(a.repositories, b.repositories), users: both(a.users, b.users) };
}

class Changed implements ConfChange {
  repositories: 'all' | Set<string> = new Set();
  readonly users = new Set<string>();
  readonly #before: Conf;
  readonly #after: Conf;
  readonly #groups = new Set<string>();

  constructor(before: Conf, after: Conf) {
    this.#before = before;
    this.#after = after;
  }

  compareGroup(group: string): void {
    const was = this.#before.groups.get(group) ?? NONE;
    const is = this.#after.groups.get(group) ?? NONE;
    const members = was === is ? NONE : was.symmetricDifference(is);
    if (members.size === 0) return;
    this.#groups.add(group);
    const isOfRepositories = this.#before.stanzas.has(group) || this.#after.stanzas.has(group);
    for (const member of members) {
      this.users.add(member);
      if (isOfRepositories) this.#noteName(member);
    }
  }

  /** A key behind `repo` with something else below it. */
  noteKey(key: string): void {
    if (!key.startsWith('@')) return this.#noteName(key);
    // A repository may be in a group by a file of its own, of which the conf knows nothing.
    return this.#noteAll();
  }

  /** Rules that stayed as they were, for users who did not. */
  noteRulesOfGroups(): void {
    if (this.#groups.size === 0 || this.repositories === 'all') return;
    for (const [key, stanzas] of this.#after.stanzas) {
      if (stanzas.some(({ rules }) => [...rules.keys()].some((user) => this.#groups.has(user)))) this.noteKey(key);
      if (this.isAll) return;
    }
  }

  get isAll(): boolean {
    return this.repositories === 'all';
  }

  #noteName(name: string): void {
    // `home/CREATOR/notes` is about `home/ada/notes`, too.
    if (!isPlainWord(name) || name.includes('CREATOR')) this.#noteAll();
    else if (this.repositories !== 'all') this.repositories.add(name);
  }

  #noteAll(): void {
    this.repositories = 'all';
  }
}

const NONE: ReadonlySet<string> = new Set();

/**
 * Only the order counts, and it counts between `repo` lines of different names too: a repository may have several.
 * @param kept each stanza -> what it was before.
 */
function isReordered(kept: ReadonlyMap<Stanza, Stanza>): boolean {
  const places = [...kept].map(([is, was]) => ({ is: placeOf(is), was: placeOf(was) })).sort((a, b) => a.is - b.is);
  return places.some(({ was }, i) => was < (places[i - 1]?.was ?? 0));
}

function placeOf({ rules, settings }: Stanza): number {
  let place = settings[0]?.sequence ?? Infinity;
  for (const [first] of rules.values()) if (first !== undefined) place = Math.min(place, first.sequence);
  return place;
}

function isSameList(a: readonly Stanza[], b: readonly Stanza[]): boolean {
  return a.length === b.length && a.every((stanza, i) => isSameStanza(stanza, b[i]));
}

/** Those of delegated parts are parsed anew each time, so their words are compared. */
function isSameStanza(a: Stanza, b: Stanza | undefined): boolean {
  return a.origin === b?.origin || (b !== undefined && wordsOfStanza(a) === wordsOfStanza(b));
}

/** As they are found in order: what follows one another, not by which numbers. */
function wordsOfStanza({ rules, settings }: Stanza): string {
  const said = [...rules.values()].flat().map(({ sequence, permission, refex, user }) => ({
    sequence,
    text: `${permission} ${refex} = ${user}`,
  }));
  const set = settings.map(({ sequence, key, value }) => ({ sequence, text: `config ${key} = ${value}` }));
  return [...said, ...set]
    .sort((a, b) => a.sequence - b.sequence)
    .map(({ text }) => text)
    .join('\n');
}
