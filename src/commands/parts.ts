/** What the commands call on the floors below, as narrowly as they use it. `house.ts` hands the real ones in. */
import type { Policy } from '../access/policy.ts';
import type { Clock } from '../base/clock.ts';
import type { Directory } from '../identity/directory.ts';
import type { Principal } from '../identity/principal.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import type { CommandRun } from '../request/request.ts';
import type { Walk } from '../request/walk.ts';
import type { AuditReader } from './audit.ts';
import type { MirrorDeskParts, MirrorIndex } from './mirror.ts';
import type { VaultDesk } from './mirror-rekey.ts';
import type { ForgeIndex } from './mirror-forge.ts';
import type { HoldDeskParts } from './hold.ts';
import type { PolicyDesk } from './policy.ts';
import type { ScanDesk } from './scan.ts';
import type { Housekeeping } from './upkeep.ts';

export interface CommandParts {
  readonly directory: Directory;
  readonly catalogue: Catalogue;
  readonly policy: Pick<Policy, 'decide' | 'explain' | 'readableRefs'>;
  readonly policyDesk: PolicyDesk;
  readonly walk: Pick<Walk, 'command'>;
  readonly journal: AuditReader;
  readonly refs: { forget(id: string): void };
  /** Runs a task while no push to this repository is between its commit point and its last ref. */
  readonly pushes: { exclusively<T>(repositoryId: string, task: () => Promise<T>): Promise<T> };
  /** Runs a command of the gitolite site that is served here; the exit code. Absent: there is none. */
  readonly gitolite?: (call: Omit<CommandRun, 'origin'>) => Promise<number>;
  readonly siteAccess?: {
    /** A repository of the gitolite site, or what `user` would make there; undefined: the site has nothing to say about it. */
    facts(name: string, user: string): Promise<RepositoryFacts | undefined>;
    /** @throws Fault where this is no user's name. */
    principal(user: string): Promise<Principal | undefined>;
    /** What lies on its disk, in the order of names, each once; whether `principal` may read it is for the policy. */
    list(asked: { readonly principal: Principal; readonly transport: string }): AsyncIterable<RepositoryFacts>;
    /** Gives one line for people, by name. */
    describer(): Promise<(name: string) => Promise<string>>;
  };
  /** Mirrors of other hosts, where they are declared, and what seals their credentials. Absent: this house has none. */
  readonly mirrors?: MirrorIndex;
  /** Git LFS objects of a repository that is gone for good. */
  readonly lfs?: { purge(repositoryId: string): Promise<void> };
  readonly mirrorDesk?: MirrorDeskParts;
  readonly vault?: VaultDesk;
  /** What mirrors have at their forges. */
  readonly forges?: ForgeIndex;
  /** The secret scan. */
  readonly scan?: ScanDesk;
  /** Held pushes. Absent: nothing is held. */
  readonly holds?: HoldDeskParts | undefined;
  readonly housekeeping: Housekeeping;
  readonly clock: Clock;
  readonly version: string;
  /** Where repositories are served, without a slash at the end; a closed door is absent. */
  urls(): { readonly ssh?: string; readonly http?: string; readonly git?: string };
}
