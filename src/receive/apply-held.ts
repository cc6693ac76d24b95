/**
 * Carries out a held push that somebody approved: the pipeline once more, with the pusher, the rules and the refs of now.
 * The approval answers the reasons that it was shown, and nothing else. All refs move together from the old oids of the
 * record to its new ones, or none does; that the record is done is written with the commit point, so that a crash leaves
 * it either waiting or applied.
 */
import type { JournalEntry } from '../audit/entry.ts';
import { Fault, type Parsed } from '../base/fault.ts';
import { isZeroOid } from '../git/oid.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import type { PushTicket, PushTickets } from '../identity/pass-pushes.ts';
import { principalLabel } from '../identity/principal.ts';
import type { Signed } from '../identity/signatures.ts';
import type { Repository } from '../repository/repository.ts';
import type { Committer } from './commit.ts';
import type { Committed, CommitRequest } from './commit-request.ts';
import { refuseHidden } from './hidden-meanwhile.ts';
import { holdLine } from './hold-line.ts';
import { holdLabel, reasonKey, writeHeld, type HeldPush, type HeldRef } from './hold-record.ts';
import type { Holding } from './holding.ts';
import { hasArea, heldObjects, linkObjects } from './holding-area.ts';
import { journalLine, journalRefs } from './journal-line.ts';
import { limitsFor, type ReceiveConfig } from './limits.ts';
import { judgeAgainst } from './old-values.ts';
import { Pipeline, type Candidate, type PipelineParts } from './pipeline.ts';
import { certificateText, type CertificateDesk, type KeptCertificate } from './push-certificate.ts';
import type { PushRequest } from './push-request.ts';
import { openQuarantine } from './quarantine.ts';
import type { CommittedEvent, Standing } from './receive.ts';
import { mainRefusal, refuseAll, Update } from './update.ts';

/** The pusher and the repository as they are now. */
export interface HeldStanding extends Standing {
  readonly mayRead: ((refname: string) => boolean) | undefined;
  /** Of a mirror. */
  readonly freshen?: (() => Promise<void>) | undefined;
}

export interface ApplyParts extends PipelineParts {
  readonly journal: { append(entry: JournalEntry): Promise<void> };
  readonly committer: Committer;
  readonly holding: Holding;
  readonly configOf?: ((repository: Repository, requestId: string) => Promise<ReceiveConfig | undefined>) | undefined;
  /** Verifies push certificates once more. */
  readonly certificates?: Pick<CertificateDesk, 'verify'> | undefined;
  /** Passes whose pushes are counted. */
  readonly passes?: PushTickets | undefined;
  readonly onCommitted?: ((event: CommittedEvent) => void | Promise<void>) | undefined;
  /** Who pushed, and where, as they are now; or why that push may no longer be carried out. */
  readonly standing: (
    held: HeldPush,
    about: { requestId: string; signal: AbortSignal },
  ) => Promise<Parsed<HeldStanding>>;
}

export interface Approval {
  /** A user name. */
  readonly by: string;
  readonly reason: string;
  readonly requestId: string;
  readonly signal: AbortSignal;
  readonly tell: (text: string) => void;
  /** Whether the approver still may, asked in the repository's turn. */
  readonly confirm: () => Promise<Parsed<true>>;
}

/** What became of it: `approved`, `refused`, `stale`, or `waiting` again where other reasons hold it than were shown. */
export async function applyHeld(parts: ApplyParts, held: HeldPush, approval: Approval): Promise<HeldPush> {
  const { requestId, signal } = approval;
  const standing = await parts.standing(held, { requestId, signal });
  if (standing.kind === 'refused') return end(parts, held, { state: 'refused', why: standing.reason });
  const { repository, mayRead, freshen } = standing.value;
  const hidden = held.refs.find(({ refname }) => mayRead?.(refname) === false);
  if (hidden !== undefined)
    return end(parts, held, { state: 'refused', why: `${hidden.refname}: you may not read this ref` });
  await freshen?.();
  const config = await parts.configOf?.(repository, requestId);
  const own = { ...parts, config, limits: limitsFor(parts.limits, repository, config) };
  const updates = held.refs.map(updateOf);
  const snapshot = await parts.refs.snapshot(repository);
  judgeAgainst(snapshot, updates, config);
  if (!updates.every(({ isAlive }) => isAlive)) return endMoved(parts, held, { updates, snapshot });
  if (held.pack !== undefined && !(await hasArea(repository.path, held.id))) {
    return end(parts, held, { state: 'expired', why: 'its objects are gone' });
  }
  const certificate = keptCertificate(held);
  const signed = certificate === undefined ? undefined : await parts.certificates?.verify(certificate);
  return new Application(own, { held, approval, standing: standing.value, updates, signed }).run();
}

function updateOf({ refname, oldOid, newOid, reasons }: HeldRef): Update {
  return new Update({ name: refname, refname, oldOid, newOid, answered: new Set(reasons.map(reasonKey)) });
}

