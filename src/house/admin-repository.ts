/**
 * `gatehouse-admin`, which holds the policy: made at first start with the house ruleset as its first commit. A start
 * after a crash finds it absent, empty or filled, and goes on from there.
 */
import { Fault } from '../base/fault.ts';
import type { Clock } from '../base/clock.ts';
import { parseOid, zeroOid, type Oid } from '../git/oid.ts';
import type { GitProcesses, GitSpec } from '../git/processes.ts';
import type { Refname } from '../git/refname.ts';
import { parseRefname } from '../git/refname.ts';
import { runGitOk } from '../git/run.ts';
import type { RefCache } from '../git/ref-cache.ts';
import type { Principal, UserName } from '../identity/principal.ts';
import { openQuarantine } from '../receive/quarantine.ts';
import type { Receive } from '../receive/receive.ts';
import { readHead } from '../repository/bare.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { ADMIN_REPOSITORY } from '../repository/lifecycle.ts';
import type { Repository } from '../repository/repository.ts';

export interface AdminRepositoryParts {
  readonly catalogue: Catalogue;
  readonly receive: Receive;
  readonly refs: RefCache;
  readonly processes: GitProcesses;
  readonly clock: Clock;
}

export interface AdminRepositoryAbout {
  readonly administrator: UserName;
  readonly principal: Principal;
  /** Path -> text of the first commit: `rules/main.lace`. */
  readonly files: ReadonlyMap<string, string>;
}

const DEADLINE_MS = 60_000;

export async function ensureAdminRepository(
  parts: AdminRepositoryParts,
  about: AdminRepositoryAbout,
): Promise<Repository> {
  const { catalogue, refs } = parts;
  const repository = (await catalogue.find(ADMIN_REPOSITORY)) ?? (await create(catalogue, about.administrator));
  const snapshot = await refs.snapshot(repository);
  // A site that emptied it on purpose has other refs, or the policy step would have refused.
  if (snapshot.refs.length === 0) await fill(parts, about, repository);
  return repository;
}

async function create(catalogue: Catalogue, owner: UserName): Promise<Repository> {
  const made = await catalogue.create({ name: ADMIN_REPOSITORY, owner, description: 'Policy of this site' });
  if (made.kind === 'ok') return made.value;
  throw new Fault('internal', 'admin repository cannot be made', { context: { reason: made.reason } });
}

async function fill(parts: AdminRepositoryParts, about: AdminRepositoryAbout, repository: Repository): Promise<void> {
  await using quarantine = await openQuarantine(repository.path, parts.clock);
  const { objectDirectory } = quarantine;
  const commit = await commitOf({ parts, repository, objectDirectory }, about.files);
  const refname = await headBranch(repository);
  const updates = [{ refname, oldOid: zeroOid(repository.objectFormat), newOid: commit }];
  const done = await parts.receive.commit({ repository, principal: about.principal, updates, objectDirectory });
  if (done.kind === 'refused') {
    throw new Fault('internal', 'admin repository cannot be filled', { context: { reason: done.reason } });
  }
}

/** The branch that HEAD names: the policy in force is what it holds. */
export async function headBranch(repository: Repository): Promise<Refname> {
  const head = await readHead(repository.path);
  const refname = head === undefined ? undefined : parseRefname(head);
  if (refname === undefined) {
    throw new Fault('corrupt', 'repository has no head', { context: { repository: repository.name, head } });
  }
  return refname;
}

interface Place {
  readonly parts: AdminRepositoryParts;
  readonly repository: Repository;
  readonly objectDirectory: string;
}

async function commitOf(place: Place, files: ReadonlyMap<string, string>): Promise<Oid> {
  const folders = new Map<string, string[]>();
  for (const [path, text] of files) {
    const [folder = '', name = ''] = path.split('/');
    const blob = await make(place, { subcommand: 'hash-object', options: ['-w', '--stdin', '-tblob'] }, text);
    folders.set(folder, [...(folders.get(folder) ?? []), `100644 blob ${blob}\t${name}\0`]);
  }
  const entries: string[] = [];
  for (const [folder, lines] of folders) entries.push(`040000 tree ${await makeTree(place, lines)}\t${folder}\0`);
  const root = await makeTree(place, entries);
  const message = 'Start with the house ruleset\n';
  return make(place, { subcommand: 'commit-tree', options: ['--no-gpg-sign', '-F-'], operands: [root] }, message);
}

function makeTree(place: Place, entries: readonly string[]): Promise<Oid> {
  return make(place, { subcommand: 'mktree', options: ['-z'] }, entries.join(''));
}

async function make(
  { parts, repository, objectDirectory }: Place,
  spec: Pick<GitSpec, 'subcommand' | 'options' | 'operands'>,
  input: string,
): Promise<Oid> {
  const whole: GitSpec = {
    ...spec,
    gitDir: repository.path,
    objectDirectory,
    writable: [objectDirectory],
    deadlineMs: DEADLINE_MS,
  };
  const printed = (await runGitOk(parts.processes, whole, Buffer.from(input))).toString().trim();
  const oid = parseOid(printed, repository.objectFormat);
  if (oid === undefined) throw new Fault('process', 'git printed no oid', { context: { subcommand: spec.subcommand } });
  return oid;
}
