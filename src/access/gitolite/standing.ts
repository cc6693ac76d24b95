/** Where a repository stands in a conf: the rules and settings of everything that it counts as, ready to be asked. */
import type { ConfRule, ConfSetting, Stanza } from './conf.ts';
import type { Refex, Refexes } from './refex.ts';
import { insaneRepository, isTrue } from './words.ts';

/** `R`, `W`, `+`, `C`, `D`, `M`, `^C`, and `W`, `+` with an `M` behind: what is attempted. */
export type Attempt = 'R' | 'W' | '+' | 'C' | 'D' | 'M' | '^C' | 'WM' | '+M' | 'CM' | 'DM';

const PERMISSIONS: Readonly<Record<Attempt, RegExp>> = {
  R: /R/,
  W: /W/,
  '+': /\+/,
  C: /RW.*C/,
  D: /D/,
  M: /M/,
  '^C': /^C/,
  WM: /W.*M/,
  '+M': /\+.*M/,
  CM: /C.*M/,
  DM: /D.*M/,
};

export function permits(permission: string, attempt: Attempt): boolean {
  return PERMISSIONS[attempt].test(permission);
}

export interface ReadyRule {
  readonly rule: ConfRule;
  readonly user: string;
  readonly isRefusal: boolean;
  readonly attempts: ReadonlySet<string>;
  readonly refex: Refex;
}

/** With more rules, those of a user are looked up; fewer are looked through, which is faster and needs no sorting. */
const LOOKED_THROUGH_MAX = 64;

const attemptsOf = new Map<string, ReadonlySet<string>>();

/** The rules below one `repo` line. */
export class ReadyStanza {
  readonly stanza: Stanza;
  /** Where the first one stands in the order of the conf; those of different lines do not interleave. */
  readonly first: number;
  readonly size: number;
  readonly #refexes: Refexes;
  readonly #byUser = new Map<string, readonly ReadyRule[]>();

  constructor(stanza: Stanza, refexes: Refexes) {
    this.stanza = stanza;
    this.#refexes = refexes;
    let size = 0;
    let first = Infinity;
    for (const list of stanza.rules.values()) {
      size += list.length;
      first = Math.min(first, list[0]?.sequence ?? Infinity);
    }
    this.size = size;
    this.first = first;
  }

  of(user: string): readonly ReadyRule[] {
    const known = this.#byUser.get(user);
    if (known !== undefined) return known;
    const list = this.stanza.rules.get(user);
    if (list === undefined) return [];
    const ready = list.flatMap((rule) => readyRule(rule, this.#refexes));
    this.#byUser.set(user, ready);
    return ready;
  }

  /** In order. */
  all(): readonly ReadyRule[] {
    return [...this.stanza.rules.keys()].flatMap((user) => this.of(user)).sort(bySequence);
  }
}

export class Standing {
  /** What it counts as behind `repo`. */
  readonly memberships: ReadonlySet<string>;
  readonly creator: string;
  /** In order. */
  readonly stanzas: readonly ReadyStanza[];
  /** The rules about it, in order, whoever else they are about; for each the number of its user. */
  readonly rules: readonly ReadyRule[];
  /** Undefined: there are too many to look through. */
  readonly users: readonly number[] | undefined;
  /** What gitolite would die of, were it asked about; undefined: nothing. */
  readonly insane: string | undefined;
  /** Its name is one that a repository can have: no pattern, no group. */
  readonly isReal: boolean;
  #settings: ReadonlyMap<string, ConfSetting> | undefined;
  #isDenying: boolean | undefined;

  constructor({
    name,
    creator,
    memberships,
    stanzas,
    numberOf,
  }: {
    readonly name: string;
    readonly creator: string;
    readonly memberships: ReadonlySet<string>;
    readonly stanzas: readonly ReadyStanza[];
    readonly numberOf: (user: string) => number;
  }) {
    this.memberships = memberships;
    this.creator = creator;
    this.stanzas = stanzas.toSorted((a, b) => a.first - b.first);
    const isShort = this.stanzas.reduce((sum, { size }) => sum + size, 0) <= LOOKED_THROUGH_MAX;
    this.rules = isShort ? this.stanzas.flatMap((stanza) => stanza.all()) : [];
    this.users = isShort ? this.rules.map(({ user }) => numberOf(user)) : undefined;
    this.insane = insaneRepository(name);
    this.isReal = /^[0-9a-zA-Z][-0-9a-zA-Z._@/+]*$/.test(name);
  }

  /** The last setting of each key, as written. */
  get settings(): ReadonlyMap<string, ConfSetting> {
    this.#settings ??= lastSettings(this.stanzas.map(({ stanza }) => stanza));
    return this.#settings;
  }

  /** Refusing rules count before the ref is known. */
  get isDenying(): boolean {
    this.#isDenying ??= this.hasOption('deny-rules');
    return this.#isDenying;
  }

  hasOption(name: string): boolean {
    return isTrue(this.settings.get(`gitolite-options.${name}`)?.value ?? '');
  }
}

const NO_SETTINGS: ReadonlyMap<string, ConfSetting> = new Map();

export function lastSettings(stanzas: readonly Stanza[]): ReadonlyMap<string, ConfSetting> {
  const settings = stanzas.flatMap((stanza) => stanza.settings);
  if (settings.length === 0) return NO_SETTINGS;
  return new Map(settings.sort((a, b) => a.sequence - b.sequence).map((setting) => [setting.key, setting]));
}

function readyRule(rule: ConfRule, refexes: Refexes): ReadyRule[] {
  const refex = refexes.of(rule.refex);
  const { permission, user } = rule;
  if (refex === undefined) return [];
  return [{ rule, user, isRefusal: permission === '-', attempts: attemptsFor(permission), refex }];
}

/** Few permissions can be written, so each is looked at once. */
function attemptsFor(permission: string): ReadonlySet<string> {
  const known = attemptsOf.get(permission);
  if (known !== undefined) return known;
  const attempts = new Set(Object.keys(PERMISSIONS).filter((attempt) => permits(permission, attempt as Attempt)));
  attemptsOf.set(permission, attempts);
  return attempts;
}

export function bySequence(a: ReadyRule, b: ReadyRule): number {
  return a.rule.sequence - b.rule.sequence;
}
