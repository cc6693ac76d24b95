/**
 * Memory that readers of kept packs share and give back: whoever still refers to bytes of one pack, slow or gone in the
 * middle, never finds those of another there.
 */
import assert from 'node:assert/strict';
import { createCipheriv, randomInt } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as later } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { BlockShelf, free } from '../../src/upload/blocks.ts';
import { MadePack } from '../../src/upload/made-pack.ts';
import { workspace } from '../support/workspace.ts';

const PACKS = 9;
const SIDE_BY_SIDE = 3;
const READERS = 6;

/** Bytes that differ from those of every other pack, and of every other place. */
function contentOf(number: number): Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, number), Buffer.alloc(16));
  return cipher.update(Buffer.alloc(randomInt(2_000_000, 6_000_000)));
}

/** Reads, now slower, now faster; some leave in the middle, with their last bytes still on the way to a client. */
async function read(pack: MadePack, content: Buffer): Promise<void> {
  await later(randomInt(80));
  const leavesAt = randomInt(3) === 0 ? randomInt(content.length) : Infinity;
  const { signal } = new AbortController();
  let at = randomInt(3) === 0 ? randomInt(content.length) : 0;
  let last: { readonly bytes: Buffer; readonly at: number } | undefined;
  for await (const bytes of pack.read({ signal, isExact: true, from: at })) {
    await later(randomInt(4) === 0 ? randomInt(10) : 0);
    assert.ok(bytes.equals(content.subarray(at, at + bytes.length)), `at ${at}`);
    last = { bytes, at };
    at += bytes.length;
    if (at > leavesAt) break;
  }
  if (leavesAt === Infinity) assert.equal(at, content.length);
  if (last === undefined || at <= leavesAt) return;
  await later(randomInt(40));
  assert.ok(
    last.bytes.equals(content.subarray(last.at, last.at + last.bytes.length)),
    `still on its way, from ${last.at}`,
  );
}

test('bytes that somebody may still refer to are those of the pack, however others come, go and clear up', async (t) => {
  const directory = workspace(t);
  const shelf = new BlockShelf({ blocksMax: 4 });
  const room = { take: () => true, giveBack: () => {} };
  const serve = async (number: number): Promise<void> => {
    const content = contentOf(number);
    const pack = new MadePack({ directory, name: `pack-${number}`, shelf, clock: systemClock, room });
    const readers = Array.from({ length: READERS }, () => read(pack, content));
    for (let at = 0; at < content.length;) {
      const chunk = Buffer.from(new Uint8Array(content.subarray(at, at + randomInt(1, 400_000))).buffer);
      at += chunk.length;
      if (await pack.add(chunk)) free(chunk);
    }
    pack.finish();
    await Promise.all(readers);
    await pack.close();
    shelf.clear();
  };
  for (let first = 1; first <= PACKS; first += SIDE_BY_SIDE)
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, (_, index) => serve(first + index)));
  shelf.clear();
  assert.equal(shelf.size, 0);
});
