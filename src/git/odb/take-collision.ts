/**
 * SHA-1 that notices collision attacks, as git's own does: for each block it is tried whether a second message exists that
 * one of the known attacks would have made from it. Source: M. Stevens, "Counter-cryptanalysis" (2013), and M. Stevens,
 * D. Shumow, "Speeding up detection of SHA-1 collision attacks using unavoidable attack conditions" (2017), whose 32
 * disturbance vectors and (a part of) whose conditions these are.
 */

/** Type, K and b of each disturbance vector; its place in the list is its bit in a mask. */
const VECTORS: readonly (readonly [type: 1 | 2, k: number, b: number])[] = [
  ...[43, 44, 45, 46, 47, 48, 49, 50, 51, 52].map((k) => [1, k, 0] as const),
  ...[46, 47, 48, 49, 50, 51].map((k) => [1, k, 2] as const),
  ...[45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56].map((k) => [2, k, 0] as const),
  ...[46, 49, 50, 51].map((k) => [2, k, 2] as const),
];

interface Condition {
  readonly step: number;
  readonly otherStep: number;
  /** Right shifts that bring the two bits to the lowest place. */
  readonly shift: number;
  readonly otherShift: number;
  /** What the two bits together have to be for the vectors to stay possible. */
  readonly value: 0 | 1;
  /** All vectors but those that the condition is about. */
  readonly others: number;
}

/**
 * Conditions on two bits of the expanded message that every attack by these vectors meets. They only save time: a vector
 * whose conditions are met is tried in full, and a condition left out means more trials.
 */
const CONDITIONS: readonly Condition[] = [
  // W[i][29] = W[i+1][29]
  ...same(29, 29, 1, {
    40: 'I44 I47 I48 II46 II47 II56',
    41: 'I45 I48 I49 II47 II48',
    42: 'I46 I49 I50 II48 II49',
    43: 'I47 I50 I51 II45 II49 II50',
    44: 'I48 I51 I52 II45 II46 II50 II51',
    45: 'I49 I52 II46 II47 II51 II52',
    46: 'I43 I50 II47 II48 II52 II53',
    47: 'I44 I51 II48 II49 II53 II54',
    48: 'I45 I52 II49 II50 II54 II55',
    49: 'I46 II45 II50 II51 II55 II56',
    50: 'I47 II46 II51 II52 II56',
    51: 'I48 II47 II52 II53',
    52: 'I49 II45 II48 II53 II54',
    53: 'I50 II46 II49 II54 II55',
    54: 'I51 II47 II50 II55 II56',
    55: 'I52 II48 II51 II56',
  }),
  // W[i][4] = W[i+3][29]
  ...same(4, 29, 3, {
    37: 'I43 I47 II46 II53 II55',
    38: 'I44 I48 II47 II54 II56',
    39: 'I43 I45 I49 II48 II55',
    40: 'I44 I46 I50 II49 II56',
    41: 'I43 I45 I47 I51 II45 II50',
    42: 'I44 I46 I48 I52 II46 II51',
    43: 'I43 I45 I47 I49 II47 II52',
    44: 'I44 I46 I48 I50 II48 II53',
    45: 'I45 I47 I49 I51 II49 II54',
    46: 'I46 I48 I50 I52 II50 II55',
    47: 'I47 I49 I51 II45 II51 II56',
    48: 'I48 I50 I52 II46 II52',
    49: 'I49 I51 II45 II47 II53',
    50: 'I50 I52 II46 II48 II54',
    51: 'I51 II47 II49 II55',
    52: 'I52 II48 II50 II56',
    54: 'II50 II52',
    56: 'II52 II54',
  }),
  // The vectors with b = 2: W[i][1] and W[i+1][6] differ, W[i][6] = W[i+2][6], W[i][6] = W[i+1][1].
  ...differ(1, 6, 1, {
    35: 'I46.2 I49.2',
    36: 'I47.2 I50.2 II46.2',
    37: 'I48.2 I51.2',
    39: 'I46.2 I50.2 II49.2',
    40: 'I47.2 I51.2 II50.2',
    41: 'I48.2 II46.2 II51.2',
    44: 'I51.2 II49.2',
  }),
  ...same(6, 6, 2, {
    42: 'I46.2 I48.2',
    43: 'I47.2 I49.2',
    44: 'I46.2 I48.2 I50.2',
    45: 'I47.2 I49.2 I51.2',
    46: 'I48.2 I50.2',
    47: 'I49.2 I51.2',
    48: 'I50.2 II46.2',
  }),
  ...same(6, 1, 1, {
    40: 'I50.2 II49.2',
    41: 'I51.2 II50.2',
    42: 'II46.2 II51.2',
    46: 'I46.2 II50.2',
    47: 'I47.2 II51.2',
    50: 'I50.2 II46.2',
  }),
  // W[i][29] and W[i+2][29] differ
  ...differ(29, 29, 2, {
    44: 'I43 I45 I47',
    45: 'I44 I46 I48',
    46: 'I45 I47 I49',
    47: 'I46 I48 I50',
    48: 'I47 I49 I51',
    49: 'I48 I50 I52',
    50: 'I49 I51 II45',
  }),
];

