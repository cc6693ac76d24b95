/** Credentials at rest: sealed, bound to where they lie, and readable through any crash of a rotation. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import { isJsonObject, type Json } from '../../src/base/json.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { Store, Write } from '../../src/store/store.ts';
import {
  givenKeys,
  keyFile,
  keyFileProblem,
  masterKey,
  parseMasterKey,
  takeKeysFrom,
  type KeySource,
  type MasterKey,
} from '../../src/upstream/vault-keys.ts';
import { REKEY_STEPS, Vault, type SealedPurpose, type VaultParts } from '../../src/upstream/vault.ts';
import { run, workspace, type Scope } from '../support/workspace.ts';

const PURPOSE: SealedPurpose = 'upstream-credential';

interface Place {
  readonly data: string;
  readonly store: Store;
  readonly keyPath: string;
  readonly open: (more?: Partial<VaultParts>) => Promise<Vault>;
}

async function place(t: Scope): Promise<Place> {
  const data = workspace(t);
  const store = await openSqliteStore({ path: join(data, 'gatehouse.db') });
  t.after(() => store.close());
  const keyPath = join(data, 'vault.key');
  const open = (more: Partial<VaultParts> = {}): Promise<Vault> =>
    Vault.open({ store, clock: systemClock, keys: keyFile(keyPath), ...more });
  return { data, store, keyPath, open };
}

async function seal(store: Store, vault: Vault, id: string, text: string): Promise<void> {
  await vault.seal({ id, purpose: PURPOSE, text }, async (write: Write) => store.transact({ writes: [write] }));
}

/** Changes what is stored, as somebody with the disk could. */
async function tamper(store: Store, id: string, change: (value: Record<string, Json>) => Json): Promise<void> {
  const stored = await store.get('sealed', id);
  assert.ok(stored && isJsonObject(stored.value));
  await store.transact({ writes: [{ kind: 'sealed', key: id, put: change({ ...stored.value }) }] });
}

function flipped(text: Json | undefined): string {
  const bytes = Buffer.from(typeof text === 'string' ? text : '', 'base64');
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  return bytes.toString('base64');
}

test('what was sealed opens again, also by the next gate, and is nowhere in the clear', async (t) => {
  const { data, store, open, keyPath } = await place(t);
  const secret = `planted-${crypto.randomUUID()}`;
  const vault = await open();
  await seal(store, vault, 'one', secret);
  assert.equal(await vault.open({ id: 'one', purpose: PURPOSE }), secret);
  assert.equal(await (await open()).open({ id: 'one', purpose: PURPOSE }), secret);
  for (const file of ['gatehouse.db', 'gatehouse.db-wal'])
    assert.ok(!readFileSync(join(data, file)).includes(secret), file);
  assert.equal(statSync(keyPath).mode & 0o777, 0o600);
});

test('the same secret sealed twice is two different texts', async (t) => {
  const { store, open } = await place(t);
  const vault = await open();
  for (const id of ['one', 'two']) await seal(store, vault, id, 'the same');
  const [one, two] = await store.list('sealed');
  assert.ok(one && two && isJsonObject(one.value) && isJsonObject(two.value));
  assert.notEqual(one.value['sealed'], two.value['sealed']);
  assert.notEqual(one.value['nonce'], two.value['nonce']);
});

test('a sealed text that was changed, moved or given another purpose does not open', async (t) => {
  const { store, open } = await place(t);
  const vault = await open();
  const fails = async (id: string, purpose: SealedPurpose = PURPOSE): Promise<void> => {
    await assert.rejects(vault.open({ id, purpose }), (error) => error instanceof Fault && error.code === 'corrupt');
  };
  for (const field of ['sealed', 'nonce']) {
    await seal(store, vault, field, 'secret');
    await tamper(store, field, (value) => ({ ...value, [field]: flipped(value[field]) }));
    await fails(field);
  }
  await seal(store, vault, 'cut', 'secret');
  await tamper(store, 'cut', (value) => ({ ...value, sealed: '' }));
  await fails('cut');
  await seal(store, vault, 'mine', 'secret');
  const mine = await store.get('sealed', 'mine');
  assert.ok(mine);
  await store.transact({ writes: [{ kind: 'sealed', key: 'yours', put: mine.value }] });
  await fails('yours');
  await fails('mine', 'forge-token');
  await tamper(store, 'mine', (value) => ({ ...value, purpose: 'forge-token' }));
  await fails('mine', 'forge-token');
});

