import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { cleanLine } from '../../../src/access/gitolite/conf-line.ts';
import { globFiles, normalPath } from '../../../src/access/gitolite/include-glob.ts';
import { asked, compilation, conf, fatal, there, warnings } from './site.ts';

test('what gitolite dies of is a problem with file, line and its words', () => {
  const table = [
    ['@x = @nosuch', "gitolite.conf:1: undefined group '@nosuch'"],
    ['\nrepo foo!bar', "gitolite.conf:2: bad reponame 'foo!bar'"],
    ['repo foo\n\n RW = a!b', "gitolite.conf:3: bad username 'a!b'"],
    ['repo foo\nRW a!b = ann', "gitolite.conf:2: bad ref 'refs/heads/a!b'"],
    ['repo foo\nRW @no = ann', "gitolite.conf:2: undefined group '@no'"],
    [
      'repo foo\nconfig a.b = `id`',
      "gitolite.conf:2: git config 'a.b' not allowed; the settings of the site say which keys are",
    ],
    ['repo foo\noption a = $HOME', "gitolite.conf:2: bad config value '$HOME'"],
    ['@a!b = x', "gitolite.conf:1: bad group '@a!b'"],
    ['@a = b!c', "gitolite.conf:1: bad expansion 'b!c'"],
    ['include nosuch.conf', "gitolite.conf:1: invalid include/subconf file/glob 'nosuch.conf'"],
  ] as const;
  for (const [text, problem] of table) assert.equal(fatal(text), problem);
  assert.equal(fatal({}), 'gitolite.conf:0: the conf is missing');
});

test('every mistake is told, not only the first', () => {
  const result = compilation('repo foo\nRW = a!b\nRW = c!d\nRW = ok');
  assert.ok(result.kind === 'wrong');
  assert.deepEqual(
    result.problems.map(({ line, text }) => `${line} ${text}`),
    ['2 RW = a!b', '3 RW = c!d'],
  );
});

test('a pattern that cannot be matched in linear time is refused where it stands', () => {
  assert.match(
    fatal('repo foo\nRW (a)\\1 = ann') ?? '',
    /^gitolite.conf:2: bad pattern 'refs\/heads\/\(a\)\\1': back references/,
  );
  assert.match(fatal('repo w/(a') ?? '', /bad pattern 'w\/\(a': missing \)/);
  assert.match(fatal('repo w/a**') ?? '', /nested quantifiers/);
  assert.match(fatal('repo w/(ab)++') ?? '', /possessively/);
  assert.match(fatal('repo w/(?{x})') ?? '', /unknown group/);
});

test('what gitolite only warns of does not stop a conf', () => {
  assert.deepEqual(
    warnings('nonsense\nrepo foo.git\nR master = ann @ghost\noption x =\ninclude "nosuch.conf"'),
    [
      "gitolite.conf:2: explicit '.git' extension ignored for foo.git",
      "gitolite.conf:3: doesn't make sense to supply a ref ('refs/heads/master') for 'R' rule",
      "gitolite.conf:3: possible undeclared group '@ghost'",
    ]
      .toSpliced(
        0,
        0,
        "gitolite.conf:5: included file not found: 'nosuch.conf'",
        "gitolite.conf:1: syntax error, ignoring: 'nonsense'",
      )
      .concat("gitolite.conf:4: syntax error, ignoring: 'option x ='"),
  );
});

test('lines are cleaned as gitolite cleans them', () => {
  const table = [
    ['  a=b  # c', 'a = b'],
    ['a = "x # y" # z', 'a = "x # y"'],
    ['a = "half # y', 'a = "half # y'],
    ['a # "half', 'a'],
    ['a=b=c\t\r', 'a = b=c'],
    ['"a" "b # c', '"a" "b'],
    ['"a" "b" c # d "e', '"a" "b" c'],
    ['"a # b" c " d # e', '"a # b" c " d'],
  ] as const;
  for (const [text, clean] of table) assert.equal(cleanLine(text), clean);
});

