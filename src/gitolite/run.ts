/** One invocation on a site: of `gitolite`, of `gitolite-shell`, or a Git request for one of its repositories. */
import type { Readable } from 'node:stream';
import type { ConfChange } from '../access/gitolite/conf-change.ts';
import type { Clock } from '../base/clock.ts';
import type { Rc } from './rc.ts';
import type { Site } from './site.ts';

export type Env = Readonly<Record<string, string>>;

export interface Run {
  readonly site: Site;
  readonly rc: Rc;
  /**
   * What site programs inherit: the caller's environment, with HOME, PATH (binDirectory first), GL_BINDIR, GL_REPO_BASE,
   * GL_ADMIN_BASE, GL_LOGFILE, GL_TID set, and GL_USER, GL_REPO, GL_OPTION_* once they are known.
   */
  readonly env: Env;
  readonly cwd: string;
  readonly stdin: Readable;
  /** Standard output; back-pressure is honoured. */
  print(text: string | Uint8Array): Promise<void>;
  /** Standard error. */
  warn(text: string | Uint8Array): Promise<void>;
  /** What a compile in this run changed: what follows a compile may keep to it. Absent: anything. */
  readonly changed?: ConfChange;
  /** Around each program: what it runs beside (`Push.beside`). Absent: nothing. */
  readonly beside?: <T>(work: () => Promise<T>) => Promise<T>;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** The same run with more in its environment. */
export function withEnv(run: Run, more: Env): Run {
  return { ...run, env: { ...run.env, ...more } };
}

/** GL_USER: who asks, where somebody in particular does. */
export function askerOf(run: Run): string | undefined {
  const user = run.env['GL_USER'];
  return user === undefined || user === '' ? undefined : user;
}