type Steps = Readonly<Record<number, string>>;

function same(bit: number, otherBit: number, distance: number, steps: Steps): readonly Condition[] {
  return conditions([bit, otherBit, distance, 0], steps);
}

function differ(bit: number, otherBit: number, distance: number, steps: Steps): readonly Condition[] {
  return conditions([bit, otherBit, distance, 1], steps);
}

function conditions(about: readonly [number, number, number, 0 | 1], steps: Steps): readonly Condition[] {
  const [shift, otherShift, distance, value] = about;
  return Object.entries(steps).map(([text, names]) => {
    const step = Number(text);
    const others = ~names.split(' ').reduce((mask, name) => mask | (1 << vectorNamed(name)), 0);
    return { step, otherStep: step + distance, shift, otherShift, value, others };
  });
}

/** `II46.2` is type 2, K = 46, b = 2. */
function vectorNamed(name: string): number {
  const [, type = '', k = '', b = '0'] = /^(I+)(\d+)(?:\.(\d))?$/.exec(name) ?? [];
  const found = VECTORS.findIndex(
    (vector) => vector[0] === type.length && vector[1] === Number(k) && vector[2] === Number(b),
  );
  if (found < 0) throw new TypeError(`no vector ${name}`);
  return found;
}

const STEPS = 80;

interface Trial {
  /** The difference in each word of the expanded message. */
  readonly differences: Int32Array;
  /** Before this step the two messages have the same state. */
  readonly step: 58 | 65;
}

const TRIALS: readonly Trial[] = VECTORS.map(([type, k, b]) => {
  return { differences: differencesOf(type, k, b), step: type === 1 || k <= 49 ? 58 : 65 };
});

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

/** From sixteen words of the vector to all of them, and to the message differences that local collisions make of them. */
function differencesOf(type: 1 | 2, k: number, b: number): Int32Array {
  const before = 5;
  const vector = new Int32Array(STEPS + before);
  const at = (step: number): number => vector[step + before] ?? 0;
  const put = (step: number, word: number): void => {
    vector[step + before] = word;
  };
  put(k + 15, rotate(1, b));
  if (type === 2) for (const step of [k + 1, k + 3]) put(step, rotate(1 << 31, b));
  for (let step = k + 16; step < STEPS; step += 1) {
    put(step, rotate(at(step - 3) ^ at(step - 8) ^ at(step - 14) ^ at(step - 16), 1));
  }
  for (let step = k - 1; step >= -before; step -= 1) {
    put(step, rotate(at(step + 16), 31) ^ at(step + 13) ^ at(step + 8) ^ at(step + 2));
  }
  const differences = new Int32Array(STEPS);
  for (let step = 0; step < STEPS; step += 1) {
    const corrected = rotate(at(step - 3) ^ at(step - 4) ^ at(step - 5), 30);
    differences[step] = at(step) ^ rotate(at(step - 1), 5) ^ at(step - 2) ^ corrected;
  }
  return differences;
}

