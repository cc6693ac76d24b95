/**
 * The holding area: which pushes wait for somebody's word, how much of the disk they may take, and how long. Objects are
 * on disk before the record is, the record before the client hears of it; an area without a record is nothing, and goes.
 * Every change of a record is a compare-and-set: of two decisions the second finds the first.
 */
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { describeCredential, principalLabel, type Principal } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';
import type { Store } from '../store/store.ts';
import type { ReceiveLog } from './commit.ts';
import type { Durable } from './durable.ts';
import { behindOf, type AccountId } from './hold-behind.ts';
import { HoldWaits } from './hold-waits.ts';
import { fullness, type HoldLimits, type Summary } from './hold-bounds.ts';
import { HoldRecords } from './hold-records.ts';
import { isKept, type HeldPush, type HeldRef, type HoldDecision, type HoldState } from './hold-record.ts';
import { areasOf, bytesIn, fillArea, hasArea, removeArea } from './holding-area.ts';

export interface HoldMetrics {
  /** Pushes that wait now. */
  heldWaiting?(count: number): void;
  /** A push was held, or what became of a held one. */
  held?(outcome: HoldState): void;
}

export interface HoldingParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly durable: Durable;
  readonly log: ReceiveLog;
  readonly metrics: HoldMetrics;
  readonly limits: HoldLimits;
  /** The repository as it is now; undefined: it is gone. */
  readonly repository: (id: string) => Promise<Repository | undefined>;
  readonly accountId: AccountId;
}

export interface HoldRequest {
  readonly repository: Repository;
  readonly principal: Principal;
  readonly origin: HeldPush['origin'];
  readonly refs: readonly HeldRef[];
  readonly options: readonly string[];
  /** Of a signed push. */
  readonly certificate?: HeldPush['certificate'];
  readonly pack: HeldPush['pack'] | undefined;
  readonly objectDirectory: string | undefined;
}

/** No letters that are taken for others: ids are read out and typed. */
const ID_LETTERS = 'abcdefghjkmnpqrstuvwxyz23456789';
const ID_LENGTH = 8;

export class Holding {
  readonly #parts: HoldingParts;
  readonly records: HoldRecords;
  readonly waits: HoldWaits;
  /** One after another, so that two pushes do not both take the last free byte. */
  #admitting: Promise<unknown> = Promise.resolve();
  /** Records whose approval is under way: nobody else decides about them. */
  readonly #claimed = new Set<string>();
  /** Areas that get their objects, and have no record yet. */
  readonly #filling = new Set<string>();
  constructor(parts: HoldingParts) {
    this.#parts = parts;
    this.records = new HoldRecords({ ...parts, onWaiting: (count) => parts.metrics.heldWaiting?.(count) });
    this.waits = new HoldWaits(parts.clock, parts.limits);
  }

  /** The push is kept, whole and durably, when it resolves; or why it cannot be. */
  hold(request: HoldRequest): Promise<Parsed<HeldPush>> {
    const held = this.#admitting.then(() => this.#admit(request));
    this.#admitting = held.catch(() => {});
    return held;
  }

  /** Those that wait for a decision now; what was decided, which may be much more, is not read. */
  async *waiting(): AsyncGenerator<HeldPush> {
    const ids = [...(await this.records.summaries())].filter(([, { state }]) => state === 'waiting').map(([id]) => id);
    for (const id of ids) {
      const held = await this.records.findWhole(id);
      if (held?.state === 'waiting') yield held;
    }
  }

  /** Another state, or another round. Undefined: somebody else changed it first. */
  async change(held: HeldPush, to: Partial<Pick<HeldPush, 'refs' | 'round'>>): Promise<HeldPush | undefined> {
    return this.records.put(held, { ...held, ...to });
  }

