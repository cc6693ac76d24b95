/** What a compile says has changed, which is all that the steps behind it look at. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, suite } from 'node:test';
import { NOTHING_CHANGED, type ConfChange } from '../../src/access/gitolite/conf-change.ts';
import { newGround } from './ground.ts';

const BASE = 'repo gitolite-admin\n    RW+ = admin\nrepo one\n    RW = u1\nrepo two\n    RW = u1\n';

/** From `before` to `after`. */
async function changeOf(before: string, after: string): Promise<ConfChange | undefined> {
  await using ground = await newGround();
  await ground.gitolite(['setup', '-a', 'admin']);
  for (const [index, text] of [before, after].entries()) {
    if (index === 1) ground.site.published?.(ground.site.unpublished ?? NOTHING_CHANGED);
    await writeFile(join(ground.home, '.gitolite/conf/gitolite.conf'), text);
    const { code, stderr } = await ground.gitolite(['compile']);
    assert.equal(code, 0, stderr);
  }
  return ground.site.unpublished;
}

suite('what a compile changes', () => {
  test('is the repository whose rules are others, and one that is new', async () => {
    const change = await changeOf(
      BASE,
      `${BASE.replace('two\n    RW = u1', 'two\n    RW = u2')}repo three\n    RW = u1\n`,
    );
    assert.deepEqual(change?.repositories, new Set(['three', 'two']));
  });

  test('is nothing where nothing is different', async () => {
    assert.deepEqual((await changeOf(BASE, BASE))?.repositories, new Set());
  });

  test('may be any where a pattern, a group or a generic name is meant', async () => {
    for (const name of ['wild/..*', '@group', 'home/CREATOR/notes', '@all'])
      assert.equal((await changeOf(BASE, `${BASE}repo ${name}\n    R = u9\n`))?.repositories, 'all', name);
  });

  test('is a repository whose template data are others', async () => {
    const template = (user: string): string =>
      `${BASE}=begin template-data\nrepo made one = BASE\n    READERS = ${user}\n=end\n`;
    assert.deepEqual((await changeOf(template('u1'), template('u2')))?.repositories, new Set(['made', 'one']));
  });
});
