/**
 * Words for a client that waits until its answer is begun: beside Git's streams where the transport has such a way, else on
 * the sideband of the answer, whose first section is then opened by us (gitprotocol-v2, "packfile section").
 */
import { encodePkt } from '../git/pkt-line.ts';
import type { AnswerTracker } from './answer-tracker.ts';
import type { FetchRequest } from './fetch-request.ts';
import type { Wire } from './wire.ts';

const OPENING = encodePkt('packfile\n');
/** Nothing of the pack: what git sends while it has nothing to send (git-config, `uploadpack.keepAlive`). */
const SIGN_OF_LIFE = encodePkt('\u0001');

/** A v2 `fetch` that git answers with nothing but the pack; `quiet`: its client does not want to hear how that goes. */
export type PackOnly = 'told' | 'quiet';

/** Undefined: other sections come before the pack, or no pack at all. */
export function packOnly(request: FetchRequest): PackOnly | undefined {
  const { flags, shallows, deepen, deepenSince, deepenNot } = request;
  const isShallow = shallows.length > 0 || deepen !== undefined || deepenSince !== undefined || deepenNot.length > 0;
  if (!flags.has('done') || isShallow) return undefined;
  return flags.has('no-progress') ? 'quiet' : 'told';
}

/** One client of a fetch that waits for a place or for somebody else's pack, as long as it waits: how to tell it so. */
export class WaitingClient {
  readonly #wire: Wire;
  readonly #tracker: AnswerTracker;
  readonly #packOnly: PackOnly | undefined;
  #saying: Promise<void> | undefined;
  /** Of what we said of the answer ourselves, what git has yet to say. */
  #unsaid = 0;

  /** @param packOnly see above; where it is not, only a way beside Git's streams is used. */
  constructor(wire: Wire, tracker: AnswerTracker, packOnly: PackOnly | undefined) {
    this.#wire = wire;
    this.#tracker = tracker;
    this.#packOnly = packOnly;
  }

  /** Not after the answer was begun. Never throws. Undefined: there is no way to the client. */
  get tell(): ((text: string) => void) | undefined {
    const { notice } = this.#wire.conversation;
    if (notice !== undefined) return notice;
    if (this.#packOnly === undefined) return undefined;
    const isQuiet = this.#packOnly === 'quiet';
    return (text) => this.#say(isQuiet ? SIGN_OF_LIFE : encodePkt(`\u0002gatehouse: ${text}`));
  }

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
