/**
 * Tips that refs had a moment ago. Over HTTP a client asks in a second request for what the first one showed it; if
 * the ref was rewound in between, the old tip is reachable no more, though the client may still read the ref that
 * had it. Such a tip stays fetchable for a short while. The tip of a deleted ref does not.
 */
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';

interface Tip {
  readonly refname: string;
  readonly untilMs: number;
}

interface Watched {
  snapshot: RefSnapshot;
  readonly tips: Map<string, Tip>;
}

export class RecentTips {
  readonly #clock: Clock;
  readonly #repositories = new Map<string, Watched>();
  #refs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call with every snapshot that clients are shown. */
  note(repositoryId: string, snapshot: RefSnapshot): void {
    const watched = this.#repositories.get(repositoryId);
    if (watched?.snapshot === snapshot) return;
    this.#repositories.delete(repositoryId);
    this.#refs -= watched?.snapshot.refs.length ?? 0;
    if (snapshot.refs.length > BOUNDS.recentTipRefsMax) return;
    const tips = watched?.tips ?? new Map<string, Tip>();
    if (watched !== undefined && watched.snapshot.fingerprint !== snapshot.fingerprint) {
      this.#remember(tips, watched.snapshot, snapshot);
    }
    this.#repositories.set(repositoryId, { snapshot, tips });
    this.#refs += snapshot.refs.length;
    this.#forgetOldest();
  }

  /** Was `oid` until a moment ago the value of a ref that is still there and that `isShown` allows? */
  holds(options: { repositoryId: string; oid: string; isShown: (refname: string) => boolean }): boolean {
    const watched = this.#repositories.get(options.repositoryId);
    const tip = watched?.tips.get(options.oid);
    if (watched === undefined || tip === undefined || tip.untilMs < this.#clock.monotonicMs()) return false;
    return watched.snapshot.byName.has(tip.refname) && options.isShown(tip.refname);
  }

  #remember(tips: Map<string, Tip>, before: RefSnapshot, after: RefSnapshot): void {
    const untilMs = this.#clock.monotonicMs() + BOUNDS.recentTipMs;
    // Deleting a ref ends it for good, even where one of the same name comes back.
    for (const [oid, tip] of tips) if (!after.byName.has(tip.refname)) tips.delete(oid);
    for (const old of before.refs) {
      const now = after.byName.get(old.refname);
      if (now === undefined || now.oid === old.oid) continue;
      for (const oid of old.peeled === undefined ? [old.oid] : [old.oid, old.peeled]) {
        tips.delete(oid);
        tips.set(oid, { refname: old.refname, untilMs });
      }
    }
    for (const oid of tips.keys()) {
      if (tips.size <= BOUNDS.recentTipsMax) return;
      tips.delete(oid);
    }
  }

  #forgetOldest(): void {
    for (const [id, watched] of this.#repositories) {
      const fits = this.#repositories.size <= BOUNDS.recentTipRepositoriesMax && this.#refs <= BOUNDS.recentTipRefsMax;
      if (fits) return;
      this.#repositories.delete(id);
      this.#refs -= watched.snapshot.refs.length;
    }
  }
}
