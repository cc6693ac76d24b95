/** The floors of ARCHITECTURE.md, held: imports go down only. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');

/** Floor name -> height; entries of one line share a height. */
function readFloors(): ReadonlyMap<string, number> {
  const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
  const block = /## Floors[\s\S]*?```\n([\s\S]*?)```/.exec(text)?.[1];
  assert.ok(block, 'ARCHITECTURE.md has a fenced list under "Floors"');
  const lines = block.trim().split('\n');
  return new Map(
    lines.flatMap((line, index) => line.split(/\s+/).map((name) => [name, lines.length - index] as const)),
  );
}

/** Every violation in `files` (path -> text), in words. */
function violations(floors: ReadonlyMap<string, number>, files: ReadonlyMap<string, string>): readonly string[] {
  const found: string[] = [];
  for (const [file, text] of files) {
    const from = file.split('/')[0] ?? '';
    const height = floors.get(from);
    if (height === undefined) found.push(`${file}: ${from} is on no floor`);
    for (const match of text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+\.ts)'/g)) {
      const target = relative('.', join(dirname(file), match[1] ?? '')).split('/')[0] ?? '';
      if (target === from) continue;
      const below = floors.get(target);
      if (below === undefined || height === undefined || below >= height) found.push(`${file} imports ${match[1]}`);
    }
  }
  return found;
}

test('imports go down the floors only', () => {
  const files = new Map(
    globSync('**/*.ts', { cwd: join(root, 'src') }).map((file) => [
      file,
      readFileSync(join(root, 'src', file), 'utf8'),
    ]),
  );
  assert.ok(files.size > 20, 'the sources were found');
  assert.deepEqual(violations(readFloors(), files), []);
});

test('an upward import and one to the side are found', () => {
  const floors = readFloors();
  const files = new Map([
    ['store/a.ts', `import { x } from '../access/b.ts';`],
    ['receive/c.ts', `import { y } from '../upload/d.ts';`],
    ['access/e.ts', `import { z } from '../store/f.ts';`],
  ]);
  assert.equal(violations(floors, files).length, 2);
});
