/** Rule files in gitleaks' format: what is read, what is refused, what is only remarked on. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { loadRules } from '../../src/scan/rule-file.ts';
import { IDIOMS } from './fixtures/idioms.ts';
import { rulesOf } from './support.ts';

const EVERY_FEATURE = readFileSync(join(import.meta.dirname, 'fixtures', 'every-feature.toml'), 'utf8');

function reasonOf(text: string): string {
  const loaded = loadRules(text, { source: 'site.toml' });
  return loaded.kind === 'refused' ? loaded.reason : 'loads';
}

const rule = (more: string): string => `[[rules]]\nid = "r"\nregex = '''abc(d)'''\nkeywords = ["abc"]\n${more}`;

describe('rule file', () => {
  test('every feature of the format is read', () => {
    const set = rulesOf(EVERY_FEATURE);
    assert.deepEqual(set.warnings, []);
    assert.equal(set.rules.length, 7);
    assert.equal(set.allowlists.length, 5);
    assert.deepEqual(set.allowlists[3], {
      description: 'both at once',
      condition: 'all',
      paths: ['^fixtures/'],
      regexes: [],
      regexTarget: 'secret',
      stopwords: ['fixture'],
      commits: [],
      targetRules: ['plain-token'],
    });
    const half = set.rules.find(({ id }) => id === 'half-one');
    assert.deepEqual(half?.required, [{ id: 'half-two', withinLines: 3 }]);
    assert.equal(set.rules.find(({ id }) => id === 'half-two')?.skipReport, true);
    assert.equal(set.rules.find(({ id }) => id === 'old-style')?.allowlists[0]?.regexTarget, 'match');
    assert.equal(set.rules.find(({ id }) => id === 'grouped')?.secretGroup, 2);
  });

  test('patterns in the manner of public files load, all of them', () => {
    const text = IDIOMS.map(
      (regex, index) => `[[rules]]\nid = "r${index}"\nregex = '''${regex}'''\nkeywords = ["k"]`,
    ).join('\n');
    assert.equal(rulesOf(text).rules.length, IDIOMS.length);
  });

  test('an unknown key is a warning that names the rule', () => {
    const set = rulesOf(rule('colour = "red"\n'));
    assert.deepEqual(set.warnings, ['test.toml: rule r: unknown key colour']);
  });

  test('a rule that must run over everything is a warning', () => {
    const set = rulesOf(`[[rules]]\nid = "wide"\nregex = '''[a-z]+[0-9]+'''`);
    assert.match(set.warnings.join(), /rule wide: has no keyword/);
  });

  test('every problem is told, with the rule that has it', () => {
    const reason = reasonOf(
      `[[rules]]\nid = "one"\nregex = '''a(?=b)'''\n[[rules]]\nid = "two"\nregex = '''a'''\nsecretGroup = 3\n[[rules]]\nregex = '''x'''`,
    );
    assert.match(reason, /site\.toml: rule one: regex: RE2 has no lookaround, at character 2/);
    assert.match(reason, /site\.toml: rule two: secretGroup is 3, the regex has 0/);
    assert.match(reason, /site\.toml: rule 3: has no id/);
  });

  for (const [what, text, expected] of [
    ['broken TOML, with its line', '[[rules]\n', /site\.toml:1:/],
    ['a file without rules', 'title = "x"', /no rule/],
    ['the same id twice', rule('') + rule(''), /twice/],
    ['a rule with neither regex nor path', '[[rules]]\nid = "r"', /neither/],
    ['an empty allow-list', rule('[rules.allowlist]\ndescription = "x"'), /says nothing/],
    [
      'both spellings of allow-lists',
      rule('[rules.allowlist]\nregexes=["a"]\n[[rules.allowlists]]\nregexes=["b"]'),
      /exclude/,
    ],
    ['an unknown condition', rule('[[rules.allowlists]]\nregexes=["a"]\ncondition="XOR"'), /AND or OR/],
    ['an unknown target', rule('[[rules.allowlists]]\nregexes=["a"]\nregexTarget="file"'), /match, line or secret/],
    ['a bad pattern of an allow-list', rule("[[rules.allowlists]]\npaths=['(']"), /allowlist 1: paths/],
    ['an empty stopword', rule('[[rules.allowlists]]\nstopwords=[""]'), /stopword is empty/],
    ['an empty keyword', rule('').replace('"abc"', '""'), /keyword is empty/],
    ['a required rule that is not there', rule('[[rules.required]]\nid = "s"'), /no rule s/],
    ['an unknown check', rule('verify = "luck"'), /no check luck/],
    ['a file to extend', `[extend]\npath = "/etc/x"\n${rule('')}`, /extend\.path/],
    ['default rules where there are none', `[extend]\nuseDefault = true\n${rule('')}`, /no default rules/],
    ['a number where a text belongs', rule('').replace('"r"', '7'), /id is no string/],
    ['an entropy that cannot be', rule('entropy = 9'), /0 to 8/],
  ] as const) {
    test(`${what} is refused`, () => assert.match(reasonOf(text), expected));
  }

  test('a file on top of the default rules changes, adds and switches off', () => {
    const defaults = rulesOf(
      `[[rules]]\nid = "a"\nregex = '''aaa'''\nkeywords = ["aaa"]\n[[rules]]\nid = "b"\nregex = '''bbb'''\n[[rules]]\nid = "c"\nregex = '''ccc'''`,
    );
    const text = `[extend]\nuseDefault = true\ndisabledRules = ["b"]\n[[rules]]\nid = "a"\nentropy = 3.5\nkeywords = ["aa"]\n[[rules]]\nid = "d"\nregex = '''ddd'''`;
    const loaded = loadRules(text, { source: 'site.toml', defaults });
    assert.ok(loaded.kind === 'ok');
    assert.deepEqual(
      loaded.value.rules.map(({ id }) => id),
      ['a', 'c', 'd'],
    );
    assert.deepEqual([loaded.value.rules[0]?.regex, loaded.value.rules[0]?.entropy], ['aaa', 3.5]);
    assert.deepEqual(loaded.value.rules[0]?.keywords, ['aaa', 'aa']);
    const unknown = loadRules(text.replace('"b"', '"x"'), { source: 'site.toml', defaults });
    assert.match(unknown.kind === 'refused' ? unknown.reason : '', /no default rule x/);
  });
});
