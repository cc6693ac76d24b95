import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { KeyFiles } from '../../src/gitolite/key-files.ts';
import { KeyIndex } from '../../src/gitolite/key-index.ts';
import { fingerprintOfKey } from '../../src/gitolite/site-keys.ts';
import { workspace } from '../support/workspace.ts';
import { newGround } from './ground.ts';

interface Place {
  readonly index: KeyIndex;
  readonly keydir: string;
  /** A public key's file, and its fingerprint. */
  readonly key: (name: string) => { readonly file: string; readonly fingerprint: string };
  readonly compile: () => void;
  readonly pass: (ms: number) => void;
}

async function place(t: TestContext): Promise<Place> {
  const ground = await newGround();
  t.after(() => ground[Symbol.asyncDispose]());
  const rc = () => ground.site.rc({});
  const { adminBase } = await rc();
  const keydir = join(adminBase, 'keydir');
  mkdirSync(keydir, { recursive: true });
  const keys = workspace(t);
  let nowMs = 0;
  let revision = 1;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  return {
    index: new KeyIndex({ rc, files: new KeyFiles(clock), revision: () => revision, clock }),
    keydir,
    key(name) {
      const file = join(keys, name);
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file]);
      const text = readFileSync(`${file}.pub`, 'utf8');
      return { file: `${file}.pub`, fingerprint: fingerprintOfKey(text) ?? '' };
    },
    compile: () => void (revision += 1),
    pass: (ms) => void (nowMs += ms),
  };
}

test('a key is found by its fingerprint, whatever folder it lies in and whatever place its name tells', async (t) => {
  const { index, keydir, key } = await place(t);
  const [home, work] = [key('home'), key('work')];
  mkdirSync(join(keydir, 'staff/laptops'), { recursive: true });
  copyFileSync(home.file, join(keydir, 'ann@home.pub'));
  copyFileSync(work.file, join(keydir, 'staff/laptops/bob@example.org.pub'));
  writeFileSync(join(keydir, 'broken.pub'), 'ssh-ed25519 AAAA broken\n');
  const held = await index.holder(home.fingerprint);
  assert.equal(held?.user, 'ann');
  assert.match(held?.line ?? '', /^ssh-ed25519 AAAA\S+$/);
  assert.equal((await index.holder(work.fingerprint))?.user, 'bob@example.org');
  assert.equal(await index.holder('SHA256:nobody'), undefined);
});

test('of two files with one key the first by path has it', async (t) => {
  const { index, keydir, key } = await place(t);
  const one = key('one');
  copyFileSync(one.file, join(keydir, 'zoe.pub'));
  copyFileSync(one.file, join(keydir, 'ann.pub'));
  assert.equal((await index.holder(one.fingerprint))?.user, 'ann');
});

test('what changes counts after the next compile at once, and by itself a moment later', async (t) => {
  const { index, keydir, key, compile, pass } = await place(t);
  const [one, two] = [key('one'), key('two')];
  copyFileSync(one.file, join(keydir, 'ann.pub'));
  assert.equal((await index.holder(one.fingerprint))?.user, 'ann');
  rmSync(join(keydir, 'ann.pub'));
  copyFileSync(two.file, join(keydir, 'bob.pub'));
  compile();
  assert.equal(await index.holder(one.fingerprint), undefined);
  assert.equal((await index.holder(two.fingerprint))?.user, 'bob');
  renameSync(join(keydir, 'bob.pub'), join(keydir, 'eve.pub'));
  pass(1_001);
  assert.equal((await index.holder(two.fingerprint))?.user, 'eve');
  // The same name with another key in it.
  copyFileSync(one.file, join(keydir, 'eve.pub'));
  compile();
  assert.equal(await index.holder(two.fingerprint), undefined);
  assert.equal((await index.holder(one.fingerprint))?.user, 'eve');
});
