/** Where a repository stands in a conf: the rules and settings of everything that it counts as, ready to be asked. */
import type { ConfRule, ConfSetting, Stanza } from './conf.ts';
import type { CellList, RuleCells } from './rule-cells.ts';
import type { RuleKind, RuleKinds } from './rule-kind.ts';
import { insaneRepository, isTrue } from './words.ts';

export interface ReadyRule {
  readonly rule: ConfRule;
  readonly kind: RuleKind;
  readonly kindNumber: number;
}

/** With more rules, those of a user are looked up; fewer are looked through, which is faster and needs no sorting. */
const LOOKED_THROUGH_MAX = 64;

/** The rules below one `repo` line. */
export class ReadyStanza {
  readonly stanza: Stanza;
  /** Where the first one stands in the order of the conf; those of different lines do not interleave. */
  readonly first: number;
  readonly size: number;
  readonly #kinds: RuleKinds;
  readonly #byUser = new Map<string, readonly ReadyRule[]>();

  constructor(stanza: Stanza, kinds: RuleKinds) {
    this.stanza = stanza;
    this.#kinds = kinds;
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
    const ready = list.flatMap((rule) => readyRule(rule, this.#kinds));
    this.#byUser.set(user, ready);
    return ready;
  }

  /** In order. */
  all(): readonly ReadyRule[] {
    return [...this.stanza.rules.keys()].flatMap((user) => this.of(user)).sort(bySequence);
  }
}

export interface StandingParts {
  readonly name: string;
  readonly creator: string;
  readonly memberships: ReadonlySet<string>;
  readonly stanzas: readonly ReadyStanza[];
  readonly cells: RuleCells;
  readonly numberOf: (user: string) => number;
}

export class Standing {
  // What each decision looks at comes first: in memory it is one line.
  readonly creator: string;
  /** From `start`, two numbers for each rule, in order, whoever it is about: of its user, of its kind. Undefined: too many to look through. */
  readonly cells: Int32Array | undefined;
  readonly start: number;
  readonly end: number;
  /** What gitolite would die of, were it asked about; undefined: nothing. */
  readonly insane: string | undefined;
  /** Its name is one that a repository can have: no pattern, no group. */
  readonly isReal: boolean;
  /** The rules in the same order. */
  readonly rules: readonly ReadyRule[];
  /** In order. */
  readonly stanzas: readonly ReadyStanza[];
  /** What it counts as behind `repo`. */
  readonly memberships: ReadonlySet<string>;
  #settings: ReadonlyMap<string, ConfSetting> | undefined;
  #isDenying: boolean | undefined;

  constructor({ name, creator, memberships, stanzas, cells, numberOf }: StandingParts) {
    const sorted = stanzas.toSorted((a, b) => a.first - b.first);
    const isShort = sorted.reduce((sum, { size }) => sum + size, 0) <= LOOKED_THROUGH_MAX;
    const rules = isShort ? sorted.flatMap((stanza) => stanza.all()) : [];
    const list: CellList | undefined = isShort
      ? cells.add(rules.flatMap(({ rule, kindNumber }) => [numberOf(rule.user), kindNumber]))
      : undefined;
    this.creator = creator;
    this.cells = list?.cells;
    this.start = list?.start ?? 0;
    this.end = list?.end ?? 0;
    this.insane = insaneRepository(name);
    this.isReal = /^[0-9a-zA-Z][-0-9a-zA-Z._@/+]*$/.test(name);
    this.rules = rules;
    this.stanzas = sorted;
    this.memberships = memberships;
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

function readyRule(rule: ConfRule, kinds: RuleKinds): ReadyRule[] {
  const kindNumber = kinds.numberOf(rule);
  const kind = kindNumber === undefined ? undefined : kinds.all[kindNumber];
  return kindNumber === undefined || kind === undefined ? [] : [{ rule, kind, kindNumber }];
}

export function bySequence(a: ReadyRule, b: ReadyRule): number {
  return a.rule.sequence - b.rule.sequence;
}
