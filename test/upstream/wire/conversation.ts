/** The same conversations with an upstream, over whatever reaches it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Fault } from '../../../src/base/fault.ts';
import { parseOid, zeroOid, type ObjectFormat, type Oid } from '../../../src/git/oid.ts';
import { parseUpstreamUrl } from '../../../src/upstream/upstream-url.ts';
import type { ForwardedUpdate, Upstream } from '../../../src/upstream/upstream.ts';
import type { PushAsked, Remote, RemoteCall } from '../../../src/upstream/wire/remote.ts';
import type { UpstreamRepositories } from '../../support/upstream.ts';
import { expectRun, suiteScope, type Scope } from '../../support/workspace.ts';

/** Where conversations take place. */
export interface Place {
  readonly repositories: UpstreamRepositories;
  /** Of the repository `NAME`. */
  remote(name: string): Remote;
}

export function upstreamAt(address: string, more: Partial<Upstream> = {}): Upstream {
  const url = parseUpstreamUrl(address);
  assert.ok(url.kind === 'ok', url.kind === 'refused' ? url.reason : '');
  return {
    repositoryId: 'mirror',
    url: url.value,
    hostKeys: [],
    authorities: undefined,
    credentialId: undefined,
    freshMs: 0,
    refs: ['refs/heads/*'],
    takesPushes: true,
    allowsPartialPushes: false,
    version: 1,
    ...more,
  };
}

export function callOf(tell?: (text: string) => void, signal = new AbortController().signal): RemoteCall {
  return { signal, requestId: 'request', ...(tell === undefined ? {} : { tell }) };
}

export function oidOf(text: string | undefined): Oid {
  const oid = parseOid(text ?? '', (text ?? '').length === 64 ? 'sha256' : 'sha1');
  assert.ok(oid !== undefined, `${text} is an oid`);
  return oid;
}

/** The pack of `tips` without `known`, made by git from a repository. */
export function packFrom(repositories: UpstreamRepositories, name: string, tips: readonly string[]): PushAsked['pack'] {
  return async (known) => {
    // The upstream has others, too.
    const here = { env: repositories.env, cwd: repositories.path(name), stdin: known.join('\n') };
    const checked = await expectRun('git', ['cat-file', '--batch-check=%(objectname)'], here);
    const words = [
      '-C',
      repositories.path(name),
      'pack-objects',
      '--revs',
      '--stdout',
      '-q',
      '--thin',
      '--delta-base-offset',
      '--missing=allow-any',
    ];
    const git = spawn('git', words, { env: repositories.env, stdio: ['pipe', 'pipe', 'ignore'] });
    git.stdin.on('error', () => {});
    const has = checked.split('\n').filter((line) => line !== '' && !line.endsWith(' missing'));
    git.stdin.end([...tips, ...has.map((oid) => `^${oid}`), ''].join('\n'));
    return git.stdout;
  };
}

/** The fault that a call ends with. */
export async function faultOf(work: Promise<unknown>): Promise<Fault> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof Fault, `a fault: ${String(error)}`);
    return error;
  }
  throw new assert.AssertionError({ message: 'the call succeeded' });
}

/** What the client of a call would read. */
export async function publicFault(work: Promise<unknown>): Promise<string> {
  const fault = await faultOf(work);
  assert.ok(fault.publicMessage !== undefined, `${fault.message} is public`);
  return fault.publicMessage;
}

