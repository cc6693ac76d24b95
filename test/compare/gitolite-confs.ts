/** Random confs with every construct of the language, and a site of repositories and questions to go with them. */
import { compilePerl } from '../../src/access/gitolite/perl-pattern.ts';
import { isPatternWord, isPlainWord } from '../../src/access/gitolite/words.ts';
import { randomRef, randomRefex } from '../access/pattern/random-regex.ts';
import { Chance } from './random.ts';

export const SITE = {
  hostname: 'host7',
  configKeys: ['foo\\..*', 'bar.baz', 'gitweb\\.(owner|description|category)'],
  safeConfig: new Map([['SAFE', '$safe;']]),
  roles: ['READERS', 'WRITERS', 'TESTERS'],
  sugar: ['continuation-lines', 'keysubdirs-as-groups', 'macros', 'refex-expr'],
  /** Directories of keys, each a group of its users. */
  keyGroups: new Map([
    ['inner', ['u.3']],
    ['team', ['u-4', 'u1']],
  ]),
  outerGroups: new Map([
    ['u2', ['outer']],
    ['u.3', ['g1', 'outer']],
  ]),
} as const;

export interface WildRepository {
  readonly name: string;
  readonly creator: string;
  readonly permissions: string;
  readonly groups: string;
}

export interface RandomSite {
  readonly files: ReadonlyMap<string, string>;
  /** They exist, besides those that the conf names. */
  readonly wild: readonly WildRepository[];
}

export const USERS = ['u1', 'u2', 'u.3', 'u-4', 'U5', 'u6+x', 'stranger', 'x@y.org'] as const;
const GROUPS = ['@g1', '@g2', '@g3', '@late'] as const;
const SPECIAL = [
  '@all',
  'CREATOR',
  '@CREATOR',
  'READERS',
  'WRITERS',
  '@READERS',
  'TESTERS',
  '@outer',
  '@ghost',
  '@team',
  '@inner',
] as const;
const LITERALS = ['foo', 'foo/bar', 'a.b', 'p+q', 'foo/.+', 'axb', 'deep/er/one', 'host7-log', 'foo.git'] as const;
const PATTERNS = [
  'wild/[a-z]+',
  'wild/.*',
  'home/CREATOR/[a-z].*',
  'CREATOR/x..*',
  '[fF]oo.*',
  'foo|bar',
  'wild/(a|bc)$',
  'wild/\\w++',
  'wild/a{,2}',
  'wild/(?i)AB.*',
  '[a-z]..*',
  'x(y|z)*',
  'wild/..*\\d',
  'wild/[^/]*\\z',
  'home/u[0-9]/\\Qab',
  'sub/..*',
] as const;
const REPOSITORY_GROUPS = ['@r1', '@r2', '@part', '@all'] as const;
const PERMISSIONS = [
  'R',
  'RW',
  'RW',
  'RW+',
  '-',
  '-',
  'C',
  'RWC',
  'RW+C',
  'RWD',
  'RW+D',
  'RWCD',
  'RW+CD',
  'RWDC',
  'RW+DC',
  'RWM',
  'RW+M',
  'RWCM',
  'RW+CDM',
  'RWDM',
] as const;
const REFEXES = [
  'master',
  'master$',
  'refs/tags/v[0-9]',
  'dev/USER/',
  'refs/heads/USER/',
  'NAME/foo/',
  'NAME/bar',
  'VREF/COUNT/3',
  'VREF/COUNT/5/NEWFILES',
  'VREF/FILETYPE/bin',
  'VREF/MAX_NEWBIN_SIZE/100',
  'VREF/EMAIL-CHECK',
  'VREF/NAME/USER/',
  'VREF/.*',
  '@refs',
  'refs/heads/[a-z]+$',
  'refs/heads/(?i)MAS',
  'a|b',
  'refs/(heads|tags)/x',
  'refs/.*',
  'm\\w++r',
  'm[a-z]*+$',
  'm.{,3}$',
  'x{2,3}\\z',
  '\\Qdev/',
  'v\\d+\\.\\d+',
  'refs/tags/v1.0',
  'x{2}',
  'dev/u.3/a?+b',
  'm(a|as)(ter)?$',
  '(?^)mas',
  '(?|a|b)x',
  '[]x-]',
  'refs/heads/[^m]',
  'a{,}',
  'DENIED',
  '\\bdev\\b',
  'x\\h',
  'dev/.*?/b',
  'm(?i)A(?-i)s',
] as const;
/** Values of options hold no others. */
const OPERANDS = REFEXES.filter((refex) => !/[$()|]/.test(refex)) as unknown as readonly [string, ...string[]];

const WILDS = [
  'wild/ab',
  'wild/abc',
  'wild/aa',
  'wild/Ab9',
  'home/u1/ab',
  'home/u2/notes',
  'u1/xyz',
  'u.3/xx',
  'Foobar',
  'sub/one',
  'xyzz',
] as const;

