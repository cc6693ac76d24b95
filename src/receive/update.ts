/** One ref update on its way through the pipeline, from the command to its fate. */
import { createHash } from 'node:crypto';
import type { NativeAnswer } from '../access/decision.ts';
import { BOUNDS } from '../base/bounds.ts';
import type { Oid } from '../git/oid.ts';
import type { Refname } from '../git/refname.ts';
import { reasonKey, type HoldReason } from './hold-record.ts';
import { oneLine, type RefFate } from './report.ts';
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
  #holds: Map<string, HoldReason> | undefined;
  /** Reasons to hold it that somebody answered for. */
  readonly #answered: ReadonlySet<string> | undefined;
  /** What became of it in the holding area. */
  #aside: { readonly words: string; readonly isDone: boolean } | undefined;

  constructor(command: {
    readonly name: string;
    readonly refname: Refname | undefined;
    readonly oldOid: Oid;
    readonly newOid: Oid;
    /** Keys (`reasonKey`) of reasons that an approval answers. */
    readonly answered?: ReadonlySet<string>;
  }) {
    this.#answered = command.answered;
    this.name = command.name;
    this.refname = command.refname;
    this.oldOid = command.oldOid;
    this.newOid = command.newOid;
  }

  /** The first refusal stands; what lies in the holding area is decided there. */
  refuse(reason: string, { rule, report }: Pick<Refused, 'rule' | 'report'> = {}): void {
    if (this.#aside !== undefined) return;
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
    if (this.#aside !== undefined) return;
    this.#refusal ??= { reason: this.#truth(`atomic push: ${culprit.name} was refused`), isDragged: true };
  }

  /** It waits for somebody's word: not alive, and not refused either. An answered reason holds nothing. */
  hold({ reason, rule }: HoldReason): void {
    const why = { reason: heldReason(reason), ...(rule === undefined ? {} : { rule }) };
    if (this.#answered?.has(reasonKey(why)) === true) return;
    this.#holds ??= new Map();
    this.#holds.set(reasonKey(why), why);
  }

  /** It is in the holding area: what to say of it from now on, and whether it was carried out there. */
  keepAside(words: string, { isDone = false }: { readonly isDone?: boolean } = {}): void {
    this.#aside = { words, isDone };
  }

  get holds(): readonly HoldReason[] {
    return this.#holds === undefined ? [] : [...this.#holds.values()];
  }

  get refusal(): Refused | undefined {
    if (this.#refusal !== undefined) return this.#refusal;
    const [first] = this.holds;
    if (this.#aside?.isDone === true || (this.#aside === undefined && first === undefined)) return undefined;
    const rule = first?.rule === undefined ? {} : { rule: first.rule };
    return { reason: this.#aside?.words ?? first?.reason ?? '', ...rule, hold: true };
  }

  /** Nobody refused it, nobody holds it: it may be committed. */
  get isAlive(): boolean {
    return this.isOpen && this.#holds === undefined;
  }

  /** Nobody refused it for good: it is still asked about. */
  get isOpen(): boolean {
    return this.#refusal === undefined && this.#aside === undefined;
  }

  get fate(): RefFate {
    return { name: this.name, reason: this.refusal?.report ?? this.refusal?.reason };
  }
}

/** Cut where it is too long, and then told apart from others that begin alike: an approval answers what it says. */
function heldReason(reason: string): string {
  if (Buffer.byteLength(reason) <= BOUNDS.heldReasonBytesMax) return oneLine(reason, BOUNDS.heldReasonBytesMax);
  const mark = createHash('sha256').update(reason).digest('hex').slice(0, 16);
  return `${oneLine(reason, BOUNDS.heldReasonBytesMax)} [${mark}]`;
}

/** What may be committed: updates that nobody has refused or holds, and whose kind is known. */
export function refUpdates(updates: readonly Update[]): readonly RefUpdate[] {
  return updates.filter(({ isAlive }) => isAlive).flatMap((update) => refUpdate(update) ?? []);
}

/** What a step is asked about: held ones too, for whoever approves them wants to know everything. */
export function openRefUpdates(updates: readonly Update[]): readonly RefUpdate[] {
  return updates.filter(({ isOpen }) => isOpen).flatMap((update) => refUpdate(update) ?? []);
}

/** Undefined for what is no ref, or was never classified. */
export function refUpdate({ refname, kind, oldOid, newOid, native }: Update): RefUpdate | undefined {
  if (refname === undefined || kind === undefined) return undefined;
  return { refname, oldOid, newOid, kind, ...(native === undefined ? {} : { native }) };
}

export function applyVerdicts(updates: readonly Update[], verdicts: readonly Verdict[]): void {
  const byName = new Map(updates.map((update) => [update.name, update]));
  for (const { refname, hold, ...verdict } of verdicts) {
    if (hold === true) byName.get(refname)?.hold(verdict);
    else byName.get(refname)?.refuse(verdict.reason, verdict);
  }
}

/** An atomic push with one refused ref is refused as a whole; each of the others says because of which. */
export function failTogether(updates: readonly Update[]): void {
  const culprit = updates.find((update) => !update.isOpen) ?? updates.find((update) => !update.isAlive);
  if (culprit === undefined) return;
  for (const update of updates) if (update !== culprit) update.refuseWith(culprit);
}

/** The refusal to show for the whole push. */
export function mainRefusal(updates: readonly Update[]): Refused | undefined {
  const refusals = updates.flatMap(({ refusal }) => refusal ?? []);
  return refusals.find(({ isDragged }) => isDragged !== true) ?? refusals[0];
}

export function refuseAll(updates: readonly Update[], reason: string): void {
  for (const update of updates) update.refuse(reason);
}
