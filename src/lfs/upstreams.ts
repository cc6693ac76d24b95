/** What LFS asks of the upstreams of mirrors; the house hands in who answers (`upstream/lfs`). */
import type { Repository } from '../repository/repository.ts';
import type { LfsOid, LfsPointer } from './pointer.ts';

export interface UpstreamCall {
  readonly requestId: string;
  readonly signal: AbortSignal;
}

/** An object that goes upstream; read once. */
export interface Outgoing {
  readonly pointer: LfsPointer;
  readonly content: () => AsyncIterable<Uint8Array>;
}

export interface LfsUpstreams {
  isMirror(repositoryId: string): boolean;
  /** Which of these the upstream has. @throws Fault `upstream` with its reason in public words; `aborted`, `timeout`. */
  having(repository: Repository, pointers: readonly LfsPointer[], call: UpstreamCall): Promise<ReadonlySet<LfsOid>>;
  /** Its bytes as they come, not verified; undefined: the upstream does not have it. @throws as `having`. */
  download(
    repository: Repository,
    pointer: LfsPointer,
    call: UpstreamCall,
  ): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Resolves when the upstream has all of them. @throws as `having`. */
  upload(repository: Repository, objects: readonly Outgoing[], call: UpstreamCall): Promise<void>;
}
