/**
 * A step of the push pipeline: one question about a whole push. A step lives on the floor that owns its
 * knowledge; `house.ts` lists the steps in order. A step never throws to refuse: it returns verdicts.
 */
import type { NativeAnswer } from '../access/decision.ts';
import type { Odb } from '../git/odb/odb.ts';
import type { Oid } from '../git/oid.ts';
import type { Refname } from '../git/refname.ts';
import type { Principal } from '../identity/principal.ts';
import type { Signed } from '../identity/signatures.ts';
import type { Repository } from '../repository/repository.ts';
import type { PushObjects } from './connectivity-walk.ts';
import type { Origin } from './journal-line.ts';

export const UPDATE_KINDS = ['create', 'fast-forward', 'rewind', 'delete'] as const;
export type UpdateKind = (typeof UPDATE_KINDS)[number];

export interface RefUpdate {
  readonly refname: Refname;
  readonly oldOid: Oid;
  readonly newOid: Oid;
  /** Known from the `classify` step on. */
  readonly kind: UpdateKind;
  /** What a gitolite conf answered; undefined before the policy was asked, and where another language decides. */
  readonly native?: NativeAnswer;
}

/** An update that a gitolite conf refused. */
export interface NativeRefusal extends RefUpdate {
  readonly native: NativeAnswer;
}

/** The facts about a push's objects that steps judge. */
export interface PushContents {
  readonly objects: number;
  /** All objects together, unpacked. */
  readonly unpackedBytes: number;
  readonly largest: { readonly oid: Oid; readonly type: string; readonly bytes: number } | undefined;
  /** The longest path, and the longest name in a path, among new objects. */
  readonly longestPath: string;
  readonly longestName: string;
}

/** The push as a step sees it. New objects are readable through `objectDirectory`. */
export interface Push {
  readonly requestId: string;
  /** Where it came from, for journal lines of a step's own. */
  readonly origin?: Origin;
  readonly principal: Principal;
  readonly repository: Repository;
  /** Only updates nobody has refused so far. */
  readonly updates: readonly RefUpdate[];
  readonly options: readonly string[];
  /** Whose push certificate it carries, or what is wrong with that; undefined: it is not signed. */
  readonly certificate?: Signed;
  /** All of its updates happen, or none. */
  readonly atomic: boolean;
  /** The quarantine's object directory; undefined where the push brings no pack. */
  readonly objectDirectory: string | undefined;
  /** The repository's objects and the push's, read without a process; undefined: git is asked. */
  readonly odb?: Odb;
  /** What it brings, in memory: proved to be complete. */
  readonly brought?: PushObjects;
  readonly packBytes: number;
  readonly contents: PushContents;
  /** Text for the client at once, as `remote: ...` lines; no-op where it takes no sideband. */
  readonly tell: (text: string) => void;
  /** Runs a program that may itself ask this gate for something, and so must not keep its push's place; absent: there is none. */
  readonly beside?: <T>(work: () => Promise<T>) => Promise<T>;
  readonly signal: AbortSignal;
}

/** A refused update. `rule` as in `Decision`. An update without a verdict passes. */
export interface Verdict {
  readonly refname: Refname;
  readonly reason: string;
  readonly rule?: string;
  /** What the client's report says instead of the reason: words that clients know from git. */
  readonly report?: string;
  /** Not refused for good: an approver may let it pass (`hold.ts`). Whatever does not know of holding refuses. */
  readonly hold?: true;
}

/** A push that was taken elsewhere. Disposed when the repository's turn is over, whatever became of the push here. */
export interface Forwarded extends AsyncDisposable {
  /** Where, in words for people: an address without a secret. */
  readonly to: string;
  /** What was not taken there. */
  readonly verdicts: readonly Verdict[];
}

export interface Step {
  readonly name: string;
  /** As `check`, before the policy is asked: what git asks before its update hook. */
  before?(push: Push): Promise<readonly Verdict[]>;
  /** Told of what a gitolite conf refused, before the client is. `push` has no updates. @throws Fault as `check`. */
  refused?(push: Push, refusal: NativeRefusal): Promise<void>;
  /** @throws Fault where the question cannot be answered: the whole push fails, nothing changes. */
  check(push: Push): Promise<readonly Verdict[]>;
  /**
   * Takes what passed every check to where it has to be before it is committed here: in the repository's turn, with the
   * old values as they are in the repository now. Undefined: this push goes nowhere else. @throws Fault: nothing is
   * committed here.
   */
  forward?(push: Push): Promise<Forwarded | undefined>;
  /**
   * Called once the refs of a push that passed are in place, before the client hears of it and before the next push to
   * this repository commits. `push` is the object that `check` saw. What it throws is logged: the push stands.
   */
  committed?(push: Push, updates: readonly RefUpdate[]): Promise<void>;
  /**
   * Whether a push there may commit together with others: `forward` would take it nowhere, and `committed` changes nothing
   * that others are judged by. Absent, of a step that has one of them: never.
   */
  sharesTurn?(repository: Repository): boolean;
  /**
   * Called when the push is over but for the client's report, which waits for it; other pushes do not. What it throws is
   * logged.
   */
  done?(push: Push, updates: readonly RefUpdate[]): Promise<void>;
}
