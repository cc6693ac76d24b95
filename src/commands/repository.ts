/** `create`, `destroy`, `rename`, `copy`: repositories come, move and go. */
import { ok, refuse, type Parsed } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import { OBJECT_FORMATS, type ObjectFormat } from '../git/oid.ts';
import { parseUserName, principalLabel, type UserName } from '../identity/principal.ts';
import { ADMIN_REPOSITORY } from '../repository/lifecycle.ts';
import { parseRequestedName, type RepositoryName } from '../repository/name.ts';
import type { Repository, RepositoryFacts } from '../repository/repository.ts';
import { done, type Answer, type Call, type Command } from './command.ts';
import { confirm } from './confirm.ts';
import { shown } from './find.ts';
import { table } from './table.ts';

export const REPOSITORY_COMMANDS: readonly Command[] = [
  {
    form: 'create REPO [OWNER]',
    summary: 'Make a repository',
    details: ['OWNER defaults to you. Names nest (`team/api`). Asks create-repository about the repository to be.'],
    flags: [
      { name: '--object-format', value: OBJECT_FORMATS.join('|'), meaning: 'of its object ids; default: sha1' },
      { name: '--description', value: 'TEXT', meaning: 'one line about it' },
    ],
    examples: [
      'create hello',
      'create team/api ian --description "The public API"',
      'create next --object-format sha256',
    ],
    scope: 'write',
    permission: { kind: 'open' },
    run: create,
  },
  {
    form: 'destroy REPO [TOKEN]',
    summary: 'Take a repository away, to the graveyard',
    details: ['An administrator can bring it back with `graveyard restore` until it is purged.'],
    examples: ['destroy hello', 'destroy hello 5f1c...'],
    scope: 'admin',
    permission: { kind: 'repository', operation: 'destroy-repository' },
    secrets: ['TOKEN'],
    run: destroy,
  },
  {
    form: 'rename OLD NEW',
    summary: 'Give a repository another name',
    details: ['Settings, rules and owner stay. Asks rename-repository of OLD and create-repository of NEW.'],
    examples: ['rename hello team/hello'],
    scope: 'admin',
    permission: {
      kind: 'repository',
      argument: 'OLD',
      operation: 'rename-repository',
      variables: { newrepository: 'NEW' },
    },
    run: rename,
  },
  {
    form: 'copy OLD NEW',
    summary: 'Make a repository with the refs of another that you may read',
    details: ['You own the copy. Asks read of OLD and create-repository of NEW. Who may do what is not copied.'],
    examples: ['copy hello ian/hello'],
    scope: 'write',
    permission: { kind: 'repository', argument: 'OLD', operation: 'read' },
    run: copy,
  },
];

/** Where the repository is served: for people and programs that go on from here. */
function cloneUrls(call: Call, name: RepositoryName): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(call.parts.urls()).map(([door, start]) => [door, `${start}/${name}`]));
}

function madeAnswer(call: Call, repository: Repository, verb: string): Answer {
  const { name, owner, objectFormat, description } = repository;
  const urls = cloneUrls(call, name);
  const json: Json = { name, owner, objectFormat, description, urls };
  return done(json, `${verb} ${name}, owned by ${owner}\n${table(Object.values(urls).map((url) => [' ', url]))}`);
}

/** May this principal make a repository of that name for that owner? Undefined: yes. */
function refusedToCreate(call: Call, name: RepositoryName, owner: string): Answer | undefined {
  const repository: RepositoryFacts = { id: '', name, owner, settings: {} };
  const decision = call.ask({ operation: 'create-repository', repository, variables: { targetuser: owner } });
  return decision.kind === 'refused' ? { kind: 'forbidden', decision } : undefined;
}

