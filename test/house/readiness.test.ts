/** Ready, closing, or without a journal: what `/readyz` says, and that asking heals a journal whose disk came back. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openJournal } from '../../src/audit/journal.ts';
import { realDisk } from '../../src/audit/journal-file.ts';
import { SILENT_LOG } from '../../src/audit/log.ts';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { unreadyReason } from '../../src/house/readiness.ts';

test('a gate that closes is not ready', () => {
  const journal = { failure: undefined, sync: async () => {} };
  assert.equal(unreadyReason({ walk: { draining: false }, journal }), undefined);
  assert.equal(unreadyReason({ walk: { draining: true }, journal }), 'the gate is closing');
});

test('a full disk makes the gate unready with the reason; asking again after it was emptied makes it ready', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'gatehouse-readiness-'));
  let aheadMs = 0;
  let isFull = false;
  const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs };
  const disk = {
    ...realDisk,
    write(descriptor: number, bytes: Uint8Array, position: number): number {
      if (isFull) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
      return realDisk.write(descriptor, bytes, position);
    },
  };
  const journal = await openJournal({ directory, clock, disk, log: SILENT_LOG });
  t.after(async () => {
    await journal.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const observed = { walk: { draining: false }, journal };
  const entry = {
    event: 'push',
    outcome: 'served',
    request: 'r',
    transport: 'ssh',
    address: '-',
    principal: 'ada',
  } as const;
  await journal.append(entry);
  assert.equal(unreadyReason(observed), undefined);
  isFull = true;
  await assert.rejects(journal.append(entry));
  assert.match(unreadyReason(observed) ?? '', /^the audit journal cannot be written \(ENOSPC\)/);
  isFull = false;
  aheadMs += 60_000;
  assert.notEqual(unreadyReason(observed), undefined, 'this question made it try');
  while (journal.failure !== undefined) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(unreadyReason(observed), undefined);
});
