/** What a conf says: groups, and for each name or pattern behind `repo` the rules and settings below it. */

export interface ConfPlace {
  readonly file: string;
  readonly line: number;
}

export interface ConfRule extends ConfPlace {
  /** The place in the order of the whole conf, from 1. Rules of one line have several. */
  readonly sequence: number;
  /** `-`, `C`, `R`, `RW`, `RW+CDM`, ... */
  readonly permission: string;
  readonly refex: string;
  /** A user, or a group with its `@`. */
  readonly user: string;
}

export interface ConfSetting extends ConfPlace {
  readonly sequence: number;
  readonly key: string;
  readonly value: string;
}

/** What stands below one `repo` line; all repositories of the line share it. */
export interface Stanza {
  /** By user or group, each list in order. */
  readonly rules: ReadonlyMap<string, readonly ConfRule[]>;
  readonly settings: readonly ConfSetting[];
  /** Whatever else has the same one says the same, though perhaps further up or down. */
  readonly origin: object;
}

export interface Conf {
  /** Group with its `@` -> members, groups among them expanded. */
  readonly groups: ReadonlyMap<string, ReadonlySet<string>>;
  /** Name, pattern or group behind `repo` -> what stands below, in order. */
  readonly stanzas: ReadonlyMap<string, readonly Stanza[]>;
  /** Every refex of every rule. */
  readonly refexes: ReadonlySet<string>;
}
