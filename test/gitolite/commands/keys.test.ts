import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { makeKeyLine } from '../../identity/key-line.ts';
import { newTwins, NO_GITOLITE, type Twins } from '../twins.ts';

const CONF = `
repo gitolite-admin
    RW+ = admin
repo ours
    RW+ = u1
    option bundle = 1
`;

suite('keys and downloads, next to the real gitolite', { skip: NO_GITOLITE }, () => {
  test('sshkeys-lint', async () => {
    await using site = await newTwins({ conf: CONF });
    const [one, two, three, four] = [1, 2, 3, 4].map(() => makeKeyLine().line);
    await put(site, '.gitolite/keydir/u1.pub', one);
    await put(site, '.gitolite/keydir/desk/u1@desk.pub', two);
    await put(site, '.gitolite/keydir/u2.pub', one);
    await put(site, '.gitolite/keydir/u3.pub', three);
    const line = (user: string, key = ''): string => `command="/usr/bin/gitolite-shell ${user}",no-pty ${key}`;
    const text = `${four}# gitolite start\n${line('u1', one)}${line('u1', two)}${line('u9', one)}${four}# gitolite end\n\n${line('u3', three)}`;
    await site.same(['sshkeys-lint'], { stdin: text });
    await site.same(['sshkeys-lint', '-q'], { stdin: text });
    await site.same(['sshkeys-lint', '--quiet', '.gitolite/keydir/u1.pub'], { stdin: line('u1', one) });
    await put(site, 'u1.pub', one);
    await site.same(['sshkeys-lint', '-q', '-a', 'u1'], { stdin: line('u1', one) });
    const wrong = await site.own(['sshkeys-lint', '-q', '-a', 'u1'], { stdin: line('u2', one) });
    assert.match(wrong.stderr, /^FATAL: \t\t\*\*\* FATAL \*\*\*\nu1\.pub maps to user u2, not u1\./);
    await site.sameUsage(['sshkeys-lint', '-h']);
  });

  test('sskm tells a user about the keys, and refuses in the same words', async () => {
    await using site = await newTwins({ conf: CONF, enable: ['sskm'] });
    const [one = '', two = '', three = '', four = ''] = [1, 2, 3, 4].map(() => makeKeyLine().line);
    await put(site, '.gitolite/keydir/u1.pub', one);
    await put(site, '.gitolite/keydir/at/u1@home.pub', two);
    await put(site, '.gitolite/keydir/zzz-marked/zzz-marked-for-add-u1@new.pub', three);
    await put(site, '.gitolite/keydir/zzz-marked/zzz-marked-for-del-u1@old.pub', four);
    await site.same(['sskm'], { user: 'u1' });
    await site.same(['sskm', 'list'], { user: 'zzz-marked-for-del-u1' });
    for (const [args, user] of [
      [['add', 'x'], 'u1'],
      [['nix'], 'u1'],
      [['undo-add'], 'u1'],
      [['confirm-del', '@nix'], 'u1'],
      [['undo-add'], 'u2'],
      [['add'], 'zzz-marked-for-add-u1'],
    ] as const) {
      const [own, real] = [await site.own(['sskm', ...args], { user }), await site.real(['sskm', ...args], { user })];
      assert.equal(own.stderr, real.stderr, args.join(' '));
      // The real one forgets its exit code on the way out.
      assert.notEqual(own.code, 0);
    }
  });

  test('a user changes keys, step by step', async () => {
    await using site = await newTwins({ conf: CONF, enable: ['sskm'] });
    const key = makeKeyLine('new').line;
    const admin = join(site.ours.home, 'repositories/gitolite-admin.git');
    const tip = async (): Promise<string> => readFile(join(admin, 'refs/heads/master'), 'utf8');
    const sskm = async (args: readonly string[], user: string, stdin = ''): Promise<void> => {
      const before = await tip();
      const { code, stderr } = await site.own(['sskm', ...args], { user, stdin });
      assert.equal(code, 0, stderr);
      assert.notEqual(await tip(), before);
    };
    await sskm(['add', '@new'], 'u1', key);
    assert.match(
      (await site.own(['sskm'], { user: 'u1' })).stdout,
      /marked for addition.*==\n1: SHA256:\S+ : u1@new\.pub/,
    );
  });
});

async function put({ ours, realHome }: Twins, path: string, text = ''): Promise<void> {
  for (const home of [ours.home, realHome]) {
    await mkdir(join(home, path, '..'), { recursive: true });
    await writeFile(join(home, path), text);
  }
}