async function create(call: Call): Promise<Answer> {
  const { args, parts, principal } = call;
  if (principal.kind !== 'user')
    return { kind: 'forbidden', decision: { reason: 'anonymous owns nothing: log in first' } };
  const name = parseRequestedName(args.text('REPO'));
  if (name.kind === 'refused') return { kind: 'usage', reason: name.reason };
  const format = parseObjectFormat(args.value('--object-format'));
  if (format.kind === 'refused') return { kind: 'usage', reason: format.reason };
  const wanted = parseUserName(args.optional('OWNER') ?? principal.name);
  if (wanted.kind === 'refused') return { kind: 'usage', reason: wanted.reason };
  const refused = refusedToCreate(call, name.value, wanted.value);
  if (refused !== undefined) return refused;
  const owner = await existingOwner(call, wanted.value);
  if (owner === undefined) return refuse(`there is no user ${shown(wanted.value)}`);
  const description = args.value('--description');
  const made = await parts.catalogue.create({
    name: name.value,
    owner,
    objectFormat: format.value,
    ...(description === undefined ? {} : { description }),
  });
  return made.kind === 'refused' ? made : madeAnswer(call, made.value, 'made');
}

async function existingOwner(call: Call, name: UserName): Promise<UserName | undefined> {
  if (call.principal.kind === 'user' && call.principal.name === name) return name;
  return (await call.parts.directory.users.show(name))?.name;
}

function parseObjectFormat(text: string | undefined): Parsed<ObjectFormat> {
  if (text === undefined) return ok('sha1');
  const format = OBJECT_FORMATS.find((known) => known === text);
  return format === undefined ? refuse(`the object formats are ${OBJECT_FORMATS.join(' and ')}`) : ok(format);
}

async function destroy(call: Call, repository: Repository): Promise<Answer> {
  const { name, id, version } = repository;
  if (name === ADMIN_REPOSITORY) return refuse(`${name} holds the policy of this site and stays`);
  const asked = await confirm(call, {
    action: 'destroy',
    subject: { name, id, version },
    consequences: [
      `This destroys the repository ${name} of ${repository.owner}: nobody can read or write it any more.`,
      'It goes to the graveyard, from which an administrator can restore it until it is purged.',
    ],
  });
  if (asked !== undefined) return asked;
  const by = principalLabel(call.principal);
  // A push that is past its commit point is finished first: what was acknowledged is what a restoration brings back.
  const buried = await call.parts.pushes.exclusively(id, () =>
    call.parts.catalogue.destroy(repository, { by, version }),
  );
  if (buried.kind === 'refused') return buried;
  call.parts.refs.forget(id);
  call.parts.mirrors?.rest(id);
  return done({ destroyed: name, id }, `destroyed ${name}; in the graveyard it is ${id}\n`);
}

async function rename(call: Call, repository: Repository): Promise<Answer> {
  if (repository.name === ADMIN_REPOSITORY) return refuse(`${repository.name} keeps its name`);
  const to = parseRequestedName(call.args.text('NEW'));
  if (to.kind === 'refused') return { kind: 'usage', reason: to.reason };
  const refused = refusedToCreate(call, to.value, repository.owner);
  if (refused !== undefined) return refused;
  const renamed = await call.parts.catalogue.rename(repository, to.value);
  return renamed.kind === 'refused' ? renamed : madeAnswer(call, renamed.value, `${repository.name} is now`);
}

async function copy(call: Call, repository: Repository): Promise<Answer> {
  const { principal, parts } = call;
  if (principal.kind !== 'user')
    return { kind: 'forbidden', decision: { reason: 'anonymous owns nothing: log in first' } };
  const to = parseRequestedName(call.args.text('NEW'));
  if (to.kind === 'refused') return { kind: 'usage', reason: to.reason };
  const refused = refusedToCreate(call, to.value, principal.name);
  if (refused !== undefined) return refused;
  // A copy of a mirror is one of what the upstream has now, or there is none.
  if (parts.mirrors?.isMirror(repository.id) === true)
    await parts.mirrors.refresh(repository, { requestId: call.origin.id, signal: call.signal });
  // Refs that its maker may not read here are not in the copy.
  const mayRead = parts.policy.readableRefs(principal, repository);
  const copied = await parts.catalogue.copy(repository, {
    to: to.value,
    owner: principal.name,
    mayRead,
    signal: call.signal,
  });
  return copied.kind === 'refused' ? copied : madeAnswer(call, copied.value, 'made');
}
