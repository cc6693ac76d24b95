/** What people do with held pushes: list, look, approve, refuse, take back. Who may is asked by the commands; that nobody approves their own push is seen to here. */
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { principalLabel, type Principal } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';
import { applyHeld, type Approval, type ApplyParts } from './apply-held.ts';
import { behindOf, isTheirs, ownPush, type AccountId } from './hold-behind.ts';
import { decidedWords } from './hold-push.ts';
import { damagedLine, holdLine } from './hold-line.ts';
import type { DamagedHold } from './hold-records.ts';
import { hasArea, heldObjects, removeArea } from './holding-area.ts';
import { holdLabel, isKept, parseHoldLabel, type HeldPush, type HoldState } from './hold-record.ts';
import { viewRef, type RefView } from './hold-view.ts';
import type { RepositorySource } from './recovery.ts';

export interface Decider {
  readonly principal: Principal;
  readonly reason: string;
  readonly requestId: string;
}

/** Repositories looked through at once. */
const PAGE = 500;

export interface HoldDeskParts extends ApplyParts {
  readonly catalogue: RepositorySource;
  readonly accountId: AccountId;
}

export class HoldDesk {
  readonly #parts: HoldDeskParts;
  #cancelSweep: (() => void) | undefined;

  constructor(parts: HoldDeskParts) {
    this.#parts = parts;
  }

  /** Ids of records that are damaged. */
  get damaged(): ReadonlySet<string> {
    return this.#parts.holding.records.damaged;
  }

  list(): AsyncGenerator<HeldPush> {
    return this.#parts.holding.records.list();
  }

  waiting(): AsyncGenerator<HeldPush> {
    return this.#parts.holding.waiting();
  }

  /** By what a person typed; `isLatest` is false where its reasons are others by now. */
  async find(text: string): Promise<{ readonly held: HeldPush; readonly isLatest: boolean } | undefined> {
    const label = parseHoldLabel(text);
    const held = label === undefined ? undefined : await this.#parts.holding.records.find(label.id);
    if (label === undefined || held === undefined || label.round > held.round) return undefined;
    return { held, isLatest: label.round === held.round };
  }

  /** The damaged record that a person means; undefined: there is none, or it is whole. */
  async findDamaged(text: string): Promise<DamagedHold | undefined> {
    const label = parseHoldLabel(text);
    return label && this.#parts.holding.records.findDamaged(label.id);
  }

  /**
   * The end of a held push whose record is damaged: nothing can be told about it, so nothing else can be done with it.
   * @returns how many directories of objects went with it. @throws Fault of the journal
   */
  async removeDamaged(damaged: DamagedHold, { principal, reason, requestId }: Decider): Promise<Parsed<number>> {
    const { holding, journal } = this.#parts;
    if (!(await holding.records.removeDamaged(damaged))) return refuse(`${damaged.id} changed: look again`);
    const { found, name } = await this.#areasOf(damaged);
    for (const path of found) await removeArea(path, damaged.id);
    const by = principalLabel(principal);
    await journal.append(damagedLine(damaged.id, { by, requestId, reason, repository: name }));
    return ok(found.length);
  }

