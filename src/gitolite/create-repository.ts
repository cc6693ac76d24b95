/** New repositories: those that the conf names, and those that users make. */
import { chmodSync, realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Turns } from '../repository/turns.ts';
import { CREATOR_FILE, repositoryPath, SENTINEL_FILE, statOf, writeText } from './disk.ts';
import { ADMIN_REPOSITORY, hookLinks, hookRepository, makeDirectory, resetHooks, type HookLinks } from './hooks.ts';
import { runProgram } from './programs.ts';
import type { Rc, TriggerPoint } from './rc.ts';
import { trigger } from './run-triggers.ts';
import { type Run } from './run.ts';
import type { Site } from './site.ts';
import { SkeletonMaker } from './skeleton-maker.ts';
import { Skeleton, type NewRepository } from './skeleton.ts';
import { dies, ends } from './words.ts';

/** Before what is written about them. */
const AT_ONCE = 512;
/** So many new ones are worth a process that has them written. */
const SYNCED_AHEAD = 2_048;

export interface ToCreate {
  readonly name: string;
  /** See `NewRepository`. */
  readonly sentinel: string | undefined;
}

/** Repositories for the conf: git makes the first one, and the others are made like it. */
export class Creation implements AsyncDisposable {
  readonly #run: Run;
  #links: HookLinks | undefined;
  /** Undefined: none is known yet; `none`: git makes each. */
  #skeleton: Skeleton | 'none' | undefined;
  #maker: SkeletonMaker | undefined;
  /** Directory -> what it is called in messages. */
  readonly #realPaths = new Map<string, string>();
  #syncing: Promise<void> | undefined;
  /** How many were made when that began. */
  #syncedAhead = 0;
  readonly made: string[] = [];

  constructor(run: Run) {
    this.#run = run;
  }

  /** How many may be made next: those that programs have a part in are made one after another. */
  get atOnce(): number {
    return this.#skeleton instanceof Skeleton && isIdle(this.#run.rc, 'PRE_CREATE') ? AT_ONCE : 1;
  }

  /**
   * PRE_CREATE, the repositories, their hooks; of those that are there, the hooks. Last the sentinel: then it is set up.
   * POST_CREATE comes when the conf is in force.
   * @param meanwhile called where another thread is at work, which it does not wait for.
   */
  async createNamed(some: readonly ToCreate[], meanwhile: () => void): Promise<void> {
    const run = this.#run;
    const likeFirst: NewRepository[] = [];
    for (const { name, sentinel } of some) {
      const path = repositoryPath(run.rc, name);
      const isThere = statOf(path) !== undefined;
      if (isThere && statOf(`${path}/HEAD`) !== undefined) {
        this.#links ??= hookLinks(run.rc);
        hookRepository(run.rc, name, this.#links);
      } else {
        if (!isIdle(run.rc, 'PRE_CREATE')) await trigger(run, 'PRE_CREATE', [name]);
        this.made.push(name);
        if (this.#skeleton instanceof Skeleton && !isThere) {
          likeFirst.push({ path, sentinel });
          continue;
        }
        await this.#createFirst(name);
      }
      if (sentinel !== undefined) writeText(`${path}/${SENTINEL_FILE}`, sentinel, run.rc);
    }
    await this.#createLikeFirst(likeFirst, meanwhile);
  }

  /** Or another one that needs git: its making was cut short. */
  async #createFirst(name: string): Promise<void> {
    await makeRepository(this.#run, name);
    // It has more hooks than others.
    if (name !== ADMIN_REPOSITORY) this.#skeleton ??= Skeleton.of(repositoryPath(this.#run.rc, name)) ?? 'none';
  }

  async #createLikeFirst(repositories: readonly NewRepository[], meanwhile: () => void): Promise<void> {
    const run = this.#run;
    const skeleton = this.#skeleton;
    if (!(skeleton instanceof Skeleton) || repositories.length === 0) return;
    this.#maker ??= new SkeletonMaker(skeleton);
    await this.#maker.make(repositories, run.rc, meanwhile);
    const said = repositories.map(({ path }) => `Initialized empty Git repository in ${this.#realPath(path)}/\n`);
    this.#syncAhead();
    await run.warn(said.join(''));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#syncing;
    await this.#maker?.[Symbol.asyncDispose]();
  }

