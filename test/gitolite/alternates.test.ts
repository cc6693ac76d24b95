import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { alternatesOf } from '../../src/gitolite/alternates.ts';
import { workspace } from '../support/workspace.ts';

test('what a repository borrows, and what that borrows, is found; a circle ends', async (t) => {
  const root = workspace(t);
  const borrow = (name: string, text: string): string => {
    mkdirSync(join(root, name, 'objects/info'), { recursive: true });
    writeFileSync(join(root, name, 'objects/info/alternates'), text);
    return join(root, name, 'objects');
  };
  const base = borrow('base.git', '../../top.git/objects\n');
  const middle = borrow('middle.git', `# a comment\n${base}\n`);
  borrow('top.git', `\n${middle}\n`);
  assert.deepEqual(await alternatesOf(join(root, 'top.git')), [middle, base, join(root, 'top.git/objects')]);
  assert.deepEqual(await alternatesOf(join(root, 'none.git')), []);
});