  /**
   * Keeps everybody else from deciding about it, until disposed: what an approval took upstream must not be found refused
   * at its commit point. Undefined: it is claimed already.
   */
  claim({ id }: Pick<HeldPush, 'id'>): Disposable | undefined {
    if (this.#claimed.has(id)) return undefined;
    this.#claimed.add(id);
    return { [Symbol.dispose]: () => void this.#claimed.delete(id) };
  }

  isClaimed({ id }: Pick<HeldPush, 'id'>): boolean {
    return this.#claimed.has(id);
  }

  /** Ends the waiting; whoever waits hears. Undefined: somebody else decided first, or is about to. */
  async decide(held: HeldPush, state: HoldState, decision: Omit<HoldDecision, 'at'>): Promise<HeldPush | undefined> {
    return this.isClaimed(held) ? undefined : this.decideClaimed(held, state, decision);
  }

  /** The same for whoever has claimed it. */
  async decideClaimed(
    held: HeldPush,
    state: HoldState,
    decision: Omit<HoldDecision, 'at'>,
  ): Promise<HeldPush | undefined> {
    const next = await this.records.put(held, this.decided(held, state, decision));
    if (next !== undefined) await this.follow(next);
    return next;
  }

  /** The record as it will be, for a transaction of somebody else's; `follow` comes after it. */
  decided(held: HeldPush, state: HoldState, decision: Omit<HoldDecision, 'at'>): HeldPush {
    return { ...held, state, decision: { ...decision, at: this.#parts.clock.now() } };
  }

  /** What a decision that is on disk entails: objects that nobody needs any more go, who waits hears. Never throws. */
  async follow(held: HeldPush): Promise<void> {
    this.waits.tell(held);
    this.#parts.metrics.held?.(held.state);
    try {
      await this.records.note(held);
      if (!isKept(held)) await this.#removeObjects(held);
    } catch (error) {
      this.#parts.log.warn({ held: held.id, error }, 'fail to tidy up behind a held push');
    }
  }

  /**
   * What is over ends: pushes that waited too long, records that were decided long ago. Returns those that expired.
   * @param most bounds the work of one call.
   */
  async sweep(most: number): Promise<readonly HeldPush[]> {
    const { clock, limits } = this.#parts;
    const now = clock.now();
    const index = await this.records.summaries();
    const over = [...index].filter(
      ([, about]) => (isKept(about) ? about.expiresAt : about.since + limits.expiresMs) <= now,
    );
    const expired: HeldPush[] = [];
    for (const [id] of over.slice(0, most)) {
      const held = await this.records.look(id);
      if (held === 'damaged') {
        // Its objects are kept; it counts no more, as behind a start.
        index.delete(id);
        continue;
      }
      if (held !== undefined && isKept(held)) {
        if (held.expiresAt > now) continue;
        const next = await this.decide(held, 'expired', { by: 'gatehouse', reason: 'nobody decided in time' });
        if (next !== undefined) expired.push(next);
        continue;
      }
      await this.records.remove([id]);
    }
    return expired;
  }

  /** At start: records whose objects are gone say so. Returns how many there were. */
  async recover(): Promise<number> {
    let records = 0;
    for (const [id, about] of await this.records.reread()) {
      const { hasObjects, repositoryId } = about;
      const repository = isKept(about) && hasObjects ? await this.#parts.repository(repositoryId) : undefined;
      // A destroyed repository may come back, and its held pushes with it.
      if (repository === undefined || (await hasArea(repository.path, id))) continue;
      const held = await this.records.findWhole(id);
      if (held === undefined) continue;
      await this.decide(held, 'expired', { by: 'gatehouse', reason: 'its objects are gone' });
      records += 1;
    }
    await this.records.count();
    return records;
  }

  /** Removes areas that no record speaks of, whatever is being held meanwhile. Returns how many there were. */
  async tidy(repository: Pick<Repository, 'id' | 'path'>): Promise<number> {
    let areas = 0;
    for (const id of await areasOf(repository.path)) {
      if (this.#filling.has(id) || (await this.#isWanted(id, repository))) continue;
      await removeArea(repository.path, id);
      areas += 1;
    }
    return areas;
  }

  async #isWanted(id: string, repository: Pick<Repository, 'id'>): Promise<boolean> {
    const held = await this.records.look(id);
    return held === 'damaged' || (held !== undefined && isKept(held) && held.repository.id === repository.id);
  }

  async #admit(request: HoldRequest): Promise<Parsed<HeldPush>> {
    const { clock, durable, limits, metrics, accountId } = this.#parts;
    const { repository, principal, origin, refs, options, certificate, pack, objectDirectory } = request;
    const bytes = objectDirectory === undefined ? 0 : await bytesIn(objectDirectory);
    const full = await this.#fullness(request, bytes);
    if (full !== undefined) return refuse(full);
    const behind = await behindOf(principal, accountId);
    const id = this.#newId();
    const now = clock.now();
    const held: HeldPush = {
      id,
      round: 1,
      state: 'waiting',
      repository: { id: repository.id, name: repository.name },
      refs,
      principal,
      credential: principal.kind === 'anonymous' ? 'anonymous' : describeCredential(principal.credential),
      behind: behind.names,
      ...(behind.ids === undefined ? {} : { behindIds: behind.ids }),
      origin,
      options,
      ...(certificate === undefined ? {} : { certificate }),
      ...(pack === undefined ? {} : { pack }),
      bytes,
      createdAt: now,
      expiresAt: now + limits.expiresMs,
      version: 0,
    };
    this.#filling.add(id);
    try {
      if (objectDirectory !== undefined) {
        await fillArea(durable, { repositoryPath: repository.path, id, objectDirectory });
      }
      const kept = await this.records.put(held, held);
      if (kept === undefined) return refuse('the push could not be held: try again');
      metrics.held?.('waiting');
      await this.records.note(kept);
      return ok(kept);
    } catch (error) {
      // The record may be there all the same: then start-up finds both, else it removes the area.
      if ((await this.records.look(id).catch(() => held)) === undefined) await removeArea(repository.path, id);
      throw error;
    } finally {
      this.#filling.delete(id);
    }
  }

  /** Why there is no room; undefined: there is. */
  async #fullness(request: HoldRequest, bytes: number): Promise<string | undefined> {
    const index = await this.records.summaries();
    const { repository, principal, refs } = request;
    // Steps of a site belong to an invocation, which is over when somebody approves.
    if (repository.conf !== undefined) return 'in the repositories of a gitolite site nothing is held';
    const asked = { bytes, refs, repositoryId: repository.id, principal: principalLabel(principal) };
    return fullness(index, asked, this.#parts.limits) ?? this.#makeRoom(index);
  }

  /** The oldest decided ones make room in the list. */
  async #makeRoom(index: Map<string, Summary>): Promise<string | undefined> {
    const surplus = index.size + 1 - BOUNDS.heldRecordsMax;
    if (surplus <= 0) return undefined;
    const decided = [...index].filter(([, about]) => !isKept(about)).sort(([, a], [, b]) => a.since - b.since);
    const over = decided.slice(0, surplus).map(([id]) => id);
    if (over.length < surplus) return 'too many pushes are held: approve, refuse or cancel some';
    await this.records.remove(over);
    return undefined;
  }

  async #removeObjects({ id, repository: { id: repositoryId } }: HeldPush): Promise<void> {
    const repository = await this.#parts.repository(repositoryId);
    if (repository !== undefined) await removeArea(repository.path, id);
  }

  #newId(): string {
    const bytes = this.#parts.clock.randomBytes(ID_LENGTH);
    return Array.from(bytes, (byte) => ID_LETTERS[byte % ID_LETTERS.length]).join('');
  }
}
