/** A flood of clients that are turned away leaves a bounded number of journal lines, and its size in one more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JournalEntry } from '../../src/audit/entry.ts';
import { BOUNDS } from '../../src/base/bounds.ts';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { TurnedAwayBook } from '../../src/transport/turned-away-book.ts';

function open(): { readonly book: TurnedAwayBook; readonly lines: JournalEntry[]; readonly endWindow: () => void } {
  const lines: JournalEntry[] = [];
  const timers: (() => void)[] = [];
  const clock: Clock = {
    ...systemClock,
    after(ms, callback) {
      assert.equal(ms, BOUNDS.turnedAwayWindowMs);
      timers.push(callback);
      return () => {};
    },
  };
  const book = new TurnedAwayBook({ clock, record: (entry) => lines.push(entry) });
  return { book, lines, endWindow: () => timers.shift()?.() };
}

function from(address: string): JournalEntry {
  const origin = { request: 'r', transport: 'ssh', address, principal: 'anonymous' };
  return { event: 'login', outcome: 'refused', ...origin, reason: 'no login was accepted' };
}

test('a flood from one address has a bounded number of lines, and others keep theirs', () => {
  const { book, lines, endWindow } = open();
  for (let count = 0; count < 10_000; count += 1) book.enter(from('192.0.2.1'));
  assert.equal(lines.length, BOUNDS.turnedAwayLinesPerAddressMax);
  book.enter(from('192.0.2.2'));
  assert.equal(lines.at(-1)?.address, '192.0.2.2');
  endWindow();
  const surplus = 10_000 - BOUNDS.turnedAwayLinesPerAddressMax;
  assert.match(lines.at(-1)?.reason ?? '', new RegExp(`^${surplus} more clients were turned away`));
  endWindow();
  book.enter(from('192.0.2.1'));
  assert.equal(lines.at(-1)?.address, '192.0.2.1', 'a new window');
});

test('a flood from many addresses has a bounded number of lines', () => {
  const { book, lines, endWindow } = open();
  for (let count = 0; count < 10_000; count += 1) book.enter(from(`198.51.100.${count}`));
  assert.equal(lines.length, BOUNDS.turnedAwayLinesMax);
  endWindow();
  assert.equal(lines.length, BOUNDS.turnedAwayLinesMax + 1);
});

test('a window without a surplus ends without a line', () => {
  const { book, lines, endWindow } = open();
  book.enter(from('192.0.2.1'));
  endWindow();
  assert.equal(lines.length, 1);
});

test('a closed journal does not throw at a door', () => {
  const book = new TurnedAwayBook({
    clock: systemClock,
    record: () => {
      throw new Error('journal is closed');
    },
  });
  assert.doesNotThrow(() => book.enter(from('192.0.2.1')));
});
