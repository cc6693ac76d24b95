/** `git archive --remote` over a stateful door and as one HTTP request: what is served equals git's own archive. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { OBJECT_FORMATS } from '../../src/git/oid.ts';
import { House, pkts, readPkts } from './house.ts';

for (const format of OBJECT_FORMATS) {
  test(`archives of a ${format} repository`, async (t) => {
    const house = await House.open(t);
    const repository = await house.create('r', format);
    const work = join(house.directory, 'work');
    await house.git(['init', '-q', '-b', 'main', `--object-format=${format}`, work]);
    await mkdir(join(work, 'docs'));
    await writeFile(join(work, 'docs', 'a'), 'text\n');
    await writeFile(join(work, 'top'), 'top\n');
    await house.git(['add', '.'], work);
    await house.git(['commit', '-q', '-m', 'one'], work);
    await house.git(['tag', '-a', '-m', 'tag', 'v1'], work);
    await house.git(['commit', '-q', '--allow-empty', '-m', 'two'], work);
    await house.git(['checkout', '-q', '-b', 'secret'], work);
    await house.git(['commit', '-q', '--allow-empty', '-m', 'secret'], work);
    await house.git(['checkout', '-q', 'main'], work);
    await house.git(['push', '-q', repository.path, '--all'], work);
    await house.git(['push', '-q', repository.path, '--tags'], work);
    house.mayRead = (refname) => !refname.includes('secret');
    const url = `${await house.openGit(t)}/r`;
    const old = await house.git(['rev-parse', 'main~1'], work);
    const secret = await house.git(['rev-parse', 'secret'], work);

    await t.test(
      'each format, prefix, subtree, path and way to name a commit gives what git gives locally',
      async () => {
        for (const words of [
          ['main'],
          ['--format=tar', 'HEAD'],
          ['--format=zip', '-9', 'refs/heads/main'],
          ['--prefix=p/', 'v1', 'docs'],
          ['--format=tgz', 'tags/v1'],
          ['--format=tar.gz', old],
          ['-v', 'main', '--', 'docs/a'],
        ]) {
          const ours = await house.tryGit(['archive', `--remote=${url}`, ...words]);
          assert.equal(ours.code, 0, `${words.join(' ')}: ${ours.stderr}`);
          const own = await house.tryGit(['archive', ...words], work);
          assert.equal(ours.stdout, own.stdout, words.join(' '));
        }
        const subtree = await house.tryGit(['archive', `--remote=${url}`, '--format=tar', 'main:docs']);
        assert.match(subtree.stdout, /^a\0/);
        assert.match(await house.git(['archive', `--remote=${url}`, '--list']), /^tar$/m);
      },
    );

    await t.test(
      'hidden refs, unreachable objects and expressions are refused with a NACK that names them',
      async () => {
        for (const name of [
          'secret',
          'refs/heads/secret',
          secret,
          'f'.repeat(secret.length),
          'absent',
          'secret:docs',
        ]) {
          const ended = await house.tryGit(['archive', `--remote=${url}`, name]);
          assert.notEqual(ended.code, 0);
          assert.match(ended.stderr, /NACK no such ref: /);
          assert.equal(ended.stdout, '');
        }
        for (const name of ['main~1', 'v1^{tree}', ':/one']) {
          assert.match((await house.tryGit(['archive', `--remote=${url}`, name])).stderr, /NACK not a ref name/);
        }
      },
    );

    await t.test("a path that is not there is git's own error, on the sideband", async () => {
      const ended = await house.tryGit(['archive', `--remote=${url}`, 'main', 'absent']);
      assert.notEqual(ended.code, 0);
      assert.match(ended.stderr, /remote: fatal: pathspec 'absent' did not match/);
    });

    await t.test("options of the server's files are refused", async () => {
      for (const option of ['--output=/tmp/x', '--add-file=/etc/passwd', '--worktree-attributes', '--exec=sh']) {
        const said = await house.say(pkts(`argument ${option}`, 'argument main', '0000'), {
          name: 'r',
          service: 'upload-archive',
        });
        assert.match((await readPkts(said.output))[0] ?? '', /^NACK archive option/);
      }
    });

    await t.test('one HTTP request is one archive', async () => {
      const said = await house.say(pkts('argument main', '0000'), {
        name: 'r',
        service: 'upload-archive',
        mode: 'rpc',
      });
      assert.deepEqual((await readPkts(said.output)).slice(0, 2), ['ACK\n', '0000']);
      assert.equal(said.report?.event, 'archive');
    });

    await t.test('too many, too large, malformed or truncated arguments start no process', async () => {
      const before = house.processes.started;
      const many = Array.from({ length: 65 }, (_, index) => `argument ${index}`);
      for (const body of [
        pkts(...many, '0000'),
        pkts(`argument ${'x'.repeat(60_000)}`, `argument ${'x'.repeat(60_000)}`, '0000'),
        pkts('option main', '0000'),
        pkts('argument main'),
        pkts('argument main', '0001'),
        Buffer.from('ffff'),
        pkts('0000'),
      ]) {
        const said = await house.say(body, { name: 'r', service: 'upload-archive' });
        assert.ok(said.fault !== undefined);
        assert.match((await readPkts(said.output))[0] ?? '', /^(ERR|NACK) /);
      }
      assert.equal(house.processes.started, before);
    });
  });
}
