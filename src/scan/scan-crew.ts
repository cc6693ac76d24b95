/** The threads of one set of rules: given out one job each, and closed when the last scan that uses them has ended. */
import { CrewThread, type CrewParts } from './crew-thread.ts';

export class ScanCrew {
  readonly #threads: readonly CrewThread[];
  readonly #free: CrewThread[];
  #waiting: ((thread: CrewThread) => void)[] = [];
  #users = 0;
  #retired = false;

  constructor(parts: CrewParts) {
    this.#threads = Array.from({ length: Math.max(1, parts.limits.workers) }, () => new CrewThread(parts));
    this.#free = [...this.#threads];
  }

  get size(): number {
    return this.#threads.length;
  }

  /** Runs `job` on a thread of its own, in the order of calls. */
  async run<T>(job: (thread: CrewThread) => Promise<T>): Promise<T> {
    const thread = this.#free.pop() ?? (await new Promise<CrewThread>((resolve) => this.#waiting.push(resolve)));
    try {
      return await job(thread);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(thread);
      else next(thread);
    }
  }

  enter(): void {
    this.#users += 1;
  }

  async leave(): Promise<void> {
    this.#users -= 1;
    if (this.#retired && this.#users === 0) await this.close();
  }

  /** Closes as soon as nobody uses it. */
  async retire(): Promise<void> {
    this.#retired = true;
    if (this.#users === 0) await this.close();
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}
