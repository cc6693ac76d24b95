/** What the store holds of a repository's transactions: `repository-state` and `pending`, both {generation, txid}. */
import { Fault } from '../base/fault.ts';
import { isJsonObject } from '../base/json.ts';
import type { Stored } from '../store/store.ts';

export interface State {
  /** 0: nothing was ever committed. */
  readonly generation: number;
  /** '' with generation 0. */
  readonly txid: string;
}

/** @throws Fault `corrupt`. */
export function parseState(stored: Stored | undefined): State {
  if (stored === undefined) return { generation: 0, txid: '' };
  const { value } = stored;
  if (isJsonObject(value)) {
    const { generation, txid } = value;
    const isCount = typeof generation === 'number' && Number.isSafeInteger(generation) && generation > 0;
    if (isCount && typeof txid === 'string' && /^[0-9a-f]+$/.test(txid)) return { generation, txid };
  }
  throw new Fault('corrupt', 'repository state is malformed', { context: { kind: stored.kind, key: stored.key } });
}
