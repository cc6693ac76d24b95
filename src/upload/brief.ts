/**
 * The v2 advertisement and `ls-refs` where the transport hands over a whole request and takes a whole answer: no stream,
 * one write. Anything else than a well-formed `ls-refs` is left to `upload-v2.ts`, which reads the same bytes again and has
 * the words for what is wrong with them.
 */
import { BOUNDS } from '../base/bounds.ts';
import { Fault } from '../base/fault.ts';
import type { ObjectFormat } from '../git/oid.ts';
import { readPkts } from '../git/pkt-line.ts';
import type { BriefExchange } from '../git/service.ts';
import { advertisementV2 } from './advertisement.ts';
import type { Encodable, EncodedLists } from './encoded.ts';
import { LsRefsRequest, lsRefsList } from './ls-refs.ts';
import type { View } from './view.ts';

/** Requests that are taken apart once: git's own are all alike. */
const KNOWN_MAX = 512;
const KNOWN_BYTES_MAX = 1_024;

export interface BriefReport {
  readonly event: 'ls-refs';
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** What a request for refs says. */
interface Listing {
  readonly objectFormat: string;
  readonly listOf: (view: View) => Encodable;
}

export interface BriefQuestion {
  readonly mode: 'advertise' | 'rpc';
  readonly objectFormat: ObjectFormat;
  /** `bundle-uri` is offered. */
  readonly hasBundle: boolean;
  /** Now, for `freshView`; whatever decides about the request was asked before. */
  readonly moment: () => number;
  /** What the principal sees, of a mirror once it is as its upstream. @param since as for `RefCache.snapshot` */
  readonly freshView: (since: number | undefined) => Promise<View>;
  /** `freshView` waits for somebody else: an upstream. */
  readonly isMirror: boolean;
  /** The view as it may be shown once that is asked again. @throws Fault `missing` where nothing of it may */
  readonly still: (view: View) => Promise<View>;
}

export class BriefAnswers {
  readonly #encoded: EncodedLists;
  readonly #known = new Map<string, Listing>();

  constructor(encoded: EncodedLists) {
    this.#encoded = encoded;
  }

  /**
   * Undefined: nothing was answered, and the conversation goes on as any other.
   * @throws Fault before anything is answered; `aborted` where the client went away meanwhile.
   */
  async answer(brief: BriefExchange, question: BriefQuestion): Promise<BriefReport | undefined> {
    if (question.mode === 'advertise') {
      const bytes = advertisementV2(question.objectFormat, question.hasBundle);
      await brief.answer(bytes);
      return { event: 'ls-refs', bytesIn: 0, bytesOut: bytes.length };
    }
    // Requests that came in one turn of the event loop all ask before the first of them looks: one look is for all.
    const asked = question.moment();
    const body = await brief.read();
    const listing = this.#listingOf(body);
    if (listing?.objectFormat !== question.objectFormat) return undefined;
    const seen = await question.freshView(brief.cameLate ? undefined : asked);
    // A client that keeps back the end of its question gets nothing that came after its right to it was gone.
    const view = brief.cameLate || question.isMirror ? await question.still(seen) : seen;
    using lent = await this.#encoded.lend(view, listing.listOf(view));
    if (lent === undefined) return undefined;
    await brief.answer(lent.bytes);
    return { event: 'ls-refs', bytesIn: body.length, bytesOut: lent.bytes.length };
  }

  #listingOf(body: Buffer): Listing | undefined {
    if (body.length > KNOWN_BYTES_MAX) return parseListing(body);
    const text = body.toString('latin1');
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const listing = parseListing(body);
    if (listing === undefined) return undefined;
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(text, listing);
    return listing;
  }
}

/** Undefined for anything but one whole `ls-refs`, in the very words that `upload-v2.ts` takes. */
function parseListing(body: Buffer): Listing | undefined {
  try {
    return listingIn(body);
  } catch (error) {
    // Told to the client by whoever reads it again.
    if (error instanceof Fault && error.code === 'bad-input') return undefined;
    throw error;
  }
}

function listingIn(body: Buffer): Listing | undefined {
  const request = new LsRefsRequest();
  let objectFormat = 'sha1';
  let commands = 0;
  let lines = 0;
  let isInArguments = false;
  for (const pkt of readPkts(body)) {
    if (pkt.kind === 'flush') return commands === 1 && pkt.isLast ? listing(request, objectFormat) : undefined;
    if (pkt.kind === 'delim' && !isInArguments) {
      isInArguments = true;
      continue;
    }
    if (pkt.kind !== 'data') return undefined;
    lines += 1;
    if (isInArguments) request.take(pkt.text);
    else if (pkt.text === 'command=ls-refs') commands += 1;
    else if (pkt.text.startsWith('object-format=')) objectFormat = pkt.text.slice('object-format='.length);
    else if (!/^(?:agent|server-option|session-id)(?:=|$)/.test(pkt.text)) return undefined;
    if (!isInArguments && lines > BOUNDS.v2CapabilityLinesMax) return undefined;
  }
  return undefined;
}

function listing(request: LsRefsRequest, objectFormat: string): Listing {
  return { objectFormat, listOf: lsRefsList(request) };
}
