/**
 * A gate that nobody started by hand: a launcher did, because none ran. It ends when nobody has asked for anything for a
 * while, and at once when its data directory is not its own any more (removed, or removed and made anew).
 */
import { open, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { connectControl } from '../api/control-client.ts';
import type { Clock } from '../base/clock.ts';
import { controlPath } from './control-path.ts';

export interface OnDemandParts {
  readonly place: Pick<Place, 'isKept'>;
  /** 0: never for idleness. */
  readonly idleMs: number;
  readonly clock: Clock;
  readonly control: { readonly open: number; readonly lastClosedMs: number };
  readonly walk: { readonly running: number };
}

export interface OnDemandEnd extends Disposable {
  /** Nobody asks any more. */
  readonly idle: Promise<void>;
}

/** Of a gate that a launcher started: another answers in its place. The launchers know this number. */
export const EXIT_ANSWERED = 75;

const LOOK_MS = 500;
const RELIEVE_POLL_MS = 50;
const GIVE_WAY_MS = 1_000;

/** Set by a launcher in the environment of the gate that it starts. */
export function isOnDemand(env: Readonly<Record<string, string | undefined>>): boolean {
  return env['GATEHOUSE_ON_DEMAND'] === '1';
}

/** A directory as it was once: told from another of the same name. */
export interface Place extends AsyncDisposable {
  /** It is still there. */
  isKept(): Promise<boolean>;
}

/** Keeps the directory open: the number of one that is gone may be the next one's. */
export async function holdPlace(directory: string): Promise<Place> {
  const held = await open(directory, 'r');
  const { dev, ino } = await held.stat();
  return {
    async isKept() {
      const now = await stat(directory).catch(() => undefined);
      return now?.dev === dev && now.ino === ino;
    },
    [Symbol.asyncDispose]: () => held.close(),
  };
}

/**
 * Watches until disposed. `onLost` is called once where the directory is lost: what is written from then on is lost or,
 * worse, lands in the directory of the next gate.
 */
export function watchOnDemand(parts: OnDemandParts, onLost: () => void): OnDemandEnd {
  const { place, clock, control, walk, idleMs } = parts;
  const { promise: idle, resolve } = Promise.withResolvers<void>();
  const look = async (): Promise<void> => {
    if (!(await place.isKept())) onLost();
    const isQuiet = control.open === 0 && walk.running === 0 && clock.monotonicMs() - control.lastClosedMs >= idleMs;
    if (isQuiet && idleMs > 0) resolve();
    else cancel = clock.after(LOOK_MS, () => void look());
  };
  let cancel = clock.after(LOOK_MS, () => void look());
  return {
    idle,
    [Symbol.dispose]: () => {
      cancel();
    },
  };
}

/**
 * Looks for the gate of a directory, and gives it a moment. @param isToLeave it is asked to make room, which one that a
 * person started does not do. `silent`: none answers, because it is starting, or ending.
 */
export async function askOther(
  dataDirectory: string,
  { isToLeave }: { readonly isToLeave: boolean },
): Promise<'stays' | 'leaves' | 'silent'> {
  await using socket = await controlPath(dataDirectory);
  const other = await connectControl(socket.path);
  const isLeaving = other && isToLeave ? await other.relieve() : false;
  other?.close();
  await delay(RELIEVE_POLL_MS);
  if (other === undefined || isLeaving === undefined) return 'silent';
  return isLeaving ? 'leaves' : 'stays';
}

/** Another gate answers: its callers need no other, unless it is about to end. Then they start one more. */
export async function giveWay(): Promise<void> {
  await delay(GIVE_WAY_MS);
}
