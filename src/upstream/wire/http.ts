/**
 * http(s) upstreams (gitprotocol-http, "Smart Clients"): a GET for the greeting and a POST for each request. What a v2 server
 * can do is remembered for a while, so that listing the refs of an unchanged upstream is one POST.
 */
import type { Clock } from '../../base/clock.ts';
import { FLUSH } from '../../git/pkt-line.ts';
import type { Upstream, UpstreamCredential } from '../upstream.ts';
import type { Call } from './call.ts';
import { readGreeting, type Greeting, type GreetingV2 } from './greeting.ts';
import { HttpClient, type Answer } from './http-client.ts';
import { Incoming } from './incoming.ts';
import type { WireLimits } from './limits.ts';
import type { Body, Link, Session, WireService } from './session.ts';
import type { Words } from './words.ts';

export interface HttpParts {
  readonly upstream: Upstream;
  readonly credential: () => Promise<UpstreamCredential | undefined>;
  readonly words: Words;
  readonly clock: Clock;
  readonly limits: WireLimits;
}

/** What stays true from one conversation to the next. */
interface Remembered {
  readonly greeting: GreetingV2;
  /** Of the monotonic clock. */
  readonly until: number;
}

export class HttpLink implements Link {
  readonly #parts: HttpParts;
  readonly #client: HttpClient;
  #remembered: Remembered | undefined;

  constructor(parts: HttpParts) {
    this.#parts = parts;
    this.#client = new HttpClient(parts);
  }

  open(service: WireService, call: Call): Promise<Session> {
    const isFetch = service === 'upload-pack';
    const remembered = isFetch ? this.#stillTrue() : undefined;
    const session = new HttpSession({ client: this.#client, service, call, remembered });
    session.onEnd = (isWell) => {
      if (!isWell) this.#remembered = undefined;
    };
    session.onGreeting = (greeting) => {
      if (!isFetch || greeting.kind !== 'v2') return;
      const until = this.#parts.clock.monotonicMs() + this.#parts.limits.capabilitiesMs;
      this.#remembered = { greeting, until };
    };
    return Promise.resolve(session);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }

  #stillTrue(): GreetingV2 | undefined {
    const remembered = this.#remembered;
    if (remembered === undefined) return undefined;
    if (this.#parts.clock.monotonicMs() < remembered.until) return remembered.greeting;
    this.#remembered = undefined;
    return undefined;
  }
}

interface SessionParts {
  readonly client: HttpClient;
  readonly service: WireService;
  readonly call: Call;
  readonly remembered: GreetingV2 | undefined;
}

class HttpSession implements Session {
  readonly isStateless = true;
  readonly isKept: boolean;
  onEnd: (isWell: boolean) => void = () => {};
  onGreeting: (greeting: Greeting) => void = () => {};
  readonly #parts: SessionParts;
  readonly #answers: Answer[] = [];
  #greeting: Promise<Greeting> | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.isKept = parts.remembered !== undefined;
    if (parts.remembered !== undefined) this.#greeting = Promise.resolve(parts.remembered);
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
    this.#answers.push(answer);
    return new Incoming({ input: answer.body, call });
  }

  close(isWell: boolean): Promise<void> {
    // What was read to its end has given its connection back already.
    for (const answer of this.#answers) answer.body.destroy();
    this.onEnd(isWell);
    return Promise.resolve();
  }

  async #ask(): Promise<Greeting> {
    const { client, service, call } = this.#parts;
    const answer = await client.greet({ service, call });
    this.#answers.push(answer);
    const incoming = new Incoming({ input: answer.body, call });
    const greeting = await readGreeting(incoming, call);
    // Read to its end, the connection can be used again.
    await incoming.drain(FLUSH.length * 16);
    this.onGreeting(greeting);
    return greeting;
  }
}
