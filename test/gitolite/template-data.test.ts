/** Template blocks of a conf, where what they say cannot be done. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { newGround } from './ground.ts';

const CONF = `
repo gitolite-admin
    RW+ = admin
repo @BASE
    R = READERS
=begin template-data
repo x..y z.git fine = BASE
    READERS = u1
=end
`;

test('template data for a name that no repository can have is told of, and the rest is written', async () => {
  await using ground = await newGround();
  await ground.gitolite(['setup', '-a', 'admin']);
  await writeFile(join(ground.home, '.gitolite/conf/gitolite.conf'), CONF);
  const { code, stderr } = await ground.gitolite(['compile']);
  assert.equal(code, 0);
  assert.match(stderr, /^WARNING: 'x\.\.y' contains '\.\.'; its template data is ignored$/m);
  assert.match(stderr, /^WARNING: 'z\.git' ends with '\.git'; its template data is ignored$/m);
  assert.equal((await ground.gitolite(['access', '-q', 'fine', 'u1', 'R'])).code, 0);
});