function keptCertificate({ certificate }: HeldPush): KeptCertificate | undefined {
  return certificate && { payload: Buffer.from(certificate.payload, 'base64'), signature: certificate.signature };
}

interface ToApply {
  readonly held: HeldPush;
  /** What its push certificate is worth now; undefined: it has none. */
  readonly signed: Signed | undefined;
  readonly approval: Approval;
  readonly standing: HeldStanding;
  readonly updates: readonly Update[];
}

class Application {
  readonly #parts: ApplyParts & { readonly config?: ReceiveConfig | undefined };
  readonly #about: ToApply;
  readonly #pipeline: Pipeline;
  readonly #ticket: PushTicket | undefined;

  constructor(parts: ApplyParts & { readonly config?: ReceiveConfig | undefined }, about: ToApply) {
    this.#parts = parts;
    this.#about = about;
    this.#pipeline = new Pipeline(parts, candidateOf(about));
    this.#ticket = parts.passes?.ticket(about.standing.principal);
  }

  async run(): Promise<HeldPush> {
    const { held, standing, updates } = this.#about;
    const { clock, holding } = this.#parts;
    const { path } = standing.repository;
    // Links: whatever happens from here on, the holding area stays whole.
    await using quarantine = held.pack === undefined ? undefined : await openQuarantine(path, clock);
    if (quarantine !== undefined) await linkObjects(heldObjects(path, held.id), quarantine.objectDirectory);
    const judged = await this.#pipeline.judgeHeld(quarantine?.objectDirectory, held.pack);
    if (!updates.every(({ isAlive }) => isAlive)) return this.#endUnfit();
    const next = holding.decided(held, 'approved', {
      by: this.#about.approval.by,
      reason: this.#about.approval.reason,
    });
    await this.#journalApproval();
    const committed = await this.#commit(judged.objectDirectory, next);
    if (committed === undefined) return this.#endUnfit();
    await holding.follow(next);
    await this.#announce(committed);
    await quarantine?.[Symbol.asyncDispose]();
    await this.#pipeline.finish(new Set(committed.updates.map(({ refname }) => refname)));
    return next;
  }

  async #commit(objectDirectory: string | undefined, next: HeldPush): Promise<Committed | undefined> {
    const { held, approval, standing, updates } = this.#about;
    const { committer, holding, config } = this.#parts;
    const { repository, principal } = standing;
    const why = `held as ${holdLabel(held)}, approved by ${approval.by}: ${approval.reason}`;
    const ticket = this.#ticket;
    const request: CommitRequest = {
      repository,
      updates,
      atomic: true,
      config,
      objectDirectory,
      requestId: held.origin.id,
      principal: principalLabel(principal),
      confirm: () => this.#confirm(),
      forward: () => this.#pipeline.forward(),
      alongside: () => {
        const counted = ticket?.mark();
        return {
          checks: [{ kind: 'held', key: held.id, version: held.version }, ...(counted?.checks ?? [])],
          writes: [{ kind: 'held', key: held.id, put: writeHeld(next) }, ...(counted?.writes ?? [])],
        };
      },
      entry: () => {
        const { forwardedTo } = this.#pipeline;
        const kept = keptCertificate(held);
        const certificate = kept && certificateText(kept);
        const line = { repository, principal, origin: held.origin, updates, forwardedTo, certificate, bytesIn: 0 };
        return { reason: why, ...journalLine(line) };
      },
      onApplied: (applied) => this.#pipeline.follow(new Set(applied.map(({ refname }) => refname))),
    };
    try {
      const commit = (): Promise<Committed | undefined> => committer.commit(request);
      return ticket === undefined ? await commit() : await ticket.within(commit);
    } catch (error) {
      // Behind the commit point it is done, whatever failed since: who waits hears that.
      const now = await holding.records.find(held.id).catch(() => undefined);
      if (now?.state === 'approved') await holding.follow(now);
      throw this.#pipeline.faultOf(error);
    }
  }

  /** In the repository's turn: may the pusher still push this, and the approver still approve it? */
  async #confirm(): Promise<void> {
    const { held, approval, updates } = this.#about;
    const { requestId, signal } = approval;
    const mayApprove = await approval.confirm();
    if (mayApprove.kind === 'refused') throw notAnyMore(mayApprove.reason);
    const standing = await this.#parts.standing(held, { requestId, signal });
    const spent = await this.#ticket?.refusal();
    if (standing.kind === 'refused') refuseAll(updates, standing.reason);
    else if (spent !== undefined) refuseAll(updates, spent);
    else await this.#confirmStanding(standing.value);
  }

  async #confirmStanding(now: HeldStanding): Promise<void> {
    const { standing, updates } = this.#about;
    const { refs, clock } = this.#parts;
    const snapshot = (): Promise<RefSnapshot> => refs.snapshot(now.repository);
    await refuseHidden(updates, { before: standing.mayRead, now: now.mayRead, snapshot, clock });
    await this.#pipeline.decideAgain(now);
  }

  /** It did not pass, before the commit point. */
  async #endUnfit(): Promise<HeldPush> {
    const { held, standing, updates } = this.#about;
    const { holding, refs, config } = this.#parts;
    const isFit = updates.every(({ isOpen, refusal }) => isOpen || refusal?.isDragged === true);
    if (isFit && updates.some(({ holds }) => holds.length > 0)) {
      const asked = held.refs.map((ref, index) => ({ ...ref, reasons: merged(ref, updates[index]) }));
      const again = await holding.change(held, { round: held.round + 1, refs: asked });
      return again ?? (await found(holding, held));
    }
    const fresh = held.refs.map(updateOf);
    const snapshot = await refs.snapshot(standing.repository);
    judgeAgainst(snapshot, fresh, config);
    // What became of it elsewhere says more than that the refs moved, which may be because of that.
    const isElsewhere = this.#pipeline.forwardedTo !== undefined;
    if (!isElsewhere && !fresh.every(({ isAlive }) => isAlive)) {
      return endMoved(this.#parts, held, { updates: fresh, snapshot });
    }
    return end(this.#parts, held, { state: 'refused', why: mainRefusal(updates)?.reason ?? 'it was refused' });
  }

  async #journalApproval(): Promise<void> {
    const { held, approval, updates } = this.#about;
    const { by, reason, requestId } = approval;
    const deed = { by, requestId, what: 'approves', reason, refs: journalRefs(updates) };
    await this.#parts.journal.append(holdLine(held, deed));
  }

  async #announce(committed: Committed): Promise<void> {
    const { held, standing } = this.#about;
    const { repository, principal } = standing;
    const about = {
      repository,
      principal: principalLabel(principal),
      requestId: held.origin.id,
      options: held.options,
    };
    try {
      await this.#parts.onCommitted?.({ ...committed, ...about });
    } catch (error) {
      this.#parts.log.error({ request: held.origin.id, error }, 'fail to announce a push');
    }
  }
}

