/** What stands between quotes: escapes, and variables in double ones. */
import type { PerlText } from './perl-text.ts';
import { unclear } from './perl-value.ts';

const CLOSERS: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}', '<': '>' };
const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  f: '\f',
  b: '\b',
  a: '\u0007',
  e: '\u001b',
};

/** Only the delimiters and the backslash itself are escaped there. */
export function unescapeSingle(raw: string, opener: string): string {
  const escaped = new Set(['\\', opener, CLOSERS[opener] ?? opener]);
  return raw.replaceAll(/\\([\s\S])/g, (all, char: string) => (escaped.has(char) ? char : all));
}

/** The variables of a text; the sigil is before us. */
export interface Interpolation {
  scalar(): string;
  list(): readonly string[];
}

/** @throws `unclear` where the text asks for what we do not follow. */
export function interpolate(source: PerlText, variables: Interpolation): string {
  let text = '';
  while (!source.isOver) {
    const plain = source.take(/[^\\$@]+/y)?.[0];
    if (plain !== undefined) text += plain;
    else if (source.takeText('\\')) text += escaped(source);
    else if (/^\$(?:\{|::|[A-Za-z_])/.test(source.peek(3))) text += variables.scalar();
    else if (/^@(?:\{|\$|::|[A-Za-z_])/.test(source.peek(3))) text += variables.list().join(' ');
    else if (/^\$[^\s)|]/.test(source.peek(2))) throw unclear(source.line, 'one of Perl’s own variables');
    else {
      text += source.peek();
      source.at += 1;
    }
  }
  return text;
}

function escaped(source: PerlText): string {
  const code = source.take(/x\{([\da-fA-F]{1,6})\}|x([\da-fA-F]{1,2})|([0-7]{1,3})/y);
  if (code !== undefined) {
    const [, braced, hex, octal] = code;
    const point = octal === undefined ? Number.parseInt(braced ?? hex ?? '', 16) : Number.parseInt(octal, 8);
    if (point > 0x10_ff_ff) throw unclear(source.line, 'a character that there is not');
    return String.fromCodePoint(point);
  }
  const char = source.peek();
  source.at += 1;
  if (/^[ULEQFlucNxo]$/.test(char)) throw unclear(source.line, `\\${char} in a text`);
  return ESCAPES[char] ?? char;
}
