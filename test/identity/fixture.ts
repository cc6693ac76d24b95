/** A directory on a real store in a directory of its own, with a clock that only the test moves. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import type { Parsed } from '../../src/base/fault.ts';
import { Directory } from '../../src/identity/directory.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { Store } from '../../src/store/store.ts';

export interface Fixture {
  readonly store: Store;
  readonly clock: Clock & { now(): number; advance(ms: number): void };
  readonly directory: Directory;
}

export async function openDirectory(scope: Pick<TestContext, 'after'>): Promise<Fixture> {
  const path = mkdtempSync(join(tmpdir(), 'gatehouse-identity-'));
  const store = await openSqliteStore({ path: join(path, 'gatehouse.db') });
  scope.after(async () => {
    await store.close();
    rmSync(path, { recursive: true, force: true });
  });
  let now = 1_800_000_000_000;
  const clock = {
    ...systemClock,
    now: () => now,
    advance: (ms: number) => {
      now += ms;
    },
  };
  return { store, clock, directory: new Directory({ store, clock }) };
}

/** The value, where a refusal is the test's failure. */
export function must<T>(result: Parsed<T>): T {
  if (result.kind === 'refused') throw new Error(`refused: ${result.reason}`);
  return result.value;
}

/** The reason, where success is the test's failure. */
export function reasonOf(result: Parsed<unknown>): string {
  if (result.kind === 'ok') throw new Error('was not refused');
  return result.reason;
}

export async function addUsers(directory: Directory, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    must(await directory.users.add({ name, email: `${name}@example.org`, realName: `The ${name}` }));
  }
}