const TRIALS_FREE = 64;
const TRIALS_PER_BLOCK = 2;

/** One message, hashed as it comes. */
export class GuardedSha1 {
  readonly #state = new Int32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]);
  readonly #words = new Int32Array(STEPS);
  readonly #partner = new Int32Array(STEPS);
  readonly #at58 = new Int32Array(5);
  readonly #at65 = new Int32Array(5);
  readonly #next = new Int32Array(5);
  readonly #rest = Buffer.alloc(64);
  #restBytes = 0;
  #bytes = 0;
  #trials = 0;
  #isAttack = false;

  /** A block so far belongs to a collision attack: no digest of this message is to be trusted. */
  get isAttack(): boolean {
    return this.#isAttack;
  }

  /** Bytes of chance need less than a trial a block. Who chooses them can make each block need many. */
  get isCostly(): boolean {
    return this.#trials > TRIALS_FREE + (this.#bytes / 64) * TRIALS_PER_BLOCK;
  }

  update(bytes: Buffer): this {
    this.#bytes += bytes.length;
    let at = 0;
    if (this.#restBytes > 0) {
      at = Math.min(64 - this.#restBytes, bytes.length);
      bytes.copy(this.#rest, this.#restBytes, 0, at);
      this.#restBytes += at;
      if (this.#restBytes < 64) return this;
      this.#block(this.#rest, 0);
      this.#restBytes = 0;
    }
    for (; at + 64 <= bytes.length; at += 64) this.#block(bytes, at);
    this.#restBytes = bytes.copy(this.#rest, 0, at);
    return this;
  }

  /** Only once. */
  digest(): Buffer {
    const bits = this.#bytes * 8;
    const padding = Buffer.alloc((this.#restBytes < 56 ? 64 : 128) - this.#restBytes);
    padding[0] = 0x80;
    padding.writeUInt32BE(Math.floor(bits / 0x1_0000_0000), padding.length - 8);
    padding.writeUInt32BE(bits % 0x1_0000_0000, padding.length - 4);
    this.update(padding);
    const digest = Buffer.alloc(20);
    for (let index = 0; index < 5; index += 1) digest.writeInt32BE(this.#state[index] ?? 0, index * 4);
    return digest;
  }

  #block(bytes: Buffer, offset: number): void {
    const words = this.#words;
    for (let index = 0; index < 16; index += 1) {
      const at = offset + index * 4;
      words[index] =
        ((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number);
    }
    expand(words);
    const next = this.#next;
    next.set(this.#state);
    forward(next, words, [0, 58]);
    this.#at58.set(next);
    forward(next, words, [58, 65]);
    this.#at65.set(next);
    forward(next, words, [65, STEPS]);
    for (let index = 0; index < 5; index += 1) next[index] = ((next[index] ?? 0) + (this.#state[index] ?? 0)) | 0;
    if (!this.#isAttack) this.#look();
    this.#state.set(next);
  }

  /** Tries every vector that the conditions leave. */
  #look(): void {
    let mask = possibleVectors(this.#words);
    while (mask !== 0) {
      const index = 31 - Math.clz32(mask & -mask);
      mask &= mask - 1;
      const trial = TRIALS[index];
      this.#trials += 1;
      if (trial !== undefined && this.#hasPartner(trial)) this.#isAttack = true;
    }
  }

  /** There is another message, by this vector, that leads from some state to the same next one. */
  #hasPartner({ differences, step }: Trial): boolean {
    const words = this.#partner;
    for (let index = 0; index < STEPS; index += 1) words[index] = (this.#words[index] ?? 0) ^ (differences[index] ?? 0);
    const middle = step === 58 ? this.#at58 : this.#at65;
    const after = middle.slice();
    forward(after, words, [step, STEPS]);
    const before = middle.slice();
    backward(before, words, step);
    return after.every((word, index) => ((word + (before[index] ?? 0)) | 0) === this.#next[index]);
  }
}

function expand(words: Int32Array): void {
  for (let step = 16; step < STEPS; step += 1) {
    const near = (words[step - 3] as number) ^ (words[step - 8] as number);
    const word = near ^ (words[step - 14] as number) ^ (words[step - 16] as number);
    words[step] = (word << 1) | (word >>> 31);
  }
}

/** The conditions as columns: nothing is looked up by name in the inner loop. */
const COLUMNS = {
  step: Uint8Array.from(CONDITIONS, ({ step }) => step),
  otherStep: Uint8Array.from(CONDITIONS, ({ otherStep }) => otherStep),
  shift: Uint8Array.from(CONDITIONS, ({ shift }) => shift),
  otherShift: Uint8Array.from(CONDITIONS, ({ otherShift }) => otherShift),
  value: Uint8Array.from(CONDITIONS, ({ value }) => value),
  others: Int32Array.from(CONDITIONS, ({ others }) => others),
};

/** The vectors that no condition rules out, as a mask. */
function possibleVectors(words: Int32Array): number {
  const { step, otherStep, shift, otherShift, value, others } = COLUMNS;
  let mask = -1;
  for (let index = 0; index < step.length && mask !== 0; index += 1) {
    const bit = (words[step[index] as number] as number) >>> (shift[index] as number);
    const otherBit = (words[otherStep[index] as number] as number) >>> (otherShift[index] as number);
    // All ones where the condition is met.
    const met = (((bit ^ otherBit ^ (value[index] as number)) & 1) - 1) | 0;
    mask &= met | (others[index] as number);
  }
  return mask;
}

/** Steps from the first of `range` up to the second (FIPS 180-4, 6.1.2). */
function forward(state: Int32Array, words: Int32Array, range: readonly [number, number]): void {
  let a = state[0] as number;
  let b = state[1] as number;
  let c = state[2] as number;
  let d = state[3] as number;
  let e = state[4] as number;
  const [from, to] = range;
  let step = from;
  for (; step < to && step < 20; step += 1) {
    const top = (((a << 5) | (a >>> 27)) + (d ^ (b & (c ^ d))) + 0x5a827999 + e + (words[step] as number)) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = top;
  }
  for (; step < to && step < 40; step += 1) {
    const top = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + 0x6ed9eba1 + e + (words[step] as number)) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = top;
  }
  for (; step < to && step < 60; step += 1) {
    const top = (((a << 5) | (a >>> 27)) + ((b & c) | (d & (b | c))) - 0x70e44324 + e + (words[step] as number)) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = top;
  }
  for (; step < to; step += 1) {
    const top = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) - 0x359d3e2a + e + (words[step] as number)) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = top;
  }
  state[0] = a;
  state[1] = b;
  state[2] = c;
  state[3] = d;
  state[4] = e;
}

/** Undoes the steps before `from`: what the state was at the start. */
function backward(state: Int32Array, words: Int32Array, from: number): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0] = state;
  for (let step = from - 1; step >= 0; step -= 1) {
    const top = a;
    a = b;
    b = (c << 2) | (c >>> 30);
    c = d;
    d = e;
    let mixed: number;
    if (step < 20) mixed = ((b & c) | (~b & d)) + 0x5a827999;
    else if (step < 40) mixed = (b ^ c ^ d) + 0x6ed9eba1;
    else if (step < 60) mixed = ((b & c) | (d & (b | c))) + 0x8f1bbcdc;
    else mixed = (b ^ c ^ d) + 0xca62c1d6;
    e = (top - ((a << 5) | (a >>> 27)) - mixed - (words[step] ?? 0)) | 0;
  }
  state.set([a, b, c, d, e]);
}