test('what is not there is missing, and no fault repeats a secret', async (t) => {
  const { store, open } = await place(t);
  const vault = await open();
  await assert.rejects(vault.open({ id: 'nothing', purpose: PURPOSE }), { code: 'missing' });
  const secret = `planted-${crypto.randomUUID()}`;
  await seal(store, vault, 'one', secret);
  await tamper(store, 'one', (value) => ({ ...value, nonce: flipped(value['nonce']) }));
  const thrown = await vault.open({ id: 'one', purpose: PURPOSE }).catch((error: unknown) => error);
  assert.ok(thrown instanceof Fault);
  assert.ok(
    !JSON.stringify([thrown.message, thrown.context, thrown.publicMessage, String(thrown.cause)]).includes(secret),
  );
});

test('without its key a vault opens, says which one is missing, and neither opens nor seals anything', async (t) => {
  const { store, open } = await place(t);
  await seal(store, await open(), 'one', 'secret');
  for (const keys of [givenKeys([masterKey(Buffer.alloc(32, 7))]), keyFile('/nonexistent/vault.key')]) {
    const vault = await open({ keys });
    assert.match((await vault.problem()) ?? '', /sealed with the vault key [0-9a-f]{16}/);
    await assert.rejects(vault.open({ id: 'one', purpose: PURPOSE }), /lacks a key/);
    await assert.rejects(vault.rekey(), /lacks a key/);
  }
  const lost = await open({ keys: keyFile('/nonexistent/vault.key') });
  await assert.rejects(seal(store, lost, 'two', 'secret'), /lacks a key/, 'no second key beside one that is lost');
});

test('rekey seals everything under another key and forgets the old one', async (t) => {
  const { store, open, keyPath } = await place(t);
  const vault = await open();
  for (const id of ['a', 'b', 'c']) await seal(store, vault, id, `secret ${id}`);
  const before = readFileSync(keyPath, 'utf8');
  const { keyId, resealed } = await vault.rekey();
  assert.equal(resealed, 3);
  for (const id of ['a', 'b', 'c']) assert.equal(await vault.open({ id, purpose: PURPOSE }), `secret ${id}`);
  const after = readFileSync(keyPath, 'utf8');
  assert.notEqual(after, before);
  assert.equal(after.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length, 1);
  for (const { value } of await store.list('sealed')) assert.equal(isJsonObject(value) && value['keyId'], keyId);
});

test('with keys from the environment, rekey seals under the new one; then the old one can go', async (t) => {
  const { store, open } = await place(t);
  const [old, fresh] = [masterKey(systemClock.randomBytes(32)), masterKey(systemClock.randomBytes(32))];
  await seal(store, await open({ keys: givenKeys([old]) }), 'one', 'secret');
  assert.equal((await (await open({ keys: givenKeys([fresh, old]) })).rekey()).resealed, 1);
  const vault = await open({ keys: givenKeys([fresh]) });
  assert.equal(await vault.problem(), undefined);
  assert.equal(await vault.open({ id: 'one', purpose: PURPOSE }), 'secret');
});

test('a rotation that is killed at any step leaves every secret readable, and the next start finishes it', async (t) => {
  for (const step of REKEY_STEPS) {
    const { data, store, open, keyPath } = await place(t);
    const vault = await open();
    for (const id of ['a', 'b', 'c']) await seal(store, vault, id, `secret ${id}`);
    await store.close();
    const child = await run(process.execPath, [join(import.meta.dirname, 'vault-child.ts'), data, step], {
      env: { PATH: process.env['PATH'] },
    });
    assert.match(child.stderr, /ended by SIGKILL/, step);
    const again = await openSqliteStore({ path: join(data, 'gatehouse.db') });
    const opened = await Vault.open({ store: again, clock: systemClock, keys: keyFile(keyPath) });
    for (const id of ['a', 'b', 'c']) assert.equal(await opened.open({ id, purpose: PURPOSE }), `secret ${id}`, step);
    const keys = readFileSync(keyPath, 'utf8').split('\n');
    assert.equal(keys.filter((line) => line !== '' && !line.startsWith('#')).length, 1, `${step}: one key is left`);
    await again.close();
  }
});

