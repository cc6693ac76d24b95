/** Opens the site of an account. What is in force is remembered; everything else is read from the files when it is asked for. */
import { compileConf, type CompiledConf } from '../access/gitolite/compile-conf.ts';
import { bothChanges, EVERYTHING_CHANGED, NOTHING_CHANGED, type ConfChange } from '../access/gitolite/conf-change.ts';
import { ConfPolicy } from '../access/gitolite/conf-policy.ts';
import type { Clock } from '../base/clock.ts';
import { compileSite } from './compile.ts';
import { readInForce } from './in-force.ts';
import { RepositoryFiles } from './disk.ts';
import { KeyFiles } from './key-files.ts';
import { PerlFiles } from './perl-files.ts';
import { PhysicalRepositories } from './physical.ts';
import type { ProgramStarter } from './program-starter.ts';
import type { Rc, ReadRc } from './rc.ts';
import type { Env, Run } from './run.ts';
import type { Site, SiteConf, SiteRepository } from './site.ts';
import { settingsOf, type SiteSources } from './conf-sources.ts';

export interface SiteOptions {
  /** HOME of the account, absolute. */
  readonly home: string;
  readonly readRc: ReadRc;
  readonly clock: Clock;
  readonly programs?: ProgramStarter;
}

export function openSite(options: SiteOptions): Site {
  return new OpenSite(options);
}

class OpenSite implements Site {
  readonly home: string;
  readonly programs?: ProgramStarter;
  readonly keyFiles: KeyFiles;
  readonly #readRc: ReadRc;
  readonly #files: RepositoryFiles;
  readonly #physical: PhysicalRepositories;
  readonly #perlFiles = new PerlFiles();
  #current: SiteConf | undefined;
  /** The conf's directory that `#current` comes from: settings may move it. */
  #from = '';
  /** A gate that starts does not know what was done before. */
  #unpublished = EVERYTHING_CHANGED;
  #loading: Promise<SiteConf> | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ home, readRc, programs, clock }: SiteOptions) {
    this.#files = new RepositoryFiles(clock);
    this.keyFiles = new KeyFiles(clock);
    this.#physical = new PhysicalRepositories(clock);
    this.home = home;
    if (programs !== undefined) this.programs = programs;
    this.#readRc = readRc;
  }

  rc(env: Env): Promise<Rc> {
    return this.#readRc(this.home, env);
  }

  get current(): SiteConf | undefined {
    return this.#current;
  }

  async conf(rc: Rc): Promise<SiteConf> {
    if (this.#current !== undefined && this.#from === rc.adminBase) return this.#current;
    this.#loading ??= this.#load(rc).finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async compile(run: Run): Promise<void> {
    const turn = this.#turn.then(() =>
      compileSite(run, {
        previous: this.#from === run.rc.adminBase ? this.#current?.compiled : undefined,
        putInForce: (compiled, changed) => {
          this.#unpublished = bothChanges(this.#unpublished, changed);
          this.#putInForce(run.rc, compiled);
        },
        noteChange: (changed) => {
          this.#unpublished = bothChanges(this.#unpublished, changed);
        },
        perlFiles: this.#perlFiles,
      }),
    );
    this.#turn = turn.catch(() => {});
    return turn;
  }

  get unpublished(): ConfChange {
    return this.#unpublished;
  }

  published(change: ConfChange): void {
    // What was compiled meanwhile is still to come.
    if (this.#unpublished === change) this.#unpublished = NOTHING_CHANGED;
  }

  repository(rc: Rc, name: string): Promise<SiteRepository> {
    return Promise.resolve(this.#files.read(rc, name));
  }

  physical(rc: Rc, options?: { readonly anew?: boolean }): Promise<readonly string[]> {
    return this.#physical.list(rc, options);
  }

  async #load(rc: Rc): Promise<SiteConf> {
    const sources = readInForce(rc);
    const result = sources === undefined ? undefined : compileConf({ ...sources, folder: 'conf/' });
    return this.#putInForce(rc, result?.kind === 'ok' ? result.compiled : emptyConf(rc));
  }

  #putInForce(rc: Rc, compiled: CompiledConf): SiteConf {
    const revision = (this.#current?.revision ?? 0) + 1;
    this.#current = { compiled, policy: new ConfPolicy(compiled, rc.roles), revision };
    this.#from = rc.adminBase;
    return this.#current;
  }
}

/** Allows nothing. */
function emptyConf(rc: Rc): CompiledConf {
  const sources: SiteSources = { files: new Map([['gitolite.conf', '']]), settings: settingsOf(rc) };
  const result = compileConf(sources);
  if (result.kind === 'wrong') throw new Error('an empty conf does not compile');
  return result.compiled;
}
