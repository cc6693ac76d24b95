/** `user ...`, `suspend`, `resume`: the accounts of people and CI. */
import { refuse, type Parsed } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import type { Account, User } from '../identity/user-record.ts';
import { done, type Answer, type Call, type SiteCommand } from './command.ts';
import { confirm } from './confirm.ts';
import { shown } from './find.ts';
import { count, fields, shortTime, table } from './table.ts';

const TARGET = { targetuser: 'NAME' } as const;
const CI = { name: '--ci', meaning: 'an account for CI: reads what it is granted, and nothing by being somebody' };

export const USER_COMMANDS: readonly SiteCommand[] = [
  {
    form: 'user add NAME EMAIL REAL-NAME…',
    summary: 'Make a user',
    details: ['The user needs a key (`as NAME sshkey add TAG`) or a token (`as NAME token create TAG`) to log in.'],
    flags: [CI],
    examples: ['user add ian ian@example.org Ian Developer', 'user add builder ci@example.org Build farm --ci'],
    scope: 'admin',
    permission: { kind: 'site', action: 'useradd', variables: TARGET },
    async run(call) {
      const account: Account = call.args.has('--ci') ? 'ci' : 'person';
      const { args } = call;
      const fresh = { name: args.text('NAME'), email: args.text('EMAIL'), realName: args.text('REAL-NAME'), account };
      return told(await call.parts.directory.users.add(fresh), (user) => `made the user ${user.name}`);
    },
  },
  {
    form: 'user del NAME [TOKEN]',
    summary: 'Delete a user with all keys, tokens and memberships',
    details: ["The user's repositories, destroyed ones too, go to who deletes, or to the heir."],
    flags: [{ name: '--heir', value: 'USER', meaning: "who owns the user's repositories afterwards; default: you" }],
    examples: ['user del ian', 'user del ian --heir olive 5f1c...'],
    scope: 'admin',
    permission: { kind: 'site', action: 'userdel', variables: TARGET },
    secrets: ['TOKEN'],
    run: deleteUser,
  },
  {
    form: 'user list [PREFIX]',
    summary: 'List users',
    examples: ['user list', 'user list --json'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'userlist' },
    async run(call) {
      const users = await allUsers(call, call.args.optional('PREFIX') ?? '');
      const rows = users.map((user) => [user.name, user.email, user.realName, stateOf(user)]);
      return done(users.map(userJson), table(rows));
    },
  },
  {
    form: 'user show NAME',
    summary: 'Show a user, the groups and the keys',
    examples: ['user show ian'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'site', action: 'usershow', variables: TARGET },
    run: showUser,
  },
  {
    form: 'user email NAME EMAIL',
    summary: "Change a user's e-mail address",
    examples: ['user email ian ian@new.example.org'],
    scope: 'admin',
    permission: { kind: 'site', action: 'useremail', variables: TARGET },
    async run({ args, parts }) {
      const changed = await parts.directory.users.setEmail(args.text('NAME'), args.text('EMAIL'));
      return told(changed, (user) => `the e-mail address of ${user.name} is ${user.email}`);
    },
  },
  {
    form: 'user name NAME REAL-NAME…',
    summary: "Change a user's real name",
    examples: ['user name ian Ian M. Developer'],
    scope: 'admin',
    permission: { kind: 'site', action: 'username', variables: TARGET },
    async run({ args, parts }) {
      const changed = await parts.directory.users.setRealName(args.text('NAME'), args.text('REAL-NAME'));
      return told(changed, (user) => `the real name of ${user.name} is ${user.realName}`);
    },
  },
  {
    form: 'user rename NAME NEW',
    summary: 'Give a user another user name; keys, tokens, groups and repositories stay',
    examples: ['user rename ian ian.developer'],
    scope: 'admin',
    permission: { kind: 'site', action: 'userrename', variables: TARGET },
    async run({ args, parts }) {
      const old = args.text('NAME');
      return told(await parts.directory.users.rename(old, args.text('NEW')), (user) => `${old} is now ${user.name}`);
    },
  },
  {
    form: 'suspend NAME',
    summary: 'Lock a user out: no key and no token works until resume; nothing is deleted',
    examples: ['suspend ian'],
    scope: 'admin',
    permission: { kind: 'site', action: 'usersuspend', variables: TARGET },
    async run({ args, parts }) {
      return told(await parts.directory.users.suspend(args.text('NAME')), (user) => `${user.name} is suspended`);
    },
  },
  {
    form: 'resume NAME',
    summary: 'Let a suspended user in again',
    examples: ['resume ian'],
    scope: 'admin',
    permission: { kind: 'site', action: 'userresume', variables: TARGET },
    async run({ args, parts }) {
      return told(await parts.directory.users.resume(args.text('NAME')), (user) => `${user.name} may log in again`);
    },
  },
];

