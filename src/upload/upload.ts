/**
 * The fetch path: upload-pack in protocol v0, v1 and v2, and upload-archive. Refs are shown from the ref cache
 * without a process; git makes packs and archives, of nothing but what this principal may read.
 */
import { type Clock, systemClock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import type { PressureLevel } from '../base/pressure.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { RefCache } from '../git/ref-cache.ts';
import type { Conversation, WorkGate } from '../git/service.ts';
import type { Repository } from '../repository/repository.ts';
import { Admission } from './admission.ts';
import { BriefAnswers } from './brief.ts';
import { Bundles, type BundleEvent, type OpenBundle } from './bundles.ts';
import { EncodedLists } from './encoded.ts';
import { PackCache, type PackCacheResult } from './pack-cache.ts';
import { Reachability } from './reachability.ts';
import { RecentTips } from './recent-tips.ts';
import { freshViewOf, Session, type Sight } from './session.ts';
import { viewStill } from './still.ts';
import { serveArchive } from './upload-archive.ts';
import { serveV0 } from './upload-v0.ts';
import { type Done, serveV2 } from './upload-v2.ts';
import type { MayRead } from './view.ts';
import { Wire } from './wire.ts';

export interface UploadRequest {
  readonly repository: Repository;
  readonly service: 'upload-pack' | 'upload-archive';
  /** Refs the principal may read; undefined: all but the gate's own. Best the same function for the same answers. */
  readonly mayRead: MayRead;
  /**
   * Of a mirror: makes its refs those of its upstream. Called before refs are shown or looked up.
   * @throws Fault `upstream` with the reason: nothing stale is served.
   */
  readonly freshen?: (() => Promise<void>) | undefined;
  /** Where this client would find the repository's bundle; undefined: none is offered to it. */
  readonly bundleUrl?: string | undefined;
}

export interface BundleRequest extends Pick<UploadRequest, 'repository' | 'mayRead' | 'freshen'> {
  readonly requestId: string;
  readonly signal: AbortSignal;
  /** For a place to make it in; absent: nobody waits for one. */
  readonly work?: WorkGate | undefined;
}

/** What was served, for the journal. */
export interface UploadReport {
  readonly event: 'ls-refs' | 'fetch' | 'archive';
  /** Objects asked for, where something was fetched. */
  readonly wants?: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface Upload {
  /**
   * Serves one conversation in any mode. The repository may be read: that was decided before.
   * @throws Fault after the client was told in the protocol (ERR pkt, NACK or sideband 3): `bad-input` for broken or
   * excessive requests, `missing` for what this principal may not have, `aborted`, `timeout`, `busy`, `process`.
   */
  serve(conversation: Conversation, request: UploadRequest): Promise<UploadReport>;
  /**
   * All branches that may be read as one bundle, made first where none is kept; undefined where there is none.
   * The repository may be read: that was decided before. @throws Fault
   */
  openBundle(request: BundleRequest): Promise<OpenBundle | undefined>;
  /** Keeps less from here on, or as much as before. */
  shrink(level: PressureLevel): void;
  /** Ends what is being made and gives back what is kept. */
  close(): Promise<void>;
}

/** What the floor tells the engineers. */
export interface UploadLog {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface UploadMetrics {
  /** `hit`: what this principal sees was already at hand, encoded advertisements with it. */
  refCache(result: 'hit' | 'miss'): void;
  /** `joined`: read along while it was made for another. */
  packCache(result: PackCacheResult): void;
  /** `offered` to a client that asked where; `refused`: asked for, and none was to be had. */
  bundle?(event: BundleEvent): void;
}

export interface UploadParts {
  readonly processes: GitProcesses;
  readonly refs: Pick<RefCache, 'snapshot' | 'moment'>;
  readonly log?: UploadLog;
  readonly metrics?: UploadMetrics;
  readonly clock?: Clock;
  /** Where and how much of what was fetched is kept for who asks for the same; absent: nothing is shared. */
  readonly packCache?: { readonly directory: string; readonly bytesMax: number; readonly keepMs: number };
  /** Bundles are made and offered; they are kept with the packs. */
  readonly hasBundles?: boolean;
}

export function createUpload(parts: UploadParts): Upload {
  const { processes, refs, log, metrics, clock = systemClock } = parts;
  const reachability = new Reachability(processes);
  const admission = new Admission(reachability);
  const recentTips = new RecentTips(clock);
  const packs = parts.packCache && openPackCache(parts, parts.packCache);
  const bundles = openBundles(parts, packs, reachability);
  const encoded = new EncodedLists();
  const answers = new BriefAnswers(encoded);
  const onView = (isKnown: boolean): void => metrics?.refCache(isKnown ? 'hit' : 'miss');
  return {
    async serve(conversation, { repository, service, mayRead, freshen, ...offer }) {
      const bundleUrl = bundles?.isHot(repository.id) === true ? offer.bundleUrl : undefined;
      const sight: Sight = { repository, mayRead, freshen, refs, recentTips, onView };
      const told = (report: UploadReport): UploadReport => {
        log?.debug({ request: conversation.requestId, repository: repository.name, ...report }, 'served upload');
        return report;
      };
      const answered = await briefly({ answers, conversation, service, sight, hasBundle: bundleUrl !== undefined });
      if (answered.kind === 'done') return told(answered.report);
      using wire = new Wire(conversation, clock);
      try {
        if (answered.kind === 'failed') throw answered.cause;
        const session = new Session({ ...sight, wire, processes, admission, packs, encoded, bundleUrl, bundles });
        const done = await serveWith(session, service);
        return told({ ...done, bytesIn: wire.bytesIn, bytesOut: wire.bytesOut });
      } catch (cause) {
        await wire.error(publicMessageOf(cause, conversation.requestId));
        throw cause instanceof Fault ? cause : new Fault('internal', 'upload failed', { cause });
      }
    },
    async openBundle({ requestId, signal, work, ...asked }) {
      const view = await freshViewOf({ freshen: undefined, ...asked, refs, recentTips, onView });
      return bundles?.open({ repository: asked.repository, view, requestId, signal, work });
    },
    shrink(level) {
      packs?.shrink(KEPT_UNDER_PRESSURE[level]);
    },
    async close() {
      await packs?.close();
    },
  };
}

interface Briefly {
  readonly answers: BriefAnswers;
  readonly conversation: Conversation;
  readonly service: UploadRequest['service'];
  readonly sight: Sight;
  readonly hasBundle: boolean;
}

type BriefEnd =
  | { readonly kind: 'done'; readonly report: UploadReport }
  /** Nothing was said yet. */
  | { readonly kind: 'open' }
  | { readonly kind: 'failed'; readonly cause: unknown };

/** Without streams, where the transport offers that and it is enough. */
async function briefly({ answers, conversation, service, sight, hasBundle }: Briefly): Promise<BriefEnd> {
  const { brief, mode, protocol } = conversation;
  if (brief === undefined || service !== 'upload-pack' || protocol !== 2 || mode === 'stateful') return OPEN;
  const { objectFormat } = sight.repository;
  try {
    const report = await answers.answer(brief, {
      mode,
      objectFormat,
      hasBundle,
      moment: () => sight.refs.moment(),
      freshView: (since) => freshViewOf(sight, since),
      isMirror: sight.freshen !== undefined,
      still: (view) => viewStill(conversation, view, sight.mayRead),
    });
    return report === undefined ? OPEN : { kind: 'done', report };
  } catch (cause) {
    return { kind: 'failed', cause };
  }
}

const OPEN: BriefEnd = { kind: 'open' };

/** The part of the pack cache that is used. */
const KEPT_UNDER_PRESSURE: Readonly<Record<PressureLevel, number>> = { none: 1, tight: 0.25, short: 0 };

function openPackCache(parts: UploadParts, options: NonNullable<UploadParts['packCache']>): PackCache {
  const { processes, clock = systemClock, metrics } = parts;
  return new PackCache({ ...options, processes, clock, onAsked: (result) => metrics?.packCache(result) });
}

function openBundles(
  { hasBundles = false, packCache, clock = systemClock, metrics }: UploadParts,
  packs: PackCache | undefined,
  reachability: Reachability,
): Bundles | undefined {
  if (!hasBundles || packs === undefined || packCache?.bytesMax === 0) return undefined;
  return new Bundles({ packs, reachability, clock, onEvent: (event) => metrics?.bundle?.(event) });
}

async function serveWith(session: Session, service: UploadRequest['service']): Promise<Done> {
  if (service === 'upload-archive') return await serveArchive(session);
  return session.wire.conversation.protocol === 2 ? await serveV2(session) : await serveV0(session);
}
