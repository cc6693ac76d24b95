/**
 * http(s) upstreams (gitprotocol-http, "Smart Clients"): a GET for the greeting and a POST for each request. What a v2 server
 * can do is remembered for a while, so that listing the refs of an unchanged upstream is one POST.
 */
import type { Clock } from '../../base/clock.ts';
import type { Upstream, UpstreamCredential } from '../upstream.ts';
import type { Call } from './call.ts';
import { readGreeting, type Greeting, type GreetingV2 } from './greeting.ts';
import { HttpClient, type Answer } from './http-client.ts';
import { Incoming } from './incoming.ts';
import type { WireLimits } from './limits.ts';
import { Memory } from './memory.ts';
import type { Body, Link, Session, WireService } from './session.ts';
import type { Words } from './words.ts';

export interface HttpParts {
  readonly upstream: Upstream;
  readonly credential: () => Promise<UpstreamCredential | undefined>;
  readonly words: Words;
  readonly clock: Clock;
  readonly limits: WireLimits;
}

export class HttpLink implements Link {
  readonly #client: HttpClient;
  readonly #memory: Memory;

  constructor(parts: HttpParts) {
    this.#client = new HttpClient(parts);
    this.#memory = new Memory(parts.clock, parts.limits.capabilitiesMs);
  }

  open(service: WireService, call: Call): Promise<Session> {
    const memory = service === 'upload-pack' ? this.#memory : undefined;
    return Promise.resolve(new HttpSession({ client: this.#client, service, call, memory }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }
}

const DRAIN_MS = 1_000;
const DRAIN_BYTES = 1_024;

interface SessionParts {
  readonly client: HttpClient;
  readonly service: WireService;
  readonly call: Call;
  /** Undefined for a push. */
  readonly memory: Memory | undefined;
}

class HttpSession implements Session {
  readonly isStateless = true;
  readonly isKept: boolean;
  readonly expected: GreetingV2 | undefined;
  readonly #parts: SessionParts;
  readonly #answers: { readonly answer: Answer; readonly incoming: Incoming }[] = [];
  #greeting: Promise<Greeting> | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.expected = parts.memory?.recall();
    this.isKept = this.expected !== undefined;
    if (this.expected !== undefined) this.#greeting = Promise.resolve(this.expected);
  }

  /** Each request is made anew by itself; only what is remembered of the server can be old. */
  get mayBeStale(): boolean {
    return this.isKept;
  }

  greeting(): Promise<Greeting> {
    this.#greeting ??= this.#ask();
    return this.#greeting;
  }

  async request(body: Body, answerMs?: number): Promise<Incoming> {
    const { client, service, call } = this.#parts;
    // Wants and haves are bounded: held, they have a length, and can be sent once more where a kept connection was gone.
    const held = service === 'upload-pack' && Symbol.iterator in body ? [...body] : body;
    const answer = await client.post({ service, call, body: held, answerMs: answerMs ?? call.limits.silenceMs });
    const incoming = new Incoming({ input: answer.body, call });
    this.#answers.push({ answer, incoming });
    return incoming;
  }

  async close(isWell: boolean): Promise<void> {
    for (const { answer, incoming } of this.#answers.splice(0)) {
      // Read to its very end, its connection can be used again; that may take no time worth waiting for.
      if (isWell) await this.#drain(answer, incoming);
      answer.body.destroy();
      answer.response.destroy();
    }
    if (!isWell) this.#parts.memory?.forget();
  }

  async #drain(answer: Answer, incoming: Incoming): Promise<void> {
    const cancel = this.#parts.call.after(DRAIN_MS, () => {
      answer.response.destroy();
    });
    try {
      await incoming.drain(DRAIN_BYTES);
    } catch {
      // Then it is not used again.
    } finally {
      cancel();
      answer.body.destroy();
      answer.response.destroy();
    }
  }

  async #ask(): Promise<Greeting> {
    const { client, service, call } = this.#parts;
    const answer = await client.greet({ service, call });
    const incoming = new Incoming({ input: answer.body, call });
    const entry = { answer, incoming };
    this.#answers.push(entry);
    const greeting = await readGreeting(incoming, call);
    // So that what is asked next goes over the same connection.
    await this.#drain(answer, incoming);
    this.#answers.splice(this.#answers.indexOf(entry), 1);
    this.#parts.memory?.learn(greeting);
    return greeting;
  }
}