test('what does not open stops a rekey before anything is changed, is named, and is dropped only where that is asked for', async (t) => {
  const { store, open, keyPath } = await place(t);
  const vault = await open();
  for (const id of ['whole', 'changed', 'nothing']) await seal(store, vault, id, `secret ${id}`);
  await tamper(store, 'changed', (value) => ({ ...value, sealed: flipped(value['sealed']) }));
  await tamper(store, 'nothing', () => ({ keyId: 7 }));
  const before = [readFileSync(keyPath, 'utf8'), JSON.stringify(await store.list('sealed'))];
  const now = async (): Promise<readonly string[]> => [
    readFileSync(keyPath, 'utf8'),
    JSON.stringify(await store.list('sealed')),
  ];
  const both = ['changed', 'nothing'].map((id) => ({ id, lacksKey: undefined }));
  assert.deepEqual(await vault.unreadable(), both);
  const naming = (error: unknown): boolean =>
    error instanceof Fault && /damaged sealed credentials: changed, nothing/.test(error.publicMessage ?? '');
  await assert.rejects(vault.rekey(), naming);
  assert.deepEqual(await now(), before);

  // Sealed with a key that is not here: it may come back, and nobody drops that.
  const other = masterKey(Buffer.alloc(32, 7));
  const away = await Vault.open({ store, clock: systemClock, keys: givenKeys([other]) });
  await seal(store, away, 'away', 'secret away');
  const lacking = (error: unknown): boolean =>
    error instanceof Fault && /sealed with the vault key [0-9a-f]{16}/.test(error.publicMessage ?? '');
  await assert.rejects(vault.rekey({ dropDamaged: true }), lacking);
  assert.equal((await store.list('sealed')).length, 4, 'nothing was dropped either');
  await store.transact({ writes: [{ kind: 'sealed', key: 'away', delete: true }] });

  const { dropped, resealed, keyId } = await vault.rekey({ dropDamaged: true });
  assert.deepEqual([dropped, resealed], [['changed', 'nothing'], 1]);
  assert.equal(await vault.open({ id: 'whole', purpose: PURPOSE }), 'secret whole');
  assert.equal(await vault.problem(), undefined);
  assert.deepEqual(
    (await store.list('sealed')).map(({ value }) => isJsonObject(value) && value['keyId']),
    [keyId],
  );
  assert.equal((await vault.rekey()).resealed, 1, 'the next one needs no flag');
});

