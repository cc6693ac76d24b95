/**
 * Literals of which every match of a pattern contains one: where none of them is in a text, the pattern need not run,
 * and where one is, only the text around it matters. Lower-cased ASCII: the look-up is blind to case.
 */
import { sizeOf, type CharSet } from './char-set.ts';
import { fidelityOf } from './emit.ts';
import { addReach, NO_REACH, reachOf, type Reach } from './reach.ts';
import { hasGroup, type Pattern } from './pattern.ts';

export interface Probe {
  readonly literals: readonly string[];
  /** What of a match can lie before the literal's start. */
  readonly before: Reach;
  /** What of it can lie from the literal's start on. */
  readonly after: Reach;
  /** The pattern from the literal's start on: where it does not match there, nothing is found around this literal. */
  readonly tail: Pattern | undefined;
  /** The tail has all groups of the pattern, under their own numbers: what they catch in it they catch in the whole. */
  readonly grouped: boolean;
}

/** A literal longer than this is looked up by its beginning. */
const LITERAL_CHARS_MAX = 12;
const LITERAL_CHARS_MIN = 2;
/** Spellings of one run of characters, and choices of one character that are still spelled out. */
const SPELLINGS_MAX = 48;
const CHOICES_MAX = 4;

/** @returns undefined where a match need not contain any literal worth looking for. */
export function findProbes(pattern: Pattern): readonly Probe[] | undefined {
  return best(flatten(pattern));
}

function best(atoms: readonly Pattern[]): readonly Probe[] | undefined {
  let found: readonly Probe[] | undefined;
  for (const candidate of [...runs(atoms), ...nested(atoms)]) {
    if (found === undefined || worth(candidate) > worth(found)) found = candidate;
  }
  return found;
}

/** Sequences opened, so that what stands side by side is side by side. */
function flatten(pattern: Pattern): readonly Pattern[] {
  return pattern.kind === 'sequence' ? pattern.parts.flatMap(flatten) : [pattern];
}

/** Candidates from neighbours that have few spellings: `ghp_`, `(?:sk|rk)_live_`. */
function runs(atoms: readonly Pattern[]): readonly (readonly Probe[])[] {
  const found: (readonly Probe[])[] = [];
  let spellings: readonly string[] = [''];
  let start = 0;
  const close = (end: number): void => {
    const literals = [...new Set(spellings.map((text) => text.slice(0, LITERAL_CHARS_MAX)))];
    if (Math.min(...literals.map((text) => text.length)) >= LITERAL_CHARS_MIN) {
      found.push([place(atoms, { start, literals })]);
    }
    spellings = [''];
    start = end;
  };
  for (const [index, atom] of atoms.entries()) {
    const own = spell(atom);
    const longEnough = Math.min(...spellings.map((text) => text.length)) >= LITERAL_CHARS_MAX;
    if (own === undefined || longEnough || own.length * spellings.length > SPELLINGS_MAX) close(index);
    if (own === undefined) start = index + 1;
    else spellings = product(spellings, own);
  }
  close(atoms.length);
  return found;
}

function place(atoms: readonly Pattern[], at: { readonly start: number; readonly literals: readonly string[] }): Probe {
  const tail: Pattern = { kind: 'sequence', parts: atoms.slice(at.start) };
  return {
    literals: at.literals,
    before: reachAll(atoms.slice(0, at.start)),
    after: reachOf(tail),
    tail: fidelityOf(tail) === 'different' ? undefined : tail,
    grouped: !atoms.slice(0, at.start).some(hasGroup) && fidelityOf(tail) === 'same',
  };
}

function inside(atom: Pattern): readonly Probe[] | undefined {
  if (atom.kind === 'group') return best(flatten(atom.body));
  if (atom.kind === 'choice') return ofChoice(atom.parts);
  return atom.kind === 'repeat' ? ofRepeat(atom) : undefined;
}

/** Candidates from inside of groups, choices and repetitions. */
function nested(atoms: readonly Pattern[]): readonly (readonly Probe[])[] {
  return atoms.flatMap((atom, index) => {
    const inner = inside(atom);
    if (inner === undefined) return [];
    const before = reachAll(atoms.slice(0, index));
    const rest = atoms.slice(index + 1);
    const after = reachAll(rest);
    return [
      inner.map((probe) => ({
        literals: probe.literals,
        before: addReach(before, probe.before),
        after: addReach(probe.after, after),
        tail: extend(probe.tail, rest),
        grouped: false,
      })),
    ];
  });
}