  /** Paths of repositories that keep objects for it: all are looked at, since of a damaged record nothing is believed. */
  async #areasOf({
    id,
  }: DamagedHold): Promise<{ readonly found: readonly string[]; readonly name: string | undefined }> {
    const found: Repository[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await this.#parts.catalogue.list({ limit: PAGE, ...(after === undefined ? {} : { after }) });
      for (const repository of page) if (await hasArea(repository.path, id)) found.push(repository);
      after = page.at(-1)?.name;
      if (after === undefined) return { found: found.map(({ path }) => path), name: found[0]?.name };
    }
  }

  /** Where it was pushed to; undefined: that is gone. */
  repositoryOf(held: HeldPush): Promise<Repository | undefined> {
    return this.#parts.catalogue.byId(held.repository.id);
  }

  /** What each ref would bring; empty where its objects are gone. @throws Fault `process`, `timeout`, `aborted`. */
  async view(
    held: HeldPush,
    repository: Repository,
    options: { readonly patch: boolean; readonly requestId: string; readonly signal: AbortSignal },
  ): Promise<readonly RefView[]> {
    const { requestId, signal, patch } = options;
    if (!isKept(held) || (held.pack !== undefined && !(await hasArea(repository.path, held.id)))) return [];
    const objects = held.pack === undefined ? {} : { objectDirectory: heldObjects(repository.path, held.id) };
    const place = { processes: this.#parts.processes, gitDir: repository.path, ...objects, requestId, signal };
    const views: RefView[] = [];
    for (const ref of held.refs.slice(0, BOUNDS.heldRefsShownMax)) views.push(await viewRef(place, ref, { patch }));
    return views;
  }

  /**
   * Carries it out, if it still can be. The record in the state that came of it, or why it was not even tried.
   * @throws Fault where it cannot be told, or the upstream of a mirror is out of reach: it still waits then.
   */
  async approve(
    held: HeldPush,
    decider: Decider & Pick<Approval, 'signal' | 'tell' | 'confirm'>,
  ): Promise<Parsed<HeldPush>> {
    const { principal, reason, requestId, signal, tell, confirm } = decider;
    const not = this.#whyNot(held) ?? (await this.#whyNotBy(held, principal));
    if (not !== undefined) return refuse(not);
    using claim = this.#parts.holding.claim(held);
    if (claim === undefined) return refuse(busyWords(held));
    // As it is now: what was looked at before may be decided by now.
    const now = await this.#parts.holding.records.find(held.id);
    if (now === undefined || now.version !== held.version) return refuse(`${holdLabel(held)} changed: look again`);
    const by = principalLabel(principal);
    return { kind: 'ok', value: await applyHeld(this.#parts, now, { by, reason, requestId, signal, tell, confirm }) };
  }

  refuse(held: HeldPush, decider: Decider): Promise<Parsed<HeldPush>> {
    return this.#decide(held, decider, 'refused');
  }

  /** Only who stands behind it takes it back. */
  async cancel(held: HeldPush, decider: Decider): Promise<Parsed<HeldPush>> {
    const who = await behindOf(decider.principal, this.#parts.accountId);
    if (!isTheirs(held, who) || !isOwnPass(held, decider.principal))
      return refuse('only who pushed it takes it back; hold refuse is for others');
    return this.#decide(held, decider, 'cancelled');
  }

  /** Ends what is over, now and then, until `close`. */
  begin(): void {
    this.#cancelSweep = this.#parts.clock.after(BOUNDS.heldSweepMs, () => {
      this.sweep()
        .catch((error: unknown) => {
          this.#parts.log.error({ error }, 'fail to sweep held pushes');
        })
        .finally(() => {
          if (this.#cancelSweep !== undefined) this.begin();
        });
    });
  }

  /** The gate is about to close: clients that wait for a decision are told that their push stays held. */
  stopWaiting(): void {
    this.#parts.holding.waits.stop();
  }

  close(): void {
    this.stopWaiting();
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
  }

  async sweep(): Promise<void> {
    for (const held of await this.#parts.holding.sweep(BOUNDS.heldSweepMax)) {
      const { reason = '' } = held.decision ?? {};
      const deed = { by: 'gatehouse', requestId: held.origin.id, what: 'ends', reason };
      await this.#parts.journal.append(holdLine(held, deed));
    }
  }

  async #decide(held: HeldPush, decider: Decider, state: HoldState): Promise<Parsed<HeldPush>> {
    // What no longer fits takes room until it expires: its pusher may take it back all the same.
    const isLeftOver = state === 'cancelled' && held.state === 'stale';
    const not = isLeftOver ? undefined : this.#whyNot(held);
    if (not !== undefined) return refuse(not);
    if (this.#parts.holding.isClaimed(held)) return refuse(busyWords(held));
    const { principal, reason, requestId } = decider;
    const by = principalLabel(principal);
    const decided = await this.#parts.holding.decide(held, state, { by, reason });
    if (decided === undefined) return refuse(`${holdLabel(held)} changed: look again`);
    const deed = { by, requestId, what: state === 'refused' ? 'refuses' : 'takes back', reason };
    await this.#parts.journal.append(holdLine(decided, deed));
    return { kind: 'ok', value: decided };
  }

  /** Nobody approves what they stand behind: not as themselves, not as somebody else, not by a pass. */
  async #whyNotBy(held: HeldPush, principal: Principal): Promise<string | undefined> {
    if (principal.kind === 'anonymous') return 'log in first';
    return ownPush(held, await behindOf(principal, this.#parts.accountId));
  }

  /** Why it is too late for a decision. */
  #whyNot(held: HeldPush): string | undefined {
    if (held.state !== 'waiting') return decidedWords(held);
    return held.expiresAt <= this.#parts.clock.now() ? `hold ${holdLabel(held)} has expired` : undefined;
  }
}

function busyWords(held: HeldPush): string {
  return `${holdLabel(held)} is being decided just now`;
}

/** A pass takes back what it pushed itself, not what its owner did. */
function isOwnPass({ principal: pusher }: HeldPush, principal: Principal): boolean {
  if (principal.kind !== 'user' || principal.credential.kind !== 'pass') return true;
  if (pusher.kind !== 'user' || pusher.credential.kind !== 'pass') return false;
  return pusher.credential.id === principal.credential.id;
}
