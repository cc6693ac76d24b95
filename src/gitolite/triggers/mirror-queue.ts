/** Pushes to copies: for each repository and copy one at a time, and one behind it, which takes along whatever came meanwhile. */

export class MirrorQueue {
  readonly #running = new Map<string, Promise<void>>();
  readonly #next = new Map<string, Promise<void>>();

  /** Settles when a push that began after this call is over; never throws. */
  push(key: string, task: () => Promise<unknown>): Promise<void> {
    const running = this.#running.get(key);
    if (running === undefined) return this.#start(key, task);
    const next =
      this.#next.get(key) ??
      running.then(() => {
        this.#next.delete(key);
        return this.#start(key, task);
      });
    this.#next.set(key, next);
    return next;
  }

  #start(key: string, task: () => Promise<unknown>): Promise<void> {
    const ended = this.#run(key, task);
    this.#running.set(key, ended);
    return ended;
  }

  async #run(key: string, task: () => Promise<unknown>): Promise<void> {
    try {
      // The caller notes first that it runs.
      await Promise.resolve();
      await task();
    } catch {
      // A push that failed has left its status beside the repository.
    } finally {
      this.#running.delete(key);
    }
  }
}
