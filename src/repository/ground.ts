/** What the parts of the catalogue share. */
import type { Clock } from '../base/clock.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { Check, Store } from '../store/store.ts';
import type { Layout } from './layout.ts';
import type { RepositoryName } from './name.ts';
import type { Turns } from './turns.ts';

export interface Ground {
  readonly store: Store;
  readonly processes: GitProcesses;
  readonly layout: Layout;
  readonly clock: Clock;
  /** Keys: `id <id>`, `name <fold>`, `upkeep <id>`; whoever takes several takes them in the order upkeep, id, name. */
  readonly turns: Turns;
  /**
   * The condition under which somebody may own a repository, as somebody above knows it; undefined where there
   * is no such user.
   */
  readonly ownerCheck: OwnerCheck;
  readonly nameCheck: NameCheck;
  readonly log: (text: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** `anybody`: nothing to ask. */
export type OwnerCheck = (owner: string) => Promise<Check | 'anybody' | undefined>;

/** Why nothing new may have this name, as somebody above knows it; undefined: it may. */
export type NameCheck = (name: RepositoryName) => Promise<string | undefined>;
