/**
 * Aho-Corasick as one dense table: all words looked for in one pass over the bytes, blind to ASCII case. The case
 * folding lies in the table's byte classes, so the loop is two look-ups a byte.
 */

export interface KeywordAutomaton {
  /** The state before the first byte. */
  readonly start: number;
  /**
   * Runs over `bytes[from..to)` and calls back with each word's number and the offset behind its last byte.
   * @returns the state, to go on with in the next piece.
   */
  run(bytes: Uint8Array, at: { readonly from: number; readonly to: number; readonly state: number }, hit: Hit): number;
}

export type Hit = (word: number, end: number) => void;

interface Trie {
  readonly children: Map<number, number>[];
  readonly own: (number | undefined)[];
}

/** @param words lower-cased, none empty, none twice; their order gives them their numbers. */
export function buildAutomaton(words: readonly string[]): KeywordAutomaton {
  const encoded = words.map((word) => Buffer.from(word.toLowerCase(), 'utf8'));
  const { classes, count } = classify(encoded);
  const trie = plant(encoded, classes);
  const order = breadthFirst(trie);
  const fail = failures(trie, order);
  const outputs = collectOutputs(trie, { order, fail });
  // States that say something come last, so that one comparison tells them.
  const ranked = [...order.filter((s) => outputs[s] === undefined), ...order.filter((s) => outputs[s] !== undefined)];
  const rank = new Int32Array(order.length);
  for (const [index, state] of ranked.entries()) rank[state] = index;
  const table = new Int32Array(order.length * count);
  for (const state of order) {
    const from = (rank[state] ?? 0) * count;
    const fallback = (rank[fail[state] ?? 0] ?? 0) * count;
    for (let symbol = 0; symbol < count; symbol += 1) {
      const child = trie.children[state]?.get(symbol);
      if (child !== undefined) table[from + symbol] = (rank[child] ?? 0) * count;
      else table[from + symbol] = state === 0 ? (rank[0] ?? 0) * count : (table[fallback + symbol] ?? 0);
    }
  }
  const speaking = ranked.findIndex((state) => outputs[state] !== undefined);
  const said = ranked.map((state) => outputs[state] ?? []);
  return new DenseAutomaton({
    classes,
    table,
    count,
    start: (rank[0] ?? 0) * count,
    speaking: speaking < 0 ? Infinity : speaking * count,
    said,
  });
}

interface Dense {
  readonly classes: Uint8Array;
  readonly table: Int32Array;
  readonly count: number;
  readonly start: number;
  readonly speaking: number;
  readonly said: readonly (readonly number[])[];
}

class DenseAutomaton implements KeywordAutomaton {
  readonly #dense: Dense;

  constructor(dense: Dense) {
    this.#dense = dense;
  }

  get start(): number {
    return this.#dense.start;
  }

  run(bytes: Uint8Array, at: { readonly from: number; readonly to: number; readonly state: number }, hit: Hit): number {
    const { classes, table, count, speaking, said } = this.#dense;
    let { state } = at;
    for (let index = at.from; index < at.to; index += 1) {
      // Within bounds by construction; the casts cost nothing and the checks would.
      state = table[state + (classes[bytes[index] as number] as number)] as number;
      if (state < speaking) continue;
      for (const word of said[state / count] ?? []) hit(word, index + 1);
    }
    return state;
  }
}

/** Bytes that no word has share class 0; a letter and its capital share one. */
function classify(words: readonly Buffer[]): { readonly classes: Uint8Array; readonly count: number } {
  const classes = new Uint8Array(256);
  let count = 1;
  for (const byte of new Set(words.flatMap((word) => [...word]))) {
    // 255 classes and the rest: more bytes than that are not in use.
    const symbol = count > 255 ? 255 : count;
    count = Math.min(count + 1, 256);
    classes[byte] = symbol;
    if (byte >= 0x61 && byte <= 0x7a) classes[byte - 32] = symbol;
  }
  return { classes, count };
}

function plant(words: readonly Buffer[], classes: Uint8Array): Trie {
  const trie: Trie = { children: [new Map()], own: [undefined] };
  for (const [number, word] of words.entries()) {
    let state = 0;
    for (const byte of word) {
      const symbol = classes[byte] ?? 0;
      const known = trie.children[state]?.get(symbol);
      const next = known ?? trie.children.length;
      if (known === undefined) {
        trie.children[state]?.set(symbol, next);
        trie.children.push(new Map());
        trie.own.push(undefined);
      }
      state = next;
    }
    trie.own[state] = number;
  }
  return trie;
}

function breadthFirst(trie: Trie): readonly number[] {
  const order = [0];
  for (const state of order) order.push(...(trie.children[state]?.values() ?? []));
  return order;
}

function failures(trie: Trie, order: readonly number[]): Int32Array {
  const fail = new Int32Array(order.length);
  for (const state of order) {
    if (state === 0) continue;
    for (const [symbol, child] of trie.children[state] ?? [])
      fail[child] = step(trie, { fail, from: fail[state] ?? 0, symbol });
  }
  return fail;
}

/** Where a symbol leads from a state, by way of its failure links. */
function step(trie: Trie, at: { readonly fail: Int32Array; readonly from: number; readonly symbol: number }): number {
  for (let state = at.from; ; state = at.fail[state] ?? 0) {
    const child = trie.children[state]?.get(at.symbol);
    if (child !== undefined) return child;
    if (state === 0) return 0;
  }
}

/** Words that end in a state, by itself and by its failure links; undefined: none. */
function collectOutputs(
  trie: Trie,
  { order, fail }: { readonly order: readonly number[]; readonly fail: Int32Array },
): readonly (readonly number[] | undefined)[] {
  const outputs: (readonly number[] | undefined)[] = Array.from({ length: order.length });
  for (const state of order) {
    const own = trie.own[state];
    const inherited = state === 0 ? undefined : outputs[fail[state] ?? 0];
    if (own !== undefined || inherited !== undefined)
      outputs[state] = [...(own === undefined ? [] : [own]), ...(inherited ?? [])];
  }
  return outputs;
}
