/** Partial clones: every filter, the lazy fetches after it, and how few walks prove what they ask for. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { OBJECT_FORMATS, type ObjectFormat } from '../../src/git/oid.ts';
import { House, pkts } from './house.ts';

const COMMITS = 12;

/** Files in directories that change from commit to commit; the last commit of `secret` has a blob of its own. */
async function fill(house: House, format: ObjectFormat): Promise<string> {
  const repository = await house.create('r', format);
  const work = join(house.directory, 'work');
  await house.git(['init', '-q', '-b', 'main', `--object-format=${format}`, work]);
  await mkdir(join(work, 'a', 'b'), { recursive: true });
  for (let index = 0; index < COMMITS; index += 1) {
    await writeFile(join(work, 'a', 'b', `file-${index % 3}`), `${index}\n`.repeat(index * 200));
    await writeFile(join(work, 'top'), `${index}`);
    await house.git(['add', '.'], work);
    await house.git(['commit', '-q', '-m', `change ${index}`], work);
  }
  await house.git(['checkout', '-q', '-b', 'secret'], work);
  await writeFile(join(work, 'top'), 'secret');
  await house.git(['commit', '-qam', 'secret'], work);
  await house.git(['push', '-q', repository.path, '--all'], work);
  await house.git(['checkout', '-q', 'main'], work);
  return work;
}

for (const format of OBJECT_FORMATS) {
  test(`partial clones of a ${format} repository`, async (t) => {
    const house = await House.open(t);
    const work = await fill(house, format);
    house.mayRead = (refname) => refname !== 'refs/heads/secret';
    const urls = [await house.openGit(t), await house.openHttp(t)];

    for (const version of format === 'sha1' ? [0, 2] : [2]) {
      const ask = ['-c', `protocol.version=${version}`];
      for (const filter of [
        'blob:none',
        'blob:limit=1k',
        'tree:0',
        'combine:blob:limit=2k+tree:3',
        'object:type=commit',
      ]) {
        await t.test(
          `a clone in v${version} with --filter=${filter} fetches what it lacks when it needs it`,
          async () => {
            for (const [index, url] of urls.entries()) {
              const clone = join(house.directory, `${filter.replaceAll(/\W/g, '-')}-${version}-${index}`);
              await house.git([...ask, 'clone', '-q', `--filter=${filter}`, `${url}/r`, clone]);
              assert.equal(await house.git(['status', '--porcelain'], clone), '');
              const missing = await house.git(['rev-list', '--objects', '--missing=print', 'HEAD'], clone);
              assert.match(missing, /^\?/m, 'something was left out');
              await house.git([...ask, 'checkout', '-q', 'HEAD~7'], clone);
              assert.equal(
                await house.git(['rev-parse', 'HEAD^{tree}'], clone),
                await house.git(['rev-parse', 'main~7^{tree}'], work),
              );
              await house.git([...ask, 'log', '-p', '-2'], clone);
            }
          },
        );
      }
    }

    await t.test('a filter without its hidden or missing blobs refuses them one by one', async () => {
      const hidden = await house.git(['rev-parse', 'secret:top'], work);
      const seen = await house.git(['rev-parse', 'main~3:top'], work);
      const lines = [`want ${seen}`, `want ${hidden}`, 'done'];
      const said = await house.say(pkts('command=fetch', `object-format=${format}`, '0001', ...lines, '0000'), {
        name: 'r',
        mode: 'rpc',
      });
      assert.match(said.output.toString(), new RegExp(`ERR upload-pack: not our ref ${hidden} `));
    });

    await t.test('with a bitmap the same is served and refused', async () => {
      const { path } = house.repository('r');
      await house.git(['repack', '-q', '-a', '-d', '-b'], path);
      const ask = async (oid: string): Promise<string> =>
        (
          await house.say(pkts('command=fetch', `object-format=${format}`, '0001', `want ${oid}`, 'done', '0000'), {
            name: 'r',
            mode: 'rpc',
          })
        ).output.toString('latin1');
      await house.git(['branch', 'anew', 'main'], path);
      assert.match(await ask(await house.git(['rev-parse', 'main~9:a/b'], work)), /packfile/);
      assert.match(await ask(await house.git(['rev-parse', 'main~9:top'], work)), /packfile/);
      assert.match(await ask(await house.git(['rev-parse', 'main~9'], work)), /packfile/);
      assert.match(await ask(await house.git(['rev-parse', 'secret:top'], work)), /ERR upload-pack: not our ref/);
      assert.match(await ask(await house.git(['rev-parse', 'secret^{tree}'], work)), /ERR upload-pack: not our ref/);
    });

    await t.test('a second round of old objects is answered from the walk of the first', async () => {
      const { path } = house.repository('r');
      await house.git(['branch', '-D', 'anew'], path);
      await house.git(['config', 'repack.writeBitmaps', 'false'], path);
      await house.git(['repack', '-q', '-a', '-d'], path);
      const blobs = await Promise.all([2, 3, 4, 5].map((back) => house.git(['rev-parse', `main~${back}:top`], work)));
      const ask = async (oid: string): Promise<number> => {
        const before = house.processes.started;
        const said = await house.say(
          pkts('command=fetch', `object-format=${format}`, '0001', `want ${oid}`, 'done', '0000'),
          { name: 'r', mode: 'rpc' },
        );
        assert.match(said.output.toString('latin1'), /packfile/);
        return house.processes.started - before;
      };
      // How far the first walk gets is up to git's buffers; the one behind it goes to the end.
      for (const oid of blobs) await ask(oid);
      for (const oid of blobs) assert.equal(await ask(oid), 1, 'only the git that makes the pack');
    });
  });
}
