/**
 * Writes a parsed RE2 pattern as a V8 one with the same meaning, for the flag `u` alone. Sets are written out as code
 * points, so V8's own ideas of `\w`, `\s`, `.` and of case never come into play.
 *
 * Two things V8 does differently cannot be written: a repetition whose body can be empty gives up empty rounds, and
 * groups inside a repetition are forgotten at each round. `fidelity` says so, and such patterns (few) go to RE2's port.
 */
import { CODE_POINT_MAX, negate, sizeOf, type CharSet } from './char-set.ts';
import { hasGroup, isNullable, type Pattern, type Repeat } from './pattern.ts';

export interface Emitted {
  readonly source: string;
  /** `same`: V8 finds the same; `bounds`: same start and end, other groups; `different`: not to be used. */
  readonly fidelity: 'same' | 'bounds' | 'different';
}

export function emit(pattern: Pattern): Emitted {
  const fidelity = fidelityOf(pattern);
  return { source: fidelity === 'different' ? '' : new Emitter().write(pattern), fidelity };
}

/** `Emitted.fidelity` without the writing. */
export function fidelityOf(pattern: Pattern): Emitted['fidelity'] {
  switch (pattern.kind) {
    case 'set':
    case 'assertion':
      return 'same';
    case 'sequence':
    case 'choice':
      return worst(pattern.parts.map(fidelityOf));
    case 'group':
      return fidelityOf(pattern.body);
    case 'repeat': {
      const { body, min, max } = pattern;
      const grouped = max > 1 && hasGroup(body);
      const own =
        isNullable(body) && min !== max && (max > COPIES_MAX || grouped) ? 'different' : grouped ? 'bounds' : 'same';
      return worst([own, fidelityOf(body)]);
    }
    default:
      return pattern satisfies never;
  }
}

function worst(all: readonly Emitted['fidelity'][]): Emitted['fidelity'] {
  if (all.includes('different')) return 'different';
  return all.includes('bounds') ? 'bounds' : 'same';
}

/** Copies of a body written out for a bounded repetition of something that can be empty. */
const COPIES_MAX = 16;

class Emitter {
  write(pattern: Pattern): string {
    switch (pattern.kind) {
      case 'set':
        return writeSet(pattern.set);
      case 'assertion':
        return writeAssertion(pattern.assertion);
      case 'sequence':
        return pattern.parts.map((part) => (part.kind === 'choice' ? this.#closed(part) : this.write(part))).join('');
      case 'choice':
        return pattern.parts.map((part) => this.write(part)).join('|');
      case 'group':
        return `(${this.write(pattern.body)})`;
      case 'repeat':
        return this.#repeat(pattern);
      default:
        return pattern satisfies never;
    }
  }

  #repeat(repeat: Repeat): string {
    const { body, min, max, greedy } = repeat;
    if (isNullable(body) && min !== max) return this.#nullable(repeat);
    const lazy = greedy ? '' : '?';
    return `${this.#closed(body)}${count(min, max)}${min === max && min !== 1 ? '' : lazy}`;
  }

  /** `x?` is `(?:x|)` in RE2: an empty x counts. More rounds are that inside one another. */
  #nullable({ body, min, max, greedy }: Repeat): string {
    const once = this.#closed(body);
    let tail = '';
    for (let round = min; round < max; round += 1) tail = greedy ? `(?:${once}${tail}|)` : `(?:|${once}${tail})`;
    return `${once.repeat(min)}${tail}`;
  }

  #closed(pattern: Pattern): string {
    const text = this.write(pattern);
    return pattern.kind === 'set' || pattern.kind === 'group' ? text : `(?:${text})`;
  }
}

function count(min: number, max: number): string {
  if (max === Infinity) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`;
  if (min === 0 && max === 1) return '?';
  return min === max ? `{${min}}` : `{${min},${max}}`;
}

function writeAssertion(assertion: Extract<Pattern, { kind: 'assertion' }>['assertion']): string {
  switch (assertion) {
    case 'text-start':
      return '^';
    case 'text-end':
      return '$';
    case 'line-start':
      return '(?<![^\\n])';
    case 'line-end':
      return '(?![^\\n])';
    case 'word-boundary':
      return '\\b';
    case 'no-word-boundary':
      return '\\B';
    default:
      return assertion satisfies never;
  }
}

function writeSet(set: CharSet): string {
  const [low, high] = set;
  if (low === undefined) return '[]';
  if (low === high && set.length === 2) return writeCharacter(low);
  const turned = sizeOf(set) > CODE_POINT_MAX / 2;
  const pairs = turned ? negate(set) : set;
  let text = '';
  for (let at = 0; at + 1 < pairs.length; at += 2) {
    const from = pairs[at] ?? 0;
    const to = pairs[at + 1] ?? 0;
    text += writeCharacter(from);
    if (to > from) text += `${to > from + 1 ? '-' : ''}${writeCharacter(to)}`;
  }
  return `[${turned ? '^' : ''}${text}]`;
}

function writeCharacter(codePoint: number): string {
  const text = String.fromCodePoint(codePoint);
  return /^[A-Za-z0-9_]$/.test(text) ? text : `\\u{${codePoint.toString(16)}}`;
}
