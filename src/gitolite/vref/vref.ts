/** A virtual ref: a check on a push that rules name as `VREF/NAME/args`, with what it is given and what it answers. */
import type { ObjectPlace } from '../../git/objects.ts';
import type { ObjectFormat, Oid } from '../../git/oid.ts';
import type { RefUpdate } from '../../receive/step.ts';

/** One update in front of a virtual ref. */
export interface VrefQuestion {
  readonly update: RefUpdate;
  readonly format: ObjectFormat;
  /** The commits, or the empty tree where the ref is created or deleted. */
  readonly oldTree: Oid;
  readonly newTree: Oid;
  /** `VREF/COUNT/5/NEWFILES` as the rule writes it. */
  readonly refex: string;
  /** What stands behind the name: `5`, `NEWFILES`. */
  readonly args: readonly string[];
  /** Where the objects of the push are to be seen. */
  readonly place: ObjectPlace;
  /** New values of refs that earlier updates of the same push changed: their commits are not new any more. */
  readonly earlier: readonly Oid[];
  /** The conf's name of who pushes. */
  readonly user: string;
  /** By rule of `option refex-expr.RULE`: how it came out true, or empty; undefined where nobody evaluates them. */
  readonly expressions: ReadonlyMap<string, string> | undefined;
  readonly signal: AbortSignal;
}

/** What a program of that name would have said and done. */
export interface VrefAnswer {
  /** Standard output: lines `VREF/... message` are asked of the rules, others shown. */
  readonly output?: string;
  /** Standard error. */
  readonly said?: string;
  /** Default 0. Anything else refuses. */
  readonly code?: number;
}

export type Vref = (question: VrefQuestion) => Promise<VrefAnswer>;

/** What all of them answer to a rule that lacks its first argument. */
export const NOT_BY_HAND: VrefAnswer = { said: 'not meant to be run manually\n', code: 1 };
