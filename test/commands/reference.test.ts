/** docs/commands.md and docs/configuration.md say what the code does. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { settingsReference } from '../../src/base/setting-values.ts';
import { commandReference } from '../../src/commands/offline.ts';

const docs = join(import.meta.dirname, '../../docs');
const again = 'run: node scripts/run.mjs scripts/reference.mjs';

test('docs/commands.md has the reference of the commands as they are', () => {
  assert.ok(readFileSync(join(docs, 'commands.md'), 'utf8').includes(commandReference()), again);
});

test('docs/configuration.md has the table of the settings as they are', () => {
  assert.ok(readFileSync(join(docs, 'configuration.md'), 'utf8').includes(settingsReference()), again);
});
