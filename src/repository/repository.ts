/** A repository as the rest of the house sees it. */
import type { ObjectFormat } from '../git/oid.ts';
import type { RepositoryName } from './name.ts';

/** A setting's value: one string, or a list of them (`readers`, `writers`, `guests`). */
export type SettingValue = string | readonly string[];

/** What policy asks of a repository: no disk needed. */
export interface RepositoryFacts {
  readonly id: string;
  readonly name: RepositoryName;
  /** A user name; the administrator for the site's own. */
  readonly owner: string;
  readonly settings: Readonly<Record<string, SettingValue>>;
  /** The owner's own rules (Lace text), if any. */
  readonly rules?: string;
  /** A repository of a gitolite site, which the site's conf governs. */
  readonly conf?: ConfFacts;
}

/** What lies with a repository of a gitolite site; of one that is not there, what would. */
export interface ConfFacts {
  /** gl-creator; of a repository that is not there, who asks. Empty: nobody known. */
  readonly creator: string;
  /** The text of gl-perms. */
  readonly permissions: string;
  readonly groups: readonly string[];
  /** Roles that the permissions may give: the settings of who asks say. */
  readonly roles: ReadonlySet<string>;
  /** It lies there and the site never set it up: gitolite refuses everything about it. */
  readonly isUnhooked?: boolean;
  /** Patterns of refs that its git configuration hides from this request (`hideRefs`). */
  readonly hiddenRefs?: readonly string[];
  /** Whom the conf calls those who come without a name, by transport. */
  readonly anonymousUser?: string;
}

export interface Repository extends RepositoryFacts {
  /** Absolute path of the bare repository. */
  readonly path: string;
  readonly objectFormat: ObjectFormat;
  readonly description: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** The store's version of the record. */
  readonly version: number;
}
