/**
 * Tasks with the same key run one after another, in the order they came; others run at once. Saves work inside
 * one process (fifty creations of one name build one directory); what must hold between processes is a check
 * in the store's transaction.
 */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Resolves or rejects as the task does. A task must not wait for the same key again. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key);
    const turn = before === undefined ? task() : before.then(task, task);
    this.#last.set(key, turn);
    try {
      return await turn;
    } finally {
      if (this.#last.get(key) === turn) this.#last.delete(key);
    }
  }
}
