/** What a v2 server can do, remembered for a while: so the refs can be asked for before, or without, hearing it again. */
import type { Clock } from '../../base/clock.ts';
import type { Greeting, GreetingV2 } from './greeting.ts';

export class Memory {
  readonly #clock: Clock;
  readonly #ms: number;
  #known: { readonly greeting: GreetingV2; readonly until: number } | undefined;

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  recall(): GreetingV2 | undefined {
    if (this.#known !== undefined && this.#clock.monotonicMs() >= this.#known.until) this.#known = undefined;
    return this.#known?.greeting;
  }

  learn(greeting: Greeting): void {
    if (greeting.kind === 'v2') this.#known = { greeting, until: this.#clock.monotonicMs() + this.#ms };
    else this.#known = undefined;
  }

  forget(): void {
    this.#known = undefined;
  }
}
