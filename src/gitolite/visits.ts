/**
 * A Git request for a repository of a site, from its name to its triggers: what `request/walk.ts` asks of the site, in the
 * order in which gitolite-shell does it.
 */
import type { Writable } from 'node:stream';
import { insaneRepository } from '../access/gitolite/words.ts';
import type { GitService } from '../git/service.ts';
import type { Principal } from '../identity/principal.ts';
import { ADMIN_REPOSITORY } from '../repository/lifecycle.ts';
import type { RepositoryName } from '../repository/name.ts';
import type { Repository, RepositoryFacts } from '../repository/repository.ts';
import { warnOfPermissions } from './ask.ts';
import { createWild } from './create-repository.ts';
import { glLog } from './gl-log.ts';
import { withOptions } from './options.ts';
import type { Rc } from './rc.ts';
import { askerOf, withEnv, type Env, type Run } from './run.ts';
import { trigger } from './run-triggers.ts';
import type { Runs } from './runs.ts';
import type { SiteCatalogue } from './site-catalogue.ts';
import { isSiteUser } from './site-users.ts';
import { dies, fatalText, REPOSITORY_WORD } from './words.ts';

/** What a visit needs of a Git request. */
export interface VisitRequest {
  readonly id: string;
  readonly transport: string;
  readonly address: string;
  readonly service: GitService;
  readonly requestedPath: string;
  readonly signal: AbortSignal;
  readonly stderr?: Writable;
  /** The invocation of gitolite-shell that it came by. */
  readonly run?: Run;
}

export interface VisitsParts {
  readonly catalogue: SiteCatalogue;
  readonly runs: Runs;
  /** An invocation for a request of one of the house's own doors. */
  readonly newRun: (request: VisitRequest, env: Env) => Promise<Run>;
  /** Whether the house has a repository of this name, which then is not the site's unless it lies there. */
  readonly isHouses: (name: string) => Promise<boolean>;
}

export class Visits {
  readonly #parts: VisitsParts;

  constructor(parts: VisitsParts) {
    this.#parts = parts;
  }