function candidateOf({ held, approval, standing, updates, signed }: ToApply): Candidate {
  const { repository, principal, mayRead } = standing;
  const { signal, tell } = approval;
  const request: PushRequest = {
    commands: held.refs.map(({ refname, oldOid, newOid }) => ({ name: refname, oldOid, newOid })),
    repeated: new Set(),
    abilities: { report: false, sideband: false, quiet: true, atomic: true, pushOptions: true },
    options: held.options,
    shallow: [],
    expectsPack: held.pack !== undefined,
  };
  const { origin } = held;
  const certificate = signed;
  return { repository, principal, mayRead, origin, request, certificate, updates, requestId: origin.id, signal, tell };
}

/** What it was held for and what it is held for now: the next approver answers all of it. */
function merged({ reasons }: HeldRef, update: Update | undefined): HeldRef['reasons'] {
  const all = [...reasons, ...(update?.holds ?? [])];
  return [...new Map(all.map((reason) => [reasonKey(reason), reason])).values()];
}

async function endMoved(
  parts: ApplyParts,
  held: HeldPush,
  { updates, snapshot }: { readonly updates: readonly Update[]; readonly snapshot: RefSnapshot },
): Promise<HeldPush> {
  const isThere = held.refs.every(({ refname, newOid }) => {
    const current = snapshot.byName.get(refname)?.oid;
    return current === newOid || (current === undefined && isZeroOid(newOid));
  });
  // An upstream may have taken it before the gate failed to; then the mirror followed.
  if (isThere) return end(parts, held, { state: 'stale', why: 'its refs are already where it would put them' });
  const moved = updates
    .filter(({ isAlive }) => !isAlive)
    .map(({ name, refusal }) => `${name}: ${refusal?.reason ?? ''}`);
  return end(parts, held, { state: 'stale', why: `${moved.join('; ')}; push again` });
}

async function end(
  { holding }: ApplyParts,
  held: HeldPush,
  { state, why }: { readonly state: 'refused' | 'stale' | 'expired'; readonly why: string },
): Promise<HeldPush> {
  const ended = await holding.decideClaimed(held, state, { by: 'gatehouse', reason: why.slice(0, WHY_CHARS_MAX) });
  return ended ?? found(holding, held);
}

const WHY_CHARS_MAX = 2_000;

/** Somebody else decided meanwhile: that counts. */
async function found(holding: Holding, { id }: HeldPush): Promise<HeldPush> {
  const now = await holding.records.find(id);
  if (now === undefined) throw notAnyMore('it was removed meanwhile');
  return now;
}

function notAnyMore(publicMessage: string): Fault {
  return new Fault('conflict', 'approval is not good any more', { publicMessage });
}
