/** Perl's regular expressions: a table of what it reads in its own way, and random ones held against the perl that is here. */
import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { compilePerl } from '../../../src/access/gitolite/perl-pattern.ts';
import { Meter } from '../../../src/access/meter.ts';
import { Chance } from '../../compare/random.ts';
import { randomRef, randomRefex, randomRegex, randomText } from './random-regex.ts';

/** The same questions each time; `SEED=N` asks others, to hunt for what nobody thought of. */
const KNOWN_SEED = 20_261_122;

/** Pattern, texts that it matches, texts that it does not. All of it asked of Perl 5.36. */
const TABLE: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  // Bytes, not characters.
  ['^.$', ['e'], ['é']],
  ['^..$', ['é'], ['e', '😀']],
  ['^[é]$', [], ['é', 'e']],
  ['[é-ü]', ['à'], ['a']],
  ['^[^a]{4}$', ['😀'], ['é']],
  ['(?i)É', ['É'], ['é']],
  ['\\xc3', ['é'], ['\xc3'.slice(1)]],
  ['^\\W\\W$', ['é'], ['e']],
  ['\\h', ['\xa0', '\t'], ['a']],
  ['\\v', ['\x85', '\n'], ['a']],
  // Anchors and newlines.
  ['^a$[^b]', ['a\n'], ['a', 'ab', 'ac']],
  ['(?m)a\\n^', ['a\nb'], ['a\n']],
  ['(?m)^$', ['', 'a\n\n'], ['a\n']],
  ['^\\R$', ['\r\n', '\r', '\n', '\x0b'], ['\r\r', 'R']],
  ['\\R\\n', ['\n\n', '\r\n\n'], ['\n', '\r\n']],
  ['a\\Kb', ['ab'], ['b']],
  ['\\Ga', ['ab'], ['ba']],
  // Repetition.
  ['^a{,2}$', ['', 'aa', ''], ['aaa', 'a{,2}']],
  ['^a{ 1 , 2 }$', ['a', 'aa'], ['', 'aaa']],
  ['a{,}', ['a{,}'], ['a']],
  ['x{3,2}|b', ['b'], ['xxx']],
  ['(?i){2}', ['{2}'], ['a']],
  ['^a(?#many)*$', ['', 'aa'], ['b']],
  ['^a+(?#few)?$', ['aa'], ['']],
  ['^(?:a|b)*+b', [], ['ab', 'b']],
  ['^*a', ['ba'], ['b']],
  ['\\N{2}', ['ab'], ['a\nb']],
  // Flags.
  ['(?x) a # b', ['a'], ['b']],
  ['(?x: a b )c d', ['abc d'], ['a b c d']],
  ['(?xx)[a - c]', ['b'], ['-', ' ']],
  ['(?i)a(?^)B', ['AB'], ['ab']],
  ['(?i:a)(?-i:B)', ['AB'], ['Ab']],
  ['(?i)[[:^upper:]]', ['1'], ['a', 'A']],
  ['(?|(a)|(b))', ['b'], ['c']],
  // Escapes.
  ['\\101\\o{102}\\x{ 43 }', ['ABC'], ['abc']],
  ['\\x{4z}', ['\x04'], ['J']],
  ['\\xg', ['\0g'], ['g']],
  ['\\18', ['\x018'], ['18']],
  ['\\cA', ['\x01'], ['cA', 'A']],
  ['\\Q.\\E', ['QaE'], ['.']],
  ['[\\R\\B\\z]', ['R', 'B', 'z'], ['\n', 'b']],
  ['[\\o{101}\\01\\8]', ['A', '\x01', '8'], ['1', 'o']],
  ['[a-\\d]', ['-', '5', 'a'], ['b']],
  ['[\\w-/]', ['-', '/', 'a'], ['.']],
  ['[[:ascii:]]', ['a'], ['é']],
  ['\\ba{', ['a{'], ['a']],
];

test('Perl has its own way of reading patterns', () => {
  for (const [pattern, good, bad] of TABLE) {
    for (const text of good) assert.equal(answer(pattern, [text]), '1', `${pattern} ${JSON.stringify(text)}`);
    for (const text of bad) assert.equal(answer(pattern, [text]), '0', `${pattern} ${JSON.stringify(text)}`);
  }
});

