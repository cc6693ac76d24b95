/**
 * The journal lines of clients that were turned away, bounded: a flood of wrong keys and tokens costs its sender
 * nothing, and must not cost the journal a line each. What is over the bound is counted, and the count written down.
 */
import type { JournalEntry } from '../audit/entry.ts';
import { BOUNDS } from '../base/bounds.ts';
import { newId, type Clock } from '../base/clock.ts';

export class TurnedAwayBook {
  readonly #clock: Clock;
  readonly #record: (entry: JournalEntry) => void;
  /** Lines of this window, by address. */
  readonly #lines = new Map<string, number>();
  #written = 0;
  #surplus = 0;
  #isOpen = false;

  constructor(options: { readonly clock: Clock; readonly record: (entry: JournalEntry) => void }) {
    this.#clock = options.clock;
    this.#record = options.record;
  }

  /** Never throws. */
  enter(entry: JournalEntry): void {
    if (!this.#isOpen) this.#openWindow();
    const fromThere = this.#lines.get(entry.address) ?? 0;
    if (this.#written >= BOUNDS.turnedAwayLinesMax || fromThere >= BOUNDS.turnedAwayLinesPerAddressMax) {
      this.#surplus += 1;
      return;
    }
    this.#written += 1;
    this.#lines.set(entry.address, fromThere + 1);
    this.#write(entry);
  }

  #openWindow(): void {
    this.#isOpen = true;
    this.#clock.after(BOUNDS.turnedAwayWindowMs, () => {
      this.#isOpen = false;
      const surplus = this.#surplus;
      this.#lines.clear();
      this.#written = 0;
      this.#surplus = 0;
      if (surplus > 0) this.#write(this.#summary(surplus));
    });
  }

  #summary(surplus: number): JournalEntry {
    return {
      event: 'login',
      outcome: 'refused',
      request: newId(this.#clock),
      transport: 'local',
      address: 'several',
      principal: 'anonymous',
      reason: `${surplus} more clients were turned away within a minute, without a line each`,
    };
  }

  #write(entry: JournalEntry): void {
    try {
      this.#record(entry);
    } catch {
      // The journal is closed: the gate is, too.
    }
  }
}
