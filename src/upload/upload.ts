/**
 * The fetch path: upload-pack in protocol v0, v1 and v2, and upload-archive. Refs are shown from the ref cache
 * without a process; git makes packs and archives, of nothing but what this principal may read.
 */
import { type Clock, systemClock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { RefCache } from '../git/ref-cache.ts';
import type { Conversation } from '../git/service.ts';
import type { Repository } from '../repository/repository.ts';
import { Admission } from './admission.ts';
import { Reachability } from './reachability.ts';
import { RecentTips } from './recent-tips.ts';
import { Session } from './session.ts';
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
}

export interface UploadParts {
  readonly processes: GitProcesses;
  readonly refs: Pick<RefCache, 'snapshot'>;
  readonly clock?: Clock;
}

export function createUpload({ processes, refs, clock = systemClock }: UploadParts): Upload {
  const admission = new Admission(new Reachability(processes));
  const recentTips = new RecentTips(clock);
  return {
    async serve(conversation, { repository, service, mayRead }) {
      using wire = new Wire(conversation, clock);
      const session = new Session({ wire, repository, mayRead, processes, refs, admission, recentTips });
      try {
        const done = await serveWith(session, service);
        return { ...done, bytesIn: wire.bytesIn, bytesOut: wire.bytesOut };
      } catch (cause) {
        await wire.error(publicMessageOf(cause, conversation.requestId));
        throw cause instanceof Fault ? cause : new Fault('internal', 'upload failed', { cause });
      }
    },
  };
}

async function serveWith(session: Session, service: UploadRequest['service']): Promise<Done> {
  if (service === 'upload-archive') return await serveArchive(session);
  return session.wire.conversation.protocol === 2 ? await serveV2(session) : await serveV0(session);
}
