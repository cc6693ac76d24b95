/** Identity tokens that were exchanged, until they expire: each is good once, over restarts too. */
import type { Clock } from '../../base/clock.ts';
import type { Store } from '../../store/store.ts';
import { BOUNDS } from '../../base/bounds.ts';
import type { Identity } from './id-token.ts';

const PREFIX = 'once/';
const SWEPT_MAX = 100;

export class Replays {
  readonly #store: Pick<Store, 'list' | 'transact'>;
  readonly #clock: Pick<Clock, 'now'>;

  constructor(parts: { readonly store: Pick<Store, 'list' | 'transact'>; readonly clock: Pick<Clock, 'now'> }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
  }

  /** Whether this is the first time. Takes what has expired out of the store on the way. */
  async take({ expiresAt, fingerprint }: Pick<Identity, 'expiresAt' | 'fingerprint'>): Promise<boolean> {
    const key = keyOf(expiresAt, fingerprint);
    const over = keyOf(this.#clock.now() - 2 * BOUNDS.idTokenSkewMs, '');
    const oldest = await this.#store.list('pass', { prefix: PREFIX, limit: SWEPT_MAX });
    const gone = oldest.filter((stored) => stored.key < over && stored.key !== key);
    const result = await this.#store.transact({
      checks: [{ kind: 'pass', key, version: 0 }],
      writes: [
        ...gone.map((stored) => ({ kind: 'pass', key: stored.key, delete: true }) as const),
        { kind: 'pass', key, put: {} },
      ],
    });
    return result.kind === 'committed';
  }
}

/** In the order of time. A token's end is signed with it, so its key is always the same. */
function keyOf(ms: number, fingerprint: string): string {
  return `${PREFIX}${Math.max(0, Math.floor(ms)).toString().padStart(16, '0')}/${fingerprint}`;
}