test('comments are found as a backtracking pattern would find them, in linear time', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('"', '#', 'a'), { maxLength: 12 }), (chars) => {
      const text = chars.join('');
      assert.equal(cleanLine(text), text.replace(/^((".*?"|[^#"])*)#.*/, '$1').trim());
    }),
    { numRuns: 500 },
  );
  assert.equal(cleanLine('"'.repeat(200_001)).length, 200_001);
  assert.equal(cleanLine(`${'"'.repeat(200_001)}#`).length, 200_001);
});

test('includes are read in place, each file once, and keep their own lines', () => {
  const files = {
    'gitolite.conf': 'repo foo\ninclude "a.conf"\n  R = bob\ninclude "*.conf"',
    'a.conf': '\n  - = bob\ninclude "sub/b.conf"',
    'sub/b.conf': '  RW = ann',
    'c.conf': 'R = a!b',
  };
  assert.equal(fatal(files), "c.conf:1: bad username 'a!b'");
  const site = conf({ ...files, 'c.conf': '' });
  assert.match(asked(site, 'foo', 'bob R master'), /DENIED by refs/);
  assert.equal(asked(site, 'foo', 'ann W'), 'refs/.*');
});

test('an include that leads out of the conf is refused, whatever lies there', () => {
  const more = { 'a.conf': 'repo foo', 'sub/b.conf': 'include "../../x.conf"' };
  for (const path of ['/etc/x.conf', '/etc/*.conf', '../x.conf', 'sub/../../[x].conf', '~/x.conf', '~eve/{x,y}.conf'])
    for (const word of ['include', 'subconf'])
      assert.match(
        fatal({ ...more, 'gitolite.conf': `repo foo\n${word} "${path}"` }) ?? '',
        /^gitolite.conf:2: .* below/,
      );
  assert.match(fatal({ ...more, 'gitolite.conf': 'include "sub/*.conf"' }) ?? '', /^sub\/b.conf:1: .* below/);
  assert.equal(fatal({ ...more, 'gitolite.conf': 'include "sub/.././a.conf"' }), undefined);
});

test('a delegated part rules its own repositories only, and its groups are its own', () => {
  const site = conf({
    'gitolite.conf': '@part = p/..* q\n@staff = ann\nsubconf "part.conf"\nrepo z\n  R = @staff',
    'part.conf': '@staff = @staff eve\n@mine = p/a z\nrepo p/x q z @mine\n  RW = @staff',
  });
  for (const name of ['p/x', 'q', 'p/a']) assert.equal(asked(site, name, 'eve W'), 'refs/.*');
  assert.match(asked(site, 'z', 'eve W'), /DENIED/);
  assert.match(asked(site, 'z', 'eve R'), /DENIED/);
  assert.equal(asked(site, 'q', 'ann W'), 'refs/.*');
});

test('a delegated part may not name a pattern that only looks like one of its own', () => {
  const site = conf({
    'gitolite.conf': '@part = w/a{,2}\nsubconf "part.conf"',
    'part.conf': 'repo w/a{,2}\n  RW = ann\nrepo w/aa\n  R = ann',
  });
  assert.match(asked(site, 'w/a', 'ann R'), /DENIED/);
  assert.match(asked(site, 'w/aa', 'ann W'), /DENIED/);
  assert.equal(asked(site, 'w/aa', 'ann R'), 'refs/.*');
});

test('members that a delegated part adds to the group of its name do not count for it', () => {
  const site = conf({
    'gitolite.conf': '@part = a\nsubconf "part.conf"',
    'part.conf': '@part = b\nrepo b\n  RW = ann',
  });
  assert.match(asked(site, 'b', 'ann W'), /DENIED/);
});

test('a delegated part can neither delegate nor pass for another', () => {
  const part = (text: string) => ({
    'gitolite.conf': '@part = a\nsubconf "part.conf"',
    'part.conf': text,
    'x.conf': '',
  });
  assert.equal(fatal(part('subconf "x.conf"')), "part.conf:1: subconf 'part' attempting to run 'subconf'");
  assert.match(fatal(part('subconf x\nrepo x\nRW = ann')) ?? '', /^part.conf:1: invalid include\/subconf/);
});

test('the host name is filled in where the site has one', () => {
  const text = 'repo foo-%HOSTNAME\n  R = ann';
  assert.equal(asked(conf(text, { hostname: 'h1' }), 'foo-h1', 'ann R'), 'refs/.*');
  assert.match(fatal(text) ?? '', /bad reponame/);
});

test('blocks for tests and templates are skipped', () => {
  const site = conf('repo foo\n=begin testconf\n  RW = eve\n=end\n  R = ann');
  assert.match(asked(site, 'foo', 'eve W'), /DENIED/);
  assert.equal(asked(site, 'foo', 'ann R'), 'refs/.*');
});

test('an empty group of refexes leaves the rule to every ref, with a warning', () => {
  const files = {
    'gitolite.conf': 'subconf "p.conf"\nrepo foo\n  RW @p = ann',
    // Speaking of a repository that is not its own defines the group of the part, empty.
    'p.conf': 'repo other',
  };
  assert.equal(asked(conf(files), 'foo', 'ann W x'), 'refs/.*');
  assert.ok(warnings(files).includes('gitolite.conf:3: the groups of refexes are empty: the rule is for every ref'));
});

test('continuation lines and macros are for sites that switch them on', () => {
  const text = 'macro use repo %1\n  RW = \\\n    %2\nend\nuse foo ann\nuse "bar" bob';
  const site = conf(text, { sugar: ['continuation-lines', 'macros'] });
  assert.equal(asked(site, 'foo', 'ann W'), 'refs/.*');
  assert.equal(asked(site, 'bar', 'bob W'), 'refs/.*');
  assert.match(asked(site, 'foo', 'bob W'), /DENIED/);
  assert.match(
    fatal(`${text}\nuse baz`, { sugar: ['continuation-lines', 'macros'] }) ?? '',
    /:7: macro 'use' needs 2 arguments at 'use baz'/,
  );
});

test('directories of keys make groups where the site says so', () => {
  const keyGroups = new Map([['lab', ['ann']]]);
  const site = conf('repo foo\n  R = @lab', { sugar: ['keysubdirs-as-groups'], keyGroups });
  assert.equal(asked(site, 'foo', 'ann R'), 'refs/.*');
});

test('globs find what a shell would find', () => {
  const files = ['a.conf', 'B.conf', 'c.txt', 'sub/d.conf', '.hidden.conf', 'ab.conf'];
  const table = [
    ['*.conf', ['a.conf', 'ab.conf', 'B.conf']],
    ['?.conf', ['a.conf', 'B.conf']],
    ['[a-c].conf', ['a.conf']],
    ['[!a].conf', ['B.conf']],
    ['*/*.conf', ['sub/d.conf']],
    ['{B,x,a}.conf', ['B.conf', 'x.conf', 'a.conf']],
    ['nosuch.conf a.conf', ['nosuch.conf', 'a.conf']],
    ['nosuch*', []],
    ['.h*', ['.hidden.conf']],
    ['./a*.conf', ['a.conf', 'ab.conf']],
  ] as const;
  for (const [glob, found] of table) assert.deepEqual(globFiles(glob, files), found, glob);
  assert.equal(globFiles('{a,b}'.repeat(20), files), undefined);
  assert.equal(normalPath('./a/../b.conf'), 'b.conf');
  assert.equal(normalPath('../b.conf'), undefined);
  assert.equal(normalPath('/etc/b.conf'), undefined);
});

test('a compiled conf never throws, whatever it is made of', () => {
  const words = fc.constantFrom(
    'repo ',
    'foo',
    '@g',
    ' = ',
    'RW',
    '-',
    'include "',
    '"',
    'subconf ',
    '\n',
    ' ',
    '{',
    '(',
    '[a',
    '*',
    '\\',
    'macro m',
    'end',
    '%1',
    'config ',
    'option ',
    '#',
  );
  fc.assert(
    fc.property(fc.array(words, { maxLength: 40 }), (parts) => {
      const result = compilation(parts.join(''), { sugar: ['continuation-lines', 'macros', 'refex-expr'] });
      if (result.kind === 'ok') asked(result.compiled, there('foo'), 'ann W x');
    }),
    { numRuns: 300 },
  );
});

test('a conf that asks for too much is refused soon, and only once', () => {
  const words = (letter: string, count: number): string =>
    Array.from({ length: count }, (_, i) => letter + i).join(' ');
  const nested = Array.from({ length: 500 }, (_, i) => `@g${i} = @a @a`).join('\n');
  const table = [
    [`@a = ${words('n', 20_000)}\n${nested}`, 'groups have at most 1000000 members in all'],
    [`repo a\n${`RW ${words('r', 1_500)} = ${words('u', 1_500)}\n`.repeat(3)}`, 'a conf has at most 1000000 rules'],
    [
      Array.from({ length: 1_500 }, (_, i) => `repo x${i}[a-z]{900}`).join('\n'),
      'the patterns of this conf are too large together',
    ],
  ] as const;
  for (const [text, message] of table) {
    const result = compilation(text);
    assert.deepEqual(result.kind === 'wrong' && result.problems.map((problem) => problem.message), [message]);
  }
});
