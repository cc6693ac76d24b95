/** Regular expressions and texts made at random, rich in what engines read differently. */
import type { Chance } from '../../compare/random.ts';

type Words = readonly [string, ...string[]];

const LITERALS = words('a b c a b A B k 1 0 _ - / refs é 😀 # , ] } { @ = : & " ~ % ; < > !', ' ', "'", '\n', '\t');
const ESCAPES = words(
  String.raw`\. \d \D \w \W \s \S \h \H \v \V \N \R \n \r \t \f \e \a \x41 \x{42} \x \x4 \xg \x{} \0 \01 \012 \101 \o{101}`,
  ...words(
    String.raw`\cA \c[ \- \/ \@ \# \_ \, \] \} \{ \x{e9} \xe9 \8 \141 \377 \K \X \C \pL \p{L} \i \l \q \u \E \Q \L`,
  ),
  ...words(String.raw`\O \T \U \G \g1 \1 \k<a> \é \< \! \= \: \; \\ \b{wb} \N{U+41} \N{2}`),
  '\\ ',
  '\\\n',
  '\\x{ 41 }',
);
const ASSERTIONS = words(String.raw`^ $ \A \z \Z \b \B ^ $ \G`);
const COUNTS = words('* + ? {2} {1,3} {2,} {,2} {0} {0,1} {,} {} {a} {1 {1, {1,2 {01} {3,2} {1}', '{ 1,2 }', '{, 2}');
const MODES = words('? + ? * {2}', '', '', '', '');
const RANGES = words(
  String.raw`a-c A-Z 0-9 a- -a --/ +-- A-z \x41-\x43 a-\x63 \0-\x1f é-ü a-\d \w-z a-[:digit:] \n-\r \ca-\cc \101-\103`,
);
const NAMES = words('alpha digit alnum upper lower space blank punct cntrl graph print xdigit word ascii');
const ODD_MEMBERS = words(String.raw`- ^ $ . * + ? | ( ) [ [a && # : { } \b \B \A \z \Z \R \E`, ' ');
const FLAGS = words('i m s x i m s x xx n a d p');
const HEADS = words('( (?: (?<n> (?P<n> (?| (?=');
const TEXT = words(
  'a b c A B K s 1 0 _ - / . é ÿ ſ € 😀 @ , : } ] { # =',
  ' ',
  '\n',
  '\r',
  '\t',
  '\0',
  '\v',
  '\f',
  '\x85',
  '\xa0',
  '\u2028',
);
const PLAIN_TEXT = words('a b c a b 1 A - é', '\n');

/** Of the words of a conf only. */
const REFEX_PARTS = words(
  String.raw`a b c A 1 0 - . _ @ / + \ ^ $ | ( ) [ ] * ? { } , (?i) [a-c] \d .* [0-9]+ [^/]+ {1,2} {,2} \w \. \b \z \Z \A \h \s`,
  ...words(String.raw`(?m) (?x) (?^i) \x41 [[ []] [^ \Q \E refs (a|b) ?+ *+ ++ \N \R \K \B \101 \0 a{2} {2 \cA`),
);
const REF_PARTS = words('a b c A B 1 0 - _ . / @ + : , refs ab', ' ');

function words(text: string, ...more: readonly string[]): Words {
  const [first = '', ...rest] = text.split(' ');
  return [first, ...rest, ...more];
}

export function randomRegex(chance: Chance): string {
  const pieces = chance.some(['piece'], 4).map(() => piece(chance, 2));
  return [
    chance.is(25) ? '^' : '',
    ...pieces,
    chance.is(15) ? `|${piece(chance, 2)}` : '',
    chance.is(15) ? '$' : '',
  ].join('');
}

function piece(chance: Chance, depth: number): string {
  return atom(chance, depth) + (chance.is(35) ? chance.one(COUNTS) + chance.one(MODES) : '');
}

function atom(chance: Chance, depth: number): string {
  const kind = chance.int(depth > 0 ? 12 : 8);
  if (kind < 2) return chance.one(LITERALS);
  if (kind < 3) return '.';
  if (kind < 5) return chance.one(ESCAPES);
  if (kind < 6) return chance.one(ASSERTIONS);
  if (kind < 7) return bracket(chance);
  if (kind < 8) return chance.one([`(?${flags(chance)})`, '(?#co)', '()', '(?:)']);
  if (kind < 10) return `(?${flags(chance)}:${choice(chance, depth - 1)})`;
  return `${chance.one(HEADS)}${choice(chance, depth - 1)})`;
}

function choice(chance: Chance, depth: number): string {
  const sequence = (): string => Array.from({ length: chance.int(4) }, () => piece(chance, depth)).join('');
  return sequence() + (chance.is(30) ? `|${sequence()}` : '');
}

function flags(chance: Chance): string {
  const on = chance.some(FLAGS, 3).join('');
  return (chance.is(15) ? '^' : '') + on + (chance.is(30) ? `-${chance.is(15) ? '' : chance.one(FLAGS)}` : '');
}

function bracket(chance: Chance): string {
  const members = chance.some(['member'], 4).map(() => {
    const kind = chance.int(10);
    if (kind < 4) return chance.one(LITERALS).slice(0, 1);
    if (kind < 6) return chance.one(RANGES);
    if (kind < 7) return `[:${chance.is(25) ? '^' : ''}${chance.one(NAMES)}:]`;
    return chance.one(kind < 9 ? ESCAPES : ODD_MEMBERS);
  });
  return `[${chance.is(30) ? '^' : ''}${chance.is(12) ? ']' : ''}${members.join('').toWellFormed()}]`;
}

export function randomText(chance: Chance): string {
  const from = chance.is(50) ? TEXT : PLAIN_TEXT;
  return Array.from({ length: chance.int(8) }, () => chance.one(from)).join('');
}

/** A refex as gitolite matches it, of the words that a conf may have. */
export function randomRefex(chance: Chance): string {
  const parts = chance.some(REFEX_PARTS, 7).join('');
  return `^${chance.is(50) ? 'refs/heads/' : ''}${parts}${chance.is(30) ? '$' : ''}`;
}

export function randomRef(chance: Chance): string {
  return (
    (chance.is(50) ? 'refs/heads/' : '') + Array.from({ length: chance.int(6) }, () => chance.one(REF_PARTS)).join('')
  );
}
