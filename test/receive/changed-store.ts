/** A store of which some of what it does is otherwise. */
import type { Store } from '../../src/store/store.ts';

export function changedStore(store: Store, change: Partial<Store>): Store {
  return {
    get: (kind, key) => store.get(kind, key),
    list: (kind, options) => store.list(kind, options),
    follow: (from, to, options) => store.follow(from, to, options),
    revision: () => store.revision(),
    watch: (options) => store.watch(options),
    close: () => store.close(),
    transact: (transaction) => store.transact(transaction),
    ...change,
  };
}
