/**
 * What bounds of memory leave to this process: of its own cgroup (version 2) and of each around it, as a container has one
 * around its service, and a slice around its containers. The nearest bound counts.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface BoundMemory {
  /** The smallest bound, in bytes. */
  readonly bytes: number;
  /** What the fullest of the bounded ones has left, in bytes; not below 0. */
  readonly freeBytes: number;
}

const ROOT = '/sys/fs/cgroup';
/** More levels than any system nests; what lies above is not looked at. */
const LEVELS_MAX = 32;

/** Undefined: no bound, or no cgroup of version 2. */
export async function ownGroupMemory(): Promise<BoundMemory | undefined> {
  const path = /^0::(\/.*)$/m.exec(await textOf('/proc/self/cgroup'))?.[1];
  return path === undefined ? undefined : groupMemory(ROOT, path);
}

/**
 * @param root where the hierarchy is mounted
 * @param path of the group below it, as in `/proc/self/cgroup`. Where it is not there, as in a container that sees only its
 * own part, what is there of those around it is looked at.
 */
export async function groupMemory(root: string, path: string): Promise<BoundMemory | undefined> {
  const levels = await Promise.all(groupsAround(path).map((group) => levelMemory(join(root, group))));
  const bounded = levels.filter((level) => level !== undefined);
  if (bounded.length === 0) return undefined;
  return {
    bytes: Math.min(...bounded.map(({ bytes }) => bytes)),
    freeBytes: Math.min(...bounded.map(({ freeBytes }) => freeBytes)),
  };
}

/** `/a/b` lies in `/a`, and that in the root, which a container sees its own group as. */
function groupsAround(path: string): readonly string[] {
  const names = path.split('/').filter((name) => name !== '');
  // A process that was moved out of what it can see.
  if (names.includes('..')) return [''];
  const depths = Array.from({ length: Math.min(names.length + 1, LEVELS_MAX) }, (_, above) => names.length - above);
  return depths.map((depth) => names.slice(0, depth).join('/'));
}

/** Undefined where this group has no bound of its own. cgroup-v2, "Memory Interface Files". */
async function levelMemory(directory: string): Promise<BoundMemory | undefined> {
  // Beyond `high` everything in the group is slowed down until nothing moves: it is a bound like `max`.
  const [max, high] = await Promise.all(['max', 'high'].map((name) => textOf(join(directory, `memory.${name}`))));
  const bytes = Math.min(...[max, high].map((text) => countOf(text) ?? Infinity));
  if (bytes === Infinity) return undefined;
  const [current, stat = ''] = await Promise.all(
    ['current', 'stat'].map((name) => textOf(join(directory, `memory.${name}`))),
  );
  const used = countOf(current);
  if (used === undefined) return undefined;
  return { bytes, freeBytes: Math.max(0, bytes - Math.max(0, used - droppableBytes(stat))) };
}

/** Undefined for `max` and for what is not there. */
function countOf(text = ''): number | undefined {
  const count = Number.parseInt(text, 10);
  return Number.isSafeInteger(count) ? count : undefined;
}

/**
 * What the kernel gives up before it runs out (cgroup-v2, "memory.stat"): pages of files, those in use too, and its own
 * caches. A gate that reads packs fills its cgroup with them to the bound; that is no shortage.
 */
export function droppableBytes(stat: string): number {
  let bytes = 0;
  for (const [, count] of stat.matchAll(/^(?:active_file|inactive_file|slab_reclaimable) (\d+)$/gm))
    bytes += Number(count);
  return bytes;
}

/** Empty where there is no such file: another system has none. */
async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return '';
  }
}
