/** Real git against the upload floor: what it lists, clones and fetches, compared with git's own upload-pack. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { OBJECT_FORMATS, type ObjectFormat } from '../../src/git/oid.ts';
import { House } from './house.ts';

/** What v1 adds to v0 has nothing to do with the format of objects. */
const VERSIONS = { sha1: [0, 1, 2], sha256: [0, 2] } as const;

/** Branches, a merge, an annotated tag, a nested one, a tag of a blob, a ref elsewhere, a symbolic ref. */
async function fill(house: House, name: string, format: ObjectFormat): Promise<void> {
  const repository = await house.create(name, format);
  const work = join(house.directory, `${name}-work`);
  await house.git(['init', '-q', '-b', 'main', `--object-format=${format}`, work]);
  for (let index = 1; index <= 6; index += 1) {
    await house.git(['commit', '-q', '--allow-empty', '-m', `change ${index}`], work);
  }
  await house.git(['checkout', '-q', '-b', 'side', 'HEAD~2'], work);
  await house.git(['commit', '-q', '--allow-empty', '-m', 'side'], work);
  await house.git(['checkout', '-q', 'main'], work);
  await house.git(['merge', '-q', '--no-edit', 'side'], work);
  await house.git(['tag', '-a', '-m', 'one', 'v1', 'HEAD~1'], work);
  await house.git(['tag', '-a', '-m', 'nested', 'v1-signed-off', 'v1'], work);
  await house.git(['tag', 'light', 'side'], work);
  await house.git(['push', '-q', repository.path, '--all'], work);
  await house.git(['push', '-q', repository.path, '--tags', 'HEAD~3:refs/odd/name'], work);
  await house.git(['symbolic-ref', 'refs/remotes/origin/HEAD', 'refs/heads/side'], repository.path);
}

