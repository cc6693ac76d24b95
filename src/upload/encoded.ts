/**
 * Lists of refs as they go over the wire, encoded once for all who see the same and kept with the view that they show:
 * another snapshot, or other readable refs, is another view. Bounded in bytes and in number over all repositories, what
 * is just being sent to slow clients included.
 */
import { BOUNDS } from '../base/bounds.ts';
import { Stint } from '../base/stint.ts';
import type { View } from './view.ts';

export interface Encodable {
  /** Names the bytes among those of one view; undefined: they are not worth keeping. */
  readonly key: string | undefined;
  /** In pieces of some 64 KiB. */
  readonly encode: () => Iterable<Buffer>;
}

/** Counted as held until it is disposed. */
export interface Lent extends Disposable {
  readonly bytes: Buffer;
}

export interface EncodedLimits {
  /** Of everything that is held. */
  readonly bytesMax: number;
  /** Of one list. */
  readonly listBytesMax: number;
  /** Lists held at once: what names a list takes memory too, however short the list. Default `LISTS_MAX`. */
  readonly listsMax?: number;
}

const LISTS_MAX = 8_192;

const LIMITS: EncodedLimits = {
  bytesMax: BOUNDS.encodedListsBytesMax,
  listBytesMax: BOUNDS.encodedListBytesMax,
};
const MEMO_KEY = 'upload/encoded';

interface Held {
  readonly bytes: Buffer;
  readonly key: string;
  /** Where the view finds it. The view itself is not held: its refs are large. */
  readonly home: Home;
  users: number;
}

type Home = Map<string, Held | Promise<Held | undefined>>;

export class EncodedLists {
  readonly #limits: EncodedLimits;
  /** Least recently used first. */
  readonly #held = new Set<Held>();
  #bytes = 0;

  constructor(limits: EncodedLimits = LIMITS) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The whole list, encoded now or before; undefined where it is not to be kept: then it is encoded as it is sent. */
  async lend(view: View, { key, encode }: Encodable): Promise<Lent | undefined> {
    if (key === undefined) return undefined;
    const home = homeOf(view);
    let found = home.get(key);
    if (found === undefined) {
      // In a turn of its own: what it leaves in `home` comes after what is put there here.
      const making = Promise.resolve().then(() => this.#make(home, key, encode));
      home.set(key, making);
      found = making;
    }
    const held = found instanceof Promise ? await found : found;
    return held && this.#lendOut(held);
  }

  async #make(home: Home, key: string, encode: () => Iterable<Buffer>): Promise<Held | undefined> {
    const pieces: Buffer[] = [];
    let bytes = 0;
    let isKept = false;
    try {
      const stint = new Stint();
      for (const piece of encode()) {
        if (bytes + piece.length > this.#limits.listBytesMax || !this.#makeRoom(piece.length)) return undefined;
        this.#bytes += piece.length;
        bytes += piece.length;
        pieces.push(piece);
        if (stint.isOver) await stint.rest();
      }
      const [only] = pieces;
      const held: Held = { bytes: only && pieces.length === 1 ? only : Buffer.concat(pieces), key, home, users: 0 };
      this.#held.add(held);
      home.set(key, held);
      isKept = true;
      return held;
    } finally {
      if (!isKept) {
        this.#bytes -= bytes;
        home.delete(key);
      }
    }
  }

  #lendOut(held: Held): Lent {
    held.users += 1;
    // The most recently used goes to the end.
    if (this.#held.delete(held)) this.#held.add(held);
    let isBack = false;
    return {
      bytes: held.bytes,
      [Symbol.dispose]: () => {
        if (!isBack) held.users -= 1;
        isBack = true;
      },
    };
  }

  /** False where what is being sent leaves too little. */
  #makeRoom(bytes: number): boolean {
    for (const held of this.#held) {
      if (this.#hasRoom(bytes)) break;
      if (held.users > 0) continue;
      this.#held.delete(held);
      held.home.delete(held.key);
      this.#bytes -= held.bytes.length;
    }
    return this.#hasRoom(bytes);
  }

  #hasRoom(bytes: number): boolean {
    const { bytesMax, listsMax = LISTS_MAX } = this.#limits;
    return this.#bytes + bytes <= bytesMax && this.#held.size < listsMax;
  }
}

function homeOf(view: View): Home {
  const found = view.memo.get(MEMO_KEY);
  if (found !== undefined) return found as Home;
  const home: Home = new Map();
  view.memo.set(MEMO_KEY, home);
  return home;
}
