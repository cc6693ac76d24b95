/** Blocks of kept files: read once for all who want them, bounded in number, and never overwritten under a reader. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { BLOCK_BYTES, Blocks, BlockShelf, type Slice } from '../../src/upload/blocks.ts';
import { HandClock } from '../support/hand-clock.ts';

/** A file in memory, and how often it was read. */
function fileOf(bytes: Buffer, shelf: BlockShelf): { readonly blocks: Blocks; readonly reads: () => number } {
  let reads = 0;
  const blocks = new Blocks(shelf, async (buffer, { offset, length, position }) => {
    reads += 1;
    await Promise.resolve();
    return bytes.copy(buffer, offset, position, position + length);
  });
  return { blocks, reads: () => reads };
}

async function taken(slice: Promise<Slice | undefined>): Promise<Slice> {
  const found = await slice;
  assert.ok(found !== undefined, 'there is a block');
  return found;
}

test('ten readers of one place share one reading, and a file that grew is read on where it ended', async () => {
  const shelf = new BlockShelf();
  shelf.enter();
  const bytes = randomBytes(BLOCK_BYTES);
  const { blocks, reads } = fileOf(bytes, shelf);
  const first = await Promise.all(Array.from({ length: 10 }, () => taken(blocks.at(0, 1_000))));
  for (const slice of first) assert.ok(slice.bytes.equals(bytes.subarray(0, 1_000)));
  assert.equal(reads(), 1);
  const more = await taken(blocks.at(1_000, 5_000));
  assert.ok(more.bytes.equals(bytes.subarray(1_000, 5_000)));
  assert.equal(reads(), 2);
  assert.equal(shelf.size, 1);
});

test('who joins a reading of a file that was shorter gets what came since', async () => {
  const shelf = new BlockShelf();
  shelf.enter();
  const bytes = randomBytes(5_000);
  const { blocks } = fileOf(bytes, shelf);
  const [short, long] = await Promise.all([taken(blocks.at(0, 1_000)), taken(blocks.at(3_000, 5_000))]);
  assert.ok(short.bytes.equals(bytes.subarray(0, short.bytes.length)) && short.bytes.length >= 1_000);
  assert.ok(long.bytes.equals(bytes.subarray(3_000)));
});

test('memory that a writer may still refer to is not used again', async () => {
  const shelf = new BlockShelf({ blocksMax: 1 });
  shelf.enter();
  const bytes = randomBytes(3 * BLOCK_BYTES);
  const { blocks } = fileOf(bytes, shelf);
  const kept = await taken(blocks.at(0, bytes.length));
  kept.giveBack(false);
  const next = await taken(blocks.at(BLOCK_BYTES, bytes.length));
  assert.ok(kept.bytes.equals(bytes.subarray(0, BLOCK_BYTES)), 'what was handed out is as it was');
  next.giveBack(true);
  const last = await taken(blocks.at(2 * BLOCK_BYTES, bytes.length));
  assert.equal(last.bytes.buffer, next.bytes.buffer, 'what was given back free is used again');
  assert.equal(shelf.size, 1);
});

test('a block in use is not taken from its reader: others are told that there is none', async () => {
  const shelf = new BlockShelf({ blocksMax: 2 });
  shelf.enter();
  const bytes = randomBytes(4 * BLOCK_BYTES);
  const { blocks } = fileOf(bytes, shelf);
  const slow = await taken(blocks.at(0, bytes.length));
  const slower = await taken(blocks.at(BLOCK_BYTES, bytes.length));
  assert.equal(await blocks.at(2 * BLOCK_BYTES, bytes.length), undefined);
  slower.giveBack(true);
  const third = await taken(blocks.at(2 * BLOCK_BYTES, bytes.length));
  assert.ok(third.bytes.equals(bytes.subarray(2 * BLOCK_BYTES, 3 * BLOCK_BYTES)));
  assert.ok(slow.bytes.equals(bytes.subarray(0, BLOCK_BYTES)));
  assert.equal(shelf.size, 2);
});

test('memory stays a while for the next reader when the last has left, and then goes, as at once what is asked for', async () => {
  const clock = new HandClock();
  const shelf = new BlockShelf({ clock });
  shelf.enter();
  const bytes = randomBytes(2 * BLOCK_BYTES);
  const { blocks, reads } = fileOf(bytes, shelf);
  for (const at of [0, BLOCK_BYTES]) (await taken(blocks.at(at, bytes.length))).giveBack(true);
  shelf.leave();
  clock.advance(9_999);
  assert.equal(shelf.size, 2);
  shelf.enter();
  clock.advance(60_000);
  const again = await taken(blocks.at(0, bytes.length));
  assert.ok(again.bytes.equals(bytes.subarray(0, BLOCK_BYTES)));
  assert.equal(reads(), 2, 'it is still there');
  shelf.clear();
  assert.equal(shelf.size, 1, 'what is in use is not taken away');
  assert.ok(again.bytes.equals(bytes.subarray(0, BLOCK_BYTES)));
  again.giveBack(true);
  shelf.leave();
  clock.advance(10_000);
  assert.equal(shelf.size, 0);
});

test('what belongs to a closed file goes too, when its last reader is done and the rest is over', async () => {
  const clock = new HandClock();
  const shelf = new BlockShelf({ clock });
  const { blocks } = fileOf(randomBytes(2 * BLOCK_BYTES), shelf);
  shelf.enter();
  const late = await taken(blocks.at(0, 2 * BLOCK_BYTES));
  blocks.close();
  late.giveBack(true);
  shelf.leave();
  clock.advance(10_000);
  assert.equal(shelf.size, 0);
});

test('a reading that fails fails for all who wait for it, and the next one reads anew', async () => {
  const shelf = new BlockShelf();
  shelf.enter();
  let isSick = true;
  const blocks = new Blocks(shelf, async (buffer, { offset, length }) => {
    await Promise.resolve();
    if (isSick) throw new Error('EIO');
    buffer.fill(7, offset, offset + length);
    return length;
  });
  const both = await Promise.allSettled([blocks.at(0, 10), blocks.at(0, 10)]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  isSick = false;
  assert.equal((await taken(blocks.at(0, 10))).bytes.length, 10);
});