test('what Perl refuses is refused, and so is what no automaton can do', () => {
  const malformed = ['a**', 'a{2}{2}', 'a{01}', '\\d{', '\\a{', '(?i)*', '(?^-i)', '(?aaa)', '(?da)', '\\o', '\\c{'];
  const more = [
    '\\b{2}',
    '[[:nope:]]',
    '[[.a.]]',
    '[[=a=]]',
    '[b-a]',
    '[\\N]',
    '(?#',
    '(?x)(a#)',
    'a\\',
    '(?<1>a)',
    '\\K*',
  ];
  const irregular = ['(a)\\1', '\\g1', '(?=a)', '(?<!a)', '(?>a)', '(ab)++', '(?R)', '(?&n)', '(*ACCEPT)', '(?{1})'];
  const unicode = ['\\p{L}', '\\X', '\\N{U+41}', '\\x{100}', '\\b{wb}', '(?u)', '(?l:a)', '(?a)(?i:a)', '\\N(?#){'];
  for (const pattern of [...malformed, ...more, ...irregular, ...unicode])
    assert.equal(compilePerl(pattern).kind, 'wrong', pattern);
});

/** Lines of a pattern and texts, in hexadecimal; answers `!`, or for each text 1 or 0. */
const PEER = String.raw`
  no warnings;
  while (my $line = <STDIN>) {
    chomp $line;
    my ($pattern, @texts) = map { pack 'H*', $_ } split /,/, $line, -1;
    my $compiled = eval { qr/$pattern/ };
    print defined $compiled ? join('', map { $_ =~ $compiled ? 1 : 0 } @texts) : '!', "\n";
  }
`;

/** 5.34 is the first that reads {,2} as a repetition. */
function perlIsHere(): boolean {
  return spawnSync('perl', ['-e', 'exit($] < 5.034)']).status === 0;
}

function askPerl(asked: readonly (readonly [string, readonly string[]])[]): readonly string[] {
  const hex = (text: string): string => Buffer.from(text, 'utf8').toString('hex');
  const input = asked.map(([pattern, texts]) => `${[pattern, ...texts].map(hex).join(',')}\n`).join('');
  const { status, stdout } = spawnSync('perl', ['-e', PEER], {
    input,
    encoding: 'latin1',
    maxBuffer: 64 * 1024 * 1024,
  });
  assert.equal(status, 0);
  return stdout.split('\n').slice(0, asked.length);
}

function answer(pattern: string, texts: readonly string[]): string {
  const compiled = compilePerl(pattern);
  if (compiled.kind === 'wrong') return '!';
  return texts.map((text) => (compiled.pattern.find(text, new Meter()) ? '1' : '0')).join('');
}

const PATTERNS = 4_000;
const TEXTS = 8;

for (const [about, random, randomSubject] of [
  ['regular expressions', randomRegex, randomText],
  ['refexes', randomRefex, randomRef],
] as const) {
  test(`random ${about} find what Perl finds`, (t) => {
    if (!perlIsHere()) return t.skip('no perl, or one before 5.34');
    const seed = Number(process.env['SEED'] ?? KNOWN_SEED);
    const chance = new Chance(seed);
    const asked = Array.from(
      { length: PATTERNS },
      () => [random(chance), Array.from({ length: TEXTS }, () => randomSubject(chance))] as const,
    );
    let compared = 0;
    for (const [index, theirs] of askPerl(asked).entries()) {
      const [pattern = '', texts = []] = asked[index] ?? [];
      const ours = answer(pattern, texts);
      if (ours === '!') continue;
      const wrong = texts.filter((_text, at) => ours[at] !== theirs[at]);
      const about = `SEED=${seed}: ${JSON.stringify(pattern)} on ${JSON.stringify(theirs === '!' ? 'any' : wrong)}`;
      assert.equal(ours, theirs, about);
      compared += 1;
    }
    assert.ok(compared > PATTERNS / 4, `SEED=${seed}: only ${compared} were compared`);
    return undefined;
  });
}
