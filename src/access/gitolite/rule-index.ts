/**
 * The look-up of a compiled conf: from a repository and a user to the rules that apply, in order. Its cost grows
 * with the rules that apply and the patterns that start alike, not with the number of repositories or users.
 */
import type { Meter } from '../meter.ts';
import type { Conf, ConfRule, ConfSetting, Stanza } from './conf.ts';
import { genericName } from './generic-name.ts';
import { PatternTable } from './pattern-table.ts';
import { rolesOf } from './roles.ts';
import { ALL, isPlainWord, isTrue } from './words.ts';

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

/** Repositories whose memberships are kept. */
const KNOWN_MAX = 20_000;

export class RuleIndex {
  readonly #conf: Conf;
  readonly #roles: ReadonlySet<string>;
  readonly #patterns = new PatternTable<string>();
  /** Member -> groups. */
  readonly #groupsOf = new Map<string, string[]>();
  readonly #groupPatterns = new PatternTable<readonly string[]>();
  /** Memberships of repositories asked about lately: they depend on the name and the creator only. */
  readonly #known = new Map<string, ReadonlySet<string>>();
  readonly #knownStanzas = new WeakMap<ReadonlySet<string>, ReadonlySet<Stanza>>();

  constructor(conf: Conf, roles: ReadonlySet<string>) {
    this.#conf = conf;
    this.#roles = roles;
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

  /** Everything that the repository counts as behind `repo`: its name, `@all`, patterns, groups. */
  repositoryMemberships(repository: ConfRepository, meter: Meter): ReadonlySet<string> {
    const { name, creator, groups = [] } = repository;
    if (groups.length > 0) return this.#findMemberships(repository, meter);
    const key = `${name} ${creator}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const found = this.#findMemberships(repository, meter);
    if (meter.isSpent) return found;
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(key, found);
    return found;
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
  userMemberships({ name, outerGroups = [] }: ConfUser, repository?: ConfRepository): ReadonlySet<string> {
    const found = new Set([name, ALL, ...(this.#groupsOf.get(name) ?? [])]);
    for (const group of outerGroups) found.add(withAt(group));
    if (repository?.exists !== true) return found;
    const { permissions, creator, roles: known = this.#roles } = repository;
    const roles = rolesOf({ permissions, creator, user: name, groups: found, known });
    return roles.size === 0 ? found : new Set([...found, ...roles]);
  }

  /** In the order of the conf, which alone counts. */
  rulesFor(memberships: ReadonlySet<string>, user: ReadonlySet<string>): readonly ConfRule[] {
    const rules: ConfRule[] = [];
    for (const { rules: byUser } of this.#stanzasOf(memberships)) {
      if (byUser.size <= user.size) {
        for (const [name, list] of byUser) if (user.has(name)) rules.push(...list);
      } else {
        for (const name of user) rules.push(...(byUser.get(name) ?? []));
      }
    }
    return rules.sort((a, b) => a.sequence - b.sequence);
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
    const settings = [...this.#stanzasOf(memberships)].flatMap((stanza) => stanza.settings);
    return new Map(settings.sort((a, b) => a.sequence - b.sequence).map((setting) => [setting.key, setting]));
  }

  /** Each once, though a line may name the repository in several ways. */
  #stanzasOf(memberships: ReadonlySet<string>): ReadonlySet<Stanza> {
    const known = this.#knownStanzas.get(memberships);
    if (known !== undefined) return known;
    const stanzas = new Set<Stanza>();
    for (const name of memberships) for (const stanza of this.#conf.stanzas.get(name) ?? []) stanzas.add(stanza);
    this.#knownStanzas.set(memberships, stanzas);
    return stanzas;
  }
}

function withAt(group: string): string {
  return group.startsWith('@') ? group : `@${group}`;
}
