/** What a hidden ref leads to: not listed, not fetched by any trick of either protocol, not confirmed, not archived. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { OBJECT_FORMATS, type ObjectFormat } from '../../src/git/oid.ts';
import { PktReader } from '../../src/git/pkt-line.ts';
import { House, conversationOf, pkts, readPkts } from './house.ts';

interface Secrets {
  readonly house: House;
  readonly format: ObjectFormat;
  readonly urls: readonly string[];
  /** By a name that says what it is. */
  readonly oid: Readonly<
    Record<
      | 'open'
      | 'openOld'
      | 'openBlob'
      | 'hidden'
      | 'hiddenParent'
      | 'hiddenBlob'
      | 'hiddenTree'
      | 'deleted'
      | 'hiddenTag',
      string
    >
  >;
}

/** main is open; refs/heads/secret, refs/tags/secret/* and refs/gatehouse/* are not; a deleted branch's commit remains. */
async function secrets(t: TestContext, format: ObjectFormat): Promise<Secrets> {
  const house = await House.open(t);
  const repository = await house.create('r', format);
  const { work, commit } = await house.workTree(format);
  const openOld = await commit('first');
  const open = await commit('second');
  await house.git(['checkout', '-q', '-b', 'secret'], work);
  const hiddenParent = await commit('secret one');
  const hidden = await commit('secret two');
  await house.git(['tag', '-a', '-m', 'secret words', 'secret/tag', 'main'], work);
  await house.git(['checkout', '-q', '-b', 'gone', 'main'], work);
  const deleted = await commit('gone');
  await house.git(['push', '-q', repository.path, '--all'], work);
  await house.git(
    ['push', '-q', repository.path, '--tags', `${hidden}:refs/gatehouse/keep`, 'main:refs/heads/other'],
    work,
  );
  await house.git(['update-ref', '-d', 'refs/heads/gone'], repository.path);
  house.mayRead = (refname) => !refname.includes('secret');
  const oidOf = async (name: string): Promise<string> => await house.git(['rev-parse', name], work);
  return {
    house,
    format,
    urls: [await house.openGit(t), await house.openHttp(t)],
    oid: {
      open,
      openOld,
      hidden,
      hiddenParent,
      deleted,
      openBlob: await oidOf(`${openOld}:file`),
      hiddenBlob: await oidOf(`${hidden}:file`),
      hiddenTree: await oidOf(`${hidden}^{tree}`),
      hiddenTag: await oidOf('secret/tag'),
    },
  };
}

