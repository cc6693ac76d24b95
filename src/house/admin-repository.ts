/**
 * `gatehouse-admin`, which holds the policy: made at first start with the house ruleset as its first commit. A start
 * after a crash finds it absent, empty or filled, and goes on from there.
 */
import { Fault } from '../base/fault.ts';
import type { Clock } from '../base/clock.ts';
import { zeroOid } from '../git/oid.ts';
import type { GitProcesses } from '../git/processes.ts';
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
import { packFirstCommit } from './first-commit.ts';

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
const MESSAGE = 'Start with the house ruleset\n';

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
  const { objectFormat } = repository;
  const at = Math.floor(parts.clock.now() / 1_000);
  const { pack, commit } = packFirstCommit({ objectFormat, files: about.files, message: MESSAGE, at });
  await runGitOk(
    parts.processes,
    {
      subcommand: 'index-pack',
      options: ['--stdin', '--strict'],
      gitDir: repository.path,
      objectDirectory,
      writable: [objectDirectory],
      deadlineMs: DEADLINE_MS,
    },
    pack,
  );
  const refname = await headBranch(repository);
  const updates = [{ refname, oldOid: zeroOid(objectFormat), newOid: commit }];
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
