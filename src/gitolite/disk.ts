/** What a site keeps in each repository: who made it, whom it lets in, which groups it is in. The files are the truth. */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { insaneRepository } from '../access/gitolite/words.ts';
import type { Clock } from '../base/clock.ts';
import type { Rc } from './rc.ts';
import type { SiteRepository } from './site.ts';
import { dies, REPOSITORY_WORD } from './words.ts';

export const CREATOR_FILE = 'gl-creator';
export const PERMISSIONS_FILE = 'gl-perms';
export const GROUPS_FILE = 'gl-repo-groups';
/** Lies in a repository that is set up: hooked, and named by the conf as it is in force. */
export const SENTINEL_FILE = 'gl-conf';

const FILES = [CREATOR_FILE, PERMISSIONS_FILE, GROUPS_FILE] as const;
/** Of such a file. */
export const FILE_BYTES_MAX = 1024 * 1024;
/** Of a file with a line for each repository or key of the site. */
export const LIST_BYTES_MAX = 256 * 1024 * 1024;
/** Repositories whose files are remembered. */
const KNOWN_MAX = 50_000;
/** A file system's clock may tick this slowly: what changed so lately can change again without a trace. */
const RACY_MS = 1_100;

export function repositoryPath({ repositoryBase }: Pick<Rc, 'repositoryBase'>, name: string): string {
  return `${repositoryBase}/${name}.git`;
}

export function updateHookPath({ adminBase }: Pick<Rc, 'adminBase'>): string {
  return `${adminBase}/hooks/common/update`;
}

/** A name that may be looked for on disk: no pattern, no group, nothing that leads elsewhere. */
export function isDiskName(name: string): boolean {
  return REPOSITORY_WORD.test(name) && !name.startsWith('@') && insaneRepository(name) === undefined;
}

/** Remembers each repository's files by their stamps, so that reading again costs a few `stat`s. */
export class RepositoryFiles {
  readonly #known = new Map<string, Known>();
  readonly #clock: Pick<Clock, 'now'>;

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
  }

  read(rc: Rc, name: string): SiteRepository {
    const path = repositoryPath(rc, name);
    const missing = { name, path, exists: false, isHooked: false, creator: '', permissions: '', roles: rc.roles };
    if (!isDiskName(name)) return missing;
    const directory = statOf(path);
    if (directory?.isDirectory() !== true) return missing;
    const known = this.#known.get(path);
    const facts = known !== undefined && isUnchanged(known, path, directory) ? known : this.#look(path, directory);
    const { creator, permissions, groups, hook } = facts;
    return {
      name,
      path,
      exists: true,
      isHooked: hook === updateHookPath(rc),
      creator,
      permissions,
      groups,
      roles: rc.roles,
    };
  }

  #look(path: string, directory: Stats): Known {
    const now = this.#clock.now();
    const stamps = FILES.map((file) => statOf(`${path}/${file}`));
    const [creator = '', permissions = '', groups = ''] = FILES.map((file, i) =>
      stamps[i] === undefined ? '' : textOf(`${path}/${file}`),
    );
    const hookStamp = linkStatOf(`${path}/hooks/update`);
    const known: Known = {
      directory,
      stamps,
      hookStamp,
      hook: hookStamp?.isSymbolicLink() === true ? targetOf(`${path}/hooks/update`) : undefined,
      creator: creator.replace(/\n$/, ''),
      permissions,
      groups: groups.split(/[ \t\n\r\f]+/).filter((group) => group !== ''),
    };
    if ([directory, hookStamp, ...stamps].some((stamp) => stamp !== undefined && isRacy(stamp, now))) {
      this.#known.delete(path);
    } else {
      if (this.#known.size >= KNOWN_MAX) this.#known.clear();
      this.#known.set(path, known);
    }
    return known;
  }
}

interface Known {
  readonly directory: Stats;
  /** Of `FILES`; undefined: not there. */
  readonly stamps: readonly (Stats | undefined)[];
  readonly hookStamp: Stats | undefined;
  readonly hook: string | undefined;
  readonly creator: string;
  readonly permissions: string;
  readonly groups: readonly string[];
}

/** Files that were not there are not looked for: the directory would have changed. */
function isUnchanged(known: Known, path: string, directory: Stats): boolean {
  if (!isSame(known.directory, directory)) return false;
  if (!isSame(known.hookStamp, linkStatOf(`${path}/hooks/update`))) return false;
  return FILES.every((file, i) => known.stamps[i] === undefined || isSame(known.stamps[i], statOf(`${path}/${file}`)));
}

function isSame(a: Stats | undefined, b: Stats | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.ino === b.ino && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs && a.size === b.size;
}

function isRacy({ mtimeMs, ctimeMs }: Stats, now: number): boolean {
  return Math.max(mtimeMs, ctimeMs) > now - RACY_MS;
}

/** The text of a small file of the site's; empty where it is not there. @throws `dies` where it is too large to be one. */
export function textOf(path: string, bytesMax = FILE_BYTES_MAX): string {
  const stat = statOf(path);
  if (stat?.isFile() !== true) return '';
  if (stat.size > bytesMax) throw dies(`'${path}' is too large`);
  return readFileSync(path, 'utf8');
}

export interface WriteOptions {
  readonly umask: number;
  /** Before the umask. Default 0o666. */
  readonly mode?: number;
  /** It is on disk, and not only its name, before the old one is gone. */
  readonly isSynced?: boolean;
}

/** Replaces the file whole, as gitolite does: a file that was there keeps its mode. */
export function writeText(path: string, text: string, { umask, mode = 0o666, isSynced = false }: WriteOptions): void {
  const old = statOf(path);
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(temporary, text, { flag: 'wx', mode: 0o600, flush: isSynced });
    chmodSync(temporary, old === undefined ? mode & ~umask : old.mode & 0o7777);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

export function statOf(path: string): Stats | undefined {
  return quietly(() => statSync(path, { throwIfNoEntry: false }));
}

export function linkStatOf(path: string): Stats | undefined {
  return quietly(() => lstatSync(path, { throwIfNoEntry: false }));
}

export function targetOf(path: string): string | undefined {
  return quietly(() => readlinkSync(path));
}

/** What cannot be looked at is not there. */
function quietly<T>(look: () => T | undefined): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
