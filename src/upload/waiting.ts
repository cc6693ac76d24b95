/**
 * Words for a client that waits until its answer is begun: beside Git's streams where the transport has such a way, else on
 * the sideband of the answer, whose first section is then opened by us (gitprotocol-v2, "packfile section").
 */
import { encodePkt } from '../git/pkt-line.ts';
import type { AnswerTracker } from './answer-tracker.ts';
import type { FetchRequest } from './fetch-request.ts';
import type { Wire } from './wire.ts';

const OPENING = encodePkt('packfile\n');

/** Whether git answers a v2 `fetch` with nothing but the pack, and the client wants to hear how that goes. */
export function isPackOnly({ flags, shallows, deepen, deepenSince, deepenNot }: FetchRequest): boolean {
  const isShallow = shallows.length > 0 || deepen !== undefined || deepenSince !== undefined || deepenNot.length > 0;
  return flags.has('done') && !flags.has('no-progress') && !isShallow;
}

export class WaitingClient {
  readonly #wire: Wire;
  readonly #tracker: AnswerTracker;
  readonly #isPackOnly: boolean;
  #saying: Promise<void> | undefined;
  /** Of what we said of the answer ourselves, what git has yet to say. */
  #unsaid = 0;

  /** @param isPackOnly see above; where it is not, only a way beside Git's streams is used. */
  constructor(wire: Wire, tracker: AnswerTracker, isPackOnly: boolean) {
    this.#wire = wire;
    this.#tracker = tracker;
    this.#isPackOnly = isPackOnly;
  }

  /** Not after the answer was begun. Never throws. */
  readonly tell = (text: string): void => {
    const { notice } = this.#wire.conversation;
    if (notice !== undefined) notice(text);
    else if (this.#isPackOnly) this.#say(encodePkt(`\u0002gatehouse: ${text}`));
  };

  #say(pkt: Buffer): void {
    const bytes = this.#saying === undefined ? Buffer.concat([OPENING, pkt]) : pkt;
    if (this.#saying === undefined) this.#unsaid = OPENING.length;
    this.#tracker.take(bytes);
    this.#saying = (this.#saying ?? Promise.resolve()).then(() => this.#wire.write(bytes));
    // A client that is gone is noticed when the answer is written.
    this.#saying.catch(() => {});
  }

  /** What of the answer's next bytes the client has yet to get, once it has everything that was told. @throws Fault */
  async rest(chunk: Buffer): Promise<Buffer> {
    if (this.#saying === undefined) return chunk;
    await this.#saying;
    const said = Math.min(this.#unsaid, chunk.length);
    this.#unsaid -= said;
    return chunk.subarray(said);
  }
}
