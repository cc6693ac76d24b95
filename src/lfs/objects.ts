/**
 * The LFS objects of every repository: what is here, what may come, what the secret scan said. An object is there when its
 * record is, and its record is written when its bytes are whole, hashed, scanned and synced.
 */
import type { FileHandle } from 'node:fs/promises';
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, ok, refuse, type Parsed } from '../base/fault.ts';
import { formatBytes } from '../base/units.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import { listAll, type Store } from '../store/store.ts';
import type { LfsInspection } from './inspection.ts';
import type { LfsOid, LfsPointer } from './pointer.ts';
import { lfsKey, readLfsObject, writeLfsObject, type LfsObject, type LfsScan } from './record.ts';
import type { LfsStorage, Watch } from './storage.ts';

export interface LfsObjectsParts {
  readonly store: Store;
  readonly storage: LfsStorage;
  readonly inspection: LfsInspection;
  readonly clock: Clock;
  readonly limits: {
    readonly objectBytesMax: number;
    readonly repositoryBytesMax: number;
  };
}

/** One object that somebody sends. */
export interface Sent {
  readonly repository: RepositoryFacts;
  readonly pointer: LfsPointer;
  readonly content: AsyncIterable<Uint8Array>;
  /** Who, for the record; and whoever stands behind them, for the scan. */
  readonly by: string;
  readonly pushers: readonly string[];
  /** Whether the secret scan looks at it before it counts; else that is left to the push that names it. */
  readonly isScanned: boolean;
  /** Asked once more when all of it is here: why it may not be taken after all. */
  readonly confirm?: () => Promise<Parsed<unknown>>;
  /** Told how far it has come. */
  readonly watch?: Watch;
  readonly signal: AbortSignal;
}

/** `isForGood`: the object itself is what is wrong, and sending it again changes nothing. */
export type Taken =
  | { readonly kind: 'ok'; readonly value: LfsObject }
  | { readonly kind: 'refused'; readonly reason: string; readonly isForGood?: true };

export interface Bring {
  readonly repository: RepositoryFacts;
  readonly pointer: LfsPointer;
  readonly name: string;
  readonly pushers: readonly string[];
  readonly signal: AbortSignal;
}

export class LfsObjects {
  readonly #parts: LfsObjectsParts;
  /** Bytes of each repository's objects, those that are coming in included; read from the store when first asked for. */
  readonly #used = new Map<string, Promise<{ bytes: number }>>();
  /** Why what was sent of late was refused for good, by key of its record: for those who ask afterwards. */
  readonly #refused = new Map<string, string>();

  constructor(parts: LfsObjectsParts) {
    this.#parts = parts;
  }

