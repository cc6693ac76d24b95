/**
 * The Store contract: objects by kind and key, a resource version on each, compare-and-set writes over
 * several objects, ordered lists by prefix, watch from a version. `sqlite.ts` is the embedded driver; one
 * conformance suite (`test/store/conformance.ts`) holds every driver to what is written here.
 */
import type { Json } from '../base/json.ts';
import { Stint } from '../base/stint.ts';

/** The kinds of objects; a closed list so that a typing error is a compile error. */
export const KINDS = [
  'meta', // the data directory itself: schema, administrator
  'user',
  'group',
  'key', // by fingerprint
  'token', // by identifier
  'repository', // by id
  'repository-name', // name -> id
  'repository-fold', // lower-cased name -> id: refuses names that differ only in case
  'repository-owner', // owner/id: what a user owns, destroyed ones included
  'repository-state', // by id: {generation, txid}, the commit point of pushes
  'repository-rules', // by id: the owner's own rules
  'site-repository', // by id: a repository of a gitolite site, where it was seen last
  'pending', // by id: committed, perhaps not yet applied
  'upkeep', // by repository id: when it was tidied last, and what failed
  'graveyard', // by id: destroyed repositories
  'policy', // the last good policy
  'mirror', // by repository id: the upstream of a mirror, and what is known of it
  'sealed', // by id: a credential, encrypted
  'forward', // by repository id: a push that is being taken upstream
  'deploy-key', // by id: what was made at a forge, to be revoked there
  'held', // by id: a push that waits for an approval
  'pass', // by id: short-lived credentials
  'waiver', // by fingerprint: findings of the secret scan that somebody answers for
  'signing-key', // by fingerprint: keys that sign commits, tags and pushes
  'lfs-object', // repository id/oid: Git LFS objects that are here, and what the scan said
  'confirmation', // tokens of destroy, user del, group del
] as const;
export type Kind = (typeof KINDS)[number];

export interface Stored {
  readonly kind: Kind;
  readonly key: string;
  /** The store's revision when this object was last written; > 0, grows with every transaction. */
  readonly version: number;
  readonly value: Json;
}

/** One condition of a transaction. `version: 0` means "does not exist"; `'any'` means "exists". */
export interface Check {
  readonly kind: Kind;
  readonly key: string;
  readonly version: number | 'any';
}

export type Write =
  | { readonly kind: Kind; readonly key: string; readonly put: Json }
  | { readonly kind: Kind; readonly key: string; readonly delete: true };

export interface Transaction {
  readonly checks?: readonly Check[];
  readonly writes: readonly Write[];
}

/** Committed at a revision, or the first check that did not hold with what is there now. */
export type TransactResult =
  | { readonly kind: 'committed'; readonly version: number }
  | { readonly kind: 'conflict'; readonly check: Check; readonly found: Stored | undefined };

export interface ListOptions {
  /** Only keys that start with this. */
  readonly prefix?: string;
  /** Only keys greater than this (the last key of the page before). */
  readonly after?: string;
  /** 1 to 10,000; default 1,000. */
  readonly limit?: number;
}

export type WatchEvent =
  | { readonly type: 'put'; readonly object: Stored }
  | { readonly type: 'delete'; readonly kind: Kind; readonly key: string; readonly version: number };

/** One object of a list, and the one that it leads to; undefined: that is not there. */
export interface Led {
  readonly key: string;
  readonly object: Stored | undefined;
}

export interface Store {
  get(kind: Kind, key: string): Promise<Stored | undefined>;
  /** Ordered by key in code-unit (UTF-8 byte) order. */
  list(kind: Kind, options?: ListOptions): Promise<readonly Stored[]>;
  /**
   * The same page, of `from`, with the objects of kind `to` whose keys are the field `id` of its values: both as they were
   * at one moment, and at half the price of a `get` for each.
   */
  follow(from: Kind, to: Kind, options?: ListOptions): Promise<readonly Led[]>;
  /** All or nothing, durable (on disk) when it resolves. Checks see the state before the writes. */
  transact(transaction: Transaction): Promise<TransactResult>;
  /** The newest revision. */
  revision(): Promise<number>;
  /**
   * What was read of users, groups, keys, tokens, passes and repositories between two looks at this number stands as long as
   * it is the same. Undefined while some of it is being written, and where nobody can tell.
   */
  readonly standing?: number | undefined;
  /**
   * Events after revision `from`, in order, without gaps, until the signal aborts (then it returns).
   * @throws Fault 'missing' where `from` is older than the log kept: list again, then watch.
   */
  watch(options: {
    readonly kinds?: readonly Kind[];
    readonly from: number;
    readonly signal: AbortSignal;
  }): AsyncIterable<WatchEvent>;
  close(): Promise<void>;
}

/** Objects that `listAll` reads at once: a millisecond or two. */
const PAGE = 250;

/** Every object of a kind, page by page: memory stays bounded, and others have their turn in between. */
export async function* listAll(store: Store, kind: Kind, prefix = ''): AsyncGenerator<Stored> {
  const stint = new Stint();
  let after: string | undefined;
  for (;;) {
    const page = await store.list(kind, { prefix, limit: PAGE, ...(after === undefined ? {} : { after }) });
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return;
    after = last.key;
    if (stint.isOver) await stint.rest();
  }
}
