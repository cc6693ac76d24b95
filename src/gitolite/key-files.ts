/** The keys of a site's `keydir`, a file a key: what each file holds, remembered by its stamp. Only what changed is read again. */
import { closeSync, fstatSync, lstatSync, openSync, readSync, type BigIntStats } from 'node:fs';
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Stint } from '../base/stint.ts';
import { fingerprintOfBlob, keyIn } from './site-keys.ts';
import { isAbsent } from './small-file.ts';

export interface KeyFile {
  /** Of the first key; undefined: there is none. */
  readonly fingerprint: string | undefined;
  /** `ssh-ed25519 AAAA...`: the first key. */
  readonly key: string | undefined;
  /** All of the text, where that is one line; without its end. */
  readonly soleLine: string | undefined;
}

interface Known {
  readonly stamp: string;
  readonly file: KeyFile;
}

/** A file system's clock may tick this slowly: what changed so lately can change again without a trace. */
const RACY_NS = 1_100_000_000n;
const NS_PER_MS = 1_000_000n;

export class KeyFiles {
  readonly #clock: Pick<Clock, 'now' | 'monotonicMs'>;
  #known: ReadonlyMap<string, Known> = new Map();

  constructor(clock: Pick<Clock, 'now' | 'monotonicMs'>) {
    this.#clock = clock;
  }

  /**
   * By path, in the order given; without those that are gone. What is not asked for is forgotten.
   * @param paths absolute
   */
  async read(paths: readonly string[]): Promise<ReadonlyMap<string, KeyFile>> {
    const earlier = this.#known;
    const found = new Map<string, KeyFile>();
    const kept = new Map<string, Known>();
    const stint = new Stint(this.#clock);
    for (const path of paths) {
      const now = BigInt(Math.floor(this.#clock.now())) * NS_PER_MS;
      const stat = lookAt(path);
      const stamp = stat && stampOf(stat);
      const known = earlier.get(path);
      const file = known !== undefined && known.stamp === stamp ? known.file : readKeyFile(path);
      if (stat === undefined || stamp === undefined || file === undefined) continue;
      found.set(path, file);
      if (!isRacy(stat, now)) kept.set(path, { stamp, file });
      if (stint.isOver) await stint.rest();
    }
    this.#known = kept;
    return found;
  }
}

/** Undefined: there is no file of that name. */
function lookAt(path: string): BigIntStats | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stat?.isFile() === true ? stat : undefined;
}

function stampOf({ mtimeNs, ctimeNs, size, ino }: BigIntStats): string {
  return `${mtimeNs} ${ctimeNs} ${size} ${ino}`;
}

function isRacy({ mtimeNs, ctimeNs }: BigIntStats, now: bigint): boolean {
  return mtimeNs > now - RACY_NS || ctimeNs > now - RACY_NS;
}

function readKeyFile(path: string): KeyFile | undefined {
  const start = readStart(path);
  if (start === undefined) return undefined;
  const { text, isWhole } = start;
  const found = keyIn(text);
  const line = text.replace(/\n$/, '');
  const isSole = isWhole && text !== '' && !line.includes('\n');
  return {
    fingerprint: found && fingerprintOfBlob(Buffer.from(found.encoded, 'base64')),
    key: found && `${found.type} ${found.encoded}`,
    soleLine: isSole ? line : undefined,
  };
}

/** As much as a key needs. */
function readStart(path: string): { readonly text: string; readonly isWhole: boolean } | undefined {
  try {
    const file = openSync(path, 'r');
    try {
      const bytes = Buffer.allocUnsafe(Math.min(fstatSync(file).size, BOUNDS.siteNoteBytesMax) + 1);
      const size = readSync(file, bytes);
      return { text: bytes.toString('utf8', 0, size), isWhole: size < bytes.length };
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