  /** Undefined: it is not here, or not whole. */
  async find(repositoryId: string, oid: LfsOid): Promise<LfsObject | undefined> {
    const stored = await this.#parts.store.get('lfs-object', lfsKey(repositoryId, oid));
    if (stored === undefined) return undefined;
    const object = readLfsObject(stored);
    // A disk that lost the file has lost the object: it can be sent anew.
    return (await this.#parts.storage.size(repositoryId, oid)) === object.size ? object : undefined;
  }

  /** Its file, for whoever reads it and closes it. */
  async open(repositoryId: string, oid: LfsOid): Promise<FileHandle | undefined> {
    return this.#parts.storage.read(repositoryId, oid);
  }

  path(repositoryId: string, oid: LfsOid): string {
    return this.#parts.storage.path(repositoryId, oid);
  }

  /** Whether the repository has any object here, or one was refused of late. */
  async isUsed(repositoryId: string): Promise<boolean> {
    for (const key of this.#refused.keys()) if (key.startsWith(`${repositoryId}/`)) return true;
    return (await this.#usage(repositoryId)).bytes > 0;
  }

  /** Why an object of this size may not come; undefined: it may. */
  async sizeRefusal(repositoryId: string, size: number): Promise<string | undefined> {
    return this.#overLimits(size, (await this.#usage(repositoryId)).bytes);
  }

  /** Refused: it is not what its oid says, too much, or holds a secret. @throws Fault as `content`; `aborted`. */
  async take(sent: Sent): Promise<Taken> {
    const { repository, pointer } = sent;
    const known = await this.find(repository.id, pointer.oid);
    if (known !== undefined && known.size !== pointer.size) return refuse('the object is here, and has another size');
    const usage = await this.#usage(repository.id);
    // From here to the sum nothing else runs: nobody takes the room that is found free.
    const refusal = this.#overLimits(pointer.size, usage.bytes);
    if (refusal !== undefined) return refuse(refusal);
    usage.bytes += pointer.size;
    let isKept = false;
    try {
      const taken = await this.#takeIn(sent);
      isKept = taken.kind === 'ok' && taken.value.isNew;
      return taken.kind === 'ok' ? ok(taken.value.object) : taken;
    } finally {
      if (!isKept) usage.bytes -= pointer.size;
    }
  }

  /**
   * Why a push may not bring a pointer to this object; undefined: it may. What was not scanned by the rules of now is
   * scanned here.
   */
  async bringRefusal(bring: Bring): Promise<string | undefined> {
    const { repository, pointer, name } = bring;
    const { inspection, storage } = this.#parts;
    const object = await this.find(repository.id, pointer.oid);
    if (object === undefined) {
      const refused = this.refusalOf(repository.id, pointer.oid);
      if (refused !== undefined) return `LFS object ${pointer.oid} (${name}) was refused: ${refused}`;
      return `LFS object ${pointer.oid} (${name}) was not uploaded through this gate: git lfs push --all`;
    }
    if (object.size !== pointer.size) {
      return `the LFS pointer ${name} says ${pointer.size} bytes, its object has ${object.size}`;
    }
    if (!inspection.isOn(repository) || inspection.isCurrent(object.scan)) return undefined;
    const inspected = await inspection.inspect({ ...bring, path: storage.path(repository.id, pointer.oid) });
    if (inspected.kind === 'refused') return `LFS object of ${name}: ${inspected.reason}`;
    if (inspected.value !== undefined) await this.#write({ ...object, scan: inspected.value });
    return undefined;
  }

  /** The objects of a repository that is gone for good. */
  async purge(repositoryId: string): Promise<void> {
    const { store, storage } = this.#parts;
    this.#used.delete(repositoryId);
    const keys: string[] = [];
    for await (const { key } of listAll(store, 'lfs-object', `${repositoryId}/`)) keys.push(key);
    for (let at = 0; at < keys.length; at += WRITES_MAX) {
      const writes = keys.slice(at, at + WRITES_MAX).map((key) => ({ kind: 'lfs-object', key, delete: true }) as const);
      await store.transact({ writes });
    }
    await storage.purge(repositoryId);
  }

  /** Why it was refused when it was sent last; undefined: it was not, or that is forgotten. */
  refusalOf(repositoryId: string, oid: LfsOid): string | undefined {
    return this.#refused.get(lfsKey(repositoryId, oid));
  }

  #remember(key: string, reason: string): void {
    const [oldest] = this.#refused.keys();
    if (this.#refused.size >= BOUNDS.lfsRefusalsMax && oldest !== undefined) this.#refused.delete(oldest);
    this.#refused.set(key, reason);
  }

  async #takeIn(sent: Sent): Promise<Extract<Taken, { readonly kind: 'refused' }> | TakenIn> {
    const { repository, pointer, content, by, isScanned, confirm } = sent;
    const { storage, clock } = this.#parts;
    const received = await storage.receive(repository.id, pointer, content, sent.watch);
    if (received.kind === 'refused') return received;
    await using incoming = received.value;
    let scan: LfsScan | undefined;
    if (isScanned) {
      const inspected = await this.#parts.inspection.inspect({ ...sent, path: incoming.path });
      if (inspected.kind === 'refused') {
        this.#remember(lfsKey(repository.id, pointer.oid), inspected.reason);
        return { ...inspected, isForGood: true };
      }
      scan = inspected.value;
    }
    const confirmed = await confirm?.();
    if (confirmed?.kind === 'refused') return confirmed;
    if (sent.signal.aborted) throw new Fault('aborted', 'lfs upload was aborted', { cause: sent.signal.reason });
    const isNew = (await this.find(repository.id, pointer.oid)) === undefined;
    await incoming.keep();
    const { oid, size } = pointer;
    const object: LfsObject = { repositoryId: repository.id, oid, size, storedAt: clock.now(), by, scan };
    await this.#write(object);
    this.#refused.delete(lfsKey(repository.id, oid));
    return { kind: 'ok', value: { object, isNew } };
  }

  #overLimits(size: number, used: number): string | undefined {
    const { objectBytesMax, repositoryBytesMax } = this.#parts.limits;
    if (size > objectBytesMax) {
      return `the object has ${formatBytes(size)}; ${formatBytes(objectBytesMax)} is the most that is taken here`;
    }
    if (used + size <= repositoryBytesMax) return undefined;
    return `the LFS objects of a repository may have ${formatBytes(repositoryBytesMax)} here, and these have ${formatBytes(used)} already`;
  }

  /** @throws Fault `missing` where the repository was destroyed for good meanwhile. */
  async #write(object: LfsObject): Promise<void> {
    const key = lfsKey(object.repositoryId, object.oid);
    const result = await this.#parts.store.transact({
      checks: [{ kind: 'repository', key: object.repositoryId, version: 'any' }],
      writes: [{ kind: 'lfs-object', key, put: writeLfsObject(object) }],
    });
    if (result.kind === 'committed') return;
    throw new Fault('missing', 'repository of an lfs object is gone', { publicMessage: 'the repository is gone' });
  }

  #usage(repositoryId: string): Promise<{ bytes: number }> {
    const known = this.#used.get(repositoryId);
    if (known !== undefined) return known;
    const read = this.#readUsage(repositoryId);
    this.#used.set(repositoryId, read);
    read.catch(() => this.#used.delete(repositoryId));
    return read;
  }

  async #readUsage(repositoryId: string): Promise<{ bytes: number }> {
    let bytes = 0;
    for await (const stored of listAll(this.#parts.store, 'lfs-object', `${repositoryId}/`)) {
      bytes += readLfsObject(stored).size;
    }
    return { bytes };
  }
}

const WRITES_MAX = 500;

interface TakenIn {
  readonly kind: 'ok';
  readonly value: { readonly object: LfsObject; readonly isNew: boolean };
}
