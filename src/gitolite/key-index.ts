/**
 * Whose key it is: the keys of a site's `keydir` by fingerprint. Folders are looked at again after each compile and once in
 * a while, and only files that
 * changed are read again (key-files.ts).
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { KeyFiles } from './key-files.ts';
import type { Rc } from './rc.ts';
import { userOfKeyFile } from './site-keys.ts';
import { isAbsent } from './small-file.ts';
import { USER_WORD } from './words.ts';

export interface HeldKey {
  readonly user: string;
  /** `ssh-ed25519 AAAA...`. */
  readonly line: string;
}

export interface KeyIndexParts {
  readonly rc: () => Promise<Pick<Rc, 'adminBase'>>;
  readonly files: KeyFiles;
  /** Another number after each compile. */
  readonly revision: () => number;
  readonly clock: Clock;
}

const LOOK_AGAIN_MS = 1_000;
const FILES_MAX = 200_000;
const DEPTH_MAX = 40;

export class KeyIndex {
  readonly #parts: KeyIndexParts;
  #byFingerprint: ReadonlyMap<string, HeldKey> = new Map();
  /** Folder -> when a name in it changed last. */
  #folders = new Map<string, string>();
  #looked: { readonly revision: number; readonly atMs: number } | undefined;
  #looking: Promise<void> | undefined;

  constructor(parts: KeyIndexParts) {
    this.#parts = parts;
  }

  /** @param fingerprint as ssh-keygen prints it: `SHA256:...` */
  async holder(fingerprint: string): Promise<HeldKey | undefined> {
    if (!this.#isFresh()) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
      await this.#looking;
    }
    return this.#byFingerprint.get(fingerprint);
  }

  #isFresh(): boolean {
    const { revision, clock } = this.#parts;
    if (this.#looked?.revision !== revision()) return false;
    return clock.monotonicMs() - this.#looked.atMs < LOOK_AGAIN_MS;
  }

  async #look(): Promise<void> {
    const { revision, clock } = this.#parts;
    const looked = { revision: revision(), atMs: clock.monotonicMs() };
    const { adminBase } = await this.#parts.rc();
    const isCompiled = this.#looked?.revision !== looked.revision;
    if (isCompiled || (await this.#haveFoldersChanged())) await this.#read(join(adminBase, 'keydir'));
    this.#looked = looked;
  }

  async #haveFoldersChanged(): Promise<boolean> {
    for (const [folder, stamp] of this.#folders) if ((await stampOf(folder)) !== stamp) return true;
    return false;
  }

  /** The first file of a key has it, in the order of paths, as in authorized_keys. */
  async #read(top: string): Promise<void> {
    const folders = new Map<string, string>();
    const paths: string[] = [];
    await this.#walk(top, { folders, paths, depth: 0 });
    const byFingerprint = new Map<string, HeldKey>();
    for (const [path, { fingerprint, key }] of await this.#parts.files.read(paths.sort())) {
      const user = userOfKeyFile(path);
      if (fingerprint === undefined || key === undefined || !USER_WORD.test(user)) continue;
      if (!byFingerprint.has(fingerprint)) byFingerprint.set(fingerprint, { user, line: key });
    }
    this.#byFingerprint = byFingerprint;
    this.#folders = folders;
  }

  async #walk(
    folder: string,
    found: { readonly folders: Map<string, string>; readonly paths: string[]; readonly depth: number },
  ): Promise<void> {
    const { folders, paths, depth } = found;
    // Before its names: what comes while they are read shows as a change next time.
    folders.set(folder, await stampOf(folder));
    const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      if (isAbsent(error)) return [];
      throw error;
    });
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && depth < DEPTH_MAX) await this.#walk(path, { ...found, depth: depth + 1 });
      else if (entry.isFile() && entry.name.endsWith('.pub') && paths.length < FILES_MAX) paths.push(path);
    }
  }
}

async function stampOf(path: string): Promise<string> {
  try {
    const { mtimeNs, ctimeNs, size, ino } = await stat(path, { bigint: true });
    return `${mtimeNs} ${ctimeNs} ${size} ${ino}`;
  } catch (error) {
    if (isAbsent(error)) return '';
    throw error;
  }
}
