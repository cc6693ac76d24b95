/** The programs of a gitolite site at the gate's end of the control socket: which of them was called, and by whom. */
import { publicMessageOf } from '../base/fault.ts';
import type { Clock } from '../base/clock.ts';
import { runGitolite } from '../gitolite/gitolite.ts';
import type { RunOptions } from '../gitolite/new-run.ts';
import type { Env, Run } from '../gitolite/run.ts';
import { DIED_EXIT, exitOf, fatalText } from '../gitolite/words.ts';
import type { Principal } from '../identity/principal.ts';
import type { Transport } from '../request/request.ts';
import { authorizedKeys, type KeyHolder } from './authorized-keys.ts';
import type { DoorWalk } from './door.ts';
import { runSiteShell } from './site-shell.ts';

/** A command line of the site, for its line in the journal. */
export interface SiteCommandAbout {
  /** Undefined: the account itself. */
  readonly user: string | undefined;
  readonly transport: Transport;
  /** Of the client. */
  readonly address: string;
  readonly argv: readonly string[];
  readonly signal: AbortSignal;
}

/** Runs a command within the walk: admitted, drained, with one line in the journal. The exit code. @throws what it throws. */
export type SiteCommandWalk = (about: SiteCommandAbout, task: () => Promise<number>) => Promise<number>;

export interface SiteDoorParts {
  readonly walk: DoorWalk;
  readonly command: SiteCommandWalk;
  readonly clock: Clock;
  newRun(options: RunOptions): Promise<Run>;
  /** @throws `dies` where this is no user's name. */
  shellPrincipal(user: string): Principal;
  /** Who may log in with a key. */
  readonly keyHolder: KeyHolder;
  /** Whether this is the site's account, still where it was. */
  serves(home: string): Promise<boolean>;
}

/** One call, as it came over the control socket. */
export interface SiteInvocation extends RunOptions {
  readonly program: 'gitolite' | 'gitolite-shell' | 'gatehouse-shell';
  readonly pid: number;
  readonly argv: readonly string[];
}

export class SiteDoor {
  readonly #parts: SiteDoorParts;

  constructor(parts: SiteDoorParts) {
    this.#parts = parts;
  }

  serves(home: string): Promise<boolean> {
    return this.#parts.serves(home);
  }

  /** The exit code. Never throws: what goes wrong is said on standard error. */
  async invoke(invocation: SiteInvocation): Promise<number> {
    // The first process of a chain gives the chain its number in the log, and closes its account there.
    const told = invocation.program === 'gitolite' ? invocation.env : withoutClients(invocation.env);
    const isFirst = (told['GL_TID'] ?? '') === '';
    const env = isFirst ? { ...told, GL_TID: String(invocation.pid) } : told;
    const call = { ...invocation, env };
    try {
      if (call.program === 'gitolite') return await this.#gitolite(call, isFirst);
      if (call.argv[0] === '--authorized-keys') return await authorizedKeys(call, this.#parts);
      return await runSiteShell(call, { ...this.#parts, isFirst });
    } catch (error) {
      if (invocation.signal.aborted) return DIED_EXIT;
      invocation.stderr.write(fatalText(error) || `FATAL: ${publicMessageOf(error, 'site')}\n`);
      return exitOf(error);
    }
  }

  /** What a command or a trigger of the site calls is part of what that does, and has no line of its own. */
  async #gitolite(call: SiteInvocation, isFirst: boolean): Promise<number> {
    const { argv, signal } = call;
    const run = await this.#parts.newRun(call);
    const task = (): Promise<number> => runGitolite(run, argv, { isFirst });
    if (!isFirst) return task();
    return this.#parts.command({ user: undefined, transport: 'local', address: 'local', argv, signal }, task);
  }
}

/**
 * Without what a client may have set and what would steer us or git: sshd hands over what it accepts of a client's
 * environment, a web server each header as a variable, `Proxy` as HTTP_PROXY. Test harnesses are no clients.
 */
function withoutClients(env: Env): Env {
  if ('G3T_USER' in env) return env;
  return Object.fromEntries(Object.entries(env).filter(([name]) => !STEERING.test(name) || TELLING.test(name)));
}

const STEERING = /^(?:GL_|G3T_|GIT_|HTTP_PROXY$)/;
const TELLING = /^GIT_(?:PROTOCOL$|PROJECT_ROOT$|HTTP_EXPORT_ALL$|AUTHOR_|COMMITTER_)/;