export const REPOSITORIES = [
  ...LITERALS.filter((name) => !name.endsWith('.git')),
  ...WILDS,
  'wild/new',
  'home/u1/new',
  'u2/xnew',
  'nowhere',
  'foobar',
  'bar',
  'zebra',
  'wild/a',
  'fooXbar',
  'sub/two',
  '@r1',
  '@all',
] as const;
export const ATTEMPTS = ['R', 'W', '+', 'C', 'D', 'M', '^C'] as const;
export const REFS = [
  'any',
  'any',
  'master',
  'maste',
  'mast',
  'dev/u1/x',
  'dev/u.3/ab',
  'u1/x',
  'refs/tags/v1',
  'refs/tags/v1.0',
  'refs/tags/v1x0',
  'a',
  'ab',
  'b',
  'xx',
  'xxx',
  'refs/tags/x',
  'VREF/NAME/foo/bar',
  'VREF/NAME/bar',
  'VREF/COUNT/3',
  'VREF/COUNT/5/NEWFILES',
  'VREF/NAME/u1/x',
  'VREF/FILETYPE/bin/x',
  'Qdev/',
  'v1.2',
  'refs/notes/n',
  'MASTER',
  'dev',
  'dev/q/b',
  'DENIED',
  'x-y',
  'ax',
  'u2/y',
  'refs/heads/refs/tags/v1',
] as const;

/** One that a rule's random refex may be about. */
export function someRef(chance: Chance): string {
  return chance.is(60) ? chance.one(REFS) : randomRef(chance).replace(/^[^0-9A-Za-z]*/, 'a');
}

const NAMES: readonly [string, ...string[]] = [...LITERALS, ...PATTERNS];

export function randomSite(seed: number): RandomSite {
  return new Composer(new Chance(seed)).site();
}

