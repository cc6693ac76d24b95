/**
 * Who shares a repository's turn: pushes that waited while another one committed, and do not stand in each other's way,
 * commit together, with one log entry and one commit point. Nobody overtakes anybody.
 */
import type { Turns } from '../repository/turns.ts';
import type { CommitRequest, Committed } from './commit-request.ts';
import { conflictsAmong } from './ref-names.ts';

/** Pushes that share a turn, and their refs together: a log entry stays small, and the time that refs are locked short. */
const SEATS_MAX = 32;
const REFS_MAX = 128;

/** One push in the queue. Only the first settling counts. */
export interface Seat {
  readonly request: CommitRequest;
  readonly resolve: (committed: Committed | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class CommitQueue {
  readonly #turns: Turns;
  readonly #carryOut: (seats: readonly Seat[]) => Promise<void>;
  /** By repository, in the order they came: those that no turn has taken. */
  readonly #waiting = new Map<string, Seat[]>();

  /** @param carryOut settles every seat that it is given: one, or several of one repository that may share. */
  constructor(turns: Turns, carryOut: (seats: readonly Seat[]) => Promise<void>) {
    this.#turns = turns;
    this.#carryOut = carryOut;
  }

  run(request: CommitRequest): Promise<Committed | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Committed | undefined>();
    const seat = { request, resolve, reject };
    const { id } = request.repository;
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) this.#waiting.set(id, [seat]);
    else waiting.push(seat);
    // Each has a turn; that of one who was taken along before is empty.
    const turn = this.#turns.run(id, async () => {
      const seats = this.#take(id, seat);
      if (seats.length > 0) await this.#carryOut(seats);
    });
    turn.catch(reject);
    return promise;
  }

  /** The seat whose turn it is, which is the first that waits, and those behind it that fit. */
  #take(id: string, seat: Seat): readonly Seat[] {
    const waiting = this.#waiting.get(id) ?? [];
    if (waiting[0] !== seat) return [];
    const taken = waiting.splice(0, countFittingSafely(waiting));
    if (waiting.length === 0) this.#waiting.delete(id);
    return taken;
  }
}

/** Whatever is wrong with one of them: a seat that stayed at the front would keep its repository from ever being pushed to. */
function countFittingSafely(waiting: readonly Seat[]): number {
  try {
    return countFitting(waiting);
  } catch {
    return 1;
  }
}

/** How many at the front may commit together; 1 at least. */
function countFitting(waiting: readonly Seat[]): number {
  const names: string[] = [];
  for (const [index, { request }] of waiting.entries()) {
    const isFit = index < SEATS_MAX && mayShare(request) && addNames(names, namesOf(request));
    if (!isFit) return Math.max(1, index);
  }
  return waiting.length;
}

/** Whether nothing has to happen elsewhere before, or in the same transaction of the store. */
export function mayShare({ alongside, sharesTurn }: CommitRequest): boolean {
  return alongside === undefined && sharesTurn?.() === true;
}

function namesOf({ updates }: CommitRequest): readonly string[] {
  return updates.filter(({ isAlive }) => isAlive).map(({ name }) => name);
}

/** False where they would be too many. One push may have hundreds of thousands: too many for one call. */
function addNames(names: string[], more: readonly string[]): boolean {
  if (names.length + more.length > REFS_MAX) return false;
  names.push(...more);
  return areApart(names);
}

/** No ref is named twice, and none lies above another. */
function areApart(names: readonly string[]): boolean {
  return new Set(names).size === names.length && conflictsAmong(names).size === 0;
}
