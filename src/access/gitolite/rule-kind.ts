/**
 * What a rule says, whatever repository and whichever user it is about: rules by the ten thousand say few different things,
 * so that decisions about any of them look at the same few objects.
 */
import type { ConfRule } from './conf.ts';
import type { Refex, Refexes } from './refex.ts';
import { ALL } from './words.ts';

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

export interface RuleKind {
  readonly isRefusal: boolean;
  /** About `@all`. */
  readonly isForAll: boolean;
  readonly attempts: ReadonlySet<string>;
  readonly refex: Refex;
}

export class RuleKinds {
  readonly #refexes: Refexes;
  readonly #kinds: RuleKind[] = [];
  readonly #numbers = new Map<string, number>();

  constructor(refexes: Refexes) {
    this.#refexes = refexes;
  }

  /** By number. */
  get all(): readonly RuleKind[] {
    return this.#kinds;
  }

  /** Undefined: the rule's refex is not one of the conf's. */
  numberOf({ permission, refex: written, user }: ConfRule): number | undefined {
    const isForAll = user === ALL;
    const key = `${isForAll ? '@' : ''}${permission} ${written}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const refex = this.#refexes.of(written);
    if (refex === undefined) return undefined;
    const number = this.#kinds.length;
    this.#kinds.push({ isRefusal: permission === '-', isForAll, attempts: attemptsFor(permission), refex });
    this.#numbers.set(key, number);
    return number;
  }
}

function attemptsFor(permission: string): ReadonlySet<string> {
  return new Set(Object.keys(PERMISSIONS).filter((attempt) => permits(permission, attempt as Attempt)));
}