class Composer {
  readonly #chance: Chance;
  readonly #defined = new Set<string>();

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  site(): RandomSite {
    const chance = this.#chance;
    const files = new Map<string, string>();
    const lines = [
      '@refs = master refs/tags/v1',
      `@part = ${chance.some(NAMES.filter((name) => name !== 'foo.git') as [string, ...string[]], 4).join(' ')} sub/..*`,
      ...this.#macro(),
    ];
    for (let i = 0; i < 4 + chance.int(9); i += 1) lines.push(...this.#section());
    if (chance.is(60))
      lines.push(
        chance.one([
          'include "inc*.conf"',
          "include 'inc1.conf'",
          'include "inc{1,2,9}.conf"',
          'include   "inc1.conf inc2.conf"',
        ]),
      );
    if (chance.is(60))
      lines.push(
        chance.one(['subconf "part.conf"', 'subconf part "sub*.conf"', 'subconf foo "sub1.conf"', 'subconf "p*.conf"']),
      );
    for (const name of ['inc1', 'inc2', 'part', 'sub1', 'sub2']) files.set(`${name}.conf`, this.#file(3).join('\n'));
    for (let i = 0; i < chance.int(4); i += 1) lines.push(...this.#section());
    if (chance.is(30)) lines.push('@late = u1 u-4');
    if (chance.is(7)) lines.splice(chance.int(lines.length), 0, this.#mistake());
    files.set('gitolite.conf', `${lines.join('\n')}\n`);
    return { files, wild: this.#wild() };
  }

  #file(sections: number): string[] {
    return Array.from({ length: 1 + this.#chance.int(sections) }, () => this.#section()).flat();
  }

  #section(): string[] {
    const chance = this.#chance;
    const kind = chance.int(100);
    if (kind < 25) return [this.#group()];
    if (kind < 27) return ['=begin testconf', ...this.#stanza(), '=end'];
    if (kind < 28) return ['=begin template-data', ...this.#stanza(), '=end'];
    if (kind < 30) return ['use wild/[a-z]+ u1', 'use "a.b" u2'];
    if (kind < 32) return ['nonsense line here', 'repo', 'option x ='];
    return this.#stanza();
  }

  #group(): string {
    const chance = this.#chance;
    if (chance.is(70)) {
      const group = chance.one(GROUPS);
      const known = GROUPS.filter((one) => this.#defined.has(one));
      this.#defined.add(group);
      const members = chance.some<string>([...USERS, ...known, '@all'], 4);
      return this.#spaced(`${group} = ${members.join(' ')}`);
    }
    const group = chance.one(['@r1', '@r2'] as const);
    this.#defined.add(group);
    return this.#spaced(
      `${group} = ${chance
        .some(NAMES, 3)
        .filter((name) => name !== 'foo.git')
        .join(' ')}`,
    );
  }

  #stanza(): string[] {
    const chance = this.#chance;
    const groups = REPOSITORY_GROUPS.filter(
      (group) => group === '@all' || group === '@part' || this.#defined.has(group),
    );
    const names = chance.some<string>([...NAMES, ...groups, ...groups, '%HOSTNAME-log'], 3);
    if (chance.is(20)) names.push(this.#pattern());
    const lines = [this.#spaced(`repo ${names.join(' ')}`)];
    for (let i = 0; i < 1 + chance.int(6); i += 1) lines.push(this.#line());
    return lines;
  }

  #line(): string {
    const chance = this.#chance;
    const kind = chance.int(100);
    if (kind < 12) return this.#spaced(this.#setting());
    const refexes = chance.is(45) ? [] : chance.some<string>(REFEXES, 2);
    if (chance.is(25)) refexes.push(this.#refex());
    const users = chance.some<string>([...USERS, ...USERS, ...GROUPS, ...SPECIAL], 3).join(' ');
    const permission = chance.one<string>(PERMISSIONS);
    if (kind < 15) return `    ${permission} ${refexes.join(' ')} = \\\n        ${users}`;
    if (kind < 17) {
      const operator = chance.one(['and', 'or', 'xor', 'and not', '+', '-lt', 'also', '-']);
      return `${permission} refs/heads/a ${operator} ${chance.one(OPERANDS)} = ${users}`;
    }
    return this.#spaced(`    ${[permission, ...refexes].join(' ')} = ${users}`);
  }

  /** Any that both can match: what no automaton can is refused here alone. */
  #refex(): string {
    for (;;) {
      const refex = randomRefex(this.#chance).replace(/^\^/, '');
      const full = refex.startsWith('refs/') ? refex : `refs/heads/${refex}`;
      if (isPatternWord(refex) && !refex.startsWith('@') && compilePerl(`^${full}`).kind === 'ok') return refex;
    }
  }

  /** The same for names of repositories. */
  #pattern(): string {
    for (;;) {
      const pattern = randomRefex(this.#chance).replace(/^\^(?:refs\/heads\/)?/, 'wild/');
      const isPattern = isPatternWord(pattern) && !isPlainWord(pattern) && !pattern.endsWith('.git');
      if (isPattern && compilePerl(`^${pattern}$`).kind === 'ok') return pattern;
    }
  }

  #setting(): string {
    return this.#chance.one([
      'option deny-rules = 1',
      'option deny-rules = 0',
      'option deny-rules = ""',
      'option CREATE_IS_C = 1',
      'option DELETE_IS_D = 0',
      'option MERGE_CHECK = 1',
      'option MERGE_CHECK = ""',
      'option mirror.slaves = a b',
      'config foo.one = %GL_REPO by %GL_CREATOR',
      'config foo.two = "quoted # not a comment"',
      'config foo.one =',
      "config BAR.baz = '0'",
      'config barxbaz = %SAFE',
      'config foo.a = b = c',
      'desc = "some thing"',
      'owner = Ann Onymous',
      'category = none',
      'option ENV.X = y',
      'config foo.host = %HOSTNAME',
      'option CREATE_IS_C = ""',
    ]);
  }

  #macro(): string[] {
    return ['macro use repo %1', '    RW+ = %2', '    R = @all', 'end'];
  }

  /** One that gitolite dies of. */
  #mistake(): string {
    return this.#chance.one([
      '@x = @nosuch',
      'repo foo!bar',
      'repo foo\nRW = a!b',
      'repo foo\nRW a!b = u1',
      'repo foo\nconfig no.such = 1',
      'repo foo\nconfig foo.bad = `id`',
      'include nosuch.conf',
      '@a!b = u1',
      '@a = b!c',
      'repo foo\nRW @nosuch = u1',
      'repo foo\noption x = $HOME',
      'use wild/x',
      'subconf "in!c/*.conf" x',
    ]);
  }

  /** With the blanks and comments that people write. */
  #spaced(text: string): string {
    const chance = this.#chance;
    let out = text;
    if (chance.is(15)) out = out.replace(' = ', '=');
    if (chance.is(10)) out = out.replaceAll(' ', ' \t ');
    if (chance.is(10)) out = `  ${out}   `;
    if (chance.is(10)) out += chance.one([' # comment', ' # "quoted" comment', '#tight', ' # a "half']);
    if (chance.is(3)) out += '\r';
    return out;
  }

  #wild(): WildRepository[] {
    const chance = this.#chance;
    return WILDS.filter(() => chance.is(70)).map((name) => ({
      name,
      creator: chance.one<string>([...USERS, '']),
      permissions: chance.is(60) ? this.#permissions() : '',
      groups: chance.is(10) ? 'r1 @part bad/one' : '',
    }));
  }

  #permissions(): string {
    const chance = this.#chance;
    const lines = Array.from({ length: 1 + chance.int(3) }, () => {
      const role = chance.one(['READERS', 'WRITERS', 'TESTERS', '@READERS', 'NOSUCH', 'CREATOR', '# READERS', '']);
      const members = chance.some<string>([...USERS, ...GROUPS, '@all', '@outer', 'bad!name'], 3).join(' ');
      return chance.is(20) ? `  ${role} = ${members}  ` : `${role} ${members}`;
    });
    return `${lines.join('\n')}\n`;
  }
}