for (const format of OBJECT_FORMATS) {
  test(`hidden refs of a ${format} repository`, async (t) => {
    const { house, urls, oid } = await secrets(t, format);
    const capabilities = [`object-format=${format}`];
    const fetch = async (...lines: readonly string[]): Promise<string> => {
      const said = await house.say(pkts('command=fetch', ...capabilities, '0001', ...lines, '0000'), {
        name: 'r',
        mode: 'rpc',
      });
      return said.output.toString('latin1');
    };

    await t.test("hidden refs and the gate's own are listed in no version", async () => {
      for (const version of ['0', '1', '2']) {
        for (const url of urls) {
          const listed = await house.git(['-c', `protocol.version=${version}`, 'ls-remote', `${url}/r`]);
          assert.doesNotMatch(listed, /secret|gatehouse/);
          assert.equal(listed.split('\n').length, 3, 'HEAD, main and other');
        }
      }
      const own = await house.say(
        pkts(
          'command=ls-refs',
          ...capabilities,
          '0001',
          'ref-prefix refs/gatehouse/',
          'ref-prefix refs/heads/secret',
          '0000',
        ),
        { name: 'r', mode: 'rpc' },
      );
      assert.equal(own.output.toString(), '0000');
    });

    for (const name of ['hidden', 'hiddenParent', 'hiddenBlob', 'hiddenTree', 'hiddenTag', 'deleted'] as const) {
      await t.test(
        `${name} is refused in v0 and v2, over git:// and HTTP, with the same words as an object that is not there`,
        async () => {
          for (const version of ['0', '2']) {
            for (const [index, url] of urls.entries()) {
              const clone = join(house.directory, `thief-${name}-${version}-${index}`);
              await house.git(['init', '-q', '--bare', `--object-format=${format}`, clone]);
              const ended = await house.tryGit(
                ['-c', `protocol.version=${version}`, 'fetch', `${url}/r`, oid[name]],
                clone,
              );
              assert.notEqual(ended.code, 0);
              assert.match(
                ended.stderr,
                new RegExp(`not our ref ${oid[name]}.*not reachable from any ref that you may read`),
              );
              assert.notEqual((await house.tryGit(['cat-file', '-e', oid[name]], clone)).code, 0);
            }
          }
          const absent = 'd'.repeat(oid.open.length);
          const refusal = await fetch(`want ${oid[name]}`, 'done');
          assert.equal(refusal.replaceAll(oid[name], absent), await fetch(`want ${absent}`, 'done'));
        },
      );
    }

    await t.test('one hidden want among many visible ones refuses the fetch and names the hidden one', async () => {
      const answer = await fetch(`want ${oid.open}`, `want ${oid.openBlob}`, `want ${oid.hidden}`, 'done');
      assert.match(answer, new RegExp(`^....ERR upload-pack: not our ref ${oid.hidden} `));
    });

    await t.test('a claimed shallow boundary at a hidden commit does not bring its parents', async () => {
      const answer = await fetch(`want ${oid.open}`, `shallow ${oid.hidden}`, 'deepen 2147483647', 'done');
      assert.match(answer, /packfile/);
      assert.doesNotMatch(answer, new RegExp(`unshallow ${oid.hidden}`));
      const relative = await fetch(`want ${oid.open}`, `shallow ${oid.hidden}`, 'deepen 1', 'deepen-relative', 'done');
      assert.doesNotMatch(relative, new RegExp(`${oid.hidden}|${oid.hiddenParent}`));
    });

    await t.test('a boundary at a deleted commit brings nothing either where every ref may be read', async () => {
      const { mayRead } = house;
      house.mayRead = undefined;
      const answer = await fetch(`want ${oid.open}`, `shallow ${oid.deleted}`, 'deepen 2147483647', 'done');
      house.mayRead = mayRead;
      assert.match(answer, /packfile/);
      assert.doesNotMatch(answer, new RegExp(oid.deleted));
    });

    await t.test('having a hidden commit or blob is not acknowledged, having a visible one is', async () => {
      for (const have of [oid.hidden, oid.hiddenBlob, oid.deleted]) {
        const answer = await fetch(`want ${oid.open}`, `have ${have}`);
        assert.match(answer, /acknowledgments\n....NAK/);
      }
      assert.match(await fetch(`want ${oid.open}`, `have ${oid.openOld}`), new RegExp(`ACK ${oid.openOld}`));
      const v0 = pkts(`want ${oid.open} multi_ack_detailed`, '0000', `have ${oid.hidden}`, '0000');
      const said = await house.say(v0, { name: 'r', mode: 'rpc', protocol: 0 });
      assert.deepEqual(await readPkts(said.output), ['NAK\n']);
    });

    await t.test('the tag object of a hidden tag does not come along with include-tag', async () => {
      const answer = await house.say(
        pkts(
          'command=fetch',
          ...capabilities,
          '0001',
          `want ${oid.open}`,
          'include-tag',
          'no-progress',
          'done',
          '0000',
        ),
        { name: 'r', mode: 'rpc' },
      );
      const clone = join(house.directory, 'tags');
      await house.git(['init', '-q', '--bare', `--object-format=${format}`, clone]);
      await house.git(['fetch', '-q', `${urls[0]}/r`, 'refs/heads/*:refs/heads/*', '--tags'], clone);
      assert.notEqual((await house.tryGit(['cat-file', '-e', oid.hiddenTag], clone)).code, 0);
      // The pack's object count stands behind PACK and its version.
      const pack = answer.output.subarray(answer.output.indexOf('PACK'));
      assert.equal(pack.readUInt32BE(8), 6, 'two commits, trees and blobs');
    });

    await t.test('deepen-not takes visible names only, short or full', async () => {
      assert.match(await fetch(`want ${oid.open}`, 'deepen-not secret', 'done'), /ERR unknown deepen-not: 'secret'/);
      assert.match(await fetch(`want ${oid.open}`, 'deepen-not refs/gatehouse/keep', 'done'), /ERR unknown deepen-not/);
      assert.match(await fetch(`want ${oid.open}`, `deepen-not ${oid.openOld}`, 'done'), /ERR unknown deepen-not/);
      assert.match(await fetch(`want ${oid.open}`, 'deepen-not other', 'done'), /shallow-info|ERR|no commits/);
    });

    await t.test('want-ref and object-info are not offered', async () => {
      assert.match(await fetch('want-ref refs/heads/secret', 'done'), /ERR unexpected line: 'want-ref/);
      const info = await house.say(
        pkts('command=object-info', ...capabilities, '0001', 'size', `oid ${oid.hiddenBlob}`, '0000'),
        { name: 'r', mode: 'rpc' },
      );
      assert.match(info.output.toString(), /ERR invalid command 'object-info'/);
      assert.ok(info.fault instanceof Fault && info.fault.code === 'bad-input');
    });

    await t.test('HEAD is shown only where its target is', async () => {
      const { path } = house.repository('r');
      await house.git(['symbolic-ref', 'HEAD', 'refs/heads/secret'], path);
      for (const version of ['0', '2']) {
        const listed = await house.git(['-c', `protocol.version=${version}`, 'ls-remote', '--symref', `${urls[0]}/r`]);
        assert.doesNotMatch(listed, /HEAD|secret/);
      }
      await house.git(['update-ref', '--no-deref', 'HEAD', oid.hidden], path);
      assert.doesNotMatch(await house.git(['ls-remote', `${urls[0]}/r`]), /HEAD/);
      await house.git(['update-ref', '--no-deref', 'HEAD', oid.open], path);
      assert.match(await house.git(['ls-remote', `${urls[0]}/r`]), /HEAD/);
      await house.git(['symbolic-ref', 'HEAD', 'refs/heads/main'], path);
    });

    await t.test('a symbolic ref to a hidden ref is hidden', async () => {
      const { path } = house.repository('r');
      await house.git(['symbolic-ref', 'refs/heads/alias', 'refs/heads/secret'], path);
      assert.doesNotMatch(await house.git(['ls-remote', `${urls[0]}/r`]), /alias/);
      await house.git(['symbolic-ref', '-d', 'refs/heads/alias'], path);
    });
  });
}

test('a tip that was just rewound away is still served where its ref may be read, and not once the ref is deleted', async (t) => {
  const { house, oid } = await secrets(t, 'sha1');
  const { path } = house.repository('r');
  const ask = pkts('command=fetch', '0001', `want ${oid.deleted}`, 'done', '0000');
  const fetch = async (): Promise<string> =>
    (await house.say(ask, { name: 'r', mode: 'rpc' })).output.toString('latin1');
  const list = async (): Promise<unknown> =>
    await house.say(pkts('command=ls-refs', '0000'), { name: 'r', mode: 'rpc' });

  await house.git(['update-ref', 'refs/heads/moving', oid.deleted], path);
  await list();
  await house.git(['update-ref', 'refs/heads/moving', oid.openOld], path);
  assert.match(await fetch(), /packfile/);
  house.mayRead = (refname) => !/secret|moving/.test(refname);
  assert.match(await fetch(), /ERR upload-pack: not our ref/);
  house.mayRead = undefined;
  assert.match(await fetch(), /packfile/);
  await house.git(['update-ref', '-d', 'refs/heads/moving'], path);
  assert.match(await fetch(), /ERR upload-pack: not our ref/);
  await house.git(['update-ref', 'refs/heads/moving', oid.openOld], path);
  assert.match(await fetch(), /ERR upload-pack: not our ref/, 'a ref of the same name does not bring it back');
});

test('what one conversation listed can be fetched in it to the end, though the ref is deleted meanwhile', async (t) => {
  const { house, oid } = await secrets(t, 'sha1');
  const { path } = house.repository('r');
  await house.git(['update-ref', 'refs/heads/brief', oid.deleted], path);
  const input = new PassThrough();
  const output = new PassThrough();
  const answer = new PktReader(output);
  const serving = house.serve(conversationOf({ input, output }), { name: 'r', service: 'upload-pack' });
  const section = async (): Promise<string> => {
    let text = '';
    for (let pkt = await answer.next(); pkt?.kind === 'data'; pkt = await answer.next())
      text += pkt.payload.toString('latin1');
    return text;
  };
  assert.match(await section(), /^version 2/);
  input.write(pkts('command=ls-refs', '0000'));
  assert.match(await section(), /refs\/heads\/brief/);
  await house.git(['update-ref', '-d', 'refs/heads/brief'], path);
  input.write(pkts('command=fetch', '0001', `want ${oid.deleted}`, 'done', '0000'));
  assert.match(await section(), /^packfile/);
  input.end(pkts('command=ls-refs', '0000'));
  assert.doesNotMatch(await section(), /refs\/heads\/brief/);
  const { report } = await serving;
  assert.equal(report?.event, 'fetch');
  assert.equal(report?.wants, 1);
});
