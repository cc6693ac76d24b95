/** What the tests of the scan share: rules from text, a scan of one thing, secrets made up on the spot. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import type { TestContext } from 'node:test';
import { createScanner, type RuledScanner, type ScanLimits } from '../../src/scan/create-scanner.ts';
import { loadRules } from '../../src/scan/rule-file.ts';
import type { RuleSet } from '../../src/scan/rule-set.ts';
import type { ScanItem, ScanReport } from '../../src/scan/scanner.ts';

/** @throws where the text does not load. */
export function rulesOf(text: string): RuleSet {
  const loaded = loadRules(text, { source: 'test.toml' });
  assert.ok(loaded.kind === 'ok', loaded.kind === 'refused' ? loaded.reason : '');
  return loaded.value;
}

/** Random characters, never the same twice: nothing in this repository looks like a secret. */
export function random(alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)] ?? '').join('');
}

export const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
export const ALNUM = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** The invented provider of these tests: `tok_` and 24 letters or digits. */
export const TOKEN_RULES = String.raw`
title = "test"
[[rules]]
id = "tok"
description = "Token of an invented provider"
regex = '''\b(tok_[A-Za-z0-9]{24})\b'''
keywords = ["tok_"]
`;

export function token(): string {
  return `tok_${random(ALNUM, 24)}`;
}

/** A scanner that ends with the test. */
export function scannerOf(t: TestContext, rules: string, limits: Partial<ScanLimits> = {}): RuledScanner {
  const scanner = createScanner({ rules: rulesOf(rules), limits });
  t.after(() => scanner.close());
  return scanner;
}

export function blob(content: ScanItem['content'] | string, path = 'file.txt', more: Partial<ScanItem> = {}): ScanItem {
  return {
    kind: 'blob',
    path,
    oid: '',
    content: typeof content === 'string' ? Buffer.from(content) : content,
    ...more,
  };
}

export function scan(scanner: RuledScanner, ...items: readonly ScanItem[]): Promise<ScanReport> {
  return scanner.scan(items, { signal: new AbortController().signal });
}
