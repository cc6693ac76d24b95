/** The one question of the product and its answer. Deciding never throws and reads no disk. */
import type { Oid } from '../git/oid.ts';
import type { Principal } from '../identity/principal.ts';
import type { RepositoryFacts } from '../repository/repository.ts';

export const OPERATIONS = [
  'read',
  'write',
  'create-ref',
  'update-ref', // fast-forward
  'rewind-ref', // anything else that leaves the ref in place
  'delete-ref',
  'create-repository',
  'destroy-repository',
  'rename-repository',
  'configure', // the repository's settings, rules, upkeep
  'administer', // users, groups, keys, tokens, graveyard, audit: the site
] as const;
export type Operation = (typeof OPERATIONS)[number];

/** What an update changes between the old tree and the new one, full paths. */
export interface ChangedPaths {
  readonly added: readonly string[];
  readonly deleted: readonly string[];
  readonly modified: readonly string[];
  readonly renamed: readonly string[];
}

export interface RefUpdateFacts {
  /** Full refname. */
  readonly refname: string;
  readonly oldOid?: Oid;
  readonly newOid?: Oid;
  /** 'commit' | 'tag' | 'tree' | 'blob', where known. */
  readonly oldType?: string;
  readonly newType?: string;
  /** Given only where `Policy.needs.paths` says that some rule asks. */
  readonly changed?: ChangedPaths;
  /** Top-level entries of the old and the new tree, likewise. */
  readonly startTree?: readonly string[];
  readonly targetTree?: readonly string[];
  /** Among the commits that an update of an existing ref brings is a merge. Given only where `Policy.needsFor` asks. */
  readonly merges?: boolean;
}

export interface Question {
  readonly principal: Principal;
  readonly operation: Operation;
  /**
   * The finer word for `configure` and `administer` in Gitano's vocabulary (`config_set`, `useradd`,
   * `sshkey`, `whoami`, ...); it becomes the rule variable `operation`.
   */
  readonly action?: string;
  /** Absent for site-wide actions. For create-repository the facts of the repository to be. */
  readonly repository?: RepositoryFacts;
  readonly ref?: RefUpdateFacts;
  /** A push asks whether its repository may be known to be there: a pass that only pushes may know, and not fetch. */
  readonly forPush?: true;
  /** Further rule variables: targetuser, targetgroup, keytag, newrepository, key ... */
  readonly variables?: Readonly<Record<string, string>>;
  /** The same object on all questions that one request asks about many refs or repositories: what owners' rules cost is bounded over all of them. */
  readonly together?: object;
}

/** One rule looked at on the way, for `access explain`. */
export interface TraceStep {
  readonly source: string;
  readonly line: number;
  /** The rule as written. */
  readonly text: string;
  readonly result: 'matched' | 'passed-over' | 'error';
  /** Which condition decided, in words: `op_is_write is false`. */
  readonly because?: string;
}

export interface Decision {
  readonly kind: 'allowed' | 'refused';
  /** For a person; for a refusal `source:line: why`. */
  readonly reason: string;
  /** `rules/house.lace:41`, or undefined where no rule decided (default, crash). */
  readonly rule?: string;
  /** Refused until somebody approves it: only on a refusal, and only where a ref is to be changed. */
  readonly hold?: true;
  /** Where a gitolite conf decided: what was attempted, and gitolite's own words for the answer. */
  readonly native?: NativeAnswer;
  readonly trace: readonly TraceStep[];
}

export interface NativeAnswer {
  /** `R`, `W`, `+`, `C`, `D`, `^C`, with `M` behind it where merges are checked. */
  readonly attempt: string;
  /** The refex that allows it, or `W refs/heads/main foo alice DENIED by fallthru`, or what is fatal. */
  readonly text: string;
}
