/** Band 1 of a sideband, with band 2 told and band 3 thrown (gitprotocol-pack, "Packfile Data"). */
import type { Call } from './call.ts';
import type { Incoming } from './incoming.ts';

export interface Banded {
  readonly incoming: Incoming;
  readonly call: Call;
  /** False: what follows is the data itself, up to the end. Default true. */
  readonly isBanded?: boolean;
  /** A pkt that was read ahead. */
  readonly firstBand?: Buffer | undefined;
}

/** @throws Fault `upstream` where the server gives up, or the sideband is malformed. */
export async function* unbanded({
  incoming,
  call,
  isBanded = true,
  firstBand,
}: Banded): AsyncGenerator<Buffer, void, undefined> {
  if (!isBanded) {
    yield* incoming.rest();
    return;
  }
  if (firstBand !== undefined) {
    const data = onBand(firstBand, call);
    if (data !== undefined) yield data;
  }
  for (;;) {
    const pkt = await incoming.expect(call.limits.workMs);
    if (pkt.kind === 'flush') break;
    if (pkt.kind !== 'data') throw call.words.broke('a malformed sideband');
    const data = onBand(pkt.payload, call);
    if (data !== undefined) yield data;
  }
  call.murmur.end();
}

/** The data in a pkt, if it is of band 1 and not empty (a sign of life). */
function onBand(payload: Buffer, call: Call): Buffer | undefined {
  const data = payload.subarray(1);
  switch (payload[0] ?? 0) {
    case 1:
      return data.length === 0 ? undefined : data;
    case 2:
      call.murmur.hear(data);
      return undefined;
    case 3:
      throw call.words.said(data.toString());
    default:
      throw call.words.broke('a band that is none');
  }
}
