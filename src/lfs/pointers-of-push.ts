/** The LFS pointers that a push brings: noted while the secret scan looks at everything, else looked for among small blobs. */
import { BOUNDS } from '../base/bounds.ts';
import { Fault } from '../base/fault.ts';
import { isZeroOid } from '../git/oid.ts';
import type { GitProcesses } from '../git/processes.ts';
import { newObjects, type NewObjectsOptions } from '../receive/new-objects.ts';
import type { Push } from '../receive/step.ts';
import type { ScanItem } from '../scan/scanner.ts';
import { mayBePointer, parsePointer, type LfsPointer } from './pointer.ts';

/** A pointer, the blob that holds it, and a path where it lies. */
export interface PlacedPointer {
  readonly pointer: LfsPointer;
  readonly blob: string;
  readonly path: string;
}

export interface PointerSearch {
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly objectsMax: number;
  readonly deadlineMs: number;
}

interface Noted {
  readonly found: Map<string, PlacedPointer>;
  isWhole: boolean;
}

export class PushPointers {
  readonly #search: PointerSearch;
  /** By the signal of the push: each push has its own. */
  readonly #noted = new WeakMap<AbortSignal, Noted>();

  constructor(search: PointerSearch) {
    this.#search = search;
  }

  /** What the secret scan hands on as it goes, undefined at its end. */
  note(push: Push, item: ScanItem | undefined): void {
    const noted = this.#noted.get(push.signal) ?? { found: new Map<string, PlacedPointer>(), isWhole: false };
    this.#noted.set(push.signal, noted);
    if (item === undefined) noted.isWhole = true;
    else addPointer(noted.found, item);
  }

  /** Of the updates that are still alive, and perhaps of others. @throws Fault as `newObjects`. */
  async of(push: Push): Promise<readonly PlacedPointer[]> {
    const noted = this.#noted.get(push.signal);
    if (noted?.isWhole === true) return [...noted.found.values()];
    const found = new Map<string, PlacedPointer>();
    for await (const item of newObjects(this.options(push))) addPointer(found, item);
    this.#noted.set(push.signal, { found, isWhole: true });
    return [...found.values()];
  }

  /** Where the new objects of a push are looked for. */
  options(push: Push): NewObjectsOptions {
    const { repository, objectDirectory, brought, requestId, signal, updates } = push;
    const tips = [...new Set(updates.map(({ newOid }) => newOid).filter((oid) => !isZeroOid(oid)))];
    const where = { repository, objectDirectory, brought, requestId, signal, tips };
    return { ...this.#search, ...where, known: 'refs', blobsBelow: BOUNDS.lfsPointerBytesMax };
  }
}

function addPointer(found: Map<string, PlacedPointer>, { kind, oid, path, size, content }: ScanItem): void {
  if (kind !== 'blob' || !mayBePointer(size ?? 0) || !(content instanceof Uint8Array)) return;
  const pointer = parsePointer(content);
  if (pointer === undefined || found.has(oid)) return;
  if (found.size >= BOUNDS.lfsPointersMax) {
    const publicMessage = `a push brings at most ${BOUNDS.lfsPointersMax} LFS pointers: push in parts`;
    throw new Fault('bad-input', 'too many lfs pointers', { publicMessage });
  }
  found.set(oid, { pointer, blob: oid, path });
}
