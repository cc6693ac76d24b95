/**
 * Locks as git takes them (git's lockfile.h): a file `<path>.lock` that only one can make, whose bytes become the file's
 * by renaming. Whoever finds one waits a little, because its owner is about to be done, and then gives up.
 */
import { rename, unlink } from 'node:fs';
import { promisify } from 'node:util';
import type { Clock } from '../base/clock.ts';
import { createFile } from '../base/durable.ts';
import { hasCode } from './loose-place.ts';

const renameAsync = promisify(rename);
const unlinkAsync = promisify(unlink);

const FIRST_WAIT_MS = 1;
const WAIT_MS_MAX = 50;

/** Somebody else has it, and did not give it back in time. */
export class Locked extends Error {
  override readonly name = 'Locked';
}

export interface LockOptions {
  /** Of the file that is locked. */
  readonly path: string;
  readonly content: string;
  readonly waitMs: number;
  readonly clock: Clock;
}

export class RefLock {
  readonly #path: string;
  #isHeld = true;

  private constructor(path: string) {
    this.#path = path;
  }

  /** @throws Locked, or what the file system said (ENOENT: no such directory). */
  static async take({ path, content, waitMs, clock }: LockOptions): Promise<RefLock> {
    const lock = `${path}.lock`;
    const giveUpAt = clock.monotonicMs() + waitMs;
    for (let pause = FIRST_WAIT_MS; ; pause = Math.min(2 * pause, WAIT_MS_MAX)) {
      if (await isMade(lock, content)) return new RefLock(path);
      if (clock.monotonicMs() >= giveUpAt) throw new Locked(`${lock} exists`);
      await new Promise<void>((resolve) => void clock.after(pause, resolve));
    }
  }

  /** The file with the new bytes, until `publish`. */
  get newPath(): string {
    return `${this.#path}.lock`;
  }

  /** Its bytes are the file's from now on. */
  async publish(): Promise<void> {
    await renameAsync(this.newPath, this.#path);
    this.#isHeld = false;
  }

  /** Given back, and nothing changed, unless it was published. Never throws: start-up removes what stays. */
  async release(): Promise<void> {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    await unlinkAsync(this.newPath).catch(() => {});
  }
}

/** False where it is there already. */
async function isMade(lock: string, content: string): Promise<boolean> {
  try {
    await createFile(lock, content);
    return true;
  } catch (error) {
    if (hasCode(error, ['EEXIST'])) return false;
    throw error;
  }
}
