/** Git LFS for repositories and mirrors: what a batch is answered, what comes and what goes. Who may was decided before. */
import type { FileHandle } from 'node:fs/promises';
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Fault, publicMessageOf, type Parsed } from '../base/fault.ts';
import { principalLabel, type Principal } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';
import type { BatchFate, BatchRequest } from './batch.ts';
import { Following } from './following.ts';
import type { LfsObjects, Taken } from './objects.ts';
import type { LfsOid, LfsPointer } from './pointer.ts';
import { lfsKey, type LfsObject } from './record.ts';
import type { LfsUpstreams, UpstreamCall } from './upstreams.ts';

export interface LfsServiceParts {
  readonly objects: LfsObjects;
  readonly upstreams: LfsUpstreams;
  readonly clock: Clock;
  /** For one object from an upstream, in milliseconds. */
  readonly deadlineMs: number;
  readonly log: { warn(fields: Readonly<Record<string, unknown>>, message: string): void };
}

export interface Uploaded {
  readonly repository: Repository;
  readonly principal: Principal;
  readonly pointer: LfsPointer;
  readonly content: AsyncIterable<Uint8Array>;
  readonly confirm: () => Promise<Parsed<unknown>>;
  readonly signal: AbortSignal;
}

/** An object that may be sent to a client. Disposed when that is over. */
export interface Readable extends AsyncDisposable {
  readonly size: number;
  /** Bytes from `start` up to `end`. */
  read(start: number, end: number): AsyncIterable<Uint8Array>;
}

