/**
 * The look-up of a compiled conf: from a repository and a user to the rules that apply, in order. Its cost grows
 * with the rules that apply and the patterns that start alike, not with the number of repositories or users.
 */
import type { Meter } from '../meter.ts';
import type { Conf, ConfSetting, Stanza } from './conf.ts';
import type { ConfPatterns } from './conf-patterns.ts';
import { genericName } from './generic-name.ts';
import { PatternTable } from './pattern-table.ts';
import { Recent } from './recent.ts';
import type { Refexes } from './refex.ts';
import { Roles } from './roles.ts';
import { RuleCells } from './rule-cells.ts';
import { RuleKinds, type RuleKind } from './rule-kind.ts';
import { bySequence, lastSettings, ReadyStanza, Standing, type ReadyRule } from './standing.ts';
import { ALL, isPlainWord, isTrue, isUserWord } from './words.ts';

/** A repository as it lies on the site. */
export interface ConfRepository {
  readonly name: string;
  readonly exists: boolean;
  /** Who made it; for one that does not exist, who would. Empty: nobody known. */
  readonly creator: string;
  /** The text of its permissions file; empty: none. */
  readonly permissions: string;
  /** Groups that lie with the repository itself, with or without `@`. */
  readonly groups?: readonly string[];
  /** Roles that its permissions may give; absent: those that the conf was compiled with. */
  readonly roles?: ReadonlySet<string>;
}

export interface ConfUser {
  readonly name: string;
  /** Groups known outside the conf, with or without `@`. */
  readonly outerGroups?: Iterable<string>;
  /** Nobody in particular: `@all` refuses them, but grants them nothing. */
  readonly isOutside?: boolean;
}

/** Repositories, and users, whose memberships are kept. */
const KNOWN_REPOSITORIES_MAX = 20_000;
const KNOWN_USERS_MAX = 20_000;

/** Who asks: everything that the user counts as in rules. */
export interface Subjects {
  /** The name is one that a user can have. */
  readonly isReal: boolean;
  readonly names: ReadonlySet<string>;
  /** Roles that the repository gives to one of them, with their `@`. */
  readonly roles: ReadonlySet<string>;
  /** Those of them that some rule is about, by number. */
  readonly numbers: readonly number[];
}

export interface RuleIndexParts {
  readonly roles: ReadonlySet<string>;
  readonly patterns: ConfPatterns;
  readonly refexes: Refexes;
}

const NO_ROLES: ReadonlySet<string> = new Set();

export class RuleIndex {
  readonly #conf: Conf;
  readonly #known: ReadonlySet<string>;
  readonly #kinds: RuleKinds;
  readonly #cells = new RuleCells();
  readonly #patterns: PatternTable<string>;
  /** Member -> groups. */
  readonly #groupsOf = new Map<string, string[]>();
  readonly #groupPatterns: PatternTable<readonly string[]>;
  readonly #roles = new Roles();
  readonly #ready = new Map<Stanza, ReadyStanza>();
  /** By name; what a repository counts as depends on its creator besides. */
  readonly #standings = new Recent<string, Standing>(KNOWN_REPOSITORIES_MAX);
  readonly #users = new Recent<string, Subjects>(KNOWN_USERS_MAX);
  #numbers: Map<string, number> | undefined;

