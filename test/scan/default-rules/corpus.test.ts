/** How well the default rules find what they are for: secrets of every kind among ordinary code and near misses. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CHECK_NAMES } from '../../../src/scan/default-rules/checks.ts';
import { createScanner } from '../../../src/scan/create-scanner.ts';
import { defaultRuleText } from '../../../src/scan/default-rules/default-rules.ts';
import { loadRules } from '../../../src/scan/rule-file.ts';
import { loadDefaultRules } from '../../../src/scan/rules-in-force.ts';
import type { RuleSet } from '../../../src/scan/rule-set.ts';
import type { Finding } from '../../../src/scan/finding.ts';
import { Dice, HARMLESS_LINES, KINDS, makeSecret, nearMisses } from '../../support/secret-maker.ts';
import { corpusFiles, itemOf, ordinaryCode, scoresOf, type Plant } from '../../support/secret-corpus.ts';

const ROOT = join(import.meta.dirname, '../../..');
const SCAN = { signal: new AbortController().signal };

function defaultRules(): RuleSet {
  const loaded = loadDefaultRules();
  assert.equal(loaded.kind, 'ok', loaded.kind === 'refused' ? loaded.reason : '');
  return loaded.kind === 'ok' ? loaded.value : assert.fail();
}

describe('the default rules', () => {
  const rules = defaultRules();
  const scanner = createScanner({ rules });
  after(() => scanner.close());

  const rulesFoundIn = async (text: string): Promise<readonly string[]> => {
    const content = Buffer.from(text);
    const report = await scanner.scan([{ kind: 'blob', path: 'a.txt', oid: '', content }], SCAN);
    return report.findings.map(({ rule }) => rule);
  };

  test('stand every check of a rule file, which nobody repeats at start-up', () => {
    const checked = loadRules(defaultRuleText(), { source: 'the default rules' });
    assert.deepEqual(checked.kind === 'ok' ? checked.value.warnings : checked.reason, []);
  });

  test('are more than 150, each with keywords, a check that is there, and a sample to test it with', () => {
    assert.ok(rules.rules.length > 150);
    assert.deepEqual(rules.warnings, []);
    for (const { id, keywords, verify, secretGroup } of rules.rules) {
      assert.ok(keywords.length > 0 && secretGroup === 1 && verify !== undefined && CHECK_NAMES.includes(verify), id);
    }
    assert.deepEqual(rules.rules.map(({ id }) => id).toSorted(), KINDS.toSorted());
  });

  test('find every kind of secret alone in a file, and twice in one with its fingerprint the same', async () => {
    const dice = new Dice(7);
    const missed: string[] = [];
    for (const rule of KINDS) {
      const { text } = makeSecret(rule, dice);
      const content = Buffer.from(`${text}\n\nand again\n\n${text}\n`);
      const report = await scanner.scan([{ kind: 'blob', path: 'a.txt', oid: '', content }], SCAN);
      const own = report.findings.filter((finding) => finding.rule === rule);
      if (own.length === 0) missed.push(rule);
      assert.ok(new Set(own.map(({ fingerprint }) => fingerprint)).size <= 1, rule);
    }
    assert.deepEqual(missed, []);
  });

  test('find nothing in what only looks like a secret', async () => {
    const dice = new Dice(11);
    const wrong: string[] = [];
    for (const rule of KINDS) {
      for (const miss of nearMisses(rule, dice)) {
        const found = await rulesFoundIn(`value: ${miss}\n`);
        if (found.length > 0) wrong.push(`${rule}: ${found.join(' ')}`);
      }
    }
    for (const line of HARMLESS_LINES) {
      const found = await rulesFoundIn(`${line}\n`);
      if (found.length > 0) wrong.push(`${line}: ${found.join(' ')}`);
    }
    assert.deepEqual(wrong, []);
  });

  test('show of a secret no more than lets its owner know it', async () => {
    const { text } = makeSecret('github-pat', new Dice(3));
    const content = Buffer.from(text);
    const { findings } = await scanner.scan([{ kind: 'blob', path: '', oid: '', content }], SCAN);
    assert.equal(findings.length, 1);
    assert.ok(!JSON.stringify(findings).includes(text.slice(8, 20)));
  });

  describe('on 600 secrets in 4 MB of ordinary code', () => {
    const plants: Plant[] = [];
    let findings: readonly Finding[] = [];

    before(async () => {
      const files = [...corpusFiles(ordinaryCode(ROOT), { seed: 42, plants: 600, bytes: 4_000_000 })];
      plants.push(...files.flatMap((file) => file.plants));
      findings = (await scanner.scan(files.map(itemOf), SCAN)).findings;
    });

    test('find of each kind at least 99 in 100', () => {
      const low = scoresOf(plants, findings).filter(({ recall }) => recall < 0.99);
      assert.equal(plants.length, 600);
      assert.deepEqual(low, []);
    });

    test('are right in at least 99 findings of 100 of each kind', () => {
      const low = scoresOf(plants, findings).filter(({ precision }) => precision < 0.99);
      assert.deepEqual(low, []);
    });
  });
});
