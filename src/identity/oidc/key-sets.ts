/**
 * Key sets of issuers, fetched and remembered. A set is asked for again when it is old, or when a token names a key that
 * it does not have, but not more often than `BOUNDS.keySetCooldownMs`: strangers can make tokens that name anything.
 */
import { BOUNDS } from '../../base/bounds.ts';
import type { Clock } from '../../base/clock.ts';
import { Fault } from '../../base/fault.ts';
import { parseKeySet, type KeySet, type KeySource } from './key-source.ts';

/** The text of a key set. @throws where it cannot be had within the bounds. */
export type FetchKeys = (url: string) => Promise<string>;

interface Remembered {
  set: KeySet | undefined;
  fetchedMs: number;
  triedMs: number;
  running: Promise<void> | undefined;
}

export class KeySets {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #fetch: FetchKeys;
  readonly #log: { warn(fields: Readonly<Record<string, unknown>>, message: string): void };
  readonly #remembered = new Map<string, Remembered>();

  constructor(parts: {
    readonly clock: Pick<Clock, 'monotonicMs'>;
    readonly log: { warn(fields: Readonly<Record<string, unknown>>, message: string): void };
    readonly fetch?: FetchKeys;
  }) {
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#fetch = parts.fetch ?? fetchKeys;
  }

  /**
   * The keys of a source. @param fresh the ones that are remembered did not do
   * @throws Fault `upstream` where there are none to be had.
   */
  async get(source: KeySource, { fresh = false }: { readonly fresh?: boolean } = {}): Promise<KeySet> {
    if (source.kind === 'inline') return source.set;
    const known = this.#entry(source.url);
    const now = this.#clock.monotonicMs();
    const isOld = known.set === undefined || now - known.fetchedMs > BOUNDS.keySetFreshMs;
    const mayAsk = now - known.triedMs >= BOUNDS.keySetCooldownMs;
    // Whoever has what he needs does not wait for what strangers make us ask for.
    if ((isOld || fresh) && (known.running !== undefined || mayAsk)) {
      known.running ??= this.#refresh(source.url, known);
      await known.running;
    }
    const age = this.#clock.monotonicMs() - known.fetchedMs;
    if (known.set !== undefined && age <= BOUNDS.keySetStaleMs) return known.set;
    throw new Fault('upstream', 'keys of an issuer cannot be had', {
      context: { url: source.url },
      publicMessage: 'the keys of the issuer cannot be had now: try again',
    });
  }

  /** Only sources that some rule names are remembered. */
  #entry(url: string): Remembered {
    const known = this.#remembered.get(url);
    if (known !== undefined) return known;
    const oldest = this.#remembered.keys().next();
    if (this.#remembered.size >= BOUNDS.trustRulesMax && oldest.done !== true) this.#remembered.delete(oldest.value);
    const fresh = { set: undefined, fetchedMs: 0, triedMs: Number.NEGATIVE_INFINITY, running: undefined };
    this.#remembered.set(url, fresh);
    return fresh;
  }

  /** Never rejects: what was remembered may still do. */
  async #refresh(url: string, known: Remembered): Promise<void> {
    known.triedMs = this.#clock.monotonicMs();
    try {
      const set = parseKeySet(await this.#fetch(url));
      if (set.kind === 'refused') throw new Fault('upstream', 'answer is no key set', { context: { why: set.reason } });
      known.set = set.value;
      known.fetchedMs = this.#clock.monotonicMs();
    } catch (error) {
      this.#log.warn({ url, error }, 'fail to fetch the keys of an issuer');
    } finally {
      known.running = undefined;
    }
  }
}

/** No redirects: the rule names who vouches for the keys. */
async function fetchKeys(url: string): Promise<string> {
  const signal = AbortSignal.timeout(BOUNDS.keySetFetchMs);
  const response = await fetch(url, { redirect: 'error', signal, headers: { accept: 'application/json' } });
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new Fault('upstream', 'issuer does not give its keys', { context: { status: response.status } });
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.byteLength;
    if (bytes > BOUNDS.keySetBytesMax) throw new Fault('upstream', 'key set is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
