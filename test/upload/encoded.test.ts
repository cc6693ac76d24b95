/** Encoded lists of refs: made once for all who ask, bounded in bytes with what is being sent, and never another view's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EncodedLists, type Encodable } from '../../src/upload/encoded.ts';
import type { View } from '../../src/upload/view.ts';

function newView(): View {
  const snapshot = { head: {}, refs: [], byName: new Map(), fingerprint: '', memo: new Map() };
  return { snapshot, key: 'all', filtered: false, hidesTags: false, refs: [], head: {}, memo: new Map() };
}

interface Counted extends Encodable {
  made: number;
}

function listOf(bytes: number, key: string | undefined = 'list', letter = 'x'): Counted {
  const list = {
    key,
    made: 0,
    *encode() {
      list.made += 1;
      for (let left = bytes; left > 0; left -= 100) yield Buffer.alloc(Math.min(left, 100), letter);
    },
  };
  return list;
}

const LIMITS = { bytesMax: 1_000, listBytesMax: 600 };

test('a list is encoded once for all who see the same, those who ask meanwhile included', async () => {
  const lists = new EncodedLists(LIMITS);
  const view = newView();
  const list = listOf(250);
  const lent = await Promise.all([lists.lend(view, list), lists.lend(view, list)]);
  lent.push(await lists.lend(view, list));
  assert.equal(list.made, 1);
  assert.ok(lent.every((one) => one?.bytes === lent[0]?.bytes && one?.bytes.length === 250));
  assert.equal(lists.bytes, 250);
});

test('another view never gets it, whatever its key', async () => {
  const lists = new EncodedLists(LIMITS);
  using open = await lists.lend(newView(), listOf(50, 'same', 'o'));
  using hidden = await lists.lend(newView(), listOf(50, 'same', 'h'));
  assert.notDeepEqual(open?.bytes, hidden?.bytes);
});

test('what was used least recently makes room', async () => {
  const lists = new EncodedLists(LIMITS);
  const view = newView();
  const [first, second, third] = ['1', '2', '3'].map((key) => listOf(400, key));
  assert.ok(first && second && third);
  const use = async (list: Encodable): Promise<void> => {
    using lent = await lists.lend(view, list);
    assert.equal(lent?.bytes.length, 400);
  };
  for (const list of [first, second, first, third, first]) await use(list);
  assert.equal(lists.bytes, 800);
  assert.deepEqual([first.made, second.made, third.made], [1, 1, 1]);
  await use(second);
  assert.equal(second.made, 2);
});

test('what slow clients still read counts: no new list is kept beside it', async () => {
  const lists = new EncodedLists(LIMITS);
  const views = [newView(), newView(), newView()] as const;
  const lent = [await lists.lend(views[0], listOf(500)), await lists.lend(views[1], listOf(500))];
  const late = listOf(500);
  assert.equal(await lists.lend(views[2], late), undefined, 'it is encoded as it is sent');
  assert.equal(lists.bytes, 1_000);
  lent[0]?.[Symbol.dispose]();
  lent[0]?.[Symbol.dispose]();
  using fits = await lists.lend(views[2], late);
  assert.equal(fits?.bytes.length, 500);
  assert.equal(lent[1]?.bytes.length, 500);
  assert.equal(lists.bytes, 1_000);
});

test('a list that is too long, or not worth a key, is not kept and leaves nothing counted', async () => {
  const lists = new EncodedLists(LIMITS);
  const view = newView();
  assert.equal(await lists.lend(view, listOf(700)), undefined);
  assert.equal(await lists.lend(view, { ...listOf(10), key: undefined }), undefined);
  assert.equal(lists.bytes, 0);
});

test('an encoding that fails is told to all who wait for it, and tried again', async () => {
  const lists = new EncodedLists(LIMITS);
  const view = newView();
  const failing: Encodable = {
    key: 'list',
    *encode() {
      yield Buffer.alloc(10);
      throw new Error('no such ref');
    },
  };
  for (const ended of await Promise.allSettled([lists.lend(view, failing), lists.lend(view, failing)])) {
    assert.equal(ended.status, 'rejected');
  }
  assert.equal(lists.bytes, 0);
  using lent = await lists.lend(view, listOf(20));
  assert.equal(lent?.bytes.length, 20);
});

test('lists of nothing, asked for under ever other names, are bounded in number as well', async () => {
  const lists = new EncodedLists({ bytesMax: 64 * 1024, listBytesMax: 1_000, listsMax: 50 });
  const view = newView();
  for (let count = 0; count < 1_000; count += 1) {
    using lent = await lists.lend(view, listOf(4, `no such prefix ${count}`.padEnd(500, '.')));
    assert.equal(lent?.bytes.length, 4);
  }
  const homes = [...view.memo.values()].filter((value) => value instanceof Map);
  assert.ok(homes.length === 1 && homes.every(({ size }) => size === 50), 'what names a list takes memory as well');
});
