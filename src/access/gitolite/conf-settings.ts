/** What a site says about its conf outside of it: the part of gitolite's rc file that decisions depend on. */

/** Rewritings of the conf that a site may switch on, in the order in which they run. */
export const SUGARS = ['continuation-lines', 'keysubdirs-as-groups', 'macros', 'refex-expr'] as const;
export type Sugar = (typeof SUGARS)[number];

export interface ConfSettings {
  /** What `%HOSTNAME` stands for; without one it stays as it is. */
  readonly hostname?: string;
  /** Patterns of the git config keys that `config` lines may set. */
  readonly configKeys: readonly string[];
  /** What `%NAME` in a config value stands for, behind the check of the value. */
  readonly safeConfig: ReadonlyMap<string, string>;
  /** Perl's pattern of what a config value must not hold; without one gitolite's own, `UNSAFE_VALUE`. */
  readonly unsafeValue?: string;
  /** Names that a repository's permissions may give to people. */
  readonly roles: ReadonlySet<string>;
  readonly sugar: readonly Sugar[];
  /** Group -> users, from directories of keys. */
  readonly keyGroups: ReadonlyMap<string, readonly string[]>;
  /** Users get groups from elsewhere: a group that the conf does not declare is no surprise. */
  readonly hasOuterGroups: boolean;
}

export const DEFAULT_SETTINGS: ConfSettings = {
  configKeys: [],
  safeConfig: new Map(),
  roles: new Set(['READERS', 'WRITERS']),
  sugar: [],
  keyGroups: new Map(),
  hasOuterGroups: false,
};
