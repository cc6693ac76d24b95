/**
 * A step of the push pipeline: one question about a whole push. A step lives on the floor that owns its
 * knowledge; `house.ts` lists the steps in order. A step never throws to refuse: it returns verdicts.
 */
import type { Oid } from '../git/oid.ts';
import type { Refname } from '../git/refname.ts';
import type { Principal } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';

export const UPDATE_KINDS = ['create', 'fast-forward', 'rewind', 'delete'] as const;
export type UpdateKind = (typeof UPDATE_KINDS)[number];

export interface RefUpdate {
  readonly refname: Refname;
  readonly oldOid: Oid;
  readonly newOid: Oid;
  /** Known from the `classify` step on. */
  readonly kind: UpdateKind;
}

/** The push as a step sees it. New objects are readable through `objectDirectory`. */
export interface Push {
  readonly requestId: string;
  readonly principal: Principal;
  readonly repository: Repository;
  /** Only updates nobody has refused so far. */
  readonly updates: readonly RefUpdate[];
  readonly options: readonly string[];
  /** The quarantine's object directory; undefined where the push brings no pack. */
  readonly objectDirectory: string | undefined;
  readonly packBytes: number;
  /** Text for the client at once, as `remote: ...` lines; no-op where it takes no sideband. */
  readonly tell: (text: string) => void;
  readonly signal: AbortSignal;
}

/** A refused update. `rule` as in `Decision`. An update without a verdict passes. */
export interface Verdict {
  readonly refname: Refname;
  readonly reason: string;
  readonly rule?: string;
}

export interface Step {
  readonly name: string;
  /** @throws Fault where the question cannot be answered: the whole push fails, nothing changes. */
  check(push: Push): Promise<readonly Verdict[]>;
}
