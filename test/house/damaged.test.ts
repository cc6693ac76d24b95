/** A record of the store that does not parse closes what it is about, and the gate starts. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { addPerson, git, gitOk, ssh, sshConfirmed, sshOk, startGate, startSite, url } from '../support/gate.ts';

test('damaged records of mirrors, credentials, forwarded and held pushes close these, not the gate', async (t) => {
  const site = await startSite(t);
  const { admin, gate } = site;
  for (const name of ['mirrored', 'stuck', 'plain']) await sshOk(admin, gate, ['create', name]);
  const tree = join(admin.home, 'tree');
  await gitOk(admin, ['init', '-q', '-b', 'main', tree]);
  await gitOk(admin, ['-C', tree, 'commit', '-q', '--allow-empty', '-m', 'first']);
  for (const name of ['mirrored', 'stuck', 'plain'])
    await gitOk(admin, ['-C', tree, 'push', '-q', url(gate, 'ssh', name), 'main']);
  await gate.stop();

  const store = await openSqliteStore({ path: join(gate.data, 'gatehouse.db') });
  const idOf = async (name: string): Promise<string> => {
    const value = (await store.get('repository-name', name))?.value;
    return (value as { readonly id: string }).id;
  };
  const [mirrored, stuck, plain] = [await idOf('mirrored'), await idOf('stuck'), await idOf('plain')];
  const area = join(gate.data, 'repositories', plain.slice(0, 2), plain.slice(2, 4), `${plain}.git/gatehouse/held`);
  for (const id of ['abcdefgh', 'nobodys2']) mkdirSync(join(area, id, 'objects/pack'), { recursive: true });
  const url7 = [{ scheme: 'git', host: '127.0.0.1', port: 1, path: '/x', text: 'git://127.0.0.1:1/x' }];
  const whole = { hostKeys: [], credential: [], freshMs: 0, refs: [], takesPushes: true, allowsPartialPushes: false };
  await store.transact({
    writes: [
      { kind: 'mirror', key: mirrored, put: { url: 'once an address' } },
      { kind: 'mirror', key: `${mirrored}/state`, put: { refreshedAt: 'yesterday' } },
      { kind: 'mirror', key: stuck, put: { url: url7, ...whole } },
      { kind: 'forward', key: stuck, put: ['what was on its way'] },
      { kind: 'sealed', key: 'f00d', put: { keyId: 7 } },
      { kind: 'held', key: 'abcdefgh', put: { state: 'waiting' } },
    ],
  });
  await store.close();

  const again = await startGate(t, { data: gate.data, home: admin.home });
  assert.equal((await git(admin, ['ls-remote', url(again, 'ssh', 'plain')])).code, 0);
  for (const operation of [['ls-remote'], ['-C', tree, 'push']]) {
    const refused = await git(admin, [...operation, url(again, 'ssh', 'mirrored'), 'main']);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /damaged in the store of the gate.*mirror remove/);
  }
  assert.notEqual((await git(admin, ['ls-remote', url(again, 'ssh', 'stuck')])).code, 0);
  assert.match((await ssh(admin, again, ['mirror', 'show', 'mirrored'])).stderr, /damaged in the store/);
  assert.match(await sshOk(admin, again, ['mirror', 'list']), /stuck/);
  assert.match(await sshOk(admin, again, ['hold', 'list', '--all']), /^abcdefgh +damaged\s*$/);
  assert.deepEqual(JSON.parse(await sshOk(admin, again, ['hold', 'list', '--json'])), [
    { id: 'abcdefgh', state: 'damaged' },
  ]);
  assert.match(
    (await ssh(admin, again, ['hold', 'show', 'abcdefgh'])).stderr,
    /abcdefgh is damaged: its objects are kept/,
  );
  assert.match(again.log(), /"id":"[0-9a-f]{32}".*set a damaged record of a mirror aside/);
  assert.match(again.log(), /abcdefgh.*set a damaged record of a held push aside/);

  await sshOk(admin, again, ['mirror', 'remove', 'mirrored']);
  assert.match((await git(admin, ['ls-remote', url(again, 'ssh', 'mirrored')])).stdout, /refs\/heads\/main/);
  // The area that no record speaks of goes; the other one may be all that is left of somebody's push.
  while (existsSync(join(area, 'nobodys2'))) await new Promise(setImmediate);
  assert.deepEqual(readdirSync(area), ['abcdefgh']);
  for (const what of ['approve', 'cancel'])
    assert.match((await ssh(admin, again, ['hold', what, 'abcdefgh', '--reason', 'x'])).stderr, /abcdefgh is damaged/);
  // Whose it was nobody knows: to others it is not there.
  const guest = await addPerson({ ...site, gate: again }, 'guest');
  const nothing = (await ssh(guest, again, ['hold', 'show', 'qqqqqqqq'])).stderr.replace('qqqqqqqq', 'abcdefgh');
  for (const words of [['show'], ['refuse', '--reason=x'], ['cancel']]) {
    const [verb = '', ...rest] = words;
    assert.equal((await ssh(guest, again, ['hold', verb, 'abcdefgh', ...rest])).stderr, nothing);
  }
  assert.equal(await sshOk(guest, again, ['hold', 'list', '--all']), '');
  assert.equal((await ssh(admin, again, ['hold', 'refuse', 'abcdefgh'])).code, 2, 'a reason is wanted');
  assert.match(
    await sshOk(admin, again, ['hold', 'refuse', 'abcdefgh', '--reason', 'nobody misses it']),
    /the damaged record of abcdefgh is removed; its objects are removed/,
  );
  assert.deepEqual(readdirSync(area), []);
  assert.equal(await sshOk(admin, again, ['hold', 'list', '--all']), '');
  assert.match((await ssh(admin, again, ['hold', 'show', 'abcdefgh'])).stderr, /there is no held push/);
  assert.match(
    await sshOk(admin, again, ['audit', 'log', '--json']),
    /"event":"hold"[^\n]*removes abcdefgh, whose record is damaged: nobody misses it"[^\n]*"repository":"plain"/,
  );

  const stopped = await ssh(admin, again, ['mirror', 'rekey']);
  assert.equal(stopped.code, 1);
  assert.match(stopped.stderr, /nothing is changed.*credential f00d \(damaged\).*mirror rekey --drop-damaged/);
  const rekeyed: unknown = JSON.parse(await sshOk(admin, again, ['mirror', 'rekey', '--drop-damaged', '--json']));
  assert.deepEqual((rekeyed as { readonly dropped: unknown }).dropped, [{ id: 'f00d', mirror: null }]);
  assert.match(await sshOk(admin, again, ['mirror', 'rekey']), /0 credentials sealed anew/);
  await sshConfirmed(admin, again, ['destroy', 'plain']);
  assert.equal(await again.stop(), 0);
});
