/** The programs of a gitolite site at the gate's end of the control socket: which of them was called, and by whom. */
import type { Readable, Writable } from 'node:stream';
import { publicMessageOf } from '../base/fault.ts';
import type { Clock } from '../base/clock.ts';
import { runGitolite } from '../gitolite/gitolite.ts';
import type { Env, Run } from '../gitolite/run.ts';
import { DIED_EXIT, exitOf, fatalText } from '../gitolite/words.ts';
import type { Principal } from '../identity/principal.ts';
import { authorizedKeys, type KeyHolder } from './authorized-keys.ts';
import type { DoorWalk } from './door.ts';
import { runSiteShell } from './site-shell.ts';

export interface SiteDoorParts {
  readonly walk: DoorWalk;
  readonly clock: Clock;
  newRun(options: NewRun): Promise<Run>;
  /** @throws `dies` where this is no user's name. */
  shellPrincipal(user: string): Principal;
  /** Who may log in with a key. */
  readonly keyHolder: KeyHolder;
  /** Whether this is the site's account, still where it was. */
  serves(home: string): Promise<boolean>;
}

export interface NewRun {
  readonly env: Env;
  readonly cwd: string;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

/** One call, as it came over the control socket. */
export interface SiteInvocation extends NewRun {
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
    const isFirst = (invocation.env['GL_TID'] ?? '') === '';
    const env = isFirst ? { ...invocation.env, GL_TID: String(invocation.pid) } : invocation.env;
    const call = { ...invocation, env };
    try {
      if (call.program === 'gitolite') return await runGitolite(await this.#parts.newRun(call), call.argv, { isFirst });
      if (call.argv[0] === '--authorized-keys') return await authorizedKeys(call, this.#parts);
      return await runSiteShell(call, { ...this.#parts, isFirst });
    } catch (error) {
      if (invocation.signal.aborted) return DIED_EXIT;
      invocation.stderr.write(fatalText(error) || `FATAL: ${publicMessageOf(error, 'site')}\n`);
      return exitOf(error);
    }
  }
}
