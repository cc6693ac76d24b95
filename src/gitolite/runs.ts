/** Which invocation a Git request belongs to: push steps know the request's id only. */
import type { Run } from './run.ts';

export class Runs {
  readonly #byRequest = new Map<string, Run>();

  /** Until disposed. */
  begin(requestId: string, run: Run): Disposable {
    this.#byRequest.set(requestId, run);
    return { [Symbol.dispose]: () => void this.#byRequest.delete(requestId) };
  }

  of(requestId: string): Run | undefined {
    return this.#byRequest.get(requestId);
  }
}
