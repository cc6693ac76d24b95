/** The refexes of a conf, compiled once each; those with `/USER/` in them match with the name of whoever asks. */
import type { Meter } from '../meter.ts';
import { compilePerl, type PerlPattern } from './perl-pattern.ts';

const USER_PART = '/USER/';

/** Refexes with a user's name in them that are kept compiled, by their states. */
const REMEMBERED_STATES_MAX = 200_000;

export interface Refex {
  readonly written: string;
  /** With the user's name in it. */
  textFor(user: string): string;
  /** Whether it matches at the start of `ref`; undefined: with this name in it, it is no pattern any more. */
  find(ref: string, user: string, meter: Meter): boolean | undefined;
  /** Whether it is a pattern with the user's name in it. */
  isPattern(user: string): boolean;
}

export class Refexes {
  readonly #compiled = new Map<string, Refex>();

  /** @param previous what is known from there is not compiled again. */
  constructor(refexes: ReadonlySet<string>, previous?: Refexes) {
    const named = new NamedPatterns();
    for (const written of refexes) {
      const known = previous?.of(written);
      if (known instanceof FixedRefex) this.#compiled.set(written, known);
      else if (written.includes(USER_PART)) this.#compiled.set(written, new UserRefex(written, named));
      else this.#compiled.set(written, new FixedRefex(written));
    }
  }

  of(written: string): Refex | undefined {
    return this.#compiled.get(written);
  }
}

class FixedRefex implements Refex {
  readonly written: string;
  readonly #pattern: PerlPattern | undefined;

  constructor(written: string) {
    this.written = written;
    this.#pattern = compiledAtStart(written);
  }

  textFor(): string {
    return this.written;
  }

  find(ref: string, _user: string, meter: Meter): boolean | undefined {
    return this.#pattern?.find(ref, meter);
  }

  isPattern(): boolean {
    return this.#pattern !== undefined;
  }
}

/** Most are plain text around the name: then no pattern is needed, nor a text for each user. */
class UserRefex implements Refex {
  readonly written: string;
  readonly #named: NamedPatterns;
  readonly #before: string;
  readonly #behind: string;
  readonly #isPlain: boolean;
  readonly #isWhole: boolean;

  constructor(written: string, named: NamedPatterns) {
    const [, before = '', behind = '', end = ''] = /^(.*?\/)USER(\/.*?)(\$|\.\*)?$/s.exec(written) ?? [];
    this.written = written;
    this.#named = named;
    this.#before = before;
    this.#behind = behind;
    this.#isPlain = isPlain(before) && isPlain(behind);
    this.#isWhole = end === '$';
  }

  textFor(user: string): string {
    return this.written.replace(USER_PART, () => `/${user}/`);
  }

  find(ref: string, user: string, meter: Meter): boolean | undefined {
    if (!this.#isPlain || !isPlain(user) || ref.endsWith('\n')) {
      const pattern = this.#named.of(this.textFor(user));
      return pattern?.find(ref, meter);
    }
    const length = this.#before.length + user.length;
    return (
      ref.startsWith(this.#before) &&
      ref.startsWith(user, this.#before.length) &&
      ref.startsWith(this.#behind, length) &&
      (!this.#isWhole || ref.length === length + this.#behind.length)
    );
  }

  isPattern(user: string): boolean {
    return (this.#isPlain && isPlain(user)) || this.#named.of(this.textFor(user)) !== undefined;
  }
}

class NamedPatterns {
  readonly #remembered = new Map<string, PerlPattern | undefined>();
  #states = 0;

  of(refex: string): PerlPattern | undefined {
    if (this.#remembered.has(refex)) return this.#remembered.get(refex);
    const pattern = compiledAtStart(refex);
    const states = 1 + (pattern?.size ?? 0);
    this.#states += states;
    if (this.#states > REMEMBERED_STATES_MAX) {
      this.#remembered.clear();
      this.#states = states;
    }
    this.#remembered.set(refex, pattern);
    return pattern;
  }
}

function compiledAtStart(refex: string): PerlPattern | undefined {
  const compiled = compilePerl(`^${refex}`);
  return compiled.kind === 'ok' ? compiled.pattern : undefined;
}

/** It means itself as a pattern. */
function isPlain(text: string): boolean {
  return /^[-0-9a-zA-Z_@/]*$/.test(text);
}