  #realPath(path: string): string {
    const folder = dirname(path);
    const known = this.#realPaths.get(folder) ?? realpathSync(folder);
    this.#realPaths.set(folder, known);
    return `${known}/${basename(path)}`;
  }

  /** All of them are on disk, at the price of a few processes instead of a sync for each file. */
  async settle(): Promise<void> {
    await this.#syncing;
    if (this.made.length > 0) await this.#sync();
  }

  /** The disk writes what is there while the others are made: then there is little to wait for at the end. */
  #syncAhead(): void {
    if (this.#syncing !== undefined || this.made.length < this.#syncedAhead + SYNCED_AHEAD) return;
    this.#syncedAhead = this.made.length;
    const forget = (): void => {
      this.#syncing = undefined;
    };
    // What goes wrong goes wrong again at the end, and is told there.
    this.#syncing = this.#sync().then(forget, forget);
  }

  async #sync(): Promise<void> {
    const { repositoryBase } = this.#run.rc;
    const file = ['/bin/sync', '/usr/bin/sync'].find((path) => statOf(path)?.isFile() === true);
    const sync = { args: ['-f', repositoryBase], cwd: repositoryBase, stdout: 'collect' } as const;
    if (file !== undefined) await runProgram(this.#run, { ...sync, file });
  }
}

/** Nothing is to run there: with thousands of repositories even looking costs. */
export function isIdle(rc: Rc, point: TriggerPoint): boolean {
  const lines = rc.values[point];
  return lines === undefined || (Array.isArray(lines) && lines.length === 0);
}

/**
 * For a user: with PRE_CREATE, the creator's name, POST_CREATE. @param attempt what the user did: R, W, perms-c, fork ...
 * @throws `dies` for a group's name: its rules are those of its members, and nobody could reach what was made of it.
 */
export async function createWild(run: Run, name: string, user: string, attempt: string): Promise<void> {
  if (name.startsWith('@')) throw dies(`'${name}' is a group's name, no repository's`);
  await inCreation(run, name, async () => {
    // Somebody else was first: it is theirs, and must not become ours.
    if (statOf(repositoryPath(run.rc, name)) !== undefined) return;
    await trigger(run, 'PRE_CREATE', [name, user, attempt]);
    // Before the hooks: until those are linked nobody has access, so a repository without its creator never opens.
    await makeRepository(run, name, (path) => {
      writeText(`${path}/${CREATOR_FILE}`, user, run.rc);
    });
    await trigger(run, 'POST_CREATE', [name, user, attempt]);
  });
}

/** What comes to lie under a name does so in turn: one that is half made looks like a place that is free. */
export function inCreation<T>(run: Run, name: string, task: () => Promise<T>): Promise<T> {
  const turns = creations.get(run.site) ?? new Turns();
  creations.set(run.site, turns);
  return turns.run(repositoryPath(run.rc, name), task);
}

/** What is being made on each site. */
const creations = new WeakMap<Site, Turns>();

/** Git makes it, with the account's own configuration: its templates and its name of the first branch count. */
export async function makeRepository(run: Run, name: string, look: (path: string) => void = () => {}): Promise<void> {
  const { rc } = run;
  const path = repositoryPath(rc, name);
  makeDirectory(path, rc);
  const { code } = await runProgram(withoutGitEnv(run), {
    file: 'git',
    args: ['init', '--bare'],
    cwd: path,
    stdout: 'stderr',
  });
  if (code !== 0) throw ends(code);
  look(path);
  if (statOf(`${rc.adminBase}/hooks/common/update`) === undefined) resetHooks(rc);
  hookRepository(rc, name);
  chmodSync(path, 0o777 & ~rc.umask);
}

const GIT_PLACES =
  /^GIT_(?:DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|QUARANTINE_PATH|PREFIX|COMMON_DIR|NAMESPACE)$/;

/** For a git about another repository than the one whose hook called us. */
export function withoutGitEnv(run: Run): Run {
  return { ...run, env: Object.fromEntries(Object.entries(run.env).filter(([name]) => !GIT_PLACES.test(name))) };
}