test('a start that finds a rotation cut off, and a credential that was damaged since, opens and keeps both keys', async (t) => {
  const { store, open, keyPath } = await place(t);
  const vault = await open({
    onRekeyStep: (step) => {
      if (step === 'record-resealed') throw new Error('cut off');
    },
  });
  for (const id of ['a', 'b', 'c']) await seal(store, vault, id, `secret ${id}`);
  await assert.rejects(vault.rekey(), /cut off/);
  await tamper(store, 'b', (value) => ({ ...value, sealed: flipped(value['sealed']) }));
  const again = await open();
  assert.match((await again.problem()) ?? '', /damaged sealed credentials: b$/);
  for (const id of ['a', 'c']) assert.equal(await again.open({ id, purpose: PURPOSE }), `secret ${id}`);
  const keysLeft = (): number =>
    readFileSync(keyPath, 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#')).length;
  assert.equal(keysLeft(), 2);
  assert.deepEqual((await again.rekey({ dropDamaged: true })).dropped, ['b']);
  assert.equal(keysLeft(), 1);
});

test('rotations that are cut off again and again never leave a key file that no start can read', async (t) => {
  const { store, open } = await place(t);
  const vault = await open({
    onRekeyStep: (step) => {
      if (step === 'key-written') throw new Error('cut off');
    },
  });
  await seal(store, vault, 'one', 'secret');
  const refusals: string[] = [];
  for (let times = 0; times < 20; times += 1) {
    const error: unknown = await vault.rekey().catch((cause: unknown) => cause);
    if (error instanceof Fault) refusals.push(error.publicMessage ?? '');
  }
  assert.match(refusals.at(-1) ?? '', /nothing is changed\. Start the gate again/);
  const later = await open();
  assert.equal(await later.open({ id: 'one', purpose: PURPOSE }), 'secret');
  assert.equal((await later.rekey()).resealed, 1);
});

test('with a new key in front of the old one in a file that the gate cannot replace, a start seals everything under the new one', async (t) => {
  const { store, open } = await place(t);
  const [old, fresh] = [masterKey(systemClock.randomBytes(32)), masterKey(systemClock.randomBytes(32))];
  await seal(store, await open({ keys: givenKeys([old]) }), 'one', 'secret');
  const handedIn = (...keys: MasterKey[]): KeySource => ({
    name: 'the file /run/credentials/vault.key',
    read: async () => keys,
    write: () => Promise.reject(new Fault('usage', 'vault key file cannot be written', { publicMessage: 'not here' })),
  });
  const vault = await open({ keys: handedIn(fresh, old) });
  assert.equal(await vault.open({ id: 'one', purpose: PURPOSE }), 'secret');
  await tamper(store, 'one', (value) => ({ ...value, sealed: flipped(value['sealed']) }));
  await assert.rejects(vault.rekey({ dropDamaged: true }), /cannot be written/);
  assert.equal((await store.list('sealed')).length, 1, 'it is said that nothing is changed');
  await tamper(store, 'one', (value) => ({ ...value, sealed: flipped(value['sealed']) }));
  await assert.rejects(vault.rekey(), /cannot be written/);
  const later = await open({ keys: handedIn(fresh) });
  assert.equal(await later.problem(), undefined, 'the old key can go');
  assert.equal(await later.open({ id: 'one', purpose: PURPOSE }), 'secret');
  const full = keyFile('/dev/full/vault.key');
  await assert.rejects(
    full.write?.([fresh]) ?? Promise.resolve(),
    (error) => error instanceof Fault && /cannot be replaced here/.test(error.publicMessage ?? ''),
  );
});

test('a vault key file is for the gate alone; one that root gave to its group is taken', () => {
  const problem = (mode: number, uid: number, own = 1000): string | undefined =>
    keyFileProblem({ mode: 0o100000 | mode, uid, path: '/k' }, own);
  for (const mode of [0o600, 0o400]) assert.equal(problem(mode, 1000), undefined);
  for (const mode of [0o640, 0o440, 0o660, 0o610]) assert.match(problem(mode, 1000) ?? '', /chmod 600 \/k/);
  for (const mode of [0o644, 0o604, 0o602, 0o601]) assert.match(problem(mode, 1000) ?? '', /others may.*chmod 600/);
  // systemd's LoadCredential=, a secret of a container or of an orchestrator.
  for (const mode of [0o440, 0o400, 0o640]) assert.equal(problem(mode, 0), undefined);
  for (const mode of [0o444, 0o644, 0o460]) assert.match(problem(mode, 0) ?? '', /chmod 440/);
  for (const mode of [0o440, 0o400]) assert.match(problem(mode, 1001) ?? '', /another account.*chown 1000/);
  assert.match(problem(0o440, 0, 0) ?? '', /chmod 600/, 'who is root needs no group');
});

test('a key file that others may read, or that is none, is refused with what to do', async (t) => {
  const { store, open, keyPath } = await place(t);
  await seal(store, await open(), 'one', 'secret');
  for (const mode of [0o644, 0o640, 0o604]) {
    chmodSync(keyPath, mode);
    await assert.rejects(open(), (error) => error instanceof Fault && /chmod 600/.test(error.publicMessage ?? ''));
  }
  chmodSync(keyPath, 0o600);
  for (const text of ['', 'not a key\n', 'AAAA\n']) {
    writeFileSync(keyPath, text);
    await assert.rejects(
      open(),
      (error) => error instanceof Fault && /no file of vault keys/.test(error.publicMessage ?? ''),
    );
  }
});

test('keys are 32 bytes in hex or base64, and are taken out of the environment', () => {
  const bytes = systemClock.randomBytes(32);
  const ids = [bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')].map((text) => {
    const key = parseMasterKey(text);
    assert.equal(key.kind, 'ok');
    return key.value.id;
  });
  assert.equal(new Set(ids).size, 1);
  for (const text of ['', 'short', bytes.subarray(1).toString('hex'), `${bytes.toString('hex')}00`])
    assert.equal(parseMasterKey(text).kind, 'refused');
  const env = { GATEHOUSE_VAULT_KEY: bytes.toString('hex'), GATEHOUSE_VAULT_OLD_KEY: '', OTHER: 'x' };
  const taken = takeKeysFrom(env);
  assert.ok(taken.kind === 'ok' && taken.value !== undefined);
  assert.deepEqual(env, { OTHER: 'x' });
  const wrong = takeKeysFrom({ GATEHOUSE_VAULT_KEY: `planted${bytes.toString('hex')}` });
  assert.ok(wrong.kind === 'refused' && !wrong.reason.includes('planted'));
  assert.equal(takeKeysFrom({ GATEHOUSE_VAULT_OLD_KEY: bytes.toString('hex') }).kind, 'refused');
});
