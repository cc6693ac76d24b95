/**
 * A check: what a table `[[check]]` of the policy's `checks/*.toml` says. It holds for some repositories, refs and people,
 * and has any number of rules; each that is broken is told. `docs/checks.md` explains every key.
 */
import { matchesGlob } from '../../base/glob.ts';
import type { Principal } from '../../identity/principal.ts';
import type { UpdateKind } from '../step.ts';
import type { TextPattern } from './text-pattern.ts';

export const CHECK_ACTIONS = ['refuse', 'hold', 'warn'] as const;
export type CheckAction = (typeof CHECK_ACTIONS)[number];

export const SIGNED_WITH = ['ssh', 'openpgp', 'any'] as const;
export type SignedWith = (typeof SIGNED_WITH)[number];

export const SIGNERS = ['pusher', 'committer', 'user'] as const;
export type Signer = (typeof SIGNERS)[number];

export interface Check {
  readonly name: string;
  readonly file: string;
  /** Of its `[[check]]`; 0: not known. */
  readonly line: number;
  readonly repositories: readonly string[];
  readonly exceptRepositories: readonly string[];
  /** Empty: every ref. */
  readonly refs: readonly string[];
  readonly exceptRefs: readonly string[];
  readonly whom: Whom;
  readonly action: CheckAction;
  /**
   * Which commits count as new: those that no ref had which the check covers, or that no ref had at all. Only the former
   * keeps a commit out that came in by a ref where the check does not hold.
   */
  readonly newTo: 'refs' | 'repository';
  /** Commits that, with all behind them, are taken as they are. */
  readonly knownCommits: readonly string[];
  readonly rules: CheckRules;
}

/** Empty lists of whom it holds for: everybody. */
export interface Whom {
  readonly users: readonly string[];
  readonly groups: readonly string[];
  readonly accounts: readonly string[];
  readonly exceptUsers: readonly string[];
  readonly exceptGroups: readonly string[];
}

/**
 * Absent: not asked. Patterns of e-mail addresses, names and paths are globs in which `*` takes anything; among addresses and
 * names, `pusher` and `registered` are words (`people.ts`).
 */
export interface CheckRules {
  readonly authorEmail?: readonly string[];
  readonly authorName?: readonly string[];
  readonly committerEmail?: readonly string[];
  readonly committerName?: readonly string[];
  readonly taggerEmail?: readonly string[];
  readonly commitsSigned?: SignedWith;
  readonly tagsSigned?: SignedWith;
  readonly signedBy: Signer;
  readonly pushCertificate: boolean;
  readonly subject?: readonly TextPattern[];
  readonly subjectCharsMax?: number;
  readonly message?: readonly TextPattern[];
  readonly messageRefuse?: readonly TextPattern[];
  readonly forbiddenWords?: readonly TextPattern[];
  readonly messageLineCharsMax?: number;
  readonly trailers?: readonly string[];
  readonly signedOffBy?: 'author' | 'committer';
  readonly pathsRefuse?: readonly string[];
  readonly pathsOnly?: readonly string[];
  readonly extensionsRefuse?: readonly string[];
  readonly extensionsOnly?: readonly string[];
  readonly executablesOnly?: readonly string[];
  readonly submodulesOnly?: readonly string[];
  readonly symlinks?: 'inside' | 'none';
  readonly caseCollisions: boolean;
  readonly pathBytesMax?: number;
  readonly nameBytesMax?: number;
  readonly fileBytesMax?: number;
  readonly binaryBytesMax?: number;
  readonly commitsMax?: number;
  readonly merges?: 'none' | 'only';
  readonly emptyCommits: boolean;
  readonly basedOn?: readonly string[];
  readonly within?: readonly string[];
  readonly changesRefuse?: readonly UpdateKind[];
  readonly refNames?: readonly TextPattern[];
  readonly tags?: 'annotated' | 'lightweight';
}

/** The repository of the policy itself is covered only by its own name: a pattern must not lock out who repairs it. */
export function coversRepository(check: Check, name: string, isPolicy: boolean): boolean {
  if (isPolicy) return check.repositories.includes(name) && !check.exceptRepositories.includes(name);
  return matchesAny(check.repositories, name) && !matchesAny(check.exceptRepositories, name);
}

export function coversRef({ refs, exceptRefs }: Pick<Check, 'refs' | 'exceptRefs'>, refname: string): boolean {
  return (refs.length === 0 || matchesAny(refs, refname)) && !matchesAny(exceptRefs, refname);
}

/** Whoever acts for another is held to what holds for the other. */
export function holdsFor({ whom }: Check, principal: Principal): boolean {
  const { users, groups, accounts, exceptUsers, exceptGroups } = whom;
  const isEverybody = users.length + groups.length + accounts.length === 0;
  if (principal.kind === 'anonymous') return isEverybody;
  const own: ReadonlySet<string> = principal.groups;
  const isIn = (names: readonly string[]): boolean => names.some((name) => own.has(name));
  if (exceptUsers.includes(principal.name) || isIn(exceptGroups)) return false;
  return isEverybody || users.includes(principal.name) || accounts.includes(principal.account) || isIn(groups);
}

export function matchesAny(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matchesGlob(pattern, text));
}

/** What of a push somebody has to read before the check can be answered. */
export interface CheckNeeds {
  readonly tags: boolean;
  /** The commits, not their contents. */
  readonly history: boolean;
  /** What commits say of themselves. */
  readonly commits: boolean;
  readonly paths: boolean;
  readonly sizes: boolean;
}

export function needsOf({ rules }: Check): CheckNeeds {
  const has = (...keys: readonly (keyof CheckRules)[]): boolean => keys.some((key) => rules[key] !== undefined);
  const commits = has(
    ...(['authorEmail', 'authorName', 'committerEmail', 'committerName', 'commitsSigned', 'subject'] as const),
    ...(['subjectCharsMax', 'message', 'messageRefuse', 'forbiddenWords', 'messageLineCharsMax'] as const),
    ...(['trailers', 'signedOffBy'] as const),
  );
  const sizes = has('fileBytesMax', 'binaryBytesMax', 'symlinks', 'submodulesOnly');
  const plainPaths = has('pathsRefuse', 'pathsOnly', 'extensionsRefuse', 'extensionsOnly', 'executablesOnly');
  const lengths = has('pathBytesMax', 'nameBytesMax');
  const paths = sizes || plainPaths || lengths || rules.caseCollisions || rules.emptyCommits;
  const history = commits || paths || has('commitsMax', 'merges', 'basedOn');
  return { tags: has('tagsSigned', 'taggerEmail', 'tags'), history, commits, paths, sizes };
}
