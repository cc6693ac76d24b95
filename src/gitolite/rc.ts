/** The settings of a site, `~/.gitolite.rc`, read without Perl: what they are once read. */
import type { Env } from './run.ts';

/** A Perl value as the file writes it. */
export type RcValue = string | readonly RcValue[] | { readonly [key: string]: RcValue };

export const TRIGGER_POINTS = [
  'INPUT',
  'ACCESS_1',
  'ACCESS_2',
  'PRE_GIT',
  'POST_GIT',
  'PRE_CREATE',
  'POST_CREATE',
  'POST_COMPILE',
] as const;
export type TriggerPoint = (typeof TRIGGER_POINTS)[number];

export interface Rc {
  readonly home: string;
  /** Everything, as `query-rc` shows it: keys of %RC, GL_* and defaults among them. */
  readonly values: { readonly [key: string]: RcValue };
  /** Absolute. GL_REPO_BASE, GL_ADMIN_BASE. */
  readonly repositoryBase: string;
  readonly adminBase: string;
  /** GL_BINDIR: where `gitolite` and `gitolite-shell` lie. */
  readonly binDirectory: string;
  /** LOCAL_CODE, absolute; undefined: none. */
  readonly localCode: string | undefined;
  /** UMASK, default 0o077. */
  readonly umask: number;
  readonly hostname: string | undefined;
  /** GIT_CONFIG_KEYS, split. */
  readonly configKeys: readonly string[];
  readonly safeConfig: ReadonlyMap<string, string>;
  /** $UNSAFE_PATT, where the file gives it another value. */
  readonly unsafeValue: string | undefined;
  /** ROLES. */
  readonly roles: ReadonlySet<string>;
  /** Remote commands that are enabled -> `1`, `ua` (any arguments), or arguments. */
  readonly commands: ReadonlyMap<string, string>;
  /** SYNTACTIC_SUGAR, in order. */
  readonly sugar: readonly string[];
  /** For each point what runs there, in order, each `name args...` (a program) or `Module::function args...` (built in). */
  readonly triggers: ReadonlyMap<TriggerPoint, readonly string[]>;
  /** GROUPLIST_PGM. */
  readonly groupListProgram: string | undefined;
  /** What the file puts into %ENV: site programs find it there. */
  readonly env: Env;
  /** Settings that gitolite knows and we do not act upon, and lines that were not understood: `file:line: what`. */
  readonly notUnderstood: readonly string[];
}

/** Reads the settings of the account `home`, with the file that `G3T_RC` of `env` names over them. Remembers by the files' stamps. */
export type ReadRc = (home: string, env: Env) => Promise<Rc>;
