/** A client that has to wait because others are served hears so, whatever it came by, and is served in the end. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { commitFile, gitOk, sshOk, url } from '../support/gate.ts';
import { BUSY, holdUp, narrowSite, starts } from './queue-ground.ts';

test(
  'who waits for a place hears so over HTTP, SSH and in a push, is served when there is one, and sent home at the end',
  { timeout: 120_000 },
  async (t) => {
    const site = await narrowSite(t);
    const { admin, gate, root } = site;
    const token =
      /ght_[A-Za-z0-9]+/.exec(await sshOk(admin, gate, ['token', 'create', 'any', '--scope', 'write']))?.[0] ?? '';
    const tree = join(root, 'tree');
    await commitFile(admin, tree, 'small', 'other\n');
    for (const [index, args] of [
      ['clone', '-q', '--progress', url(gate, 'http', 'busy', token)],
      ['clone', '-q', url(gate, 'ssh', 'busy')],
      ['push', '-q', url(gate, 'http', 'busy', token), 'HEAD:refs/heads/other'],
    ].entries()) {
      const slow = await holdUp(site);
      t.after(() => slow.destroy());
      const isClone = args[0] === 'clone';
      // Who does not want to hear of it gets signs of life, which are nothing of the pack.
      const quietCopy = join(root, `quiet-${index}`);
      const quiet = starts(admin, ['clone', '-q', url(gate, 'http', 'busy', token), quietCopy], tree);
      const waiting = starts(admin, isClone ? [...args, join(root, `copy-${index}`)] : args, tree);
      assert.match(await waiting.heard, BUSY, args.join(' '));
      // Showing refs costs nothing: it does not wait.
      assert.match(await gitOk(admin, ['ls-remote', url(gate, 'http', 'busy', token)]), /refs\/heads\/main/);
      slow.destroy();
      const { code, stderr } = await waiting.ended;
      assert.equal(code, 0, stderr);
      assert.deepEqual(await quiet.ended, { code: 0, stderr: '' });
      await gitOk(admin, ['fsck', '--strict'], quietCopy);
      if (isClone) await gitOk(admin, ['fsck', '--strict'], join(root, `copy-${index}`));
    }
    assert.match(await gitOk(admin, ['ls-remote', url(gate, 'git', 'busy')]), /refs\/heads\/other/);

    // Whoever loses the right to read while waiting gets nothing, by a making that others wait for neither.
    const between = await holdUp(site);
    t.after(() => between.destroy());
    const both = [url(gate, 'http', 'busy'), url(gate, 'ssh', 'busy')].map((from, index) =>
      starts(admin, ['clone', '--progress', from, join(root, `lost-${index}`)], root),
    );
    for (const one of both) assert.match(await one.heard, BUSY);
    await sshOk(admin, gate, ['config', 'busy', 'set', 'public', 'no']);
    between.destroy();
    const [refused, served] = await Promise.all(both.map(({ ended }) => ended));
    assert.match(refused?.stderr ?? '', /remote: rules/);
    assert.deepEqual([refused?.code, served?.code], [128, 0]);
    await sshOk(admin, gate, ['config', 'busy', 'set', 'public', 'yes']);

    // A gate that stops sends home at once who only waits.
    const slow = await holdUp(site);
    t.after(() => slow.destroy());
    const waiting = starts(admin, ['clone', url(gate, 'ssh', 'busy'), join(root, 'copy')], root);
    assert.match(await waiting.heard, BUSY);
    const stopped = gate.stop();
    const { code, stderr } = await waiting.ended;
    assert.notEqual(code, 0);
    assert.match(stderr, /the server is shutting down: try again shortly/);
    slow.destroy();
    assert.equal(await stopped, 0);
  },
);
