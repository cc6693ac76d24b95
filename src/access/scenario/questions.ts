/** What a WHEN asks the policy: the same questions, in the same order, as the gate asks for the real thing. */
import { refuse, ok, type Parsed } from '../../base/fault.ts';
import { parseRefname } from '../../git/refname.ts';
import type { Principal } from '../../identity/principal.ts';
import { parseRepositoryName } from '../../repository/name.ts';
import type { RepositoryFacts } from '../../repository/repository.ts';
import type { ChangedPaths, Operation, Question, RefUpdateFacts } from '../decision.ts';
import { listOf } from './source.ts';
import type { World } from './world.ts';

interface Asking {
  readonly world: World;
  readonly principal: Principal;
  readonly first: string;
  readonly second: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly changed: ChangedPaths;
}

/** @param parts who, acting as whom, two parts of the form, transport, how paths change, the paths. */
export function questionsOf(world: World, form: string, parts: readonly string[]): Parsed<readonly Question[]> {
  const [who = '', as, first = '', second = '', source, how, paths = ''] = parts;
  const acting = as === undefined || as === '' ? undefined : as;
  const principal = acting === undefined ? world.principal(who) : world.principal(acting, who);
  if (principal.kind === 'refused') return principal;
  const variables = source === undefined || source === '' ? {} : { source };
  const make = QUESTIONS[form];
  if (make === undefined) return refuse(`no question for ${form}`);
  return make({ world, principal: principal.value, first, second, variables, changed: changedBy(how, listOf(paths)) });
}

type Make = (asking: Asking) => Parsed<readonly Question[]>;

const QUESTIONS: Readonly<Record<string, Make>> = {
  'WHO clones REPO': (asking) => about(asking, asking.first, ['read']),
  'WHO fetches from REPO': (asking) => about(asking, asking.first, ['read']),
  'WHO reads REF of REPO': (asking) => onRef(asking, 'read', asking.first),
  'WHO pushes to REPO': (asking) => about(asking, asking.first, ['read', 'write']),
  'WHO pushes a new branch REF to REPO': (asking) => onRef(asking, 'create-ref', within('refs/heads/', asking.first)),
  'WHO pushes a new tag REF to REPO': (asking) => onRef(asking, 'create-ref', within('refs/tags/', asking.first)),
  'WHO pushes a new ref REF to REPO': (asking) => onRef(asking, 'create-ref', asking.first),
  'WHO pushes REF to REPO': (asking) => onRef(asking, 'update-ref', asking.first),
  'WHO force-pushes REF to REPO': (asking) => onRef(asking, 'rewind-ref', asking.first),
  'WHO deletes REF from REPO': (asking) => onRef(asking, 'delete-ref', asking.first),
  'WHO creates the repository REPO': (asking) => creation(asking, asking.first, ownName(asking.principal)),
  'WHO creates the repository REPO for NAME': (asking) => creation(asking, asking.first, asking.second),
  'WHO destroys REPO': (asking) => about(asking, asking.first, ['destroy-repository']),
  'WHO renames REPO to NEW': rename,
  'WHO approves a push of REF to REPO': approval,
  'WHO configures REPO': (asking) => about(asking, asking.first, ['configure']),
  'WHO runs ACTION': (asking) => administer(asking, {}),
  'WHO runs ACTION for NAME': (asking) => administer(asking, { targetuser: asking.second }),
};

function about(asking: Asking, name: string, operations: readonly Operation[]): Parsed<readonly Question[]> {
  const repository = asking.world.repository(name);
  if (repository.kind === 'refused') return repository;
  return ok(operations.map((operation) => question(asking, operation, repository.value)));
}

function question(asking: Asking, operation: Operation, repository: RepositoryFacts, ref?: RefUpdateFacts): Question {
  const { principal, variables } = asking;
  return { principal, operation, repository, variables, ...(ref === undefined ? {} : { ref }) };
}

/** A push is admitted for reading, then for writing, before its refs are looked at. */
function onRef(asking: Asking, operation: Operation, name: string): Parsed<readonly Question[]> {
  const repository = asking.world.repository(asking.second);
  if (repository.kind === 'refused') return repository;
  const refname = parseRefname(name);
  if (refname === undefined) return refuse(`${name} is no full refname (refs/heads/main)`);
  const { changed } = asking;
  const all = [...changed.added, ...changed.deleted, ...changed.modified];
  const tops = [...new Set(all.map((path) => path.split('/', 1)[0] ?? path))];
  const ref: RefUpdateFacts = { refname, changed, startTree: tops, targetTree: tops };
  const asked = question(asking, operation, repository.value, operation === 'read' ? { refname } : ref);
  if (operation === 'read') return ok([asked]);
  return ok([question(asking, 'read', repository.value), question(asking, 'write', repository.value), asked]);
}

/** Somebody's held push, asked about ref by ref as `hold approve` does. */
function approval(asking: Asking): Parsed<readonly Question[]> {
  const repository = asking.world.repository(asking.second);
  if (repository.kind === 'refused') return repository;
  const refname = parseRefname(within('refs/heads/', asking.first));
  if (refname === undefined) return refuse(`${asking.first} is no full refname (refs/heads/main)`);
  const asked = question(asking, 'configure', repository.value, { refname });
  return ok([question(asking, 'read', repository.value), { ...asked, action: 'holdapprove' }]);
}

/** A rename is asked about as a rename of the old name and as a creation of the new one. */
function rename(asking: Asking): Parsed<readonly Question[]> {
  const { first, second, variables } = asking;
  const old = asking.world.repository(first);
  if (old.kind === 'refused') return old;
  const made = creation(asking, second, old.value.owner);
  if (made.kind === 'refused') return made;
  const renaming = {
    ...question(asking, 'rename-repository', old.value),
    variables: { ...variables, newrepository: second },
  };
  return ok([renaming, ...made.value]);
}

function creation(asking: Asking, name: string, owner: string): Parsed<readonly Question[]> {
  const parsed = parseRepositoryName(name);
  if (parsed.kind === 'refused') return parsed;
  const repository: RepositoryFacts = { id: '', name: parsed.value, owner, settings: {} };
  return ok([question(asking, 'create-repository', repository)]);
}

function administer(asking: Asking, more: Readonly<Record<string, string>>): Parsed<readonly Question[]> {
  const { principal, first, variables } = asking;
  return ok([{ principal, operation: 'administer', action: first, variables: { ...variables, ...more } }]);
}

function ownName(principal: Principal): string {
  return principal.kind === 'user' ? principal.name : '';
}

function within(namespace: string, name: string): string {
  return name.startsWith('refs/') ? name : namespace + name;
}

function changedBy(how: string | undefined, paths: readonly string[]): ChangedPaths {
  const none: readonly string[] = [];
  return {
    added: how === 'adding' ? paths : none,
    deleted: how === 'deleting' ? paths : none,
    modified: how === 'changing' ? paths : none,
    renamed: none,
  };
}
