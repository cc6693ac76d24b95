/** Clients that fall silent in the middle of a negotiation, each with a git that stands still: others are served all the same. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodePkt } from '../../src/git/pkt-line.ts';
import { channel, login } from '../support/attacker.ts';
import { commitFile, gitOk, sshOk, startGate, startSite, url } from '../support/gate.ts';

const CONNECTIONS = 13;
const CHANNELS = 10;
const SETTINGS = `[limits]
work-max = 400
requests-max = 150
requests-per-user-max = 150

[fetch]
cache-bytes-max = 0
`;

test(
  'as many gits may stand still as requests are served at once, and one more works',
  { timeout: 60_000 },
  async (t) => {
    const site = await startSite(t);
    const { admin } = site;
    await site.gate.stop();
    writeFileSync(join(site.root, 'data', 'gatehouse.toml'), SETTINGS);
    const gate = await startGate(t, { data: join(site.root, 'data'), home: admin.home });
    await sshOk(admin, gate, ['create', 'busy']);
    const tree = join(site.root, 'tree');
    await gitOk(admin, ['init', '-q', '-b', 'main', tree]);
    await commitFile(admin, tree, 'small', 'small\n');
    await gitOk(admin, ['push', '-q', url(gate, 'ssh', 'busy'), 'main'], tree);
    const main = await gitOk(admin, ['rev-parse', 'main'], tree);
    const words = [encodePkt(`want ${main}\n`), '0000', encodePkt(`have ${'1'.repeat(40)}\n`), '0000'];
    for (let connection = 0; connection < CONNECTIONS; connection += 1) {
      const client = await login(gate, admin);
      t.after(() => client.destroy());
      const standing = Array.from({ length: CHANNELS }, async () => {
        const stream = await channel(client, 'git-upload-pack busy');
        for (const word of words) stream.write(word);
        let seen = '';
        const { promise, resolve } = Promise.withResolvers<void>();
        stream.on('data', (chunk: Buffer) => {
          seen += String(chunk);
          if (seen.endsWith('0008NAK\n')) resolve();
        });
        await promise;
      });
      await Promise.all(standing);
    }
    const copy = join(site.root, 'copy');
    await gitOk(admin, ['clone', '-q', url(gate, 'ssh', 'busy'), copy]);
    assert.equal(await gitOk(admin, ['rev-parse', 'HEAD'], copy), main);
  },
);
