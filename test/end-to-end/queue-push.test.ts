/** Large pushes to a gate with one place for work: who waits hears so and is served, and who stalls or leaves holds nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodePkt } from '../../src/git/pkt-line.ts';
import { ask, channel, hear, login } from '../support/attacker.ts';
import { gitOk, sshOk, url, type Site } from '../support/gate.ts';
import { BUSY, holdUp, narrowSite, starts } from './queue-ground.ts';

const MIB = 1024 * 1024;
const ZERO = '0'.repeat(40);

/** A branch that git has to take in, and what pushing it says. */
async function largeBranch(
  { admin, root }: Site,
  name: string,
): Promise<{ readonly head: Buffer; readonly pack: Buffer }> {
  const tree = join(root, 'tree');
  await gitOk(admin, ['checkout', '-q', '-B', name, 'main'], tree);
  writeFileSync(join(tree, name), randomBytes(2 * MIB));
  await gitOk(admin, ['add', name], tree);
  await gitOk(admin, ['-c', 'core.compression=0', 'commit', '-q', '-m', name], tree);
  const oid = await gitOk(admin, ['rev-parse', 'HEAD'], tree);
  const options = { cwd: tree, env: admin.env, input: `${oid}\n^main\n`, maxBuffer: 8 * MIB };
  const { stdout } = spawnSync('git', ['pack-objects', '--revs', '--stdout', '-q'], options);
  const command = encodePkt(`${ZERO} ${oid} refs/heads/${name}\0report-status`);
  return { head: Buffer.concat([command, Buffer.from('0000')]), pack: stdout };
}

/** What a gauge of the gate shows. */
async function gauge({ gate }: Site, name: string): Promise<number> {
  const { text } = await ask(gate, { path: '/metrics' });
  return Number(new RegExp(`^gatehouse_${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

async function untilGauge(site: Site, name: string, value: number): Promise<void> {
  while ((await gauge(site, name)) !== value);
}

/** Quarantines that are there. */
function quarantines({ root }: Site): readonly string[] {
  return globSync(join(root, 'data', 'repositories', '**', 'gatehouse', 'incoming', '*'));
}

test(
  'large pushes wait for a place by every door, hear so, and leave nothing of those that stall or go',
  { timeout: 120_000 },
  async (t) => {
    const site = await narrowSite(t);
    const { admin, gate, root } = site;
    const tree = join(root, 'tree');
    const token =
      /ght_[A-Za-z0-9]+/.exec(await sshOk(admin, gate, ['token', 'create', 'any', '--scope', 'write']))?.[0] ?? '';
    const [http, ssh] = [url(gate, 'http', 'busy', token), url(gate, 'ssh', 'busy')];
    const mine = await largeBranch(site, 'raw');
    const stalls = await largeBranch(site, 'stalls');
    for (const name of ['http', 'ssh', 'leaves', 'late']) await largeBranch(site, name);

    const slow = await holdUp(site);
    t.after(() => slow.destroy());
    const client = await login(gate, admin);
    t.after(() => client.destroy());
    const raw = await channel(client, 'git-receive-pack busy');
    const heard = hear(raw);
    const { promise: told, resolve } = Promise.withResolvers<string>();
    raw.stderr.once('data', (chunk: Buffer) => resolve(String(chunk)));
    // It says nothing of a sideband, and does not close: that it waits it can hear beside Git's stream only.
    raw.write(mine.head);
    raw.write(mine.pack);
    assert.match(await told, BUSY);
    const waiting = [starts(admin, ['push', http, 'http'], tree), starts(admin, ['push', ssh, 'ssh'], tree)];
    for (const one of waiting) assert.match(await one.heard, /remote: gatehouse: the server is busy/);
    const leaving = starts(admin, ['push', ssh, 'leaves'], tree);
    assert.match(await leaving.heard, BUSY);
    assert.equal(await gauge(site, 'work_waiting'), 4);
    leaving.interrupt();
    await untilGauge(site, 'work_waiting', 3);
    slow.destroy();
    assert.match(await heard, /unpack ok\n.*ok refs\/heads\/raw\n/s);
    for (const { ended } of waiting) assert.equal((await ended).code, 0);

    // It sends half of its pack, has the place then, and says no more: others get it.
    const stalled = await channel(client, 'git-receive-pack busy');
    const answer = hear(stalled);
    stalled.write(stalls.head);
    stalled.write(stalls.pack.subarray(0, 1_500_000));
    await untilGauge(site, 'work_running', 1);
    await gitOk(admin, ['push', '-q', http, 'http:refs/heads/others'], tree);
    await untilGauge(site, 'work_running', 0);
    stalled.write(stalls.pack.subarray(1_500_000));
    assert.match(await answer, /unpack ok\n.*ok refs\/heads\/stalls\n/s);

    const copy = join(root, 'copy.git');
    await gitOk(admin, ['clone', '-q', '--mirror', ssh, copy]);
    await gitOk(admin, ['fsck', '--strict'], copy);
    const refs = await gitOk(admin, ['for-each-ref', '--format=%(refname:short)'], copy);
    assert.deepEqual(refs.split('\n').sort(), ['http', 'main', 'others', 'raw', 'ssh', 'stalls']);

    // A gate that stops sends home at once who only waits.
    const again = await holdUp(site);
    t.after(() => again.destroy());
    const late = starts(admin, ['push', http, 'late'], tree);
    assert.match(await late.heard, BUSY);
    const stopped = gate.stop();
    const { code, stderr } = await late.ended;
    assert.notEqual(code, 0);
    assert.match(stderr, /the server is shutting down: try again shortly/);
    again.destroy();
    assert.equal(await stopped, 0);
    assert.deepEqual(quarantines(site), []);
  },
);
