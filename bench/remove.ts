/** Removes what benches leave: up to a million files. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expectRun } from '../test/support/workspace.ts';

/** Directories that are removed side by side, at least; and how deep they are looked for. */
const PIECES_MIN = 200;
const DEPTH_MAX = 5;
const AT_ONCE = 32;
const BATCH = 8;
const DEADLINE_MS = 1_200_000;

/**
 * Side by side: a file system that tells its disk of each freed block (`discard`) waits for every one, and one `rm` of a
 * million files takes it a quarter of an hour.
 */
export async function removeMany(path: string): Promise<void> {
  const pieces = piecesOf(path);
  const batches = Array.from({ length: Math.ceil(pieces.length / BATCH) }, (_, index) =>
    pieces.slice(index * BATCH, (index + 1) * BATCH),
  );
  const worker = async (): Promise<void> => {
    for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) await remove(batch);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await remove([path]);
}

/** Directories below it, from the level that has enough of them. */
function piecesOf(path: string): readonly string[] {
  let level: readonly string[] = [path];
  for (let depth = 0; depth < DEPTH_MAX && level.length < PIECES_MIN; depth += 1) {
    const below = level.flatMap((one) =>
      readdirSync(one, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => join(one, name)),
    );
    if (below.length === 0) break;
    level = below;
  }
  return level;
}

async function remove(paths: readonly string[]): Promise<void> {
  await expectRun('rm', ['-rf', '--', ...paths], { deadlineMs: DEADLINE_MS });
}
