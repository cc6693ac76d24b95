import assert from 'node:assert/strict';
import { test, suite } from 'node:test';
import { newTwins, NO_GITOLITE } from '../twins.ts';

const CONF = `
@staff = u3 u4
repo gitolite-admin
    RW+ = admin
repo foo/CREATOR/..*
    C = u1 u2
    RW+ = CREATOR
    - refs/tags/ = WRITERS
    RW = WRITERS
    RW dev/ topic = OWNERS
    R = READERS
repo foo/u1/..*
    R = READERS
repo plain
    RW+ = u1
`;

suite('perms, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('gives, lists and takes roles', async () => {
    await using site = await newTwins({ conf: CONF, enable: ['create'], settings: '$RC{ROLES}{OWNERS} = 1;' });
    const u1 = { user: 'u1' };
    await site.same(['create', 'foo/u1/a'], u1);
    await site.same(['perms', 'foo/u1/a', '-l'], u1);
    await site.same(['perms', 'foo/u1/a', '+', 'WRITERS', 'u2'], u1);
    await site.same(['perms', 'foo/u1/a', '+', 'READERS', '@staff'], u1);
    await site.same(['perms', 'foo/u1/a', '+', 'READERS', '@staff'], u1);
    await site.same(['perms', 'foo/u1/a', '-', 'READERS', 'nobody'], u1);
    await site.same(['perms', 'foo/u1/a', '+', 'NOROLE', 'u2'], u1);
    await site.same(['perms', 'foo/u1/a', '-lr'], u1);
    const { stdout } = await site.same(['perms', 'foo/u1/a', '-l'], u1);
    assert.equal(stdout, 'READERS @staff\nWRITERS u2\n');
    await site.sameFile('repositories/foo/u1/a.git/gl-perms');
    await site.same(['perms', 'foo/u1/a', '-', 'WRITERS', 'u2'], u1);
    assert.equal(await site.sameFile('repositories/foo/u1/a.git/gl-perms'), 'READERS @staff\n');
    await site.same(['access', 'foo/u1/a', 'u4', 'R'], u1);
    await site.same(['access', 'foo/u1/a', 'u4', 'W'], u1);
  });

  test('takes a whole list, and makes the repository for it', async () => {
    await using site = await newTwins({ conf: CONF });
    const u1 = { user: 'u1' };
    await site.same(['perms', '-c', 'foo/u1/b'], { ...u1, stdin: 'WRITERS @staff\n  READERS   u2 u3\n\n' });
    assert.equal(await site.sameFile('repositories/foo/u1/b.git/gl-perms'), 'WRITERS @staff\n  READERS   u2 u3\n\n');
    await site.sameFile('repositories/foo/u1/b.git/gl-creator');
    await site.same(['perms', '-c', 'foo/u1/b'], { ...u1, stdin: 'READERS u2\nFOO u3\n' });
    await site.same(['perms', '-c', 'foo/u1/b'], { ...u1, stdin: 'READERS u2\n Cancel \n' });
    await site.same(['perms', '-c', 'foo/u1/b'], { ...u1, stdin: '# READERS u2\n' });
    await site.sameFile('repositories/foo/u1/b.git/gl-perms');
    await site.same(['perms', '-c', 'foo/u1/b'], { ...u1, stdin: '' });
    assert.equal(await site.sameFile('repositories/foo/u1/b.git/gl-perms'), '');
  });

  test('shows what is in the file as it is, byte for byte', async () => {
    await using site = await newTwins({ conf: CONF });
    const u1 = { user: 'u1' };
    await site.same(['perms', '-c', 'foo/u1/b'], { ...u1, stdin: 'READERS u2 # für Zoë à la carte\n' });
    const { stdout } = await site.same(['perms', 'foo/u1/b', '-l'], u1);
    assert.equal(stdout, 'READERS u2 # für Zoë à la carte\n');
    await site.same(['perms', '-c', 'foo/u1/b'], { ...u1, stdin: 'LESENDÀ u2\n' });
    await site.same(['perms', 'foo/u1/b', '+', 'LESENDÀ', 'u2'], u1);
    await site.sameFile('repositories/foo/u1/b.git/gl-perms');
  });

  test('refuses strangers and what is no request in the same words', async () => {
    await using site = await newTwins({ conf: CONF, enable: ['create'] });
    const u1 = { user: 'u1' };
    await site.same(['create', 'foo/u1/a'], u1);
    for (const args of [
      ['foo/u2/a', '-l'],
      ['plain', '-l'],
      ['foo/u1/a', 'x'],
      ['foo/u1/a', '+'],
      ['foo/u1/a', 'x', 'READERS', 'u2'],
      ['foo/u1/a', '+', 'READERS', 'u2', 'u3'],
      ['foo/u1/a', '+', 'READERS', 'u^'],
      ['foo/u1/a', '-c'],
      ['-c', 'foo^'],
      ['-c', 'foo'],
      ['-c', '-l'],
      ['-c', 'plain', '-l'],
      ['-l', 'foo/u1/a'],
      ['foo/../a', '-l'],
      ['foo/u1/a.git', '-l'],
      ['foo/u1/nix', '-lr'],
      ['plain', '-lr'],
    ]) {
      await site.same(['perms', ...args], u1);
      await site.same(['perms', ...args], { user: 'u5' });
    }
    await site.same(['perms', 'foo/u1/a', '-l']);
    await site.sameUsage(['perms'], u1);
    await site.sameUsage(['perms', 'foo/u1/a'], u1);
    await site.sameUsage(['perms', '-c', ''], u1);
  });

  test("the site's owner role owns", async () => {
    const settings = "$RC{ROLES}{OWNERS} = 1; $RC{OWNER_ROLENAME} = 'OWNERS';";
    await using site = await newTwins({ conf: CONF, enable: ['create'], settings });
    await site.same(['create', 'foo/u1/a'], { user: 'u1' });
    await site.same(['perms', 'foo/u1/a', '-l'], { user: 'u3' });
    await site.same(['perms', 'foo/u1/a', '+', 'OWNERS', '@staff'], { user: 'u1' });
    await site.same(['perms', 'foo/u1/a', '-l'], { user: 'u3' });
    await site.same(['owns', 'foo/u1/a'], { user: 'u3' });
    await site.same(['owns', 'foo/u1/a'], { user: 'u5' });
  });

  test('a list that lost its last line end is put right before it grows', async () => {
    await using site = await newTwins({ conf: CONF });
    await site.same(['perms', '-c', 'foo/u1/b'], { user: 'u1', stdin: 'WRITERS u4\nREADERS u2' });
    await site.ours.gitolite(['perms', 'foo/u1/b', '+', 'WRITERS', 'u3'], { env: { GL_USER: 'u1' } });
    const { stdout } = await site.ours.gitolite(['perms', 'foo/u1/b', '-l'], { env: { GL_USER: 'u1' } });
    assert.equal(stdout, 'READERS u2\nWRITERS u3\nWRITERS u4\n');
  });
});
