/**
 * upload-pack in protocol v2 (gitprotocol-v2): commands one after the other on one connection, or one in each HTTP
 * POST. `ls-refs` is answered from memory, `fetch` by a git that gets only what was admitted.
 */
import { isDeepStrictEqual } from 'node:util';
import { BOUNDS } from '../base/bounds.ts';
import { Fault, badInput, type Parsed } from '../base/fault.ts';
import { type ObjectFormat, type Oid, zeroOid } from '../git/oid.ts';
import { pktText } from '../git/pkt-line.ts';
import type { Admitted } from './admission.ts';
import { advertisementV2, line } from './advertisement.ts';
import type { Session } from './session.ts';
import { answerFetch } from './fetch-answer.ts';
import { type FetchRequest, FetchRequestReader } from './fetch-request.ts';
import { LsRefsRequest, lsRefsList } from './ls-refs.ts';
import { changedMeanwhile, tipsStill, untilStill } from './still.ts';
import type { View } from './view.ts';
import { quoteLine } from './wire.ts';

/** What was done, for the journal. */
export interface Done {
  readonly event: 'ls-refs' | 'fetch' | 'archive';
  readonly wants?: number;
}

type Command = 'ls-refs' | 'fetch' | 'bundle-uri';

/** Advertises where the mode asks for it, then serves commands until the client has no more. */
export async function serveV2(session: Session): Promise<Done> {
  const { wire, repository } = session;
  const { mode } = wire.conversation;
  if (mode !== 'rpc') await wire.write(advertisementV2(repository.objectFormat, session.bundleUrl !== undefined));
  const done = { event: 'ls-refs' as 'ls-refs' | 'fetch', wants: 0 };
  if (mode === 'advertise') return done;
  /** What `ls-refs` showed in this conversation. */
  let shown: View | undefined;
  for (;;) {
    const command = await readCommand(session);
    if (command === undefined) break;
    if (command.name === 'ls-refs') {
      shown = await lsRefs(session, command.hasArguments);
    } else if (command.name === 'bundle-uri') {
      await bundleUri(session, command.hasArguments);
    } else {
      done.event = 'fetch';
      done.wants += await fetch({ session, hasArguments: command.hasArguments, shown });
    }
    if (mode === 'rpc') break;
  }
  return done;
}

interface CommandHead {
  readonly name: Command;
  /** A delim-pkt follows the capabilities; else the request is over. */
  readonly hasArguments: boolean;
}

/** The command and its capabilities; undefined where the client has no further request. */
async function readCommand({ wire, repository, bundles }: Session): Promise<CommandHead | undefined> {
  let name: Command | undefined;
  // git takes a client that names none to mean SHA-1 (serve.c, `client_hash_algo`).
  let format = 'sha1';
  for (let count = 0; count <= BOUNDS.v2CapabilityLinesMax; count += 1) {
    const pkt = await wire.next();
    if (pkt === undefined) {
      if (count === 0) return undefined;
      throw badInput('protocol error: the connection ended inside a request');
    }
    if (pkt.kind === 'response-end') throw badInput('protocol error: unexpected response-end packet');
    if (pkt.kind !== 'data') {
      if (count === 0 && pkt.kind === 'flush') return undefined;
      if (name === undefined) throw badInput('no command requested');
      assertFormat(format, repository.objectFormat);
      return { name, hasArguments: pkt.kind === 'delim' };
    }
    const text = pktText(pkt.payload);
    if (text.startsWith('command=')) name = parseCommand(text.slice('command='.length), name, bundles !== undefined);
    else if (text.startsWith('object-format=')) format = text.slice('object-format='.length);
    else if (!/^(?:agent|server-option|session-id)(?:=|$)/.test(text))
      throw badInput(`unknown capability ${quoteLine(text)}`);
  }
  throw badInput('too many capability lines');
}

function parseCommand(text: string, before: Command | undefined, hasBundles: boolean): Command {
  if (before !== undefined) {
    throw badInput(`command ${quoteLine(text)} requested after already requesting command '${before}'`);
  }
  if (text === 'ls-refs' || text === 'fetch' || (text === 'bundle-uri' && hasBundles)) return text;
  throw badInput(`invalid command ${quoteLine(text)}`);
}

function assertFormat(client: string, server: ObjectFormat): void {
  if (client !== server) throw badInput(`mismatched object format: server ${server}; client ${quoteLine(client)}`);
}

