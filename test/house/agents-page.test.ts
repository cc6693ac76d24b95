/** docs/agents.md: what it tells newcomers to write is taken as written. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FIELDS, parseDeclaration } from '../../src/house/gate-declaration.ts';
import { readWish } from '../../src/house/options.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/agents.md'), 'utf8');

function blocks(language: string): readonly string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    (match) => match[1] ?? '',
  );
}

test('every declaration on the page is taken', () => {
  const found = blocks('toml');
  assert.equal(found.length, 2);
  for (const text of found) assert.equal(parseDeclaration(text).kind, 'ok', JSON.stringify(parseDeclaration(text)));
});

test('every command on the page is one', () => {
  const lines = blocks('sh').flatMap((text) => text.trim().split('\n'));
  assert.ok(lines.length >= 2);
  for (const line of lines) {
    const [program, ...words] = line.split(' ');
    assert.equal(program, 'bin/gatehouse');
    const wish = readWish(words);
    assert.ok(wish.kind === 'ok' && wish.value.kind === 'gate', line);
  }
});

test('every field of a declaration is on the page', () => {
  for (const field of [...FIELDS.upstream, ...FIELDS.agent, ...FIELDS.gate, ...FIELDS.forge])
    assert.match(page, new RegExp(`\`[^\`]*\\b${field}\``), field);
});
