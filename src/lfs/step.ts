/**
 * The step that keeps pointers honest: an LFS pointer that a push brings names an object that came through this gate and
 * passed the secret scan. On its way upstream, the objects go before the pointers.
 */
import { createReadStream } from 'node:fs';
import { Fault } from '../base/fault.ts';
import { isZeroOid } from '../git/oid.ts';
import { oidsBrought } from '../receive/new-objects.ts';
import type { Push, RefUpdate, Step, Verdict } from '../receive/step.ts';
import type { LfsObjects } from './objects.ts';
import type { PlacedPointer, PushPointers } from './pointers-of-push.ts';
import type { LfsOid, LfsPointer } from './pointer.ts';
import type { LfsUpstreams, Outgoing } from './upstreams.ts';

export interface LfsStepParts {
  readonly objects: LfsObjects;
  readonly pointers: PushPointers;
  readonly upstreams: LfsUpstreams;
}

/** Refs that each bad pointer is asked of; of more, each is held to bring all. */
const ASKED_REFS_MAX = 16;

export function createLfsStep(parts: LfsStepParts): Step {
  return {
    name: 'lfs',
    check: (push) => check(parts, push),
    async forward(push) {
      await forward(parts, push);
      // The push itself goes with the next step.
      return undefined;
    },
    sharesTurn: ({ id }) => !parts.upstreams.isMirror(id),
  };
}

async function check({ objects, pointers, upstreams }: LfsStepParts, push: Push): Promise<readonly Verdict[]> {
  const { repository, principal, signal } = push;
  const bringing = push.updates.filter(({ newOid }) => !isZeroOid(newOid));
  if (bringing.length === 0 || push.objectDirectory === undefined) return [];
  // Where nobody ever used LFS through this gate, a pointer leads somewhere else (.lfsconfig).
  if (!upstreams.isMirror(repository.id) && !(await objects.isUsed(repository.id))) return [];
  const found = await pointersOf(pointers, push);
  if ('refusal' in found) return bringing.map(({ refname }) => ({ refname, reason: found.refusal }));
  const pushers =
    principal.kind === 'anonymous' ? [] : [principal.name, ...(principal.asking ? [principal.asking.name] : [])];
  const asked = new Map<string, Promise<string | undefined>>();
  const wrong = new Map<string, string>();
  for (const { pointer, blob, path } of found.placed) {
    const key = `${pointer.oid} ${pointer.size}`;
    const name = printable(path === '' ? `blob ${blob.slice(0, 8)}` : path);
    const asking = asked.get(key) ?? objects.bringRefusal({ repository, pointer, name, pushers, signal });
    asked.set(key, asking);
    const reason = await asking;
    if (reason !== undefined) wrong.set(blob, reason);
  }
  return wrong.size === 0 ? [] : verdictsOf(pointers, push, { bringing, wrong });
}

async function pointersOf(
  pointers: PushPointers,
  push: Push,
): Promise<{ readonly placed: readonly PlacedPointer[] } | { readonly refusal: string }> {
  try {
    return { placed: await pointers.of(push) };
  } catch (error) {
    if (error instanceof Fault && error.code === 'bad-input' && error.publicMessage !== undefined) {
      return { refusal: error.publicMessage };
    }
    throw error;
  }
}

async function verdictsOf(
  pointers: PushPointers,
  push: Push,
  { bringing, wrong }: { readonly bringing: readonly RefUpdate[]; readonly wrong: ReadonlyMap<string, string> },
): Promise<readonly Verdict[]> {
  const all = [...wrong.values()];
  for (const reason of all.slice(0, SHOWN_MAX)) push.tell(`gatehouse: ${reason}\n`);
  if (all.length > SHOWN_MAX) push.tell(`gatehouse: and ${all.length - SHOWN_MAX} more LFS objects\n`);
  const verdicts: Verdict[] = [];
  for (const update of bringing) {
    const own =
      bringing.length > ASKED_REFS_MAX || bringing.length === 1
        ? all
        : await broughtBy(pointers, push, { update, wrong });
    const [first] = own;
    if (first === undefined) continue;
    const more = own.length > 1 ? ` (and ${own.length - 1} more)` : '';
    verdicts.push({ refname: update.refname, reason: `${first}${more}`, rule: 'lfs' });
  }
  return verdicts;
}

const SHOWN_MAX = 10;

async function broughtBy(
  pointers: PushPointers,
  push: Push,
  { update, wrong }: { readonly update: RefUpdate; readonly wrong: ReadonlyMap<string, string> },
): Promise<readonly string[]> {
  const brought = await oidsBrought({ ...pointers.options(push), tips: [update.newOid] }, new Set(wrong.keys()));
  return [...wrong].filter(([blob]) => brought.has(blob)).map(([, reason]) => reason);
}

/** @throws Fault `upstream` where the upstream does not take them: then it does not get the push either. */
async function forward({ objects, pointers, upstreams }: LfsStepParts, push: Push): Promise<void> {
  const { repository, requestId, signal } = push;
  if (push.objectDirectory === undefined || !upstreams.isMirror(repository.id)) return;
  const found = await pointers.of(push);
  if (found.length === 0) return;
  // Only what the updates bring that are still alive: the rest was refused, and goes nowhere.
  const brought = await oidsBrought(pointers.options(push), new Set(found.map(({ blob }) => blob)));
  const byOid = new Map<LfsOid, LfsPointer>();
  for (const { pointer, blob } of found) {
    if (pointer.size > 0 && brought.has(blob)) byOid.set(pointer.oid, pointer);
  }
  const outgoing: Outgoing[] = [];
  for (const pointer of byOid.values()) {
    if ((await objects.find(repository.id, pointer.oid))?.size !== pointer.size) continue;
    outgoing.push({ pointer, content: () => bytesOf(objects.path(repository.id, pointer.oid)) });
  }
  if (outgoing.length > 0) await upstreams.upload(repository, outgoing, { requestId, signal });
}

async function* bytesOf(path: string): AsyncGenerator<Uint8Array> {
  const stream: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 256 * 1024 });
  yield* stream;
}

/** A path of the pusher's own choice, in one line of a report. */
function printable(path: string): string {
  const clean = path.replaceAll(/[^\x20-\x7e]/g, '?');
  return clean.length > 200 ? `${clean.slice(0, 200)}...` : clean;
}
