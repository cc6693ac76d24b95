import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { newTwins, NO_GITOLITE } from '../twins.ts';

const CONF = `
@t1 = t1 wild/..*
repo gitolite-admin
    RW+ = admin
repo @t1
    RW = u1
    R = u2
repo t2
    RW = u2
    R = u1
    config gitweb.description = "the second one"
repo foo/..*
    C = u1
    RW = CREATOR u3
repo only/config/..*
    config gitweb.owner = x
repo t3
    RW = u3
    R = u4
    desc = spoken of
`;
const OPTIONS = { conf: CONF, enable: ['create'], settings: "$RC{GIT_CONFIG_KEYS} = '.*';" };

suite('info, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('lists patterns and repositories, their creators and descriptions', async () => {
    await using site = await newTwins(OPTIONS);
    await site.same(['create', 'foo/one'], { user: 'u1' });
    await site.same(['create', 'foo/a/longer/name'], { user: 'u1' });
    for (const user of ['u1', 'u3']) {
      await site.same(['info'], { user });
      await site.same(['info', '-lc'], { user });
      await site.same(['info', '-ld'], { user });
      await site.same(['info', '-lc', '--LD', 'o'], { user });
    }
    // In another encoding than ours, and over two lines.
    await site.both('sh', ['-c', "printf 'caf\\351\\n and more \\n' > repositories/t1.git/description"]);
    await site.same(['info', '-ld', 't1'], { user: 'u1' });
    await site.same(['info', '-p', 't[12]'], { user: 'u2' });
    await site.same(['info', 'nothing/like/it'], { user: 'u2' });
    await site.same(['info', '0'], { user: 'u2' });
    await site.same(['info']);
    await site.sameUsage(['info', 'a', 'b'], { user: 'u2' });
    await site.sameUsage(['info', '-x'], { user: 'u2' });
  });

  test('says the same as JSON', async () => {
    await using site = await newTwins({ ...OPTIONS, settings: `${OPTIONS.settings} $RC{SITE_INFO} = 'see "there"';` });
    await site.same(['create', 'foo/one'], { user: 'u1' });
    for (const args of [['-json'], ['-lc', '-ld', '-json'], ['-json', '-p'], ['-json', 'zzz']]) {
      const [real, own] = [
        await site.real(['info', ...args], { user: 'u1' }),
        await site.own(['info', ...args], { user: 'u1' }),
      ];
      assert.deepEqual(withoutVersions(own.stdout), withoutVersions(real.stdout));
      // The real one's order is a hash's: the same lines in another order.
      assert.deepEqual(linesOf(own.stdout), linesOf(real.stdout));
    }
  });
});

function withoutVersions(text: string): unknown {
  const { gitolite_version: version, ...rest } = JSON.parse(text) as Record<string, unknown>;
  assert.equal(typeof version, 'string');
  return rest;
}

function linesOf(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/,$/, '').replace(/("gitolite_version" : ).*/, '$1'))
    .sort();
}
