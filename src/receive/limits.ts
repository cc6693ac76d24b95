/** What one push may cost, with units. The site's settings give the sizes; the rest has defaults that tests lower. */
import type { RepositoryFacts, SettingValue } from '../repository/repository.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

export interface ReceiveLimits {
  /** One pack as it comes over the wire. */
  readonly packBytesMax: number;
  /** Objects in one pack. */
  readonly packObjectsMax: number;
  /** One object, unpacked. */
  readonly objectBytesMax: number;
  /**
   * One object that git has to hold in memory as a whole: commits, trees, tags, and blobs that come as deltas.
   * Whole blobs over `core.bigFileThreshold` are streamed and do not count.
   */
  readonly heldBytesMax: number;
  /** All objects of one pack together, unpacked. */
  readonly unpackedBytesMax: number;
  /** One path in a tree, and one name in it. */
  readonly pathBytesMax: number;
  readonly nameBytesMax: number;
  /** The whole push. */
  readonly deadlineMs: number;
  /** Silence of a client that has yet to send. */
  readonly idleMs: number;
  /** For how long in all git may wait for the client in a place for work; then others get it until the pack is here. */
  readonly placeWaitsMs: number;
  /** A write that the client does not take. */
  readonly stallMs: number;
  /**
   * Time in which index-pack itself works (not: waits for the client): this much, and more for each MiB received.
   * A thousand zip bombs are cheap to send and slow to inflate; this is what ends them.
   */
  readonly indexMs: number;
  readonly indexMsPerMib: number;
  /** What is read and thrown away of a push that is already refused, so that the client gets to read why. */
  readonly drainBytesMax: number;
  readonly drainMs: number;
  /** Silence on the sideband after which the client is told that work goes on. */
  readonly keepAliveMs: number;
  /** Committed transactions remembered in `<repository>/gatehouse/log/`. */
  readonly logEntriesKept: number;
}

export const DEFAULT_RECEIVE_LIMITS: ReceiveLimits = {
  packBytesMax: 8 * GIB,
  packObjectsMax: 20_000_000,
  objectBytesMax: 2 * GIB,
  heldBytesMax: 512 * MIB,
  unpackedBytesMax: 1024 * GIB,
  pathBytesMax: 4_096,
  nameBytesMax: 255,
  deadlineMs: 2 * 60 * 60_000,
  idleMs: 2 * 60_000,
  placeWaitsMs: 5_000,
  stallMs: 60_000,
  indexMs: 2 * 60_000,
  indexMsPerMib: 1_000,
  drainBytesMax: 1 * GIB,
  drainMs: 60_000,
  keepAliveMs: 5_000,
  logEntriesKept: 64,
};

/** What a repository's git configuration says about pushes, where that counts: git-config(1), `receive.*`. */
export interface ReceiveConfig {
  readonly packBytesMax?: number;
  /** Objects are checked as the house checks them; else only for what would harm who checks them out. */
  readonly isStrict: boolean;
  /** By message in lower case: `error`, `warn`, `ignore`. */
  readonly fsck: ReadonlyMap<string, string>;
  readonly mayDeleteHead: boolean;
}

/** The site's limits, narrowed by the repository's own settings `limits.pack-bytes` and `limits.object-bytes`, or its configuration. */
export function limitsFor(limits: ReceiveLimits, repository: RepositoryFacts, config?: ReceiveConfig): ReceiveLimits {
  const ownMax = Math.min(limits.packBytesMax, config?.packBytesMax ?? limits.packBytesMax);
  const packBytesMax = narrowed(ownMax, repository.settings['limits.pack-bytes']);
  const objectBytesMax = narrowed(limits.objectBytesMax, repository.settings['limits.object-bytes']);
  return { ...limits, packBytesMax, objectBytesMax };
}

function narrowed(limit: number, setting: SettingValue | undefined): number {
  const own = typeof setting === 'string' && /^\d{1,15}$/.test(setting) ? Number(setting) : limit;
  return Math.min(limit, own);
}