  /**
   * Undefined: the house answers. A user of the conf gets to nothing but the site.
   * @throws `dies` where what such a user asks for is no name.
   */
  async begin(request: VisitRequest, principal: Principal): Promise<Visit | undefined> {
    const name = nameIn(request.requestedPath);
    const isSiteAsker = isSiteUser(principal);
    const insane = REPOSITORY_WORD.test(name) ? insaneRepository(name) : `invalid repo name: '${name}'`;
    if (insane !== undefined) {
      if (isSiteAsker) throw dies(insane);
      return undefined;
    }
    if (!isSiteAsker && name === ADMIN_REPOSITORY) return undefined;
    const run = await this.#run(request, { name, principal });
    const visit = new Visit({ ...this.#parts, request, run, name, principal });
    await visit.look();
    if (isSiteAsker || visit.repository !== undefined) return visit;
    if (await this.#parts.isHouses(name)) return undefined;
    const { policy } = await run.site.conf(run.rc);
    return policy.governsRepository(visit.facts) ? visit : undefined;
  }

  /** With GL_USER, GL_REPO and the repository's own environment in it. */
  async #run(
    request: VisitRequest,
    { name, principal }: { readonly name: string; readonly principal: Principal },
  ): Promise<Run> {
    const bare = request.run ?? (await this.#parts.newRun(request, originEnv(request, name)));
    const user = principal.kind === 'user' ? principal.name : anonymousUser(bare.rc, request.transport);
    // What is decided is decided by what is in force.
    await bare.site.conf(bare.rc);
    return withOptions(withEnv(bare, { GL_USER: user, GL_REPO: name }), name);
  }
}

interface VisitAbout extends VisitsParts {
  readonly request: VisitRequest;
  readonly run: Run;
  readonly name: string;
  readonly principal: Principal;
}

export class Visit {
  readonly #about: VisitAbout;
  readonly #attempt: 'R' | 'W';
  #run: Run;
  #repository: Repository | undefined;

  constructor(about: VisitAbout) {
    this.#about = about;
    this.#run = about.run;
    this.#attempt = about.request.service === 'receive-pack' ? 'W' : 'R';
  }

  get name(): RepositoryName {
    // Of the site's own alphabet, as `Visits.begin` found.
    return this.#about.name as RepositoryName;
  }

  get repository(): Repository | undefined {
    return this.#repository;
  }

  /** What is asked about: what is there, or what its asker would make. */
  get facts(): RepositoryFacts {
    if (this.#repository !== undefined) return this.#repository;
    const owner = askerOf(this.#run) ?? '';
    return {
      id: '',
      name: this.name,
      owner,
      settings: {},
      conf: { ...this.#outsider, creator: owner, permissions: '', groups: [], roles: this.#run.rc.roles },
    };
  }

  /** Looks at the disk, again where it did before. */
  async look(): Promise<Repository | undefined> {
    const { catalogue, name, run } = this.#about;
    const found = await catalogue.find(name, run.rc);
    if (found === undefined) {
      this.#repository = undefined;
    } else {
      const { hidden, ...repository } = found;
      const other = this.#attempt === 'W' ? 'uploadpack' : 'receive';
      const hiddenRefs = hidden.filter(({ section }) => section !== other).map(({ pattern }) => pattern);
      this.#repository = { ...repository, conf: { ...found.conf, hiddenRefs, ...this.#outsider } };
    }
    return this.#repository;
  }

  /** Makes it for who asks: that they may was decided. */
  async create(): Promise<void> {
    const { name } = this.#about;
    const user = askerOf(this.#run) ?? '';
    await createWild(this.#run, name, user, this.#attempt);
    await glLog(this.#run, 'create', name, user, this.#attempt);
    await this.look();
  }

  /**
   * What was decided, for the triggers that look at it, and may refuse. @param answer gitolite's text
   * @throws `dies`, `ends`
   */
  async decided(answer: string): Promise<void> {
    const args = this.#args(answer);
    const { conf } = this.facts;
    if (conf !== undefined) await warnOfPermissions(this.#run, conf);
    this.#run = await trigger(this.#run, 'ACCESS_1', args);
    if (!answer.includes('DENIED')) await glLog(this.#run, 'pre_git', ...args);
  }

  /** Right before Git. Dispose when Git has ended. @throws `dies`, `ends` */
  async begin(): Promise<Disposable> {
    this.#run = await trigger(this.#run, 'PRE_GIT', this.#args(this.#verb));
    return this.#about.runs.begin(this.#about.request.id, this.#run);
  }

  /** Git has ended well. Nothing can be refused any more: what goes wrong is said. */
  async end(): Promise<void> {
    try {
      this.#run = await trigger(this.#run, 'POST_GIT', this.#args(this.#verb));
      if (this.#about.request.run === undefined) await glLog(this.#run, 'END');
    } catch (error) {
      await this.#run.warn(fatalText(error)).catch(() => {});
    }
  }

  get #verb(): string {
    return `git-${this.#about.request.service}`;
  }

  #args(last: string): readonly string[] {
    return [this.#about.name, askerOf(this.#run) ?? '', this.#attempt, 'any', last];
  }

  get #outsider(): { readonly anonymousUser?: string } {
    const { principal } = this.#about;
    const user = askerOf(this.#run);
    return principal.kind === 'anonymous' && user !== undefined ? { anonymousUser: user } : {};
  }
}

/** A leading `/` or `~/`, a trailing `/` and one `.git` are taken off, as everywhere. */
function nameIn(path: string): string {
  return path
    .replace(/^\/(?:~\/)?/, '')
    .replace(/\/$/, '')
    .replace(/\.git$/, '');
}

function originEnv({ service, address }: VisitRequest, name: string): Env {
  return { SSH_ORIGINAL_COMMAND: `git-${service} '${name}'`, SSH_CONNECTION: `${address} 0 0 0` };
}

/** Who comes without a name: by HTTP whom the settings name, else whom a git daemon acts for. */
export function anonymousUser({ values }: Pick<Rc, 'values'>, transport: string): string {
  const named = values['HTTP_ANON_USER'];
  return transport === 'http' && typeof named === 'string' && named !== '' ? named : 'daemon';
}