function ofChoice(parts: readonly Pattern[]): readonly Probe[] | undefined {
  const found = parts.map((part) => best(flatten(part)));
  const all = found.flatMap((probes) => probes ?? []);
  return found.includes(undefined) || all.length > SPELLINGS_MAX ? undefined : all;
}

function ofRepeat(repeat: Extract<Pattern, { kind: 'repeat' }>): readonly Probe[] | undefined {
  if (repeat.min === 0) return undefined;
  const whole = reachOf(repeat);
  return best(flatten(repeat.body))?.map(({ literals }) => ({
    literals,
    before: whole,
    after: whole,
    tail: undefined,
    grouped: false,
  }));
}

function extend(tail: Pattern | undefined, rest: readonly Pattern[]): Pattern | undefined {
  if (tail === undefined) return undefined;
  const extended: Pattern = { kind: 'sequence', parts: [tail, ...rest] };
  return fidelityOf(extended) === 'different' ? undefined : extended;
}

/** Long literals, few of them, and a bounded neighbourhood. */
function worth(probes: readonly Probe[]): number {
  const literals = probes.flatMap((probe) => probe.literals);
  const shortest = Math.min(...literals.map((text) => text.length));
  const wide = probes.some((probe) => probe.before.loops !== undefined) ? 40 : 0;
  const unchecked = probes.some((probe) => probe.tail === undefined) ? 10 : 0;
  return shortest * 10 - wide - unchecked - Math.log2(literals.length);
}

/** Every text that it matches, lower-cased; undefined: too many. */
function spell(pattern: Pattern): readonly string[] | undefined {
  switch (pattern.kind) {
    case 'set':
      return spellSet(pattern.set);
    case 'assertion':
      return [''];
    case 'sequence':
      return pattern.parts.map(spell).reduce(bounded, ['']);
    case 'choice': {
      const all = pattern.parts.map(spell);
      if (all.includes(undefined)) return undefined;
      const texts = [...new Set(all.flatMap((texts) => texts ?? []))];
      return texts.length > SPELLINGS_MAX ? undefined : texts;
    }
    case 'group':
      return spell(pattern.body);
    case 'repeat': {
      const body = spell(pattern.body);
      if (body === undefined || pattern.max > CHOICES_MAX) return undefined;
      const times = (count: number): readonly string[] | undefined =>
        Array.from({ length: count }, () => body).reduce<readonly string[] | undefined>(bounded, ['']);
      const counts = Array.from({ length: pattern.max - pattern.min + 1 }, (_, index) => times(pattern.min + index));
      return counts.includes(undefined) ? undefined : [...new Set(counts.flatMap((texts) => texts ?? []))];
    }
    default:
      return pattern satisfies never;
  }
}

function spellSet(set: CharSet): readonly string[] | undefined {
  if (sizeOf(set) > 2 * CHOICES_MAX + 2) return undefined;
  const texts = new Set<string>();
  for (let at = 0; at + 1 < set.length; at += 2) {
    for (let codePoint = set[at] ?? 0; codePoint <= (set[at + 1] ?? 0); codePoint += 1) {
      // The Kelvin sign and the long s come with k and s where case is folded; the look-up leaves them out.
      if (codePoint === 0x21_2a || codePoint === 0x1_7f) continue;
      if (codePoint > 0x7f) return undefined;
      texts.add(String.fromCodePoint(codePoint).toLowerCase());
    }
  }
  return texts.size === 0 || texts.size > CHOICES_MAX ? undefined : [...texts];
}

function bounded(
  one: readonly string[] | undefined,
  other: readonly string[] | undefined,
): readonly string[] | undefined {
  if (one === undefined || other === undefined || one.length * other.length > SPELLINGS_MAX) return undefined;
  return product(one, other);
}

function product(one: readonly string[], other: readonly string[]): readonly string[] {
  return [...new Set(one.flatMap((head) => other.map((tail) => head + tail)))];
}

function reachAll(atoms: readonly Pattern[]): Reach {
  return atoms.map(reachOf).reduce(addReach, NO_REACH);
}
