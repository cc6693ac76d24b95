/**
 * Writes the tables of docs/commands.md and docs/configuration.md from the code, between their markers:
 * `node scripts/run.mjs scripts/reference.mjs`. Tests fail where the two differ.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandReference } from '../src/commands/offline.ts';
import { settingsReference } from '../src/base/setting-values.ts';
import { ROOT } from './setup.mjs';

const BEGIN = '<!-- reference: written by scripts/reference.mjs -->\n';
const END = '<!-- end of reference -->';

for (const [name, text] of [
  ['docs/commands.md', commandReference()],
  ['docs/configuration.md', settingsReference()],
]) {
  const path = join(ROOT, name);
  const page = readFileSync(path, 'utf8');
  const [start, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (start < 0 || end < 0) throw new Error(`${name} has no markers`);
  writeFileSync(path, `${page.slice(0, start)}${BEGIN}\n${text}\n${page.slice(end)}`);
}