function told(changed: Parsed<User>, say: (user: User) => string): Answer {
  return changed.kind === 'refused' ? changed : done(userJson(changed.value), `${say(changed.value)}\n`);
}

export function userJson(user: User): Json {
  const { name, email, realName, account, suspended, createdAt } = user;
  return { name, email, realName, account, suspended, createdAt: new Date(createdAt).toISOString() };
}

function stateOf(user: User): string {
  return [user.account === 'ci' ? 'ci' : '', user.suspended ? 'suspended' : ''].filter((word) => word !== '').join(' ');
}

async function allUsers(call: Call, prefix: string): Promise<readonly User[]> {
  const users: User[] = [];
  for (;;) {
    const after = users.at(-1)?.name;
    const page = await call.parts.directory.users.list({ prefix, ...(after === undefined ? {} : { after }) });
    if (page.length === 0) return users;
    users.push(...page);
  }
}

async function showUser(call: Call): Promise<Answer> {
  const { directory } = call.parts;
  const user = await directory.users.show(call.args.text('NAME'));
  if (user === undefined) return refuse(`there is no user ${shown(call.args.text('NAME'))}`);
  const groups = [...(await directory.groupsOf(user.name))].toSorted();
  const keys = await directory.keys.list(user.name);
  const tokens = await directory.tokens.list(user.name);
  const text = fields([
    ['name', user.name],
    ['real name', user.realName],
    ['e-mail', user.email],
    ['account', [user.account, user.suspended ? '(suspended)' : ''].join(' ').trim()],
    ['since', shortTime(user.createdAt)],
    ['groups', groups.join(' ')],
    ...keys.map((key) => ['key', `${key.tag} ${key.fingerprint}`] as const),
    ...tokens.map((token) => ['token', `${token.name} (${token.scopes.join(', ')})`] as const),
  ]);
  const json = {
    name: user.name,
    email: user.email,
    realName: user.realName,
    account: user.account,
    suspended: user.suspended,
    createdAt: new Date(user.createdAt).toISOString(),
    groups,
    keys: keys.map(({ tag, fingerprint }) => ({ tag, fingerprint })),
    tokens: tokens.map(({ name, scopes }) => ({ name, scopes })),
  };
  return done(json, text);
}

async function deleteUser(call: Call): Promise<Answer> {
  const { directory } = call.parts;
  const name = call.args.text('NAME');
  const user = await directory.users.show(name);
  if (user === undefined) return refuse(`there is no user ${shown(name)}`);
  const heir = await heirOf(call);
  if (heir === undefined) return refuse(`there is no user ${shown(call.args.value('--heir') ?? '')}`);
  const owned = await directory.users.owned(user.name);
  const asked = await confirm(call, {
    action: 'user del',
    subject: { name: user.name, id: `${user.id} ${heir}`, version: user.version },
    consequences: [
      `This deletes the user ${user.name} (${user.realName}), ${count(user.keys.length, 'key')} and ${count(user.tokens.length, 'token')}.`,
      ...(owned > 0 ? [`${count(owned, 'repository', 'repositories')} of ${user.name} will belong to ${heir}.`] : []),
    ],
  });
  if (asked !== undefined) return asked;
  // The confirmation was for this version; a key used meanwhile does not change the user.
  const gone = await directory.users.del(name, { heir, version: user.version });
  return gone.kind === 'refused' ? gone : done({ deleted: user.name, heir }, `deleted the user ${user.name}\n`);
}

/** Who inherits: the one named, else who really asks. */
async function heirOf(call: Call): Promise<User['name'] | undefined> {
  const named = call.args.value('--heir');
  if (named !== undefined) return (await call.parts.directory.users.show(named))?.name;
  return call.principal.kind === 'user' ? (call.principal.asking?.name ?? call.principal.name) : undefined;
}