/** Each argument line of a request, up to its flush. Bounded in bytes. */
async function* argumentsOf({ wire }: Session): AsyncGenerator<string> {
  const from = wire.bytesIn;
  for (;;) {
    const pkt = await wire.next();
    if (pkt?.kind === 'flush') return;
    if (pkt?.kind !== 'data') throw badInput('protocol error: expected flush after the arguments');
    if (wire.bytesIn - from > BOUNDS.fetchRequestBytesMax) throw badInput('the request is too large');
    yield pktText(pkt.payload);
  }
}

async function lsRefs(session: Session, hasArguments: boolean): Promise<View> {
  const request = new LsRefsRequest();
  if (hasArguments) for await (const text of argumentsOf(session)) request.take(text);
  // The client may have taken its time to ask: what is shown is later than the decision about the conversation.
  const view = await session.stillOf(await session.freshView());
  await session.show(view, lsRefsList(request)(view));
  return view;
}

/** Where a clone may find most of what it will ask for (gitprotocol-v2, "bundle-uri"). An empty list: nowhere. */
async function bundleUri(session: Session, hasArguments: boolean): Promise<void> {
  if (hasArguments)
    for await (const text of argumentsOf(session))
      throw badInput(`bundle-uri: unexpected argument: ${quoteLine(text)}`);
  const { wire, bundles, bundleUrl } = session;
  const lines = bundleUrl === undefined ? [] : (bundles?.list(bundleUrl) ?? []);
  await wire.write(Buffer.from(`${lines.map(line).join('')}0000`));
}

interface FetchCommand {
  readonly session: Session;
  readonly hasArguments: boolean;
  readonly shown: View | undefined;
}

/** @returns how many objects were wanted. */
async function fetch({ session, hasArguments, shown }: FetchCommand): Promise<number> {
  const { wire, repository } = session;
  const reader = new FetchRequestReader(repository.objectFormat);
  if (hasArguments) for await (const text of argumentsOf(session)) reader.takeArgument(text);
  const asked = reader.request();
  // As git: no want means that nothing was wanted, unless only the negotiation is.
  if (asked.wants.length === 0 && !asked.flags.has('wait-for-done')) return 0;
  // What a client over HTTP asks for was decided about with its head, a moment ago.
  if (wire.conversation.mode === 'stateful') await session.hasChanged();
  const { view, admitted } = await admitWants(session, asked, shown);
  const still = (): Promise<void> =>
    untilStill(
      () => session.hasChanged(),
      async () => {
        const now = await admitWants(session, asked, shown);
        if (!isDeepStrictEqual(now.admitted.request, admitted.request)) throw changedMeanwhile();
      },
    );
  if (isWhole(asked)) session.bundles?.noteClone(repository.id);
  const request = withSomeHave(asked, admitted.request, repository.objectFormat);
  await answerFetch(session, { request, view, still });
  return asked.wants.length;
}

/** A clone that a bundle could have served for the most part. */
function isWhole({ haves, shallows, deepen, deepenSince, deepenNot, filter, flags }: FetchRequest): boolean {
  const isPart = deepen !== undefined || deepenSince !== undefined || deepenNot.length > 0 || filter !== undefined;
  return !isPart && haves.length === 0 && shallows.length === 0 && flags.has('done');
}

interface AdmittedWants {
  readonly view: View;
  readonly admitted: Admitted;
}

/**
 * What may be had of the refs as they are here; where that is not all, of those of the upstream. A client that fetches
 * without `ls-refs` in this conversation (each HTTP request is one) may know of what came upstream since.
 */
async function admitWants(session: Session, asked: FetchRequest, shown: View | undefined): Promise<AdmittedWants> {
  const shownTips = shown && tipsStill(shown, await session.seenNow(shown), new Set(asked.wants));
  const admit = async (view: View): Promise<Parsed<Admitted>> =>
    session.admission.admit(
      asked,
      session.admissionContext(view, (oid: Oid) => shownTips?.has(oid) === true),
    );
  let view = await session.view();
  let admitted = await admit(view);
  if (admitted.kind === 'refused' && shown === undefined && session.isMirror) {
    view = await session.freshView();
    admitted = await admit(view);
  }
  if (admitted.kind === 'refused') throw new Fault('missing', 'fetch was refused', { publicMessage: admitted.reason });
  return { view, admitted: admitted.value };
}

/**
 * git sends the pack at once to who has nothing. A client that had something, though nothing we may confirm, waits to
 * be told so: one have that no repository has stands for all that were dropped.
 */
function withSomeHave(asked: FetchRequest, request: FetchRequest, format: ObjectFormat): FetchRequest {
  return asked.haves.length > 0 && request.haves.length === 0 ? { ...request, haves: [zeroOid(format)] } : request;
}
