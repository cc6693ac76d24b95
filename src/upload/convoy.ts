/**
 * Readers of one kept file, held together: what the first of them has read from the disk is then still in memory when
 * the last comes by. Without it ten equal clients drift apart, until each reads the whole file for itself. Nobody loses
 * more than a small part of its time so; who is much slower than the others falls behind, and is waited for no more.
 */
import type { Clock } from '../base/clock.ts';

/** Who is further ahead than this waits, in bytes: well below what the shelf of blocks holds. */
const AHEAD_BYTES = 8 * 1024 * 1024;
/** And goes on once it is not more ahead than this. */
const CLOSE_BYTES = 4 * 1024 * 1024;
/** Who is further behind is waited for no more. */
const BEHIND_BYTES = 24 * 1024 * 1024;
/** What a reader may lose by waiting: so much at once, in milliseconds, and in all so large a part of the rest of its time. */
const PATIENCE_MS = 250;
const PATIENCE_PART = 0.2;

export interface Member {
  /** Bytes that it is done with. Set by `move`. */
  readonly at: number;
}

interface Known extends Member {
  at: number;
  /** What it may lose, as of `sinceMs`, where it last had waited. */
  patienceMs: number;
  sinceMs: number;
  /** Who goes on when this one has come there. */
  readonly awaited: Set<{ readonly at: number; readonly goOn: () => void }>;
  /** Ends its own waiting. */
  goOn: (() => void) | undefined;
}

export class Convoy {
  readonly #clock: Pick<Clock, 'after' | 'monotonicMs'>;
  readonly #members = new Map<Member, Known>();

  constructor(clock: Pick<Clock, 'after' | 'monotonicMs'>) {
    this.#clock = clock;
  }

  join(at: number): Member {
    const member: Known = {
      at,
      patienceMs: PATIENCE_MS,
      sinceMs: this.#clock.monotonicMs(),
      awaited: new Set(),
      goOn: undefined,
    };
    this.#members.set(member, member);
    return member;
  }

  /** It has come to `at`. */
  move(member: Member, at: number): void {
    const known = this.#members.get(member);
    if (known === undefined) return;
    known.at = at;
    for (const waiting of known.awaited) if (waiting.at <= at) waiting.goOn();
  }

  /** It waits no more and is waited for no more. */
  leave(member: Member): void {
    const known = this.#members.get(member);
    if (known === undefined) return;
    this.#members.delete(member);
    known.goOn?.();
    for (const waiting of known.awaited) waiting.goOn();
  }

  /** Ends its waiting, if it waits. */
  release(member: Member): void {
    this.#members.get(member)?.goOn?.();
  }

  /** Waits, as long as `member` may, until nobody is close behind it any more. */
  async abreast(member: Member): Promise<void> {
    const known = this.#members.get(member);
    const last = known && this.#lastBehind(known);
    if (known === undefined || last === undefined) return;
    const beginMs = this.#clock.monotonicMs();
    const earnedMs = (beginMs - known.sinceMs) * PATIENCE_PART;
    known.patienceMs = Math.min(PATIENCE_MS, known.patienceMs + earnedMs);
    known.sinceMs = beginMs;
    if (known.patienceMs < 1) return;
    await this.#waitFor(known, last);
    known.sinceMs = this.#clock.monotonicMs();
    known.patienceMs -= known.sinceMs - beginMs;
  }

  /** Who is the furthest behind of those that are worth waiting for. */
  #lastBehind(known: Known): Known | undefined {
    let last: Known | undefined;
    for (const other of this.#members.values()) {
      const behind = known.at - other.at;
      if (behind > AHEAD_BYTES && behind <= BEHIND_BYTES && (last === undefined || other.at < last.at)) last = other;
    }
    return last;
  }

  #waitFor(known: Known, last: Known): Promise<void> {
    return new Promise((resolve) => {
      const goOn = (): void => {
        cancel();
        last.awaited.delete(waiting);
        known.goOn = undefined;
        resolve();
      };
      const waiting = { at: known.at - CLOSE_BYTES, goOn };
      const cancel = this.#clock.after(known.patienceMs, goOn);
      last.awaited.add(waiting);
      known.goOn = goOn;
    });
  }
}
