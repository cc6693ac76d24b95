/**
 * Perl regular expressions as conf files hold them, matched by the automata of `pattern/`. What Perl reads
 * differently is translated first; what no automaton can do is refused when the conf compiles.
 */
import type { Meter } from '../meter.ts';
import { buildPattern } from '../pattern/nfa.ts';
import { parsePcre } from '../pattern/pcre.ts';

export interface PerlPattern {
  /** Whether it matches anywhere in `text`. False where the meter is spent: look at `meter.isSpent`. */
  find(text: string, meter: Meter): boolean;
  /** States kept in memory. */
  readonly size: number;
}

export type CompiledPerl =
  | { readonly kind: 'ok'; readonly pattern: PerlPattern }
  | { readonly kind: 'wrong'; readonly message: string };

/** @param text the whole expression, anchors included, as Perl would get it. */
export function compilePerl(text: string): CompiledPerl {
  const plain = plainPattern(text);
  if (plain !== undefined) return { kind: 'ok', pattern: plain };
  const translated = translatePerl(text);
  if (translated.kind === 'wrong') return translated;
  const built = buildPattern(parsePcre(translated.text));
  if (built.kind === 'wrong') return built;
  const { automaton } = built;
  return { kind: 'ok', pattern: { find: (subject, meter) => automaton.find(subject, meter), size: automaton.size } };
}

/** `^refs/heads/main$`, `^refs/heads/team/`, `^refs/.*`: most refexes are one of these and need no automaton. */
function plainPattern(text: string): PerlPattern | undefined {
  const [, literal, end] = /^\^([-0-9a-zA-Z_@/]*)(\$|\.\*)?$/.exec(text) ?? [];
  if (literal === undefined) return undefined;
  if (end === '$') return { find: (subject) => subject === literal || subject === `${literal}\n`, size: 1 };
  return { find: (subject) => subject.startsWith(literal), size: 1 };
}

type Translated = { readonly kind: 'ok'; readonly text: string } | { readonly kind: 'wrong'; readonly message: string };

/** Letters that Perl reads as themselves behind a backslash. `\Q` and `\E` too: an expression in a variable does not quote. */
const OWN_LETTERS = /^[ijlmquyEFIJLMOQTUY]$/;

const FLAG_GROUP = /^\(\?(\^?)([a-z]*)(?:-([a-z]*))?\)/;
const QUANTIFIER = /^(?:[*+?]|\{(\d*)(?:,(\d*))?\})/;

/** Into the dialect of `parsePcre`. */
export function translatePerl(text: string): Translated {
  let out = '';
  // What a quantifier may follow: nothing it could repeat, something, or another quantifier.
  let before: 'nothing' | 'atom' | 'quantifier' = 'nothing';
  for (let at = 0; at < text.length;) {
    const rest = text.slice(at, at + 24);
    const quantifier = quantifierOf(rest);
    if (quantifier !== undefined) {
      if (before === 'nothing') return { kind: 'wrong', message: 'a quantifier follows nothing' };
      if (before === 'quantifier') return { kind: 'wrong', message: 'nested quantifiers' };
      out += quantifier.text;
      at += quantifier.length;
      before = 'quantifier';
      continue;
    }
    const part = rest.startsWith('[') ? bracketed(text, at) : partOf(rest);
    out += part.text;
    at += part.length;
    before = part.isAtom ? 'atom' : 'nothing';
  }
  return { kind: 'ok', text: out };
}

interface Part {
  readonly text: string;
  /** Characters read. */
  readonly length: number;
  readonly isAtom: boolean;
}

/** `?` behind a quantifier changes which match is found, not whether there is one. */
function quantifierOf(rest: string): { readonly text: string; readonly length: number } | undefined {
  const found = QUANTIFIER.exec(rest);
  if (found === null) return undefined;
  const [all, least, most] = found;
  if (all.startsWith('{') && least === '' && (most === undefined || most === '')) return undefined;
  const mode = rest.charAt(all.length);
  const text = least === '' ? `{0,${most ?? ''}}` : all;
  if (mode === '+') return { text: `${text}+`, length: all.length + 1 };
  return { text, length: all.length + (mode === '?' ? 1 : 0) };
}

function partOf(rest: string): Part {
  const flags = FLAG_GROUP.exec(rest);
  if (flags !== null) return flagPart(flags);
  if (rest.startsWith('(?|')) return { text: '(', length: 3, isAtom: false };
  // What else opens with `(?` goes on to the parser as it stands, which says why it is refused.
  if (rest.startsWith('(?')) return { text: '(?', length: 2, isAtom: false };
  const c = rest.charAt(0);
  if (c === '\\') {
    const escaped = rest.charAt(1);
    return { text: OWN_LETTERS.test(escaped) ? escaped : `\\${escaped}`, length: 2, isAtom: true };
  }
  if (c === '{') return { text: '\\{', length: 1, isAtom: true };
  return { text: c, length: 1, isAtom: c !== '(' && c !== '|' };
}

/** `i`, `m` and `s` matter; the others say nothing about ASCII text without blanks. */
function flagPart([all, caret = '', on = '', off = '']: readonly string[]): Part {
  const length = all?.length ?? 0;
  if (/[^adilumnopcgsx]/.test(on + off)) return { text: all ?? '', length, isAtom: false };
  const keep = (flags: string): string => flags.replaceAll(/[^ims]/g, '');
  const reset = caret === '' ? '' : '(?-ims)';
  const set = keep(on) + keep(off) === '' ? '' : `(?${keep(on)}-${keep(off)})`;
  return { text: reset + set, length, isAtom: false };
}

/** A whole `[...]`. One that never ends is copied as it is: the parser says so. */
function bracketed(text: string, start: number): Part {
  let out = '[';
  let at = start + 1;
  if (text.charAt(at) === '^') {
    out += '^';
    at += 1;
  }
  for (let isFirst = true; at < text.length; isFirst = false) {
    const c = text.charAt(at);
    if (c === ']' && !isFirst) return { text: `${out}]`, length: at + 1 - start, isAtom: true };
    if (c === '\\') {
      const escaped = text.charAt(at + 1);
      out += OWN_LETTERS.test(escaped) ? escaped : `\\${escaped}`;
      at += 2;
    } else {
      out += c;
      at += 1;
    }
  }
  return { text: out, length: at - start, isAtom: true };
}