export async function collected(pack: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of pack) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Runs before every push of the repository, with its words on standard error. */
export function hook(repositories: UpstreamRepositories, name: string, kind: string, script: string): void {
  const path = join(repositories.path(name), 'hooks', kind);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

export interface About {
  readonly skip: string | false;
  readonly format: ObjectFormat;
  readonly open: (scope: Scope) => Promise<Place>;
}

export function conversations(title: string, { skip, format, open }: About): void {
  describe(title, { skip }, () => {
    const scope = suiteScope();
    const zero = zeroOid(format);
    let place: Place;
    let names = 0;

    before(async () => {
      place = await open(scope);
    });
    after(() => scope.close());

    /** A repository with one commit on main, and a remote for it. */
    async function started(): Promise<{ name: string; remote: Remote; main: Oid } & AsyncDisposable> {
      names += 1;
      const name = `team/it's-${names}`;
      await place.repositories.create(name, { objectFormat: format });
      const main = oidOf(await place.repositories.commit(name, 'refs/heads/main', { 'a.txt': 'one\n' }));
      const remote = place.remote(name);
      return { name, remote, main, [Symbol.asyncDispose]: () => remote[Symbol.asyncDispose]() };
    }

    /** A copy in which commits are made that the upstream does not have. */
    async function copyOf(name: string): Promise<string> {
      const copy = `copies/${names}-${Math.random()}`;
      const { repositories } = place;
      await repositories.git(['clone', '-q', '--bare', repositories.path(name), repositories.path(copy)]);
      return copy;
    }

    function push(copy: string, updates: readonly ForwardedUpdate[], tell?: (text: string) => void): PushAsked {
      const tips = updates.map(({ newOid }) => newOid).filter((oid) => oid !== zero);
      return { ...callOf(tell), updates, atomic: true, options: [], pack: packFrom(place.repositories, copy, tips) };
    }

    it('lists the refs and HEAD, those that were asked for only, and none of an empty repository', async () => {
      await using at = await started();
      const topic = oidOf(await place.repositories.commit(at.name, 'refs/heads/topic/one', { b: '2' }));
      await place.repositories.git(['-C', place.repositories.path(at.name), 'tag', '-a', '-m', 'v1', 'v1', at.main]);
      const all = await at.remote.lsRefs({ ...callOf(), prefixes: [] });
      assert.deepEqual([...all.refs.keys()].toSorted(), ['refs/heads/main', 'refs/heads/topic/one', 'refs/tags/v1']);
      assert.equal(all.refs.get('refs/heads/main'), at.main);
      assert.equal(all.head, 'refs/heads/main');
      assert.equal(all.objectFormat, format);
      const some = await at.remote.lsRefs({ ...callOf(), prefixes: ['refs/heads/topic/'] });
      assert.deepEqual([...some.refs], [['refs/heads/topic/one', topic]]);
      await place.repositories.create('empty', { objectFormat: format });
      await using empty = place.remote('empty');
      assert.equal((await empty.lsRefs({ ...callOf(), prefixes: [] })).refs.size, 0);
    });

    it('sees in each listing what the upstream has by then', async () => {
      await using at = await started();
      for (const text of ['2', '3', '4']) {
        const oid = await place.repositories.commit(at.name, 'refs/heads/main', { 'a.txt': text });
        const { refs } = await at.remote.lsRefs({ ...callOf(), prefixes: ['refs/heads/'] });
        assert.equal(refs.get('refs/heads/main'), oid);
      }
    });

    it('fetches a pack that git takes, and a smaller one from what is here', async () => {
      await using at = await started();
      const long = Array.from({ length: 2_000 }, (_, line) => `line ${line} ${Math.sin(line)}`).join('\n');
      const first = oidOf(await place.repositories.commit(at.name, 'refs/heads/main', { 'long.txt': long }));
      const second = oidOf(
        await place.repositories.commit(at.name, 'refs/heads/main', { 'long.txt': `${long}\nmore` }),
      );
      const here = await copyOf(at.name);
      const whole = await collected(await at.remote.fetch({ ...callOf(), wants: [second], haves: [] }));
      const thin = await collected(await at.remote.fetch({ ...callOf(), wants: [second], haves: [first, at.main] }));
      const unknown = oidOf('1'.repeat(zero.length));
      const again = await collected(await at.remote.fetch({ ...callOf(), wants: [second], haves: [unknown] }));
      assert.equal(whole.length, again.length);
      assert.ok(thin.length < whole.length / 10, `${thin.length} of ${whole.length}`);
      const options = { env: place.repositories.env, cwd: place.repositories.path(here) };
      await expectRun('git', ['index-pack', '--stdin', '--fix-thin'], { ...options, stdin: whole });
      await expectRun('git', ['index-pack', '--stdin', '--fix-thin'], { ...options, stdin: thin });
    });

    it('creates, moves and deletes refs in one push', async () => {
      await using at = await started();
      const copy = await copyOf(at.name);
      const old = oidOf(await place.repositories.commit(at.name, 'refs/heads/old', { old: '1' }));
      const moved = oidOf(await place.repositories.commit(copy, 'refs/heads/main', { 'a.txt': 'two\n' }));
      const made = oidOf(await place.repositories.commit(copy, 'refs/heads/new', { n: '3' }));
      const done = await at.remote.push(
        push(copy, [
          { refname: 'refs/heads/main', oldOid: at.main, newOid: moved },
          { refname: 'refs/heads/new', oldOid: zero, newOid: made },
          { refname: 'refs/heads/old', oldOid: old, newOid: zero },
        ]),
      );
      assert.ok(done.kind === 'reported' && done.unpack === 'ok', JSON.stringify(done));
      assert.deepEqual([...done.refs.values()], [undefined, undefined, undefined]);
      assert.equal(await place.repositories.ref(at.name, 'refs/heads/main'), moved);
      assert.equal(await place.repositories.ref(at.name, 'refs/heads/new'), made);
      assert.equal(await place.repositories.ref(at.name, 'refs/heads/old'), undefined);
      const alone = push(copy, [{ refname: 'refs/heads/new', oldOid: made, newOid: zero }]);
      const deleted = await at.remote.push({
        ...alone,
        pack: () => Promise.reject(new Error('a deletion brings no pack')),
      });
      assert.equal(deleted.kind, 'reported');
    });

    it('changes nothing where a lease does not hold, whether that is seen before or only by the server', async () => {
      await using at = await started();
      const copy = await copyOf(at.name);
      const mine = oidOf(await place.repositories.commit(copy, 'refs/heads/main', { mine: '1' }));
      const asked = push(copy, [
        { refname: 'refs/heads/main', oldOid: at.main, newOid: mine },
        { refname: 'refs/heads/other', oldOid: zero, newOid: mine },
      ]);
      // Somebody else is faster while the pack is made: behind what the server showed.
      let theirs = '';
      const raced = await at.remote.push({
        ...asked,
        pack: async (known, form) => {
          theirs = await place.repositories.commit(at.name, 'refs/heads/main', { theirs: '1' });
          return asked.pack(known, form);
        },
      });
      assert.ok(raced.kind === 'reported', JSON.stringify(raced));
      assert.ok(
        [...raced.refs.values()].every((reason) => reason !== undefined),
        'all or nothing',
      );
      assert.equal(await place.repositories.ref(at.name, 'refs/heads/main'), theirs);
      assert.equal(await place.repositories.ref(at.name, 'refs/heads/other'), undefined);
      const late = await at.remote.push(asked);
      assert.ok(late.kind === 'refused' && late.why === 'lease' && late.refname === 'refs/heads/main');
      assert.match(late.reason, new RegExp(`is at ${theirs} upstream by now`));
    });

    it('brings the reasons of the server for each ref, its words, and takes options to its hooks', async () => {
      await using at = await started();
      hook(
        place.repositories,
        at.name,
        'pre-receive',
        'printf "option %s\\n\\033[31mred\\033[0m\\n" "$GIT_PUSH_OPTION_0" >&2',
      );
      hook(place.repositories, at.name, 'update', 'test "$1" != refs/heads/main');
      const copy = await copyOf(at.name);
      const mine = oidOf(await place.repositories.commit(copy, 'refs/heads/main', { mine: '1' }));
      let told = '';
      const asked = push(
        copy,
        [
          { refname: 'refs/heads/main', oldOid: at.main, newOid: mine },
          { refname: 'refs/heads/topic', oldOid: zero, newOid: mine },
        ],
        (text) => {
          told += text;
        },
      );
      const refused = await at.remote.push({ ...asked, options: ['ci.skip'] });
      assert.ok(refused.kind === 'reported', JSON.stringify(refused));
      assert.equal(refused.refs.get('refs/heads/main'), 'hook declined');
      assert.match(refused.refs.get('refs/heads/topic') ?? '', /atomic/);
      assert.match(told, /option ci\.skip\nred\n/);
      const partial = await at.remote.push({ ...asked, atomic: false });
      assert.ok(partial.kind === 'reported' && partial.refs.get('refs/heads/topic') === undefined);
    });

    it('names a repository that is not there, with the reason of the upstream', async () => {
      await using remote = place.remote('team/nothing');
      assert.match(
        await publicFault(remote.lsRefs({ ...callOf(), prefixes: [] })),
        /^(?:the upstream|cannot reach) .*team\/nothing/,
      );
      assert.match(
        await publicFault(remote.fetch({ ...callOf(), wants: [oidOf('1'.repeat(zero.length))], haves: [] })),
        /^(?:the upstream|cannot reach) .*team\/nothing/,
      );
    });

    it('takes a want that is not there for a fault of the call', async () => {
      await using at = await started();
      const wants = [oidOf('1'.repeat(zero.length))];
      assert.match(await publicFault(at.remote.fetch({ ...callOf(), wants, haves: [] })), /not our ref|upload-pack/);
      assert.equal((await at.remote.lsRefs({ ...callOf(), prefixes: [] })).refs.size, 1);
    });

    it('serves many calls at once', async () => {
      await using at = await started();
      const listed = await Promise.all(
        Array.from({ length: 20 }, () => at.remote.lsRefs({ ...callOf(), prefixes: [] })),
      );
      assert.ok(listed.every(({ refs }) => refs.get('refs/heads/main') === at.main));
    });
  });
}