export class LfsService {
  readonly #parts: LfsServiceParts;
  readonly #flights = new Map<string, Following>();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(parts: LfsServiceParts) {
    this.#parts = parts;
  }

  /** One answer for each object, in their order. @throws Fault `upstream` where a mirror's upstream cannot be asked. */
  async batch(
    repository: Repository,
    { operation, objects }: BatchRequest,
    call: UpstreamCall,
  ): Promise<readonly (readonly [LfsPointer, BatchFate])[]> {
    const fates = new Map<LfsPointer, BatchFate>();
    const missing: LfsPointer[] = [];
    for (const pointer of objects) {
      const found = await this.#parts.objects.find(repository.id, pointer.oid);
      if (found === undefined) missing.push(pointer);
      else fates.set(pointer, fateOfFound(found, pointer, operation));
    }
    const there = operation === 'download' ? await this.#upstreamHas(repository, missing, call) : NONE;
    for (const pointer of missing) {
      const refusal =
        operation === 'upload' ? await this.#parts.objects.sizeRefusal(repository.id, pointer.size) : undefined;
      if (operation === 'upload') fates.set(pointer, refusal === undefined ? GO : error(422, refusal));
      else fates.set(pointer, there.has(pointer.oid) ? GO : error(404, 'the object is not here'));
    }
    return objects.map((pointer) => [pointer, fates.get(pointer) ?? error(404, 'the object is not here')]);
  }

  /** Refused: not the object, too much, or a secret in it. @throws Fault as `content`. */
  upload(uploaded: Uploaded): Promise<Taken> {
    const { principal } = uploaded;
    const pushers =
      principal.kind === 'anonymous' ? [] : [principal.name, ...(principal.asking ? [principal.asking.name] : [])];
    return this.#parts.objects.take({ ...uploaded, by: principalLabel(principal), pushers, isScanned: true });
  }

  /** Whether an object that was sent counts; with a reason where it was refused. */
  async verify(
    repository: Repository,
    { oid, size }: LfsPointer,
  ): Promise<{ readonly isHere: boolean; readonly refusal?: string }> {
    const { objects } = this.#parts;
    if ((await objects.find(repository.id, oid))?.size === size) return { isHere: true };
    const refusal = objects.refusalOf(repository.id, oid);
    return { isHere: false, ...(refusal === undefined ? {} : { refusal }) };
  }

  /** Undefined: it is not here, nor at the upstream. @throws Fault `upstream`, `busy`; `aborted`. */
  async download(repository: Repository, pointer: LfsPointer, call: UpstreamCall): Promise<Readable | undefined> {
    const found = await this.#parts.objects.find(repository.id, pointer.oid);
    if (found !== undefined && found.size !== pointer.size) return undefined;
    const file = found && (await this.#parts.objects.open(repository.id, pointer.oid));
    if (file !== undefined) return fromFile(file, pointer.size);
    if (!this.#parts.upstreams.isMirror(repository.id)) return undefined;
    const flight = await this.#flight(repository, pointer, call);
    if (flight === undefined) return undefined;
    await flight.begun(call.signal);
    return {
      size: pointer.size,
      read: (start, end) => flight.read(start, end, call.signal),
      async [Symbol.asyncDispose]() {},
    };
  }

  /** Ends what comes from upstreams. */
  async close(): Promise<void> {
    this.#closing.abort(new Fault('aborted', 'gate is closing'));
    await Promise.all(this.#running);
  }

  async #upstreamHas(
    repository: Repository,
    missing: readonly LfsPointer[],
    call: UpstreamCall,
  ): Promise<ReadonlySet<LfsOid>> {
    const { upstreams } = this.#parts;
    if (missing.length === 0 || !upstreams.isMirror(repository.id)) return NONE;
    return upstreams.having(repository, missing, call);
  }

  /** The way in of an object from the upstream, for everybody who waits for it. */
  async #flight(repository: Repository, pointer: LfsPointer, call: UpstreamCall): Promise<Following | undefined> {
    const key = `${lfsKey(repository.id, pointer.oid)}/${pointer.size}`;
    const known = this.#flights.get(key);
    if (known !== undefined) return known;
    if (this.#flights.size >= BOUNDS.lfsFlightsMax) {
      const publicMessage = 'too many LFS objects are on their way from upstreams: try again later';
      throw new Fault('busy', 'too many lfs flights', { publicMessage });
    }
    const following = new Following(pointer.size);
    this.#flights.set(key, following);
    const running = this.#fly(repository, pointer, { following, requestId: call.requestId }).finally(() => {
      this.#flights.delete(key);
      this.#running.delete(running);
    });
    this.#running.add(running);
    return following;
  }

  /** Goes on when whoever asked first is gone: others may wait. Never rejects. */
  async #fly(
    repository: Repository,
    pointer: LfsPointer,
    { following, requestId }: { readonly following: Following; readonly requestId: string },
  ): Promise<void> {
    const { upstreams, objects, clock, deadlineMs, log } = this.#parts;
    const late = new AbortController();
    const cancel = clock.after(deadlineMs, () => {
      const publicMessage = 'the LFS object takes too long to come from the upstream';
      late.abort(new Fault('timeout', 'lfs object takes too long', { publicMessage }));
    });
    const over = new AbortController();
    const signal = AbortSignal.any([this.#closing.signal, late.signal, over.signal]);
    try {
      const content = await upstreams.download(repository, pointer, { requestId, signal });
      if (content === undefined) throw missing();
      const sent = { repository, pointer, content, by: 'upstream', pushers: [], isScanned: false, watch: following };
      const taken = await objects.take({ ...sent, signal });
      if (taken.kind === 'refused') throw unfit(taken.reason);
      following.finish(objects.path(repository.id, pointer.oid));
    } catch (error) {
      log.warn({ request: requestId, oid: pointer.oid, error }, 'fail to fetch an lfs object');
      following.fail(error instanceof Fault ? error : unfit(publicMessageOf(error, requestId)));
    } finally {
      cancel();
      // What was not read to its end lets go of its connection.
      over.abort(new Fault('aborted', 'lfs flight is over'));
    }
  }
}

const NONE: ReadonlySet<LfsOid> = new Set();
const GO: BatchFate = { kind: 'go' };

function error(code: number, message: string): BatchFate {
  return { kind: 'error', code, message };
}

function fateOfFound(found: LfsObject, { size }: LfsPointer, operation: BatchRequest['operation']): BatchFate {
  if (found.size === size) return operation === 'upload' ? { kind: 'nothing' } : GO;
  return error(operation === 'upload' ? 422 : 404, `the object with this oid has ${found.size} bytes`);
}

function missing(): Fault {
  return new Fault('missing', 'upstream has no such lfs object', { publicMessage: 'the object is not here' });
}

function unfit(reason: string): Fault {
  const publicMessage = `what the upstream sent is not taken: ${reason}`;
  return new Fault('upstream', 'lfs object of upstream is not taken', { publicMessage });
}

function fromFile(file: FileHandle, size: number): Readable {
  return {
    size,
    async *read(start, end) {
      if (start >= end) return;
      const chunks: AsyncIterable<Buffer> = file.createReadStream({
        start,
        end: end - 1,
        highWaterMark: 256 * 1024,
        autoClose: false,
      });
      yield* chunks;
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}
