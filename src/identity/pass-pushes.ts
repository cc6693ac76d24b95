/**
 * Passes that may push so many times. The count is written by the commit point of the push itself: a push that is
 * committed is counted, one that is not costs nothing, whatever crashes when. Pushes of one such pass go one behind the
 * other, over all repositories, from the look at the count to the commit.
 */
import { readFields } from '../base/fields.ts';
import { Turns } from '../repository/turns.ts';
import type { Check, Store, Write } from '../store/store.ts';
import { pushesKey } from './pass-record.ts';
import type { Principal } from './principal.ts';

/** For one push. */
export interface PushTicket {
  /** Runs the commit of the push; no other push of this pass commits meanwhile. */
  within<T>(task: () => Promise<T>): Promise<T>;
  /** Why the pass pushes no more; undefined: it may once more. What it saw is what `mark` stands on. */
  refusal(): Promise<string | undefined>;
  /** To be written by the commit point, after a `refusal` within the turn that found none. */
  readonly mark: () => { readonly checks: readonly Check[]; readonly writes: readonly Write[] };
}

/** What the push pipeline asks. */
export type PushTickets = Pick<PassPushes, 'ticket'>;

export class PassPushes {
  readonly #store: Pick<Store, 'get'>;
  readonly #turns = new Turns();

  constructor(store: Pick<Store, 'get'>) {
    this.#store = store;
  }

  /** Undefined: nothing is counted. */
  ticket(principal: Principal): PushTicket | undefined {
    if (principal.kind !== 'user' || principal.credential.kind !== 'pass') return undefined;
    const { id, pushesMax } = principal.credential;
    if (pushesMax === undefined) return undefined;
    const key = pushesKey(id);
    let seen = { pushes: 0, version: 0 };
    return {
      within: (task) => this.#turns.run(id, task),
      refusal: async () => {
        seen = await this.#read(id);
        return seen.pushes < pushesMax ? undefined : spent(pushesMax);
      },
      mark: () => ({
        checks: [{ ...key, version: seen.version }],
        writes: [{ ...key, put: { pushes: seen.pushes + 1 } }],
      }),
    };
  }

  async count(id: string): Promise<number> {
    return (await this.#read(id)).pushes;
  }

  async #read(id: string): Promise<{ readonly pushes: number; readonly version: number }> {
    const key = pushesKey(id);
    const stored = await this.#store.get(key.kind, key.key);
    if (stored === undefined) return { pushes: 0, version: 0 };
    return { pushes: readFields(stored.value, `pass ${stored.key}`).number('pushes'), version: stored.version };
  }
}

function spent(pushesMax: number): string {
  return `this pass may push ${pushesMax === 1 ? 'once' : `${pushesMax} times`}, and did`;
}
