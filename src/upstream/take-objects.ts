/**
 * Objects of an upstream, taken in as a push's are: through a quarantine, index-pack and a connectivity check, within
 * the same bounds. Only the strictness differs: histories of the world hold old defects, and a mirror has to take
 * them as they are, but never a tree that would escape from a check-out.
 */
import { Fault } from '../base/fault.ts';
import type { Oid } from '../git/oid.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import { checkConnectivity } from '../receive/connectivity.ts';
import { ingestPack } from '../receive/ingest.ts';
import { limitsFor, type ReceiveConfig } from '../receive/limits.ts';
import { PackInput } from '../receive/pack-input.ts';
import { openQuarantine, type Quarantine } from '../receive/quarantine.ts';
import type { RefreshAsked, RefreshParts } from './refresh.ts';

export interface ObjectsWanted {
  readonly wants: readonly Oid[];
  /** The refs that are here: what the upstream need not send. */
  readonly local: RefSnapshot;
}

/** Tips that are told to the upstream. More would only make the question longer than its answer. */
const HAVES_MAX = 4_096;
const LENIENT: ReceiveConfig = { isStrict: false, fsck: new Map(), mayDeleteHead: true };

/** The quarantine with everything that `wants` lead to and is not here. @throws Fault `upstream`, `aborted`. */
export async function takeObjects(
  parts: RefreshParts,
  asked: RefreshAsked,
  { wants, local }: ObjectsWanted,
): Promise<Quarantine> {
  const { repository, remote, flight } = asked;
  await using stack = new AsyncDisposableStack();
  const quarantine = stack.use(await openQuarantine(repository.path, parts.clock));
  const { signal, requestId, tell } = flight;
  const pack = await remote.fetch({ signal, requestId, tell, wants, haves: havesOf(local) });
  const chunks = buffersOf(pack);
  try {
    await ingest(parts, asked, { quarantine, chunks });
  } finally {
    await chunks.return(undefined);
  }
  const { processes, limits } = parts;
  const { objectDirectory } = quarantine;
  const connected = await checkConnectivity({
    processes,
    repository,
    objectDirectory,
    tips: wants,
    horizon: undefined,
    deadlineMs: limits.deadlineMs,
    signal,
    requestId,
  });
  if (connected.kind === 'disconnected') throw failed('it did not send all that its refs lead to (is it shallow?)');
  stack.move();
  return quarantine;
}

interface Ingesting {
  readonly quarantine: Quarantine;
  readonly chunks: AsyncGenerator<Buffer, undefined>;
}

async function ingest(
  parts: RefreshParts,
  { repository, flight }: RefreshAsked,
  { quarantine, chunks }: Ingesting,
): Promise<void> {
  const { processes, clock } = parts;
  const limits = limitsFor(parts.limits, repository);
  const silence = 'it stopped sending in the middle of a pack';
  const input = new PackInput({ chunks, clock, idleMs: limits.idleMs, silence });
  const { signal, requestId } = flight;
  const ingested = await ingestPack({
    mayComplete: true,
    processes,
    clock,
    repository,
    quarantine,
    input,
    limits,
    config: LENIENT,
    requestId,
    signal,
    tell: flight.tell,
  });
  if (ingested.kind === 'refused') throw failed(`its objects cannot be taken: ${ingested.reason}`);
}

/** What HEAD and branches point at before tags: branches are what new commits grow on. */
function havesOf({ head, refs }: RefSnapshot): readonly Oid[] {
  const haves = new Set<Oid>(head.oid === undefined ? [] : [head.oid]);
  for (const isBranch of [true, false]) {
    for (const { refname, oid } of refs) {
      if (haves.size >= HAVES_MAX) return [...haves];
      if (refname.startsWith('refs/heads/') === isBranch) haves.add(oid);
    }
  }
  return [...haves];
}

async function* buffersOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, undefined> {
  for await (const chunk of chunks) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  return undefined;
}

function failed(publicMessage: string): Fault {
  return new Fault('upstream', 'upstream objects cannot be taken', { publicMessage });
}
