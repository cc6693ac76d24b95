/**
 * upload-pack in protocol v0 and v1 (gitprotocol-pack, "Packfile Negotiation"): our advertisement, the want list
 * checked, then git's own negotiation. A client that only wanted to see the refs costs no process.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { BOUNDS } from '../base/bounds.ts';
import { Fault, badInput } from '../base/fault.ts';
import { type Oid, parseOid } from '../git/oid.ts';
import { FLUSH, type Pkt, pktText } from '../git/pkt-line.ts';
import type { AdmissionContext, Admitted } from './admission.ts';
import { advertisementV0, line, serviceHeader } from './advertisement.ts';
import { type ToGit, exchange } from './exchange.ts';
import { answerFetch, type Fetch, nothingButPack } from './fetch-answer.ts';
import { type FetchRequest, FetchRequestReader, type Flag, isV2Flag, wantLines } from './fetch-request.ts';
import type { Session } from './session.ts';
import { changedMeanwhile, tipsStill, untilStill } from './still.ts';
import type { Done } from './upload-v2.ts';
import type { View } from './view.ts';
import { isShallow } from './waiting.ts';
import { quoteLine } from './wire.ts';

/** Rounds of haves in one HTTP request; clients send one. */
const ROUNDS_MAX = 4_096;
const NOTHING_FETCHED: Done = { event: 'ls-refs', wants: 0 };

/** Serves a conversation in any mode. */
export async function serveV0(session: Session): Promise<Done> {
  const { mode } = session.wire.conversation;
  const shown = mode === 'rpc' ? undefined : await viewToShow(session);
  if (shown !== undefined) await advertise(session, shown);
  if (mode === 'advertise') return NOTHING_FETCHED;
  const asked = await readWants(session);
  if (asked.wants.length === 0) return NOTHING_FETCHED;
  // The client may have taken its time to say what it wants.
  await session.hasChanged();
  const negotiation = new Negotiation({ session, asked, shown }, await admitWants({ session, asked, shown }));
  if (mode === 'rpc') await negotiateOnce(negotiation);
  else await negotiate(negotiation);
  return { event: 'fetch', wants: asked.wants.length };
}

async function viewToShow(session: Session): Promise<View> {
  const view = await session.freshView();
  // An upstream may have been waited for.
  return session.isMirror ? session.stillOf(view) : view;
}

interface Asking {
  readonly session: Session;
  readonly asked: FetchRequest;
  /** What this very conversation advertised. */
  readonly shown: View | undefined;
}

interface Admission {
  readonly admitted: Admitted;
  readonly context: AdmissionContext;
}

/** What may be had of what was advertised here, of which what is hidden by now is not. @throws Fault `missing` */
async function admitWants({ session, asked, shown }: Asking): Promise<Admission> {
  let context = await contextOf(session, asked, shown);
  let admitted = await session.admission.admit(asked, context);
  if (admitted.kind === 'refused' && shown === undefined && session.isMirror) {
    // The advertisement was another request's: the upstream may have gone on.
    context = session.admissionContext(await session.freshView());
    admitted = await session.admission.admit(asked, context);
  }
  if (admitted.kind === 'refused') throw new Fault('missing', 'fetch was refused', { publicMessage: admitted.reason });
  return { admitted: admitted.value, context };
}

async function contextOf(session: Session, asked: FetchRequest, shown: View | undefined): Promise<AdmissionContext> {
  const seen = shown && (await session.seenNow(shown));
  if (seen === shown) return session.admissionContext(shown ?? (await session.view()));
  const tips = shown && seen && tipsStill(shown, seen, new Set(asked.wants));
  return session.admissionContext(await session.view(), (oid) => tips?.has(oid) === true);
}

async function advertise(session: Session, view: View): Promise<void> {
  const { wire, repository } = session;
  const { protocol, mode } = wire.conversation;
  const stateless = mode === 'advertise';
  if (stateless) await wire.write(serviceHeader('upload-pack'));
  const list = advertisementV0({
    view,
    objectFormat: repository.objectFormat,
    protocol: protocol === 1 ? 1 : 0,
    stateless,
    shallow: await shallowBoundary(repository.path),
  });
  await session.show(view, list);
}

