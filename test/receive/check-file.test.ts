/** `checks/*.toml`: what is wrong is said with file, line, key and the nearest known word. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderProblem } from '../../src/access/problem.ts';
import { CheckBook } from '../../src/receive/checks/check-book.ts';
import { readCheckFile, readCheckFiles } from '../../src/receive/checks/check-file.ts';
import { PRINCIPAL } from './site.ts';

function problems(text: string): string {
  const read = readCheckFile('checks/site.toml', text);
  return read.kind === 'ok' ? 'ok' : read.problems.map(renderProblem).join('\n');
}

const GOOD = '[[check]]\nname = "a"\nrepositories = ["*"]\ncommits-max = 5\n';

test('a file with an unknown key names the nearest one, at its line', () => {
  assert.equal(problems(GOOD), 'ok');
  assert.match(
    problems(`${GOOD}author-emial = ["*"]\n`),
    /^checks\/site\.toml:5: check a: there is no key author-emial; did you mean author-email\?/,
  );
  assert.match(
    problems(`${GOOD}action = "deny"\n`),
    /site\.toml:5: check a: action is one of refuse, hold, warn, not deny/,
  );
  assert.match(problems(`${GOOD}action = "wran"\n`), /did you mean warn\?/);
  assert.match(problems('[[chek]]\nname = "a"\n'), /there is no key chek; did you mean check\?/);
  assert.match(problems('check = 5\n'), /a check begins with \[\[check\]\]/);
});

test('everything that is wrong in a file is said', () => {
  const text = [
    '# checks',
    '[[check]]',
    'name = "first"',
    'repositories = []',
    'file-bytes-max = "10 apples"',
    'message = ["(?<=a)b"]',
    'refs = ["main"]',
    'users = "alice"',
    '[[check]]',
    'repositories = ["*"]',
    'commits-max = -1',
    'trailers = ["Signed-off-by:"]',
  ].join('\n');
  const said = problems(text);
  for (const words of [
    /:4: check first: says no repositories/,
    /:5: check first: file-bytes-max is a size/,
    /:6: check first: message: \(\?<=a\)b: /,
    /:7: check first: refs: a ref begins with refs\/: refs\/heads\/main, not main/,
    /:8: check first: users is a list of texts/,
    /:9: the check: every check has a name/,
    /:11: the check: commits-max is a whole number/,
    /:12: the check: trailers are words like Signed-off-by/,
  ]) {
    assert.match(said, words);
  }
});

test('a check that asks for nothing, and what is no TOML, are wrong', () => {
  assert.match(problems('[[check]]\nname = "a"\nrepositories = ["*"]\n'), /check a: asks for nothing/);
  assert.match(problems('[[check]]\nname = "a\n'), /^checks\/site\.toml:2: /);
});

test('lines are right beside texts of several lines that look like tables', () => {
  const text = `[[check]]\nname = "a"\nrepositories = ["*"]\nmessage = ["""\n[[check]]\n"""]\n${GOOD.replace('"a"', '"b"')}comits-max = 1\n`;
  assert.match(problems(text), /site\.toml:11: check b: there is no key comits-max; did you mean commits-max/);
});

test('two checks of one name are told, in whichever files they stand', () => {
  const read = readCheckFiles(
    new Map([
      ['checks/a.toml', GOOD],
      ['checks/b.toml', GOOD],
    ]),
  );
  assert.match(
    read.kind === 'ok' ? '' : read.problems.map(renderProblem).join(),
    /checks\/b\.toml:1: there are two checks named a: the other is in checks\/a\.toml/,
  );
});

test('a wrong file changes nothing, and patterns do not cover the policy itself', () => {
  const book = new CheckBook({ isPolicyRepository: (name) => name === 'gatehouse-admin' });
  const compile = (text: string) => book.annex.compile(new Map([['checks/a.toml', text]]));
  const good = compile(GOOD);
  assert.ok(good.kind === 'ok');
  good.adopt();
  assert.equal(compile('[[check]]\n').kind, 'wrong');
  assert.equal(book.active('team/x', PRINCIPAL).length, 1);
  assert.equal(book.active('gatehouse-admin', PRINCIPAL).length, 0);
  const named = compile(GOOD.replace('"*"', '"gatehouse-admin"'));
  assert.ok(named.kind === 'ok');
  named.adopt();
  assert.equal(book.active('gatehouse-admin', PRINCIPAL).length, 1);
  assert.equal(book.active('team/x', PRINCIPAL).length, 0);
  assert.ok(
    book.annex.owns('checks/a.toml') && !book.annex.owns('checks/a/b.toml') && !book.annex.owns('secrets/a.toml'),
  );
});
