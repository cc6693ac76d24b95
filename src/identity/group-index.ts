/**
 * All groups in memory, with the way up from each member: which groups a user is in, through nesting too,
 * without asking the store. Holds what the store held at `version`; `roster.ts` keeps it exact.
 */
import { readFields } from '../base/fields.ts';
import { BOUNDS } from '../base/bounds.ts';
import type { Json } from '../base/json.ts';
import type { Stored } from '../store/store.ts';
import type { GroupName, UserName } from './principal.ts';

export interface Group {
  readonly name: GroupName;
  readonly description: string;
  /** Direct members, sorted. */
  readonly users: readonly UserName[];
  readonly groups: readonly GroupName[];
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly version: number;
}

export function groupKey(name: string): string {
  return name.toLowerCase();
}

/** @throws Fault 'corrupt' */
export function readGroup(stored: Stored): Group {
  const fields = readFields(stored.value, `group ${stored.key}`);
  return {
    name: fields.text('name') as GroupName, // written by parseGroupName's result only, and so are the members
    description: fields.text('description'),
    users: fields.texts('users') as readonly UserName[],
    groups: fields.texts('groups') as readonly GroupName[],
    createdAt: fields.number('createdAt'),
    version: stored.version,
  };
}

export function writeGroup(group: Group): Json {
  const { name, description, users, groups, createdAt } = group;
  return { name, description, users, groups, createdAt };
}

const NONE: ReadonlySet<never> = new Set<never>();

export class GroupIndex {
  readonly #groups = new Map<GroupName, Group>();
  readonly #ofUser = new Map<UserName, Set<GroupName>>();
  readonly #ofGroup = new Map<GroupName, Set<GroupName>>();
  readonly #resolved = new Map<UserName, ReadonlySet<GroupName>>();

  constructor(groups: Iterable<Group>) {
    for (const group of groups) this.put(group);
  }

  put(group: Group): void {
    this.#detach(group.name);
    this.#groups.set(group.name, group);
    for (const user of group.users) add(this.#ofUser, user, group.name);
    for (const child of group.groups) add(this.#ofGroup, child, group.name);
    this.#resolved.clear();
  }

  remove(name: GroupName): void {
    this.#detach(name);
    this.#groups.delete(name);
    this.#resolved.clear();
  }

  /** To try a change on. */
  copy(): GroupIndex {
    return new GroupIndex(this.#groups.values());
  }

  get(name: GroupName): Group | undefined {
    return this.#groups.get(name);
  }

  /** The groups that have this one as a direct member. */
  above(name: GroupName): ReadonlySet<GroupName> {
    return this.#ofGroup.get(name) ?? NONE;
  }

  /** The groups that have this user as a direct member. */
  directly(user: UserName): ReadonlySet<GroupName> {
    return this.#ofUser.get(user) ?? NONE;
  }

  /** Every group the user is in. The same set object until some group changes. */
  of(user: UserName): ReadonlySet<GroupName> {
    const known = this.#resolved.get(user);
    if (known !== undefined) return known;
    const found = new Set(this.directly(user));
    // A set iterates over what is added on the way: this walks all the way up and ends on a loop, too.
    for (const name of found) for (const parent of this.above(name)) found.add(parent);
    if (this.#resolved.size >= BOUNDS.resolvedGroupsMax) this.#resolved.clear();
    this.#resolved.set(user, found);
    return found;
  }

  /** Every user in the group, through nesting too. */
  usersOf(name: GroupName): ReadonlySet<UserName> {
    const groups = new Set([name]);
    const users = new Set<UserName>();
    for (const each of groups) {
      const group = this.#groups.get(each);
      for (const user of group?.users ?? []) users.add(user);
      for (const child of group?.groups ?? []) groups.add(child);
    }
    return users;
  }

  /** The way down from one group to another, both included: `[staff, developers, web]`; undefined where there is none. */
  path(from: GroupName, to: GroupName): readonly GroupName[] | undefined {
    const cameFrom = new Map<GroupName, GroupName | undefined>([[from, undefined]]);
    for (const [name] of cameFrom) {
      if (name === to) return trail(cameFrom, to);
      for (const child of this.#groups.get(name)?.groups ?? []) {
        if (!cameFrom.has(child)) cameFrom.set(child, name);
      }
    }
    return undefined;
  }

  /** Groups on the longest chain through `child` once it is a member of `parent`. */
  depthThrough(parent: GroupName, child: GroupName): number {
    const down = longest(child, (name) => this.#groups.get(name)?.groups ?? []);
    const up = longest(parent, (name) => this.above(name));
    return up + down;
  }

  #detach(name: GroupName): void {
    const old = this.#groups.get(name);
    for (const user of old?.users ?? []) drop(this.#ofUser, user, name);
    for (const child of old?.groups ?? []) drop(this.#ofGroup, child, name);
  }
}

function add<K>(map: Map<K, Set<GroupName>>, key: K, group: GroupName): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([group]));
  else set.add(group);
}

function drop<K>(map: Map<K, Set<GroupName>>, key: K, group: GroupName): void {
  const set = map.get(key);
  set?.delete(group);
  if (set?.size === 0) map.delete(key);
}

function trail(cameFrom: ReadonlyMap<GroupName, GroupName | undefined>, to: GroupName): readonly GroupName[] {
  const names: GroupName[] = [];
  for (let at: GroupName | undefined = to; at !== undefined; at = cameFrom.get(at)) names.push(at);
  return names.reverse();
}

/** Nodes on the longest way from `start`. Recursion is as deep as groups are nested, which is bounded. */
function longest(start: GroupName, next: (name: GroupName) => Iterable<GroupName>): number {
  const known = new Map<GroupName, number>();
  const visit = (name: GroupName): number => {
    const found = known.get(name);
    if (found !== undefined) return found;
    known.set(name, 1); // ends a loop, which only a damaged store can hold
    let depth = 0;
    for (const each of next(name)) depth = Math.max(depth, visit(each));
    known.set(name, depth + 1);
    return depth + 1;
  };
  return visit(start);
}
