/** `group ...`: groups of users and of groups, which rules and repository settings name. */
import { refuse, type Parsed } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import type { Group } from '../identity/group-index.ts';
import { done, type Answer, type Call, type SiteCommand } from './command.ts';
import { confirm } from './confirm.ts';
import { shown } from './find.ts';
import { count, fields, table } from './table.ts';

const NAME = { targetgroup: 'NAME' } as const;
const GROUP = { targetgroup: 'GROUP', targetuser: 'USER' } as const;

export const GROUP_COMMANDS: readonly SiteCommand[] = [
  {
    form: 'group add NAME DESCRIPTION…',
    summary: 'Make a group',
    examples: ['group add staff Everybody who works here'],
    scope: 'admin',
    permission: { kind: 'site', action: 'groupadd', variables: NAME },
    async run({ args, parts }) {
      const fresh = { name: args.text('NAME'), description: args.text('DESCRIPTION') };
      return told(await parts.directory.groups.add(fresh), (group) => `made the group ${group.name}`);
    },
  },
  {
    form: 'group del NAME [TOKEN]',
    summary: 'Delete a group; its members stay',
    examples: ['group del staff', 'group del staff 5f1c...'],
    scope: 'admin',
    permission: { kind: 'site', action: 'groupdel', variables: NAME },
    secrets: ['TOKEN'],
    run: deleteGroup,
  },
  {
    form: 'group adduser GROUP USER',
    summary: 'Make a user a member of a group',
    examples: ['group adduser staff ian'],
    scope: 'admin',
    permission: { kind: 'site', action: 'groupadduser', variables: GROUP },
    async run({ args, parts }) {
      const changed = await parts.directory.groups.addUser(args.text('GROUP'), args.text('USER'));
      return told(changed, (group) => `${args.text('USER')} is a member of ${group.name}`);
    },
  },
  {
    form: 'group deluser GROUP USER',
    summary: 'Take a user out of a group',
    examples: ['group deluser staff ian'],
    scope: 'admin',
    permission: { kind: 'site', action: 'groupdeluser', variables: GROUP },
    async run({ args, parts }) {
      const changed = await parts.directory.groups.delUser(args.text('GROUP'), args.text('USER'));
      return told(changed, (group) => `${args.text('USER')} is no longer a member of ${group.name}`);
    },
  },
  {
    form: 'group addgroup GROUP MEMBER',
    summary: 'Make a group, and so all its members, a member of another',
    examples: ['group addgroup staff developers'],
    scope: 'admin',
    permission: { kind: 'site', action: 'groupaddgroup', variables: { targetgroup: 'GROUP' } },
    async run({ args, parts }) {
      const changed = await parts.directory.groups.addGroup(args.text('GROUP'), args.text('MEMBER'));
      return told(changed, (group) => `${args.text('MEMBER')} is a member of ${group.name}`);
    },
  },
  {
    form: 'group delgroup GROUP MEMBER',
    summary: 'Take a group out of another',
    examples: ['group delgroup staff developers'],
    scope: 'admin',
    permission: { kind: 'site', action: 'groupdelgroup', variables: { targetgroup: 'GROUP' } },
    async run({ args, parts }) {
      const changed = await parts.directory.groups.delGroup(args.text('GROUP'), args.text('MEMBER'));
      return told(changed, (group) => `${args.text('MEMBER')} is no longer a member of ${group.name}`);
    },
  },
  {
    form: 'group list [PREFIX]',
    summary: 'List groups',
    examples: ['group list'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'grouplist' },
    async run(call) {
      const groups = await allGroups(call, call.args.optional('PREFIX') ?? '');
      const size = (group: Group): string => count(group.users.length + group.groups.length, 'member');
      return done(groups.map(groupJson), table(groups.map((group) => [group.name, size(group), group.description])));
    },
  },
  {
    form: 'group show NAME',
    summary: 'Show a group and its members',
    examples: ['group show staff'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'groupshow', variables: NAME },
    run: showGroup,
  },
  {
    form: 'group description NAME DESCRIPTION…',
    summary: "Change a group's description",
    examples: ['group description staff Everybody on the payroll'],
    scope: 'admin',
    permission: { kind: 'site', action: 'groupdescription', variables: NAME },
    async run({ args, parts }) {
      const changed = await parts.directory.groups.setDescription(args.text('NAME'), args.text('DESCRIPTION'));
      return told(changed, (group) => `${group.name}: ${group.description}`);
    },
  },
];

function told(changed: Parsed<Group>, say: (group: Group) => string): Answer {
  return changed.kind === 'refused' ? changed : done(groupJson(changed.value), `${say(changed.value)}\n`);
}

function groupJson({ name, description, users, groups }: Group): Json {
  return { name, description, users, groups };
}

async function allGroups(call: Call, prefix: string): Promise<readonly Group[]> {
  const groups: Group[] = [];
  for (;;) {
    const after = groups.at(-1)?.name;
    const page = await call.parts.directory.groups.list({ prefix, ...(after === undefined ? {} : { after }) });
    if (page.length === 0) return groups;
    groups.push(...page);
  }
}

async function showGroup(call: Call): Promise<Answer> {
  const { groups } = call.parts.directory;
  const group = await groups.show(call.args.text('NAME'));
  if (group === undefined) return refuse(`there is no group ${shown(call.args.text('NAME'))}`);
  const everybody = await groups.everybody(group.name);
  const within = await groups.within(group.name);
  const text = fields([
    ['name', group.name],
    ['description', group.description],
    ['users', group.users.join(' ')],
    ['groups', group.groups.join(' ')],
    ['everybody', everybody.join(' ')],
    ['member of', within.join(' ')],
  ]);
  const { name, description, users, groups: children } = group;
  return done({ name, description, users, groups: children, everybody, memberOf: within }, text);
}

async function deleteGroup(call: Call): Promise<Answer> {
  const { groups } = call.parts.directory;
  const group = await groups.show(call.args.text('NAME'));
  if (group === undefined) return refuse(`there is no group ${shown(call.args.text('NAME'))}`);
  const asked = await confirm(call, {
    action: 'group del',
    subject: { name: group.name, id: group.name, version: group.version },
    consequences: [
      `This deletes the group ${group.name} with ${count(group.users.length + group.groups.length, 'direct member')}.`,
      'Rules and settings that name it will match nobody.',
    ],
  });
  if (asked !== undefined) return asked;
  const gone = await groups.del(group.name, { version: group.version });
  return gone.kind === 'refused' ? gone : done({ deleted: group.name }, `deleted the group ${group.name}\n`);
}