  constructor(conf: Conf, { roles, patterns, refexes }: RuleIndexParts) {
    this.#conf = conf;
    this.#known = roles;
    this.#kinds = new RuleKinds(refexes);
    this.#patterns = new PatternTable(patterns);
    this.#groupPatterns = new PatternTable(patterns);
    for (const key of conf.stanzas.keys()) if (!isPlainWord(key)) this.#patterns.add(key, key);
    for (const [group, members] of conf.groups) {
      for (const member of members) {
        const groups = this.#groupsOf.get(member);
        if (groups === undefined) this.#groupsOf.set(member, [group]);
        else groups.push(group);
      }
    }
    for (const [member, groups] of this.#groupsOf) if (!isPlainWord(member)) this.#groupPatterns.add(member, groups);
  }

  /** The rules and settings about the repository; where the meter is spent, not all of them. */
  standing(repository: ConfRepository, meter: Meter): Standing {
    const { name, creator, groups } = repository;
    const isAlone = groups === undefined || groups.length === 0;
    const known = isAlone ? this.#standings.get(name) : undefined;
    if (known !== undefined && known.creator === creator) return known;
    const memberships = this.#findMemberships(repository, meter);
    const stanzas = this.#stanzasOf(memberships).map((stanza) => this.#readyStanza(stanza));
    const standing = new Standing({
      name,
      creator,
      memberships,
      stanzas,
      cells: this.#cells,
      numberOf: this.#numberOf,
    });
    if (isAlone && !meter.isSpent) this.#standings.set(name, standing);
    return standing;
  }

  #readyStanza(stanza: Stanza): ReadyStanza {
    const known = this.#ready.get(stanza);
    if (known !== undefined) return known;
    const ready = new ReadyStanza(stanza, this.#kinds);
    this.#ready.set(stanza, ready);
    return ready;
  }

  /** Everything that the repository counts as behind `repo`: its name, `@all`, patterns, groups. */
  repositoryMemberships(repository: ConfRepository, meter: Meter): ReadonlySet<string> {
    return this.standing(repository, meter).memberships;
  }

  #findMemberships({ name, creator, groups = [] }: ConfRepository, meter: Meter): ReadonlySet<string> {
    const found = new Set([name, ALL]);
    const generic = isTrue(creator) ? genericName(name, creator) : undefined;
    for (const one of generic === undefined ? [name] : [name, generic]) {
      for (const key of this.#patterns.matching(one, meter)) found.add(key);
      if (one !== name && this.#conf.stanzas.has(one) && !isPlainWord(one)) found.add(one);
      for (const group of this.#groupsOf.get(one) ?? []) found.add(group);
      for (const list of this.#groupPatterns.matching(one, meter)) for (const group of list) found.add(group);
    }
    for (const group of groups) if (/^@?[\w@-]+$/.test(group)) found.add(withAt(group));
    return found;
  }

  /** Everything that the user counts as in rules: the name, `@all`, groups, and roles where the repository exists. */
  userMemberships(user: ConfUser, repository?: ConfRepository): ReadonlySet<string> {
    const { names, roles } = this.subjects(user, repository);
    return roles.size === 0 ? names : new Set([...names, ...roles]);
  }

  subjects({ name, outerGroups }: ConfUser, repository?: ConfRepository): Subjects {
    const user = outerGroups === undefined ? this.#userOf(name) : this.#withOuter(name, outerGroups);
    if (repository?.exists !== true || (repository.permissions === '' && repository.creator === '')) return user;
    const { isReal, names, numbers } = user;
    const { permissions, creator, roles: known = this.#known } = repository;
    const roles = this.#roles.of({ permissions, creator, user: name, groups: names, known });
    return roles.size === 0 ? user : { isReal, names, roles, numbers: [...numbers, ...this.#numbersOf(roles)] };
  }

  #userOf(name: string): Subjects {
    const known = this.#users.get(name);
    if (known !== undefined) return known;
    const isReal = isTrue(name) && isUserWord(name);
    const names = new Set([name, ALL, ...(this.#groupsOf.get(name) ?? [])]);
    const user = { isReal, numbers: this.#numbersOf(names), names, roles: NO_ROLES };
    // Anything may be asked for; names that nobody can have are not kept.
    if (isReal) this.#users.set(name, user);
    return user;
  }

  #withOuter(name: string, outerGroups: Iterable<string>): Subjects {
    const user = this.#userOf(name);
    const outer = [...outerGroups].map(withAt).filter((group) => !user.names.has(group));
    if (outer.length === 0) return user;
    const names = new Set([...user.names, ...outer]);
    return { isReal: user.isReal, names, numbers: [...user.numbers, ...this.#numbersOf(outer)], roles: NO_ROLES };
  }

  #numbersOf(names: Iterable<string>): readonly number[] {
    return [...names].map(this.#numberOf).filter((number) => number > 0);
  }

  /** Users and groups that rules are about are numbered from 1; 0: no rule is. */
  readonly #numberOf = (user: string): number => {
    this.#numbers ??= this.#numbered();
    return this.#numbers.get(user) ?? 0;
  };

  #numbered(): Map<string, number> {
    const numbers = new Map<string, number>();
    for (const stanzas of this.#conf.stanzas.values())
      for (const { rules } of stanzas)
        for (const user of rules.keys()) if (!numbers.has(user)) numbers.set(user, numbers.size + 1);
    return numbers;
  }

  /** In the order of the conf, which alone counts. */
  rulesFor({ stanzas }: Standing, { names, roles }: Subjects): readonly ReadyRule[] {
    return stanzas.flatMap((stanza) =>
      [...names, ...[...roles].filter((role) => !names.has(role))].flatMap((user) => stanza.of(user)).sort(bySequence),
    );
  }

  /** By the numbers that a standing's cells hold. */
  get kinds(): readonly RuleKind[] {
    return this.#kinds.all;
  }

  /** How many there are; those that are asked about are told by number. */
  get users(): number {
    this.#numbers ??= this.#numbered();
    return this.#numbers.size;
  }

  /** Whether a rule of the repository, for whomever, has such a refex. */
  hasRefex(memberships: ReadonlySet<string>, isMeant: (refex: string) => boolean): boolean {
    for (const { rules } of this.#stanzasOf(memberships))
      for (const list of rules.values()) if (list.some(({ refex }) => isMeant(refex))) return true;
    return false;
  }

  /** Whether some `repo` line is about the repository, `@all` aside. */
  isNamed(memberships: ReadonlySet<string>): boolean {
    for (const name of memberships) if (name !== ALL && this.#conf.stanzas.has(name)) return true;
    return false;
  }

  /** The last setting of each key, as written: `%GL_REPO` and the like still in them. */
  settingsFor(memberships: ReadonlySet<string>): ReadonlyMap<string, ConfSetting> {
    return lastSettings(this.#stanzasOf(memberships));
  }

  /** Each once, though a line may name the repository in several ways. */
  #stanzasOf(memberships: ReadonlySet<string>): readonly Stanza[] {
    const stanzas = new Set<Stanza>();
    for (const name of memberships) for (const stanza of this.#conf.stanzas.get(name) ?? []) stanzas.add(stanza);
    return [...stanzas];
  }
}

function withAt(group: string): string {
  return group.startsWith('@') ? group : `@${group}`;
}
