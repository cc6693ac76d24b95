/**
 * A token that is revoked and made anew, a user who is suspended and resumed, a group joined and left, all at random, while
 * others ask all the time who the token is: whoever asks after a change was acknowledged, and before the next begins, hears it.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { Directory } from '../../src/identity/directory.ts';
import type { Principal } from '../../src/identity/principal.ts';
import { keepReads } from '../../src/store/kept-reads.ts';
import { addUsers, must, openDirectory } from './fixture.ts';

const CHANGES = 150;
const ASKERS = 5;

test('an acknowledged change counts for whoever asks after it, however many ask meanwhile', async (t) => {
  const { store, clock } = await openDirectory(t);
  const directory = new Directory({ store: keepReads(store), clock });
  const { tokens, users, groups } = directory;
  await addUsers(directory, 'alice');
  must(await groups.add({ name: 'staff', description: 'Staff' }));
  const now = { secret: undefined as string | undefined, suspended: false, inStaff: false };
  /** Odd while a change is under way. */
  let changes = 0;
  let lastSecret: string | undefined;
  const storm = { isOver: false };
  let heard = 0;

  const change = async (): Promise<void> => {
    const what = randomInt(3);
    if (what === 0) {
      if (now.secret !== undefined) must(await tokens.revoke({ user: 'alice', name: 'ci' }));
      now.secret =
        now.secret === undefined ? must(await tokens.create({ user: 'alice', name: 'ci' })).secret : undefined;
      lastSecret = now.secret ?? lastSecret;
    } else if (what === 1) {
      must(now.suspended ? await users.resume('alice') : await users.suspend('alice'));
      now.suspended = !now.suspended;
    } else {
      must(now.inStaff ? await groups.delUser('staff', 'alice') : await groups.addUser('staff', 'alice'));
      now.inStaff = !now.inStaff;
    }
  };
  const ask = async (): Promise<void> => {
    let before: { readonly principal: Principal; readonly secret: string } | undefined;
    while (!storm.isOver) {
      const [begun, expected, secret] = [changes, { ...now }, lastSecret];
      if (randomInt(4) === 0 || secret === undefined) await new Promise((resolve) => setImmediate(resolve));
      if (secret === undefined) continue;
      const asksAgain = before?.secret === secret && randomInt(2) === 0;
      const found = asksAgain && before ? await directory.current(before.principal) : await directory.byToken(secret);
      if (found !== undefined) before = { principal: found, secret };
      if (begun % 2 === 1 || begun !== changes) continue;
      heard += 1;
      assert.equal(found !== undefined, expected.secret === secret && !expected.suspended, JSON.stringify(expected));
      const isInStaff = found?.kind === 'user' && [...found.groups].some((name) => name === 'staff');
      if (found !== undefined) assert.equal(isInStaff, expected.inStaff);
    }
  };
  const changing = async (): Promise<void> => {
    try {
      for (let count = 0; count < CHANGES; count += 1) {
        changes += 1;
        await change();
        changes += 1;
        for (let rest = randomInt(4); rest > 0; rest -= 1) await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      storm.isOver = true;
    }
  };
  await Promise.all([changing(), ...Array.from({ length: ASKERS }, ask)]);
  assert.ok(heard > CHANGES, `${heard} answers were due`);
});
