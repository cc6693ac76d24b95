/** One ref update on its way through the pipeline, from the command to its fate. */
import type { NativeAnswer } from '../access/decision.ts';
import type { Oid } from '../git/oid.ts';
import type { Refname } from '../git/refname.ts';
import type { RefFate } from './report.ts';
import type { RefUpdate, UpdateKind, Verdict } from './step.ts';

export interface Refused {
  readonly reason: string;
  readonly rule?: string;
  /** What the client's report says instead of the reason. */
  readonly report?: string;
  /** An approver may let it pass; absent: refused for good. */
  readonly hold?: true;
  /** Not for its own sake. */
  readonly isDragged?: true;
}

export class Update {
  /** As the client wrote it; `refname` is undefined where that is none. */
  readonly name: string;
  readonly refname: Refname | undefined;
  readonly oldOid: Oid;
  readonly newOid: Oid;
  kind: UpdateKind | undefined;
  oldType: string | undefined;
  newType: string | undefined;
  native: NativeAnswer | undefined;
  /** Where it was taken already, before it is committed here. */
  forwardedTo: string | undefined;
  #refusal: Refused | undefined;

  constructor(command: {
    readonly name: string;
    readonly refname: Refname | undefined;
    readonly oldOid: Oid;
    readonly newOid: Oid;
  }) {
    this.name = command.name;
    this.refname = command.refname;
    this.oldOid = command.oldOid;
    this.newOid = command.newOid;
  }

  /** The first refusal stands. */
  refuse(reason: string, { rule, report }: Pick<Refused, 'rule' | 'report'> = {}): void {
    this.#refusal ??= {
      reason: this.#truth(reason),
      ...(rule === undefined ? {} : { rule }),
      ...(report === undefined ? {} : { report }),
    };
  }

  /** A client must not take what happened elsewhere for undone. */
  #truth(reason: string): string {
    if (this.forwardedTo === undefined) return reason;
    return `${this.forwardedTo} took this, but the gate did not (${reason}): fetch and look`;
  }

  /** Refuses it because of another update of its atomic push. */
  refuseWith(culprit: Update): void {
    this.#refusal ??= { reason: this.#truth(`atomic push: ${culprit.name} was refused`), isDragged: true };
  }

  get refusal(): Refused | undefined {
    return this.#refusal;
  }

  get isAlive(): boolean {
    return this.#refusal === undefined;
  }

  get fate(): RefFate {
    return { name: this.name, reason: this.#refusal?.report ?? this.#refusal?.reason };
  }
}

/** What a step sees: updates that nobody has refused and whose kind is known. */
export function refUpdates(updates: readonly Update[]): readonly RefUpdate[] {
  const alive: RefUpdate[] = [];
  for (const update of updates) {
    const seen = update.isAlive ? refUpdate(update) : undefined;
    if (seen !== undefined) alive.push(seen);
  }
  return alive;
}

/** Undefined for what is no ref, or was never classified. */
export function refUpdate({ refname, kind, oldOid, newOid, native }: Update): RefUpdate | undefined {
  if (refname === undefined || kind === undefined) return undefined;
  return { refname, oldOid, newOid, kind, ...(native === undefined ? {} : { native }) };
}

export function applyVerdicts(updates: readonly Update[], verdicts: readonly Verdict[]): void {
  const byName = new Map(updates.map((update) => [update.name, update]));
  for (const { refname, reason, ...more } of verdicts) byName.get(refname)?.refuse(reason, more);
}

/** An atomic push with one refused ref is refused as a whole; each of the others says because of which. */
export function failTogether(updates: readonly Update[]): void {
  const culprit = updates.find((update) => !update.isAlive);
  if (culprit === undefined) return;
  for (const update of updates) update.refuseWith(culprit);
}

/** The refusal to show for the whole push. */
export function mainRefusal(updates: readonly Update[]): Refused | undefined {
  const refusals = updates.flatMap(({ refusal }) => refusal ?? []);
  return refusals.find(({ isDragged }) => isDragged !== true) ?? refusals[0];
}

export function refuseAll(updates: readonly Update[], reason: string): void {
  for (const update of updates) update.refuse(reason);
}
