/** The JSON of the batch API and of `verify` (git-lfs docs/api/batch.md, docs/api/basic-transfers.md). */
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { isJsonObject, type Json } from '../base/json.ts';
import { LFS_OPERATIONS, type LfsOperation } from './grants.ts';
import { parseLfsOid, parseLfsSize, type LfsPointer } from './pointer.ts';

export const LFS_JSON = 'application/vnd.git-lfs+json';

export interface BatchRequest {
  readonly operation: LfsOperation;
  readonly objects: readonly LfsPointer[];
}

/** What is said of one object: links, nothing (an upload of what is here already), or why not. */
export type BatchFate =
  | { readonly kind: 'go' }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'error'; readonly code: number; readonly message: string };

/** Where links lead, and what opens them. */
export interface LinkBase {
  /** `https://git.example/team/api.git/info/lfs`. */
  readonly url: string;
  /** Undefined: nothing is shown (anybody may). */
  readonly authorization: string | undefined;
  /** Milliseconds since 1970; undefined: the link does not expire. */
  readonly expiresAt: number | undefined;
}

export function parseBatch(text: string): Parsed<BatchRequest> {
  const body = parsed(text);
  if (!isJsonObject(body)) return refuse('a batch request is a JSON object');
  const operation = LFS_OPERATIONS.find((each) => each === body['operation']);
  if (operation === undefined) return refuse('the operation of a batch is download or upload');
  const { transfers, hash_algo: hash } = body;
  if (
    transfers !== undefined &&
    !(Array.isArray(transfers) && (transfers.length === 0 || transfers.includes('basic')))
  ) {
    return refuse('only the transfer "basic" is spoken here');
  }
  if (hash !== undefined && hash !== 'sha256') return refuse('only the hash sha256 is known here');
  const objects = body['objects'];
  if (!Array.isArray(objects)) return refuse('a batch request names its objects');
  if (objects.length > BOUNDS.lfsBatchObjectsMax) {
    return refuse(`a batch has at most ${BOUNDS.lfsBatchObjectsMax} objects`);
  }
  const pointers: LfsPointer[] = [];
  for (const object of objects as readonly Json[]) {
    const pointer = pointerOf(object);
    if (pointer === undefined)
      return refuse('an object has an oid (SHA-256, 64 lower-case digits) and a size in bytes');
    pointers.push(pointer);
  }
  return ok({ operation, objects: pointers });
}

/** What `verify` is asked. */
export function parseVerify(text: string): LfsPointer | undefined {
  return pointerOf(parsed(text));
}

export function batchAnswer(
  { operation }: BatchRequest,
  fates: readonly (readonly [LfsPointer, BatchFate])[],
  base: LinkBase,
): Json {
  const link = (href: string): Json => ({
    href,
    ...(base.authorization === undefined ? {} : { header: { Authorization: base.authorization } }),
    ...(base.expiresAt === undefined ? {} : { expires_at: new Date(base.expiresAt).toISOString() }),
  });
  const objects = fates.map(([{ oid, size }, fate]): Json => {
    switch (fate.kind) {
      case 'nothing':
        return { oid, size };
      case 'error':
        return { oid, size, error: { code: fate.code, message: fate.message } };
      case 'go': {
        const href = `${base.url}/objects/${oid}/${size}`;
        const verify = operation === 'upload' ? { verify: link(`${base.url}/verify`) } : {};
        return { oid, size, authenticated: true, actions: { [operation]: link(href), ...verify } };
      }
      default:
        return fate satisfies never;
    }
  });
  return { transfer: 'basic', objects, hash_algo: 'sha256' };
}

function pointerOf(value: unknown): LfsPointer | undefined {
  if (!isJsonObject(value)) return undefined;
  const { oid: text, size: given } = value;
  const oid = typeof text === 'string' ? parseLfsOid(text) : undefined;
  const size = typeof given === 'number' ? parseLfsSize(given) : undefined;
  return oid === undefined || size === undefined ? undefined : { oid, size };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
