/**
 * Words for a client that waits until its answer is begun: beside Git's streams where the transport has such a way, else on
 * the sideband of the answer, whose first section is then opened by us (gitprotocol-v2, "packfile section").
 */
import { Fault } from '../base/fault.ts';
import { encodePkt } from '../git/pkt-line.ts';
import type { AnswerTracker } from './answer-tracker.ts';
import type { FetchRequest } from './fetch-request.ts';
import type { Wire } from './wire.ts';

/** What comes before the pack: the section header of v2, which is what git says to us, or v0's answer to who has nothing. */
export type Opening = 'packfile\n' | 'NAK\n';

const OF_GIT: Opening = 'packfile\n';
const GITS_OPENING = encodePkt(OF_GIT);
/** Nothing of the pack: what git sends while it has nothing to send (git-config, `uploadpack.keepAlive`). */
const SIGN_OF_LIFE = encodePkt('\u0001');

/** A v2 `fetch` that git answers with nothing but the pack; `quiet`: its client does not want to hear how that goes. */
export type PackOnly = 'told' | 'quiet';

/** Undefined: other sections come before the pack, or no pack at all. */
export function packOnly(request: FetchRequest): PackOnly | undefined {
  if (!request.flags.has('done') || isShallow(request)) return undefined;
  return request.flags.has('no-progress') ? 'quiet' : 'told';
}

/** Whether git first says where the client's history ends. */
export function isShallow({ shallows, deepen, deepenSince, deepenNot }: FetchRequest): boolean {
  return shallows.length > 0 || deepen !== undefined || deepenSince !== undefined || deepenNot.length > 0;
}

export interface WaitingOptions {
  readonly packOnly?: PackOnly | undefined;
  /** Default: git's own. */
  readonly opening?: Opening | undefined;
}

/** One client of a fetch that waits for a place or for somebody else's pack, as long as it waits: how to tell it so. */
export class WaitingClient {
  readonly #wire: Wire;
  readonly #tracker: AnswerTracker;
  readonly #packOnly: PackOnly | undefined;
  readonly #opening: Opening;
  #saying: Promise<void> | undefined;
  /** Bytes of git's opening that the client does not get: it has one of ours, or gets it with what comes next. */
  #unsaid: number;

  /** @param packOnly see above; where it is not, only a way beside Git's streams is used. */
  constructor(wire: Wire, tracker: AnswerTracker, { packOnly, opening = OF_GIT }: WaitingOptions) {
    this.#wire = wire;
    this.#tracker = tracker;
    this.#packOnly = packOnly;
    this.#opening = opening;
    this.#unsaid = opening === OF_GIT ? 0 : GITS_OPENING.length;
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
    const isFirst = this.#saying === undefined;
    const bytes = isFirst ? Buffer.concat([encodePkt(this.#opening), pkt]) : pkt;
    if (isFirst) this.#unsaid = GITS_OPENING.length;
    this.#tracker.take(bytes);
    this.#saying = (this.#saying ?? Promise.resolve()).then(() => this.#wire.write(bytes));
    // A client that is gone is noticed when the answer is written.
    this.#saying.catch(() => {});
  }

  /** What the client gets of an answer of so many bytes, while it was told nothing. */
  lengthOf(bytes: number): number {
    return bytes - this.#unsaid + (this.#unsaid > 0 ? encodePkt(this.#opening).length : 0);
  }

  /** What of the answer's next bytes the client has yet to get, once it has everything that comes before them. @throws Fault */
  async rest(chunk: Buffer): Promise<Buffer> {
    const said = Math.min(this.#unsaid, chunk.length);
    const from = GITS_OPENING.length - this.#unsaid;
    if (!chunk.subarray(0, said).equals(GITS_OPENING.subarray(from, from + said)))
      throw new Fault('process', 'git did not begin its answer with the pack');
    this.#unsaid -= said;
    // Alone it would promise a pack.
    if (said < chunk.length && this.#opening !== OF_GIT) this.#saying ??= this.#open();
    await this.#saying;
    return chunk.subarray(said);
  }

  async #open(): Promise<void> {
    const bytes = encodePkt(this.#opening);
    this.#tracker.take(bytes);
    await this.#wire.write(bytes);
  }
}
