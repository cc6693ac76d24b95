/** A conversation over one two-way stream: an ssh channel, or a connection to git daemon. */
import type { Readable, Writable } from 'node:stream';
import { Fault } from '../../base/fault.ts';
import { FLUSH } from '../../git/pkt-line.ts';
import { writeAll } from '../../git/stream.ts';
import type { Call } from './call.ts';
import { readGreeting, type Greeting, type GreetingV2 } from './greeting.ts';
import { Incoming } from './incoming.ts';
import type { Memory } from './memory.ts';
import { NothingDone } from './nothing-done.ts';
import type { Body, Session } from './session.ts';

/** Less than `silenceMs`. */
const KEPT_SILENCE_MS = 10_000;

/** What carries a `StreamSession`. */
export interface Carrier {
  readonly input: Readable;
  /** Honours back-pressure. */
  readonly output: Writable;
  readonly isKept: boolean;
  /** The server's standard error, once it is complete (or a moment has passed). */
  lastWords(): Promise<string | undefined>;
  /** Both ways at once, at any time. */
  cut(reason: Error): void;
  /** After the end of a conversation: lets the server go, and gives the connection back. Never throws. */
  release(isWell: boolean): Promise<void>;
}

export class StreamSession implements Session {
  readonly isStateless = false;
  readonly isKept: boolean;
  readonly expected: GreetingV2 | undefined;
  readonly #memory: Memory | undefined;
  readonly #carrier: Carrier;
  readonly #call: Call;
  readonly #incoming: Incoming;
  readonly #onAbort: () => void;
  #greeting: Promise<Greeting> | undefined;
  #isV2 = false;
  #hasAsked = false;
  #isGreeted = false;

  /** @param memory of what the server can do; undefined for a push. */
  constructor(carrier: Carrier, call: Call, memory: Memory | undefined) {
    this.#carrier = carrier;
    this.#call = call;
    this.#memory = memory;
    this.expected = memory?.recall();
    this.isKept = carrier.isKept || this.expected !== undefined;
    this.#incoming = new Incoming({ input: carrier.input, call, lastWords: () => carrier.lastWords() });
    this.#onAbort = () => {
      carrier.cut(new Fault('aborted', 'call to upstream is over'));
    };
    call.signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  greeting(): Promise<Greeting> {
    this.#greeting ??= this.#greet();
    return this.#greeting;
  }

  get mayBeStale(): boolean {
    return this.isKept && (!this.#isGreeted || this.expected !== undefined);
  }

  request(body: Body): Promise<Incoming> {
    const { output } = this.#carrier;
    if (output.destroyed || !output.writable) {
      const fault = this.#call.words.brokeOff(undefined);
      return Promise.reject(new NothingDone(fault));
    }
    this.#hasAsked = true;
    void this.#write(body);
    return Promise.resolve(this.#incoming);
  }

  async close(isWell: boolean): Promise<void> {
    if (!isWell) this.#memory?.forget();
    this.#call.signal.removeEventListener('abort', this.#onAbort);
    const { output } = this.#carrier;
    // A server that waits for the next command, or for wants, goes at a flush (gitprotocol-v2, "Command Request"; gitprotocol-pack).
    if (isWell && (this.#isV2 || !this.#hasAsked) && output.writable) output.write(FLUSH);
    await this.#carrier.release(isWell);
  }

  async #greet(): Promise<Greeting> {
    // A kept connection may be dead without anybody knowing: then a new one is better than a long wait.
    const cancel = this.#carrier.isKept
      ? this.#call.after(KEPT_SILENCE_MS, () => {
          this.#carrier.cut(new Fault('aborted', 'kept connection is silent'));
        })
      : (): void => {};
    try {
      const greeting = await readGreeting(this.#incoming, this.#call);
      this.#isGreeted = true;
      this.#isV2 = greeting.kind === 'v2';
      this.#memory?.learn(greeting);
      return greeting;
    } finally {
      cancel();
    }
  }

  async #write(body: Body): Promise<void> {
    const { output, input } = this.#carrier;
    try {
      for await (const chunk of body) {
        try {
          await writeAll(output, chunk, this.#call.signal);
          this.#call.progressed();
        } catch {
          // The server does not listen any more: why, it says in its answer, which is being read.
          return;
        }
      }
    } catch (error) {
      const fault = error instanceof Fault ? error : new Fault('internal', 'cannot make the request', { cause: error });
      input.destroy(fault);
      this.#carrier.cut(fault);
    }
  }
}