/** Where the repository itself is shallow; hardly any is. */
async function shallowBoundary(gitDir: string): Promise<readonly string[]> {
  const text = await readFile(join(gitDir, 'shallow'), 'latin1').catch(() => '');
  return text.split('\n').filter((oid) => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(oid));
}

/** The want list up to its flush. No wants: the client is content with what it was shown. */
async function readWants({ wire, repository }: Session): Promise<FetchRequest> {
  const reader = new FetchRequestReader(repository.objectFormat);
  const from = wire.bytesIn;
  let isFirst = true;
  for (let pkt = await wire.next(); pkt?.kind !== 'flush'; pkt = await wire.next()) {
    if (pkt === undefined && isFirst) break;
    if (pkt?.kind !== 'data') throw badInput('protocol error: the want list ended without a flush packet');
    if (wire.bytesIn - from > BOUNDS.fetchRequestBytesMax) throw badInput('the request is too large');
    reader.takeWantLine(pktText(pkt.payload));
    isFirst = false;
  }
  return reader.request();
}

/** A negotiation that was admitted, and is again wherever what may be read changes. */
class Negotiation {
  readonly session: Session;
  readonly request: FetchRequest;
  readonly #asking: Asking;
  #checkHaves: boolean;
  #context: AdmissionContext;

  constructor(asking: Asking, { admitted, context }: Admission) {
    this.session = asking.session;
    this.request = admitted.request;
    this.#asking = asking;
    this.#checkHaves = admitted.checkHaves;
    this.#context = context;
  }

