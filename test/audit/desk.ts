/** Journals for tests: entries, a scratch directory, a disk that fails on demand. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { JournalEntry } from '../../src/audit/entry.ts';
import { realDisk, type Disk } from '../../src/audit/journal-file.ts';
import { openJournal, type JournalOptions, type OpenJournal } from '../../src/audit/journal.ts';
import { SILENT_LOG } from '../../src/audit/log.ts';
import { systemClock } from '../../src/base/clock.ts';

export async function scratch(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'journal');
}

export function entry(more: Partial<JournalEntry> = {}): JournalEntry {
  return {
    event: 'push',
    outcome: 'served',
    request: 'r1',
    transport: 'ssh',
    address: '192.0.2.1',
    principal: 'adele',
    repository: 'team/api',
    ...more,
  };
}

export async function open(
  t: TestContext,
  directory: string,
  more: Partial<JournalOptions> = {},
): Promise<OpenJournal> {
  const journal = await openJournal({ directory, clock: systemClock, log: SILENT_LOG, ...more });
  t.after(() => journal.close().catch(() => {}));
  return journal;
}

/** A closed journal of so many lines, rotated often: `request` is the line's number. */
export async function written(directory: string, lines: number, rotateBytes = 1_000_000): Promise<void> {
  const journal = await openJournal({ directory, clock: systemClock, log: SILENT_LOG, rotateBytes });
  for (let line = 1; line <= lines; line += 1) await journal.append(entry({ request: `r${line}` }));
  await journal.close();
}

/** The real disk, until a test says otherwise. */
export class TestDisk implements Disk {
  syncs = 0;
  /** Bytes that still fit; a write that does not fit is cut short, the next one fails. */
  free = Number.POSITIVE_INFINITY;
  syncError: Error | undefined;
  /** Held syncs wait until it resolves. */
  gate: Promise<void> | undefined;

  write(descriptor: number, bytes: Uint8Array, position: number): number {
    if (this.free <= 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    const part = bytes.subarray(0, Math.min(bytes.length, this.free));
    this.free -= part.length;
    return realDisk.write(descriptor, part, position);
  }

  async sync(descriptor: number): Promise<void> {
    this.syncs += 1;
    await this.gate;
    if (this.syncError !== undefined) throw this.syncError;
    await realDisk.sync(descriptor);
  }

  syncNow(descriptor: number): void {
    this.syncs += 1;
    if (this.syncError !== undefined) throw this.syncError;
    realDisk.syncNow(descriptor);
  }
}

export const inputOutputError = Object.assign(new Error('i/o error'), { code: 'EIO' });

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
