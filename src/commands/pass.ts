/** `pass ...`: short-lived credentials for agents and CI jobs, each an owner with less. */
import { readFile, stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { BOUNDS } from '../base/bounds.ts';
import { refuse, type Parsed } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import { isEnded, type Pass } from '../identity/pass-record.ts';
import { parseLife } from '../identity/pass-request.ts';
import { describeScope } from '../identity/pass-scope.ts';
import type { IssuedPass } from '../identity/passes.ts';
import { done, type Answer, type Call, type Command, type OpenCommand, type SiteCommand } from './command.ts';
import { shown } from './find.ts';
import { fields, shortTime, table } from './table.ts';

const FOR = { name: '--for', value: 'USER', meaning: 'whose passes; default: yours' } as const;
const ALL = { name: '--all', meaning: 'those that have ended too' } as const;

const ISSUE_FLAGS = [
  { name: '--for', value: 'USER', meaning: 'who the pass acts as, with less; default: you' },
  { name: '--repo', value: 'REPO', repeat: true, meaning: 'a repository, or a pattern with *' },
  { name: '--read', meaning: 'it may clone and fetch' },
  { name: '--push', value: 'REF', repeat: true, meaning: "refs that it may push: 'refs/heads/agent/*'" },
  { name: '--create-only', meaning: 'only refs that are not there yet' },
  { name: '--rewind', meaning: 'it may rewind (force) these refs' },
  { name: '--delete', meaning: 'it may delete these refs' },
  { name: '--max-pushes', value: 'N', meaning: 'it ends to push after so many' },
  { name: '--from', value: 'CIDR', repeat: true, meaning: 'only from these addresses: 10.0.0.0/8' },
  { name: '--expires', value: '2h', meaning: 'how long it lives; needed' },
  { name: '--key', value: 'FILE|-', meaning: 'bind it to this public key (- : on standard input); default: a token' },
  { name: '--purpose', value: 'TEXT', meaning: 'what it is for: every line of the journal says so' },
] as const;

const ISSUE: SiteCommand = {
  form: 'pass issue [NAME]',
  summary: 'Issue a pass: a credential that does less than its owner, for a time',
  details: [
    'A pass lets an agent or a CI job fetch and push as USER, in these repositories, to these refs, until it ends. It creates and fast-forwards; the policy still decides as for USER.',
    'Its token is shown this once: it goes where a token goes (password over HTTP, Bearer). With --key FILE (over SSH: --key - and the key on standard input) it is that key instead, for SSH.',
    'A pass issues no passes, changes no keys and runs no command but whoami, ls, info, help, and hold list, show and cancel for what it pushed.',
  ],
  flags: ISSUE_FLAGS,
  stdin: 'with --key -, the public key, one line',
  examples: [
    "pass issue --repo org/app --read --push 'refs/heads/agent/*' --expires 2h",
    "pass issue nightly --for builder --repo 'org/*' --read --expires 30m --from 10.0.0.0/8 --purpose nightly",
    "pass issue --repo org/app --read --push 'refs/heads/agent/*' --expires 8h --key - < agent.pub",
  ],
  scope: 'admin',
  permission: { kind: 'site', action: 'passissue', variables: { targetuser: '--for' } },
  run: issue,
};

const LIST: SiteCommand = {
  form: 'pass list',
  summary: 'List passes, without their secrets',
  flags: [FOR, ALL],
  examples: ['pass list', 'pass list --for builder --all'],
  isReadOnly: true,
  scope: 'admin',
  permission: { kind: 'site', action: 'passlist', variables: { targetuser: '--for' } },
  run: list,
};

const SHOW: OpenCommand = {
  form: 'pass show ID',
  summary: 'Show what a pass may do, until when, and what it did',
  examples: ['pass show 4fGh2kLmNoPq'],
  isReadOnly: true,
  scope: 'admin',
  permission: { kind: 'open' },
  async run(call) {
    const found = await findPass(call, 'passlist');
    if (found.kind === 'refused') return found;
    const pushes = await call.parts.directory.passes.pushes(found.value.id);
    const now = call.parts.clock.now();
    return done(passJson(found.value, { now, pushes }), passText(found.value, { now, pushes }));
  },
};

const REVOKE: OpenCommand = {
  form: 'pass revoke [ID]',
  summary: 'End a pass at once; a push that runs is not committed any more',
  flags: [
    { name: '--all', meaning: 'every pass of the user' },
    { name: '--for', value: 'USER', meaning: 'with --all: whose; default: yours' },
  ],
  examples: ['pass revoke 4fGh2kLmNoPq', 'pass revoke --all --for builder'],
  scope: 'admin',
  permission: { kind: 'open' },
  run: (call) => (call.args.has('--all') ? revokeAll(call) : revokeOne(call)),
};

export const PASS_COMMANDS: readonly Command[] = [ISSUE, LIST, SHOW, REVOKE];

const NOBODY = refuse('anonymous has no passes');

/** The user of `--for`, else who asks. */
function ownerOf({ args, principal }: Call): string | undefined {
  return args.value('--for') ?? (principal.kind === 'user' ? principal.name : undefined);
}

async function issue(call: Call): Promise<Answer> {
  const { args, parts, principal } = call;
  const user = ownerOf(call);
  if (user === undefined || principal.kind !== 'user') return NOBODY;
  const { passes } = parts.directory;
  const expires = args.value('--expires');
  if (expires === undefined) return { kind: 'usage', reason: 'a pass ends: --expires 2h' };
  const life = parseLife(expires, passes.lifeMsMax);
  if (life.kind === 'refused') return life;
  const count = args.value('--max-pushes');
  if (count !== undefined && !/^\d{1,9}$/.test(count)) return { kind: 'usage', reason: '--max-pushes takes a number' };
  const key = await readKey(call);
  if (key.kind !== 'ok') return key;
  const [name, purpose] = [args.optional('NAME'), args.value('--purpose')];
  const made = await passes.issue({
    user,
    ...(name === undefined ? {} : { name }),
    ...(purpose === undefined ? {} : { purpose }),
    scope: {
      repositories: args.values('--repo'),
      read: args.has('--read'),
      push: args.values('--push'),
      createOnly: args.has('--create-only'),
      rewind: args.has('--rewind'),
      delete: args.has('--delete'),
      from: args.values('--from'),
    },
    ...(count === undefined ? {} : { pushesMax: Number(count) }),
    lifeMs: life.value,
    ...(key.value === undefined ? {} : { keyLine: key.value }),
    issuedBy: principal.asking?.name ?? principal.name,
  });
  return made.kind === 'refused' ? made : issued(made.value, parts.clock.now());
}

function issued({ pass, secret }: IssuedPass, now: number): Answer {
  const json = { ...passJson(pass, { now, pushes: 0 }), ...(secret === undefined ? {} : { secret }) };
  const what = `the pass ${pass.id} (${pass.name}) of ${pass.user} may ${describeScope(pass.scope)} until ${shortTime(pass.expiresAt)}`;
  if (secret === undefined) return done(json, `${what}, with the key ${pass.fingerprint ?? ''}\n`);
  return done(json, `${what}; its token is shown only now:\n${secret}\n`);
}

/** The public key line of `--key`. Only the local command line, where the asker is the account, names a file. */
async function readKey(call: Call): Promise<Parsed<string | undefined> | Answer> {
  const source = call.args.value('--key');
  if (source === undefined) return { kind: 'ok', value: undefined };
  if (source !== '-') return call.origin.transport === 'local' ? readKeyFile(source) : USE_STDIN;
  const read = await call.readStdin();
  return 'kind' in read ? read : { kind: 'ok', value: Buffer.from(read).toString('utf8') };
}

const USE_STDIN: Answer = { kind: 'usage', reason: 'send the public key on standard input: --key - < FILE' };

async function readKeyFile(path: string): Promise<Parsed<string>> {
  const unreadable = refuse(`cannot read a public key in ${shown(path)}`);
  if (!isAbsolute(path)) return unreadable;
  try {
    const { size } = await stat(path);
    if (size === 0 || size > BOUNDS.publicKeyBytesMax) return unreadable;
    return { kind: 'ok', value: await readFile(path, 'utf8') };
  } catch {
    return unreadable;
  }
}

async function list(call: Call): Promise<Answer> {
  const user = ownerOf(call);
  if (user === undefined) return NOBODY;
  const { directory, clock } = call.parts;
  if ((await directory.users.show(user)) === undefined) return refuse(`there is no user ${shown(user)}`);
  const now = clock.now();
  const all = await directory.passes.list(user);
  const wanted = call.args.has('--all') ? all : all.filter((pass) => !isEnded(pass, now));
  const pushes = await Promise.all(wanted.map(({ id }) => directory.passes.pushes(id)));
  const rows = wanted.map((pass) => [pass.id, pass.name, describeScope(pass.scope), endOf(pass, now), pass.purpose]);
  const json = wanted.map((pass, index) => passJson(pass, { now, pushes: pushes[index] ?? 0 }));
  return done(json, table(rows));
}

/** A pass that the asker may see. One that is not there, and another's, get the same words. */
async function findPass(call: Call, action: 'passlist' | 'passrevoke'): Promise<Parsed<Pass>> {
  const id = call.args.optional('ID') ?? '';
  const pass = await call.parts.directory.passes.show(id);
  const targetuser = pass?.user ?? (call.principal.kind === 'user' ? call.principal.name : '');
  const decision = call.ask({ operation: 'administer', action, variables: { targetuser } });
  return pass === undefined || decision.kind === 'refused'
    ? refuse(`there is no pass ${shown(id)}`)
    : { kind: 'ok', value: pass };
}

async function revokeOne(call: Call): Promise<Answer> {
  if (call.args.optional('ID') === undefined) return { kind: 'usage', reason: 'ID is missing, or --all' };
  if (call.args.has('--for')) return { kind: 'usage', reason: '--for goes with --all' };
  const found = await findPass(call, 'passrevoke');
  if (found.kind === 'refused') return found;
  const gone = await call.parts.directory.passes.revoke(found.value.id);
  if (gone.kind === 'refused') return gone;
  const { id, name, user } = gone.value;
  return done({ revoked: [id] }, `revoked the pass ${id} (${name}) of ${user}\n`);
}

async function revokeAll(call: Call): Promise<Answer> {
  if (call.args.optional('ID') !== undefined) return { kind: 'usage', reason: 'either ID or --all' };
  const user = ownerOf(call);
  if (user === undefined) return NOBODY;
  const decision = call.ask({ operation: 'administer', action: 'passrevoke', variables: { targetuser: user } });
  if (decision.kind === 'refused') return { kind: 'forbidden', decision };
  const { directory, clock } = call.parts;
  if ((await directory.users.show(user)) === undefined) return refuse(`there is no user ${shown(user)}`);
  const now = clock.now();
  const revoked: string[] = [];
  for (const pass of await directory.passes.list(user)) {
    if (isEnded(pass, now)) continue;
    if ((await directory.passes.revoke(pass.id)).kind === 'ok') revoked.push(pass.id);
  }
  const text = revoked.length === 0 ? `${user} has no passes\n` : `revoked of ${user}: ${revoked.join(', ')}\n`;
  return done({ revoked }, text);
}

interface Told {
  readonly now: number;
  readonly pushes: number;
}

function passJson(pass: Pass, { now, pushes }: Told): { readonly [key: string]: Json } {
  const { id, user, name, purpose, scope, issuedBy, pushesMax, fingerprint } = pass;
  return {
    id,
    user,
    name,
    purpose,
    ...scope,
    pushesMax: pushesMax ?? null,
    pushes: pushesMax === undefined ? null : pushes,
    kind: fingerprint === undefined ? 'token' : 'key',
    fingerprint: fingerprint ?? null,
    issuedBy,
    createdAt: isoOf(pass.createdAt),
    expiresAt: isoOf(pass.expiresAt),
    lastUsedAt: isoOf(pass.lastUsedAt),
    revokedAt: isoOf(pass.revokedAt),
    ended: isEnded(pass, now),
  };
}

function passText(pass: Pass, { now, pushes }: Told): string {
  const { scope, pushesMax, fingerprint } = pass;
  return fields([
    ['pass', `${pass.id} (${pass.name})`],
    ['acts as', pass.user],
    ...(pass.purpose === '' ? [] : [['purpose', pass.purpose] as const]),
    ['may', describeScope(scope)],
    ...(scope.from.length === 0 ? [] : [['from', scope.from.join(', ')] as const]),
    ...(pushesMax === undefined ? [] : [['pushes', `${pushes} of ${pushesMax}`] as const]),
    ['with', fingerprint === undefined ? 'a token' : `the key ${fingerprint}`],
    ['issued', `${shortTime(pass.createdAt)} by ${pass.issuedBy}`],
    ['end', endOf(pass, now)],
    ['last use', pass.lastUsedAt === undefined ? 'never' : shortTime(pass.lastUsedAt)],
  ]);
}

function endOf(pass: Pass, now: number): string {
  if (pass.revokedAt !== undefined) return `revoked ${shortTime(pass.revokedAt)}`;
  return `${pass.expiresAt <= now ? 'expired' : 'until'} ${shortTime(pass.expiresAt)}`;
}

function isoOf(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString();
}
