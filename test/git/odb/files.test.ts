/** Files of packs: what is kept of them is what the blocks keep, however they were read. */
import assert from 'node:assert/strict';
import { truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Files } from '../../../src/git/odb/files.ts';
import { BeyondReach } from '../../../src/git/odb/odb.ts';
import { workspace } from '../../support/workspace.ts';

for (const [age, ageMs] of [
  ['a moment ago', 0],
  ['long ago', 3_600_000],
] as const) {
  test(`a block of a file written ${age} is held by nobody once the blocks let go of it`, async (t) => {
    const path = join(workspace(t), 'pack');
    const written = (bytes: string): void => {
      writeFileSync(path, bytes);
      const at = (Date.now() - ageMs) / 1_000;
      utimesSync(path, at, at);
    };
    const files = new Files({ openMax: 4, blockBytesMax: 64 * 1024 });
    t.after(() => files.close());
    const file = files.file(path);
    written('one');
    assert.equal(String(await file.bytes(0, 3)), 'one');
    files.blocks.clear();
    // In place: the same file, as it was opened. Packs never change: it shows where the bytes come from.
    written('two');
    assert.equal(String(await file.bytes(0, 3)), 'two');
  });

  test(`a block of a file written ${age} that could not be read is read again at the next question`, async (t) => {
    const path = join(workspace(t), 'pack');
    writeFileSync(path, 'one');
    const at = (Date.now() - ageMs) / 1_000;
    utimesSync(path, at, at);
    const files = new Files({ openMax: 4, blockBytesMax: 64 * 1024 });
    t.after(() => files.close());
    const file = files.file(path);
    assert.equal(file.size(), 3);
    truncateSync(path, 1);
    await assert.rejects(file.bytes(0, 3), BeyondReach);
    writeFileSync(path, 'one');
    assert.equal(String(await file.bytes(0, 3)), 'one');
  });
}
