/** A gitolite site: an account's home with its settings, its conf and its repositories, of which the files are the truth. */
import type { CompiledConf } from '../access/gitolite/compile-conf.ts';
import type { ConfChange } from '../access/gitolite/conf-change.ts';
import type { ConfPolicy } from '../access/gitolite/conf-policy.ts';
import type { ConfRepository } from '../access/gitolite/rule-index.ts';
import type { KeyFiles } from './key-files.ts';
import type { ProgramStarter } from './program-starter.ts';
import type { Rc } from './rc.ts';
import type { Env, Run } from './run.ts';

/** What is in force: the conf as last compiled without a fatal error. */
export interface SiteConf {
  readonly compiled: CompiledConf;
  readonly policy: ConfPolicy;
  /** Grows with each swap. */
  readonly revision: number;
}

/** A repository as its files say: also one that is not there. `groups` from gl-repo-groups. */
export interface SiteRepository extends ConfRepository {
  /** Absolute, ending in `.git`. */
  readonly path: string;
  /** Its update hook is gitolite's. Where it is not, nobody has access: somebody else's hands were in there. */
  readonly isHooked: boolean;
}

export interface Site {
  /** Absolute: HOME of the account. */
  readonly home: string;
  /** What starts the site's own programs. Undefined: this process itself. */
  readonly programs?: ProgramStarter;
  /** Of `keydir`. */
  readonly keyFiles: KeyFiles;
  rc(env: Env): Promise<Rc>;
  /** What is in force; compiled from the files on first use. Where no conf ever compiled: one that allows nothing. */
  conf(rc: Rc): Promise<SiteConf>;
  /** What is in force, without waiting; undefined before the first use. */
  readonly current: SiteConf | undefined;
  /**
   * `gitolite compile`: reads `conf/`, puts it in force, makes the repositories that it names, runs POST_CREATE for them.
   * Runs one after another. @throws `dies` with gitolite's text where the conf is wrong: then what was in force stays.
   */
  compile(run: Run): Promise<void>;
  /** What changed since what follows a compile last came to its end. */
  readonly unpublished?: ConfChange;
  /** @param change `unpublished` before that began. */
  published?(change: ConfChange): void;
  /** From disk, gl-creator, gl-perms and gl-repo-groups with it; small stamps make repeated reads cheap. */
  repository(rc: Rc, name: string): Promise<SiteRepository>;
  /** Every repository on disk, sorted. Remembered; `anew` looks again. */
  physical(rc: Rc, options?: { readonly anew?: boolean }): Promise<readonly string[]>;
}
