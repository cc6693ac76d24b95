/**
 * A pack from an upstream: v2's fetch (gitprotocol-v2, "fetch"), or v0's wants and haves (gitprotocol-pack, "Packfile
 * Negotiation"). One round: everything that the mirror has is told at once, then `done`; what the upstream does not know
 * of it costs a line each, and no round trip.
 */
import { capabilityValue } from '../../git/capabilities.ts';
import type { Oid } from '../../git/oid.ts';
import { encodePkt, FLUSH, pktText } from '../../git/pkt-line.ts';
import { AGENT } from '../../base/version.ts';
import type { Call } from './call.ts';
import type { GreetingV0, GreetingV2 } from './greeting.ts';
import type { Incoming } from './incoming.ts';
import { v2Command } from './ls-refs.ts';
import type { Session } from './session.ts';
import { unbanded } from './unbanded.ts';

export interface FetchAsked {
  /** At least one. */
  readonly wants: readonly Oid[];
  readonly haves: readonly Oid[];
}

/** Lines put together before they are written. */
const BATCH = 512;

/** The pack's bytes; has begun when this resolves. @throws Fault as `Remote` says, here and while it is read. */
export async function fetchPack(
  session: Session,
  call: Call,
  asked: FetchAsked,
): Promise<AsyncGenerator<Buffer, void, undefined>> {
  const { expected } = session;
  // As with refs: asked before the greeting is heard, the pack is a round trip nearer.
  const early = expected && (await askV2(session, call, { greeting: expected, ...asked }));
  const greeting = await session.greeting();
  if (greeting.kind === 'v0') {
    if (early !== undefined) throw call.words.broke('it speaks another version than before');
    return fetchV0(session, call, { greeting, ...asked });
  }
  const incoming = early ?? (await askV2(session, call, { greeting, ...asked }));
  await skipToPack(incoming, call);
  return begun(unbanded({ incoming, call }));
}

function askV2(
  session: Session,
  call: Call,
  { greeting, wants, haves }: FetchAsked & { readonly greeting: GreetingV2 },
): Promise<Incoming> {
  const head = [...v2Command('fetch', greeting, call), encodePkt('thin-pack\n'), encodePkt('ofs-delta\n')];
  return session.request(
    lines([head, wantLines(wants), haveLines(haves), [encodePkt('done\n'), FLUSH]]),
    call.limits.workMs,
  );
}

/** Behind `done` the pack comes at once; sections before it are named and end with a delim. */
async function skipToPack(incoming: Incoming, call: Call): Promise<void> {
  const { words, limits } = call;
  for (let section = 0; section < 8; section += 1) {
    const pkt = await incoming.expect(limits.workMs);
    if (pkt.kind !== 'data') throw words.broke('a section without a name');
    const name = pktText(pkt.payload);
    if (name === 'packfile') return;
    if (name === 'shallow-info') throw shallow(call);
    if (name !== 'acknowledgments' && name !== 'wanted-refs')
      throw words.broke(`section "${name.slice(0, 40)}" was not asked for`);
    await skipSection(incoming, call);
  }
  throw words.broke('no pack in its answer');
}

async function skipSection(incoming: Incoming, call: Call): Promise<void> {
  const start = incoming.bytesRead;
  for (;;) {
    const pkt = await incoming.expect(call.limits.workMs);
    if (pkt.kind === 'delim') return;
    if (pkt.kind !== 'data') throw call.words.broke('its answer has no pack');
    if (incoming.bytesRead - start > call.limits.reportBytesMax) throw call.words.broke('a section is too long');
  }
}

function shallow(call: Call): Error {
  const { words } = call;
  return words.fault(
    'upstream is shallow',
    `the upstream ${words.label} is a shallow clone: it cannot give whole histories`,
  );
}

async function fetchV0(
  session: Session,
  call: Call,
  { greeting, wants, haves }: FetchAsked & { readonly greeting: GreetingV0 },
): Promise<AsyncGenerator<Buffer, void, undefined>> {
  const { capabilities } = greeting;
  const band = ['side-band-64k', 'side-band'].find((name) => capabilities.has(name));
  const plain = ['thin-pack', 'ofs-delta'].filter((name) => capabilities.has(name));
  const told = [...(band === undefined ? [] : [band]), ...plain];
  if (capabilities.has('agent')) told.push(`agent=${AGENT}`);
  if (capabilityValue(capabilities, 'object-format') !== undefined) told.push(`object-format=${greeting.objectFormat}`);
  const [first, ...others] = wants;
  const head = [encodePkt(`want ${first ?? ''} ${told.join(' ')}\n`)];
  const incoming = await session.request(
    lines([head, wantLines(others), [FLUSH], haveLines(haves), [encodePkt('done\n')]]),
    call.limits.workMs,
  );
  const isBanded = band !== undefined;
  return begun(unbanded({ incoming, call, firstBand: await skipAnswers(incoming, call, isBanded), isBanded }));
}

/**
 * ACK and NAK in front of the pack. Without multi_ack there is one of them; servers are known to say more. With a sideband
 * the first pkt of a band ends them, and is given back.
 */
async function skipAnswers(incoming: Incoming, call: Call, isBanded: boolean): Promise<Buffer | undefined> {
  const { words, limits } = call;
  for (let count = 0; count <= ANSWERS_MAX; count += 1) {
    const pkt = await incoming.expect(limits.workMs);
    if (pkt.kind !== 'data') throw words.broke('neither ACK nor NAK in front of the pack');
    const text = pktText(pkt.payload);
    if (isBanded && /^[\x01-\x03]/.test(text)) return pkt.payload;
    if (text.startsWith('shallow ')) throw shallow(call);
    if (text !== 'NAK' && !/^ACK [0-9a-f]{40,64}(?: (?:continue|common|ready))?$/.test(text)) {
      throw words.broke('neither ACK nor NAK in front of the pack');
    }
    if (!isBanded) return undefined;
  }
  throw words.broke('no end of ACK and NAK');
}

const ANSWERS_MAX = 200_000;

/** Waits for the first bytes, so that a refusal in the sideband is one of the call and not of its reader. */
async function begun(pack: AsyncGenerator<Buffer, void, undefined>): Promise<AsyncGenerator<Buffer, void, undefined>> {
  const first = await pack.next();
  return continued(first, pack);
}

async function* continued(
  first: IteratorResult<Buffer, void>,
  pack: AsyncGenerator<Buffer, void, undefined>,
): AsyncGenerator<Buffer, void, undefined> {
  if (first.value === undefined) return;
  yield first.value;
  yield* pack;
}

function* wantLines(oids: Iterable<Oid>): Generator<Buffer> {
  for (const oid of oids) yield encodePkt(`want ${oid}\n`);
}

function* haveLines(oids: Iterable<Oid>): Generator<Buffer> {
  for (const oid of oids) yield encodePkt(`have ${oid}\n`);
}

/** All lines in batches: a write each would be slow, one of all of them large. */
function* lines(groups: readonly Iterable<Buffer>[]): Generator<Buffer> {
  let batch: Buffer[] = [];
  for (const group of groups) {
    for (const line of group) {
      batch.push(line);
      if (batch.length < BATCH) continue;
      yield Buffer.concat(batch);
      batch = [];
    }
  }
  yield Buffer.concat(batch);
}
