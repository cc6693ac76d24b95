/** Groups of users and of groups, nested without loops. */
import { BOUNDS } from '../base/bounds.ts';
import { refuse, type Parsed, type Refusal } from '../base/fault.ts';
import { parseLine } from '../repository/text.ts';
import type { ListOptions } from '../store/store.ts';
import { groupKey, readGroup, type Group, type GroupIndex } from './group-index.ts';
import { parseGroupName, type GroupName, type UserName } from './principal.ts';
import { ADMINISTRATORS, shown, type GroupChange, type Roster } from './roster.ts';
import { activeAdministrators } from './user-change.ts';
import { userCheck } from './user-record.ts';

type Change = GroupChange<Group> | Refusal;

export class Groups {
  readonly #roster: Roster;

  constructor(roster: Roster) {
    this.#roster = roster;
  }

  async add(fresh: { readonly name: string; readonly description: string }): Promise<Parsed<Group>> {
    const name = parseGroupName(fresh.name);
    if (name.kind === 'refused') return name;
    const description = parseDescription(fresh.description);
    if (description.kind === 'refused') return description;
    return this.#roster.changeGroups(async () => {
      const other = await this.#roster.store.get('group', groupKey(name.value));
      if (other !== undefined) return refuse(`there is already a group ${readGroup(other).name}`);
      return putting({
        name: name.value,
        description: description.value,
        users: [],
        groups: [],
        createdAt: this.#roster.clock.now(),
        version: 0,
      });
    });
  }

  /** Undefined: there is no group with exactly this name. */
  async show(name: string): Promise<Group | undefined> {
    return find(await this.#roster.groups(), name);
  }

  /** Groups that have this one as a direct member, sorted. */
  async within(name: GroupName): Promise<readonly GroupName[]> {
    return [...(await this.#roster.groups()).above(name)].toSorted();
  }

  /** A page in the order of lower-cased names; `after` is the last name of the page before. */
  async list(options: ListOptions = {}): Promise<readonly Group[]> {
    const { prefix, after, limit } = options;
    const page = await this.#roster.store.list('group', {
      ...(prefix === undefined ? {} : { prefix: groupKey(prefix) }),
      ...(after === undefined ? {} : { after: groupKey(after) }),
      ...(limit === undefined ? {} : { limit }),
    });
    return page.map(readGroup);
  }

  async setDescription(name: string, text: string): Promise<Parsed<Group>> {
    const description = parseDescription(text);
    if (description.kind === 'refused') return description;
    return this.#change(name, async (group) => putting({ ...group, description: description.value }));
  }

  /** Removes it from the groups it is in, too. `version`: refused where it changed since. */
  del(name: string, options: { readonly version?: number } = {}): Promise<Parsed<Group>> {
    return this.#change(name, async (group, index) => {
      if (group.name === ADMINISTRATORS) return refuse(`the group ${ADMINISTRATORS} cannot be deleted`);
      if (options.version !== undefined && options.version !== group.version) {
        return refuse(`${group.name} changed meanwhile`);
      }
      const parents = [...index.above(group.name)].map((parent) => index.get(parent));
      const put = parents
        .filter((parent) => parent !== undefined)
        .map((parent) => ({ ...parent, groups: without(parent.groups, group.name) }));
      const change: GroupChange<Group> = { kind: 'change', put, remove: [group.name], value: () => group };
      return this.#keepingAdministrators(index, change);
    });
  }

  addUser(name: string, userName: string): Promise<Parsed<Group>> {
    return this.#change(name, async (group) => {
      const user = await this.#roster.user(userName);
      if (user === undefined) return refuse(`there is no user ${shown(userName)}`);
      if (group.users.includes(user.name)) return refuse(`${user.name} is already a member of ${group.name}`);
      const users = [...group.users, user.name].toSorted();
      return { ...putting({ ...group, users }), checks: [userCheck(user.name)] };
    });
  }

  delUser(name: string, userName: string): Promise<Parsed<Group>> {
    return this.#change(name, async (group, index) => {
      const user = group.users.find((member) => member === userName);
      if (user === undefined) return refuse(`${shown(userName)} is not a direct member of ${group.name}`);
      return this.#keepingAdministrators(index, putting({ ...group, users: without(group.users, user) }));
    });
  }

  /** Makes `child` a member of the group; refused where that closes a loop, naming it. */
  addGroup(name: string, child: string): Promise<Parsed<Group>> {
    return this.#change(name, async (group, index) => {
      const member = find(index, child);
      if (member === undefined) return refuse(`there is no group ${shown(child)}`);
      if (group.groups.includes(member.name)) return refuse(`${member.name} is already a member of ${group.name}`);
      const loop = index.path(member.name, group.name);
      if (loop !== undefined) {
        return refuse(`${member.name} cannot be a member of ${group.name}: loop ${[group.name, ...loop].join(' > ')}`);
      }
      if (index.depthThrough(group.name, member.name) > BOUNDS.groupDepthMax) {
        return refuse(`groups are nested at most ${BOUNDS.groupDepthMax} deep`);
      }
      return putting({ ...group, groups: [...group.groups, member.name].toSorted() });
    });
  }

  delGroup(name: string, child: string): Promise<Parsed<Group>> {
    return this.#change(name, async (group, index) => {
      const member = group.groups.find((each) => each === child);
      if (member === undefined) return refuse(`${shown(child)} is not a direct member of ${group.name}`);
      return this.#keepingAdministrators(index, putting({ ...group, groups: without(group.groups, member) }));
    });
  }

  /** Everybody in the group, through nesting too, sorted. */
  async everybody(name: GroupName): Promise<readonly UserName[]> {
    return [...(await this.#roster.groups()).usersOf(name)].toSorted();
  }

  #change(name: string, decide: (group: Group, index: GroupIndex) => Promise<Change>): Promise<Parsed<Group>> {
    return this.#roster.changeGroups(async (index) => {
      const group = find(index, name);
      return group === undefined ? refuse(`there is no group ${shown(name)}`) : decide(group, index);
    });
  }

  /** The change, or a refusal where it would leave nobody who may undo it. */
  async #keepingAdministrators(index: GroupIndex, change: GroupChange<Group>): Promise<Change> {
    const changed = [...(change.put ?? []).map((group) => group.name), ...(change.remove ?? [])];
    if (!changed.some((name) => index.path(ADMINISTRATORS, name) !== undefined)) return change;
    if ((await activeAdministrators(this.#roster, index)).length === 0) return change;
    const after = index.copy();
    for (const name of change.remove ?? []) after.remove(name);
    for (const group of change.put ?? []) after.put(group);
    if ((await activeAdministrators(this.#roster, after)).length > 0) return change;
    return refuse(`that would leave the site without an administrator: add another to ${ADMINISTRATORS} first`);
  }
}

function find(index: GroupIndex, name: string): Group | undefined {
  return index.get(name as GroupName); // a name that no parser would pass is in no group's key
}

function putting(group: Group): GroupChange<Group> {
  return { kind: 'change', put: [group], value: (version) => ({ ...group, version }) };
}

function without<T>(members: readonly T[], member: T): readonly T[] {
  return members.filter((each) => each !== member);
}

function parseDescription(text: string): Parsed<string> {
  return parseLine(text, { what: 'a description', bytesMax: BOUNDS.descriptionBytesMax });
}