  /**
   * Asked after each wait. @returns whether other haves may be known than before.
   * @throws Fault `missing`, or `busy` where git would have to be asked for something else now.
   */
  async still(): Promise<boolean> {
    let hasChanged = false;
    await untilStill(
      () => this.session.hasChanged(),
      async () => {
        hasChanged = true;
        const { admitted, context } = await admitWants(this.#asking);
        if (!isDeepStrictEqual(admitted.request, this.request)) throw changedMeanwhile();
        this.#checkHaves = admitted.checkHaves;
        this.#context = context;
      },
    );
    return hasChanged;
  }

  /** What was admitted by. */
  get view(): View {
    return this.#context.view;
  }

  /** Those of `haves` that git may hear of. */
  async knownHaves(haves: readonly Oid[]): Promise<readonly Oid[]> {
    return this.#checkHaves ? this.session.admission.knownHaves(haves, this.#context) : haves;
  }
}

/**
 * A client that has nothing waits for `NAK` and the pack, which is what v2 sends behind its own beginning: so it shares
 * packs with clients of v2, and hears how long it waits. Undefined: git has to see what this one says.
 */
function asClone(negotiation: Negotiation, first: Round | undefined): Fetch | undefined {
  const { session, request, view } = negotiation;
  if (first?.end !== 'done' || first.haves.length > 0 || !request.flags.has('side-band-64k')) return undefined;
  const flags = new Set<Flag>([...request.flags].filter(isV2Flag)).add('done');
  const inV2 = { ...request, flags };
  if (nothingButPack(session, inV2) === undefined) return undefined;
  return { request: inV2, view, still: async () => void (await negotiation.still()), opening: 'NAK\n' };
}

/** ssh and git://: git and the client talk in turns, we pass on what is well-formed. */
async function negotiate(negotiation: Negotiation): Promise<void> {
  const { session } = negotiation;
  // Where a boundary is asked for, the client waits for that before it says what it has.
  const first = isShallow(negotiation.request) ? undefined : await readRound(session);
  await negotiation.still();
  const clone = asClone(negotiation, first);
  if (clone !== undefined) return answerFetch(session, clone);
  await exchange({
    processes: session.processes,
    wire: session.wire,
    spec: session.gitSpec({
      subcommand: 'upload-pack',
      options: ['--strict'],
      // The advertisement is thrown away, so it may as well be empty. Any object may be wanted: these were checked.
      config: {
        'transfer.hideRefs': 'refs/',
        'uploadpack.hideRefs': 'HEAD',
        'uploadpack.allowAnySHA1InWant': 'true',
        'uploadpack.allowFilter': 'true',
      },
    }),
    skipAdvertisement: true,
    still: async () => void (await negotiation.still()),
    feed: async (toGit) => {
      if (!(await sendWants(session, negotiation.request, toGit))) return;
      for (let round = first ?? (await readRound(session)); ; round = await readRound(session)) {
        await negotiation.still();
        const haves = await negotiation.knownHaves(round.haves);
        if (!(await sendRound({ session, haves, end: round.end, toGit })) || round.end === 'done') return;
        if (round.end === 'closed') throw new Fault('aborted', 'client ended the negotiation');
      }
    },
  });
}

/** HTTP: everything the client has to say in this round is in the body. */
async function negotiateOnce(negotiation: Negotiation): Promise<void> {
  const { session } = negotiation;
  const { wire } = session;
  const rounds: Round[] = [];
  const from = wire.bytesIn;
  for (;;) {
    const round = await readRound(session);
    const haves = await negotiation.knownHaves(round.haves);
    if (wire.bytesIn - from > BOUNDS.fetchRequestBytesMax) throw badInput('the request is too large');
    if (rounds.length >= ROUNDS_MAX) throw badInput('too many rounds in one request');
    rounds.push({ haves, end: round.end });
    if (round.end !== 'flush') break;
  }
  const [first, ...more] = rounds;
  const clone = more.length === 0 ? asClone(negotiation, first) : undefined;
  if (clone !== undefined) return answerFetch(session, clone);
  await exchange({
    processes: session.processes,
    wire,
    spec: session.gitSpec({
      subcommand: 'upload-pack',
      options: ['--stateless-rpc', '--strict'],
      config: { 'uploadpack.allowAnySHA1InWant': 'true', 'uploadpack.allowFilter': 'true' },
    }),
    still: async () => {
      if (!(await negotiation.still())) return;
      for (const { haves } of rounds)
        if ((await negotiation.knownHaves(haves)).length < haves.length) throw changedMeanwhile();
    },
    feed: async (toGit) => {
      if (!(await sendWants(session, negotiation.request, toGit))) return;
      for (const round of rounds) if (!(await sendRound({ session, ...round, toGit }))) return;
    },
  });
}

interface Round {
  readonly haves: readonly Oid[];
  /** What ended it: a flush asks for an answer, `done` for the pack. */
  readonly end: 'flush' | 'done' | 'closed';
}

/** Haves up to a flush, `done` or the end of what the client sends. */
async function readRound({ wire, repository }: Session): Promise<Round> {
  const haves: Oid[] = [];
  const from = wire.bytesIn;
  for (;;) {
    const pkt: Pkt | undefined = await wire.next();
    if (pkt === undefined) return { haves, end: 'closed' };
    if (pkt.kind === 'flush') return { haves, end: 'flush' };
    if (pkt.kind !== 'data') throw badInput(`protocol error: unexpected ${pkt.kind} packet`);
    if (wire.bytesIn - from > BOUNDS.fetchRequestBytesMax) throw badInput('the request is too large');
    const text = pktText(pkt.payload);
    if (text === 'done') return { haves, end: 'done' };
    const oid = text.startsWith('have ') ? parseOid(text.slice('have '.length), repository.objectFormat) : undefined;
    if (oid === undefined) throw badInput(`expected a list of haves, got ${quoteLine(text)}`);
    haves.push(oid);
  }
}

async function sendWants(session: Session, request: FetchRequest, toGit: ToGit): Promise<boolean> {
  for (const piece of session.pieces(wantLines(request))) if (!(await toGit(piece))) return false;
  return await toGit(FLUSH);
}

interface Sending extends Round {
  readonly session: Session;
  readonly toGit: ToGit;
}

async function sendRound({ session, haves, end, toGit }: Sending): Promise<boolean> {
  for (const piece of session.pieces(haves.map((oid) => `have ${oid}\n`))) if (!(await toGit(piece))) return false;
  if (end === 'flush') return await toGit(FLUSH);
  return end === 'done' ? await toGit(Buffer.from(line('done\n'))) : true;
}
