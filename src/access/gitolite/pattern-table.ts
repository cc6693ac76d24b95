/** Patterns of repository names, found by the literal text that they start with, so that most are never tried. */
import type { Meter } from '../meter.ts';
import type { ConfPatterns } from './conf-patterns.ts';
import type { PerlPattern } from './perl-pattern.ts';

interface Entry<T> {
  readonly pattern: PerlPattern;
  readonly value: T;
}

export class PatternTable<T> {
  readonly #patterns: ConfPatterns;
  readonly #byPrefix = new Map<string, Entry<T>[]>();
  /** Every length that a prefix has. */
  readonly #lengths = new Set<number>();

  constructor(patterns: ConfPatterns) {
    this.#patterns = patterns;
  }

  /** @param key a pattern that compiles between `^` and `$`; others are left out. */
  add(key: string, value: T): void {
    const compiled = this.#patterns.of(`^${key}$`);
    if (compiled.kind === 'wrong') return;
    const prefix = literalPrefix(key);
    const entries = this.#byPrefix.get(prefix) ?? [];
    this.#byPrefix.set(prefix, entries);
    this.#lengths.add(prefix.length);
    entries.push({ pattern: compiled.pattern, value });
  }

  /** What the patterns that match `name` stand for, in no particular order. */
  *matching(name: string, meter: Meter): Iterable<T> {
    for (const length of this.#lengths) {
      if (length > name.length) continue;
      for (const { pattern, value } of this.#byPrefix.get(name.slice(0, length)) ?? [])
        if (pattern.find(name, meter)) yield value;
    }
  }
}

/** What every match starts with. Alternatives and flags may reach to the front, so with them it is nothing. */
function literalPrefix(pattern: string): string {
  if (pattern.includes('|') || pattern.includes('(?')) return '';
  const [literal = ''] = /^[-0-9a-zA-Z_@/]*/.exec(pattern) ?? [];
  return /^[*+?{]/.test(pattern.slice(literal.length)) ? literal.slice(0, -1) : literal;
}
