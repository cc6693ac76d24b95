/** Items through the scanner's threads: what is found, what is excused, what is not looked at and says so. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ALNUM, blob, random, scan, scannerOf, token, TOKEN_RULES, UPPER } from './support.ts';
import { rulesOf } from './support.ts';

const EVERY_FEATURE = readFileSync(join(import.meta.dirname, 'fixtures', 'every-feature.toml'), 'utf8');

describe('scanner', () => {
  test('a finding names rule, file, line and column, and shows a part of the secret only', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const secret = token();
    const report = await scan(scanner, blob(`first\nsecond ${secret} end\n`, 'src/a.ts', { oid: 'f'.repeat(40) }));
    assert.equal(report.items, 1);
    assert.deepEqual([report.unscanned, report.notes, report.findingsDropped], [[], [], 0]);
    const [finding] = report.findings;
    assert.ok(finding);
    const { fingerprint, ...rest } = finding;
    assert.deepEqual(rest, {
      rule: 'tok',
      description: 'Token of an invented provider',
      kind: 'blob',
      path: 'src/a.ts',
      oid: 'f'.repeat(40),
      inner: '',
      line: 2,
      column: 8,
      redacted: 'tok_... (28 characters)',
    });
    assert.match(fingerprint, /^[0-9a-f]{64}$/);
    assert.ok(!JSON.stringify(report).includes(secret.slice(8)));
  });

  test('the same secret has the same fingerprint wherever it lies, and counts once in an item', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const secret = token();
    const report = await scan(scanner, blob(`${secret}\n${secret}\n`, 'a'), blob(secret, 'b'), blob(token(), 'c'));
    assert.deepEqual(
      report.findings.map(({ path, line }) => `${path}:${line}`),
      ['a:1', 'b:1', 'c:1'],
    );
    assert.equal(new Set(report.findings.map(({ fingerprint }) => fingerprint)).size, 2);
  });

  test('short secrets are shown by a quarter at most', async (t) => {
    const scanner = scannerOf(t, `[[rules]]\nid = "s"\nregex = '''pw=(\\S{4,})'''\nkeywords = ["pw="]`);
    const report = await scan(scanner, blob('pw=abcdefgh\n'));
    assert.equal(report.findings[0]?.redacted, 'ab... (8 characters)');
  });

  test('commits, tags and trees are scanned as bytes, paths and refnames as their own text', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const none = { oid: '', content: new Uint8Array() };
    const bytes = (text: string): Uint8Array => Buffer.from(text);
    const report = await scan(
      scanner,
      { kind: 'commit', path: '', oid: '1', content: bytes(`author ${token()} <a@b> 0 +0000\n\nmessage`) },
      { kind: 'tag', path: '', oid: '2', content: bytes(`object 1\n\n${token()}`) },
      { kind: 'tree', path: '', oid: '3', content: bytes(`100644 ${token()}\0binary`) },
      { kind: 'path', path: `keys/${token()}.txt`, ...none },
      { kind: 'refname', path: `refs/heads/${token()}`, ...none },
      { kind: 'lfs', path: 'big.bin', oid: '4', content: bytes(`x ${token()}`) },
    );
    assert.deepEqual(
      report.findings.map(({ kind }) => kind),
      ['commit', 'tag', 'tree', 'path', 'refname', 'lfs'],
    );
  });

  test('UTF-16 of either order, with or without a mark, and text among NUL bytes are read', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const text = `first line\nzweite Zeile: é ${token()} \n`;
    const little = Buffer.from(text, 'utf16le');
    const big = Buffer.from(little).swap16();
    const mark = Buffer.from([0xff, 0xfe]);
    const report = await scan(
      scanner,
      blob(little, 'le'),
      blob(big, 'be'),
      blob(Buffer.concat([mark, little]), 'le-mark'),
      blob(Buffer.concat([Buffer.from(mark).swap16(), big]), 'be-mark'),
      blob(Buffer.concat([Buffer.from([0, 1, 2, 0]), Buffer.from(text)]), 'binary'),
      blob(Buffer.concat([Buffer.from('plain text\n'.repeat(60_000)), little]), 'late'),
    );
    assert.deepEqual(
      report.findings.map(({ path, line }) => `${path}:${line}`),
      ['le:2', 'be:2', 'le-mark:2', 'be-mark:2', 'binary:2', 'late:60002'],
    );
  });

  test('what is written in Base64 or hexadecimal is read', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const hidden = `machine example login robot password ${token()} and so on`;
    const report = await scan(
      scanner,
      blob(`\n\n  data: ${Buffer.from(hidden).toString('base64')}\n`, 'base64'),
      blob(`data=${Buffer.from(hidden).toString('base64url')};`, 'base64url'),
      blob(`\n"${Buffer.from(hidden).toString('hex')}"`, 'hex'),
    );
    assert.deepEqual(
      report.findings.map(({ path, line }) => `${path}:${line}`),
      ['base64:3', 'base64url:1', 'hex:2'],
    );
  });

  test('a comment that allows, an allow-listed path and an allow-listed commit raise a question, never silence', async (t) => {
    const scanner = scannerOf(t, EVERY_FEATURE);
    const plain = (): string => `plain_${random(ALNUM, 30)}`;
    const report = await scan(
      scanner,
      blob(`a = "${plain()}" # gitleaks:allow\n`, 'a'),
      blob(`a = "${plain()}" # gatehouse:allow\n`, 'b'),
      blob(`a = "${plain()}"\n`, 'vendor/c'),
      blob(`a = "${plain()}"\n`, 'd', { commit: '0123456789abcdef0123456789abcdef01234567' }),
      blob(`a = "${plain()}"\n# gitleaks:allow\n`, 'e'),
    );
    assert.deepEqual(
      report.findings.map(({ path, excused }) => [path, excused !== undefined]),
      [
        ['a', true],
        ['b', true],
        ['vendor/c', true],
        ['d', true],
        ['e', false],
      ],
    );
    assert.match(report.findings[2]?.excused ?? '', /"files that people do not write" names this path/);
  });

  test('an excused copy in front does not excuse the one behind it', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const secret = token();
    const report = await scan(scanner, blob(`${secret} gitleaks:allow\n${secret}\n`));
    assert.deepEqual(
      report.findings.map(({ line, excused }) => [line, excused]),
      [[2, undefined]],
    );
  });

  test('allow-lists that look at the secret itself say what is none', async (t) => {
    const scanner = scannerOf(t, EVERY_FEATURE);
    const plain = (middle = ''): string => `plain_${random(ALNUM, 12)}${middle}${random(ALNUM, 12)}`;
    const report = await scan(
      scanner,
      blob(`a = "${plain('EXAMPLE')}"\n`, 'stopword'),
      blob(`known-good-line a = "${plain()}"\n`, 'line'),
      blob(`a = "plain_${'a'.repeat(24)}"\n`, 'entropy'),
      blob(`a = "${plain('fixture')}"\n`, 'fixtures/both'),
      blob(`a = "${plain('fixture')}"\n`, 'one-of-two'),
      blob(`old_${'0'.repeat(10)} old_${random('123456789', 10)}\n`, 'match'),
    );
    assert.deepEqual(
      report.findings.map(({ path, excused }) => [path, excused !== undefined]),
      [
        // What stands around a secret is a question.
        ['line', true],
        // With a path among its conditions it is about the place again.
        ['fixtures/both', true],
        ['one-of-two', false],
        ['match', false],
      ],
    );
  });

  test('what a pusher writes beside a secret does not silence it, whatever an allow-list says of lines and matches', async (t) => {
    const rules = (target: string): string =>
      `[[rules]]
      id = "s"
      regex = '''(?:[a-z]+ = )?(tok_[A-Za-z0-9]{24})'''
      keywords = ["tok_"]
      [[rules.allowlists]]
      regexTarget = "${target}"
      regexes = ['''harmless''', '''tok_0{24}''']`;
    for (const target of ['line', 'match']) {
      const scanner = scannerOf(t, rules(target));
      const report = await scan(
        scanner,
        blob(`harmless = ${token()}\n`, 'beside'),
        blob(`key = tok_${'0'.repeat(24)}\n`, 'itself'),
        blob(`key = ${token()}\n`, 'bare'),
      );
      assert.deepEqual(
        report.findings.map(({ path, excused }) => [path, excused]),
        [
          ['beside', 'an allow-list allows what stands around it'],
          ['bare', undefined],
        ],
      );
    }
  });

  test('secretGroup, path and rules about paths alone hold', async (t) => {
    const scanner = scannerOf(t, EVERY_FEATURE);
    const value = random('abcdefgh01234567', 16);
    const report = await scan(
      scanner,
      blob(`GROUPED_ID: "${value}"\n`, 'g'),
      blob('SETTING=verysecretvalue\n', 'config/.env.local'),
      blob('SETTING=verysecretvalue\n', 'config/readme'),
      blob('x', 'certs/site.P12'),
    );
    assert.deepEqual(
      report.findings.map(({ rule, path, line, redacted }) => [rule, path, line, redacted]),
      [
        ['grouped', 'g', 1, `${value.slice(0, 4)}... (16 characters)`],
        ['only-in-env', 'config/.env.local', 1, 'ver... (15 characters)'],
        ['key-store', 'certs/site.P12', 0, 'certs/site.P12'],
      ],
    );
  });

  test('a rule that requires another is found only near it', async (t) => {
    const scanner = scannerOf(t, EVERY_FEATURE);
    const one = (): string => `half_one=${random('0123456789abcdef', 12)}\n`;
    const two = (): string => `half_two=${random('0123456789abcdef', 12)}\n`;
    const report = await scan(
      scanner,
      blob(`${one()}\n${two()}`, 'near'),
      blob(`${one()}\n\n\n\n${two()}`, 'far'),
      blob(one(), 'alone'),
      blob(two(), 'other'),
    );
    assert.deepEqual(
      report.findings.map(({ path, rule }) => [path, rule]),
      [['near', 'half-one']],
    );
  });

  test('findings are bounded, and those beyond the bound counted', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES, { findingsPerItemMax: 5, findingsMax: 8 });
    const many = (): string => Array.from({ length: 20 }, token).join('\n');
    const report = await scan(scanner, blob(many(), 'a'), blob(many(), 'b'));
    assert.deepEqual([report.findings.length, report.findingsDropped], [8, 32]);
  });

  test('new rules are for new scans', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES);
    const item = blob(`${token()} key_${random(UPPER, 8)}`);
    assert.deepEqual(
      (await scan(scanner, item)).findings.map(({ rule }) => rule),
      ['tok'],
    );
    scanner.use(rulesOf(`[[rules]]\nid = "key"\nregex = '''key_[A-Z2-7]{8}'''`), 2);
    assert.equal(scanner.revision, 2);
    assert.deepEqual(
      (await scan(scanner, item)).findings.map(({ rule }) => rule),
      ['key'],
    );
  });

  test('scans beside one another do not mix', async (t) => {
    const scanner = scannerOf(t, TOKEN_RULES, { workers: 2 });
    const reports = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        scan(scanner, blob(`${token()}\n`.repeat(index), `f${index}`), blob('x')),
      ),
    );
    assert.deepEqual(
      reports.map(({ items, findings }) => [items, findings.map(({ path }) => path).join()]),
      [[2, ''], ...[1, 2, 3, 4, 5, 6, 7].map((index) => [2, `f${index}`])],
    );
  });
});

test('a scanner that is closed ends its scans and takes no more', async (t) => {
  const scanner = scannerOf(t, TOKEN_RULES);
  const started = Promise.withResolvers<void>();
  async function* slow(): AsyncGenerator<Uint8Array> {
    for (let sent = 0; ; sent += 1) {
      yield Buffer.alloc(256 * 1024, 'a\n');
      if (sent === 3) started.resolve();
    }
  }
  const running = scan(scanner, blob(slow()));
  running.catch(() => undefined);
  await started.promise;
  await scanner.close();
  await assert.rejects(running, { code: 'aborted' });
  await assert.rejects(scan(scanner, blob('x')), { code: 'aborted' });
});

test('the event loop goes on while a scan works', async (t) => {
  const scanner = scannerOf(t, TOKEN_RULES);
  await scan(scanner, blob('warm'));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await scan(
    scanner,
    ...Array.from({ length: 64 }, (_, index) => blob(Buffer.alloc(400 * 1024, 'some ordinary words\n'), `f${index}`)),
  );
  delay.disable();
  assert.ok(delay.percentile(50) < 20e6, `half of the turns take less than ${delay.percentile(50) / 1e6} ms`);
});