for (const format of OBJECT_FORMATS) {
  test(`upload of a ${format} repository`, async (t) => {
    const house = await House.open(t);
    await fill(house, 'full', format);
    await house.create('empty', format);
    const urls = [await house.openGit(t), await house.openHttp(t)];

    for (const version of VERSIONS[format]) {
      const ask = ['-c', `protocol.version=${version}`];

      await t.test(`ls-remote in v${version} lists what git's own upload-pack lists`, async () => {
        const { path } = house.repository('full');
        const listings = [
          { options: ['--symref'], patterns: [] },
          { options: ['--heads'], patterns: [] },
          { options: ['--tags', '--refs'], patterns: [] },
          { options: ['--symref'], patterns: ['HEAD', 'refs/odd/*'] },
        ];
        for (const { options, patterns } of listings) {
          const own = await house.git([...ask, 'ls-remote', ...options, `file://${path}`, ...patterns]);
          assert.notEqual(own, '');
          for (const url of urls) {
            const ours = await house.git([...ask, 'ls-remote', ...options, `${url}/full`, ...patterns]);
            assert.equal(ours, own, `${url} ${options.join(' ')}`);
          }
        }
      });

      await t.test(`a mirror clone in v${version} is whole and has the same refs`, async () => {
        for (const [index, url] of urls.entries()) {
          const clone = join(house.directory, `mirror-${format}-${version}-${index}`);
          await house.git([...ask, 'clone', '-q', '--mirror', `${url}/full`, clone]);
          await house.git(['fsck', '--full', '--strict'], clone);
          const own = await house.git(['for-each-ref'], house.repository('full').path);
          assert.equal(await house.git(['for-each-ref'], clone), own);
          assert.equal(await house.git(['symbolic-ref', 'HEAD'], clone), 'refs/heads/main');
        }
      });

      await t.test(`a fetch in v${version} brings what is new, and one without news starts no process`, async () => {
        for (const [index, url] of urls.entries()) {
          const clone = join(house.directory, `fetch-${format}-${version}-${index}`);
          await house.git([...ask, 'clone', '-q', `${url}/full`, clone]);
          const before = house.processes.started;
          await house.git([...ask, 'fetch', '-q', 'origin'], clone);
          await house.git([...ask, 'ls-remote', '-q', `${url}/full`], clone);
          assert.equal(house.processes.started, before, 'nothing was started');
          const work = join(house.directory, 'full-work');
          await house.git(['commit', '-q', '--allow-empty', '-m', 'news'], work);
          await house.git(['push', '-q', house.repository('full').path, 'main'], work);
          await house.git([...ask, 'fetch', '-q', 'origin'], clone);
          assert.equal(
            await house.git(['rev-parse', 'origin/main'], clone),
            await house.git(['rev-parse', 'main'], work),
          );
          await house.git(['fsck', '--full'], clone);
        }
      });

      await t.test(`a clone in v${version} of an empty repository makes what git's own makes`, async () => {
        const outcome = async (url: string, clone: string): Promise<unknown> => {
          await house.git([...ask, 'clone', '-q', url, clone]);
          const format = await house.git(['rev-parse', '--show-object-format'], clone);
          return { format, head: await house.git(['symbolic-ref', 'HEAD'], clone) };
        };
        const own = await outcome(
          `file://${house.repository('empty').path}`,
          join(house.directory, `empty-${version}`),
        );
        for (const [index, url] of urls.entries()) {
          assert.deepEqual(await outcome(`${url}/empty`, join(house.directory, `empty-${version}-${index}`)), own);
        }
      });

      await t.test(
        `shallow clones in v${version} deepen, follow a date and a ref, and become whole as git's own do`,
        async () => {
          const steps = [
            ['fetch', '-q', '--deepen=1'],
            ['fetch', '-q', '--depth=3'],
            ['fetch', '-q', '--shallow-exclude=light'],
            ['fetch', '-q', '--shallow-since=2001-01-01'],
            ['fetch', '-q', '--unshallow'],
            ['fetch', '-q'],
          ];
          const outcomes = async (url: string, clone: string): Promise<unknown> => {
            await house.git([...ask, 'clone', '-q', '--depth=1', url, clone]);
            const found = [];
            for (const step of steps) {
              const { code, stderr } = await house.tryGit([...ask, ...step], clone);
              const commits = await house.git(['rev-list', '--all'], clone);
              // What comes after the first line depends on who noticed the end of the connection first.
              found.push({ step, code, stderr: stderr.split('\n')[0], commits });
              assert.equal((await house.tryGit(['fsck', '--full'], clone)).code, 0);
            }
            return found;
          };
          const own = await outcomes(
            `file://${house.repository('full').path}`,
            join(house.directory, `shallow-${version}`),
          );
          for (const [index, url] of urls.entries()) {
            assert.deepEqual(await outcomes(`${url}/full`, join(house.directory, `shallow-${version}-${index}`)), own);
          }
        },
      );

      await t.test(`an older commit, a tag and its target can be fetched by oid in v${version}`, async () => {
        const work = join(house.directory, 'full-work');
        for (const [index, url] of urls.entries()) {
          const clone = join(house.directory, `by-oid-${format}-${version}-${index}`);
          await house.git(['init', '-q', '--bare', `--object-format=${format}`, clone]);
          for (const name of ['side~1', 'v1', 'v1^{commit}', 'main~4']) {
            const oid = await house.git(['rev-parse', name], work);
            await house.git([...ask, 'fetch', '-q', `${url}/full`, oid], clone);
            assert.equal(await house.git(['cat-file', '-t', oid], clone), name === 'v1' ? 'tag' : 'commit');
          }
        }
      });
    }

    await t.test('a detached HEAD is cloned detached, an unborn one by its name', async () => {
      const { path } = house.repository('full');
      const oid = await house.git(['rev-parse', 'refs/heads/side~1'], path);
      await house.git(['update-ref', '--no-deref', 'HEAD', oid], path);
      for (const [index, url] of urls.entries()) {
        const clone = join(house.directory, `detached-${format}-${index}`);
        await house.git(['clone', '-q', `${url}/full`, clone]);
        assert.equal(await house.git(['rev-parse', 'HEAD'], clone), oid);
        assert.equal((await house.tryGit(['symbolic-ref', '-q', 'HEAD'], clone)).code, 1);
      }
      await house.git(['symbolic-ref', 'HEAD', 'refs/heads/not-yet'], path);
      await house.git(['symbolic-ref', 'HEAD', 'refs/heads/trunk'], house.repository('empty').path);
      for (const [index, url] of urls.entries()) {
        const clone = join(house.directory, `unborn-${format}-${index}`);
        await house.git(['-c', 'init.defaultBranch=other', 'clone', '-q', `${url}/empty`, clone]);
        assert.equal(await house.git(['symbolic-ref', 'HEAD'], clone), 'refs/heads/trunk');
        assert.doesNotMatch(await house.git(['ls-remote', `${url}/full`]), /\tHEAD$/m);
      }
    });
  });
}
