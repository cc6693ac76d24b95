import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { houseFiles } from '../../src/access/house.ts';
import { PolicyDesk } from '../../src/access/desk.ts';
import { PolicyHolder } from '../../src/access/holder.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import { startGitProcesses, type ConfinedGitProcesses } from '../../src/git/spawner.ts';
import type { Store, Stored, Transaction } from '../../src/store/store.ts';
import { principal, repository } from './site.ts';

const run = promisify(execFile);
const env = {
  PATH: process.env['PATH'] ?? '',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@example.org',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@example.org',
};

let processes: ConfinedGitProcesses;
const root = await mkdtemp(join(tmpdir(), 'policy-'));

before(async () => {
  processes = await startGitProcesses({ isolation: 'off' });
});
after(async () => {
  await processes.close();
  await rm(root, { recursive: true, force: true });
});

interface Site {
  readonly gitDir: string;
  /** Commits exactly these files. */
  readonly commit: (files: ReadonlyMap<string, string>, prepare?: (work: string) => Promise<void>) => Promise<string>;
}

async function site(format: 'sha1' | 'sha256' = 'sha1'): Promise<Site> {
  const work = await mkdtemp(join(root, 'site-'));
  await run('git', ['init', '-q', '-b', 'main', `--object-format=${format}`, work], { env });
  return {
    gitDir: join(work, '.git'),
    async commit(files, prepare) {
      await run('git', ['-C', work, 'rm', '-rqf', '--ignore-unmatch', '.'], { env });
      for (const [path, text] of files) {
        await mkdir(join(work, path, '..'), { recursive: true });
        await writeFile(join(work, path), text);
      }
      await prepare?.(work);
      await run('git', ['-C', work, 'add', '-A'], { env });
      await run('git', ['-C', work, 'commit', '-q', '--allow-empty', '-m', 'x'], { env });
      return (await run('git', ['-C', work, 'rev-parse', 'HEAD'], { env })).stdout.trim();
    },
  };
}

/** The two calls of the store that the holder makes, in memory. */
function memoryStore(): Pick<Store, 'get' | 'transact'> & { readonly values: Map<string, Stored>; isBroken: boolean } {
  const values = new Map<string, Stored>();
  const store = {
    values,
    isBroken: false,
    get: (kind: string, key: string) => Promise.resolve(values.get(`${kind}/${key}`)),
    transact({ writes }: Transaction) {
      if (store.isBroken) return Promise.reject(new Fault('internal', 'store is broken'));
      for (const write of writes) {
        if ('put' in write)
          values.set(`${write.kind}/${write.key}`, { kind: write.kind, key: write.key, version: 1, value: write.put });
      }
      return Promise.resolve({ kind: 'committed' as const, version: 1 });
    },
  };
  return store;
}

function holderOn(store: Pick<Store, 'get' | 'transact'>): {
  readonly holder: PolicyHolder;
  readonly errors: string[];
} {
  const errors: string[] = [];
  const log = { info: () => {}, error: (_fields: unknown, message: string) => void errors.push(message) };
  return { holder: new PolicyHolder({ store, processes, log, clock: systemClock }), errors };
}

const rules = (main: string): ReadonlyMap<string, string> => new Map([['rules/main.lace', main]]);
const ian = principal({ name: 'ian' });
const administrator = principal({ name: 'root', groups: ['administrators'] });
const read = { principal: ian, operation: 'read', repository: repository('x', 'boss') } as const;

test('before anything is loaded only administrators may do anything', () => {
  const { holder } = holderOn(memoryStore());
  assert.deepEqual(holder.origin, { oid: undefined, source: 'closed' });
  assert.match(holder.decide(read).reason, /no policy is in force/);
  assert.equal(holder.decide({ ...read, principal: administrator }).kind, 'allowed');
});

for (const format of ['sha1', 'sha256'] as const) {
  test(`the policy at HEAD is put in force and remembered (${format})`, async () => {
    const { gitDir, commit } = await site(format);
    const oid = await commit(houseFiles());
    const store = memoryStore();
    const { holder, errors } = holderOn(store);
    assert.deepEqual(await holder.load({ path: gitDir }), { oid, source: 'head' });
    assert.deepEqual(holder.sources, houseFiles());
    assert.deepEqual(errors, []);
    assert.equal(holder.decide({ ...read, principal: principal({ name: 'boss' }) }).kind, 'allowed');
    assert.ok(store.values.has('policy/last-good'));
  });
}

test('a HEAD that does not compile leaves the last good policy in force, over a restart too', async () => {
  const { gitDir, commit } = await site();
  const good = await commit(rules('default deny\nallow "first" [user is ian]'));
  const store = memoryStore();
  await holderOn(store).holder.load({ path: gitDir });
  for (const bad of [
    rules('default deny\nallow'),
    new Map([['README', 'no rules']]),
    new Map([...rules('default deny'), ['scenarios/a.yarn', 'SCENARIO x\nTHEN y']]),
  ]) {
    await commit(bad);
    const { holder, errors } = holderOn(store);
    assert.deepEqual(await holder.load({ path: gitDir }), { oid: good, source: 'last-good' });
    assert.equal(holder.decide(read).reason, 'first');
    assert.equal(errors.length, 2);
  }
});

test('with nothing good anywhere the gate is closed but for administrators', async () => {
  const { gitDir, commit } = await site();
  const empty = holderOn(memoryStore());
  assert.equal((await empty.holder.load({ path: gitDir })).source, 'closed'); // no commit yet
  await commit(rules('wibble'));
  const store = memoryStore();
  store.values.set('policy/last-good', {
    kind: 'policy',
    key: 'last-good',
    version: 1,
    value: { oid: 'x', sources: { 'rules/main.lace': 7 } },
  });
  const { holder } = holderOn(store);
  assert.equal((await holder.load({ path: gitDir })).source, 'closed');
  assert.equal(holder.decide(read).kind, 'refused');
  assert.equal((await holder.load({ path: join(root, 'nowhere') })).source, 'closed');
});

test('a candidate is checked without being put in force, and adopted whole', async () => {
  const { gitDir, commit } = await site();
  await commit(rules('default deny\nallow "first" [user is ian]'));
  const { holder } = holderOn(memoryStore());
  await holder.load({ path: gitDir });
  const next = await commit(rules('default deny\nallow "second" [user is ian]'));
  const report = await holder.checkCandidate({ gitDir, commit: next });
  assert.ok(report.kind === 'ok');
  assert.equal(holder.decide(read).reason, 'first');
  await holder.adopt(report.candidate);
  assert.equal(holder.decide(read).reason, 'second');
  assert.deepEqual(holder.origin, { oid: next, source: 'head' });
});

test('a wrong candidate says file, line and carets, and one line for the ref', async () => {
  const { gitDir, commit } = await site();
  const { holder } = holderOn(memoryStore());
  const oid = await commit(
    new Map([...rules('default deny\ninclude global:two'), ['rules/two.lace', '\nallow "x" nobody']]),
  );
  const report = await holder.checkCandidate({ gitDir, commit: oid });
  assert.ok(report.kind === 'wrong');
  assert.equal(report.reason, 'rules/two.lace:2: Undefined name used in condition (nobody)');
  assert.match(
    report.text,
    /^rules\/two\.lace:2: [^\n]+\n {4}allow "x" nobody\n {14}\^{6}\n {4}included from rules\/main\.lace:2\npolicy refused; the one before stays in force\n$/,
  );
});

test('a candidate that fails a scenario is wrong and says which', async () => {
  const { gitDir, commit } = await site();
  const { holder } = holderOn(memoryStore());
  const files = new Map(houseFiles());
  files.set('scenarios/mine.yarn', 'SCENARIO mine\nGIVEN a user ian\nWHEN ian runs useradd\nTHEN it is allowed\n');
  const report = await holder.checkCandidate({ gitDir, commit: await commit(files) });
  assert.ok(report.kind === 'wrong');
  assert.match(report.reason, /^scenarios\/mine\.yarn:4: scenario "mine": it is refused: rules\/siteadmin\.lace/);
});

test('links, binary files and too much of it are refused; files elsewhere are not read', async () => {
  const { gitDir, commit } = await site();
  const { holder } = holderOn(memoryStore());
  const linked = await commit(new Map([['docs/x', 'y']]), async (work) => {
    await mkdir(join(work, 'rules'), { recursive: true });
    await symlink('/etc/passwd', join(work, 'rules/main.lace'));
  });
  const binary = await commit(new Map(), async (work) => {
    await mkdir(join(work, 'rules'), { recursive: true });
    await writeFile(join(work, 'rules/main.lace'), Buffer.from([0xff, 0xfe, 0x00]));
  });
  const large = await commit(rules(`default deny\n${'# much\n'.repeat(700_000)}`));
  const wanted = [/is no plain file/, /is not UTF-8/, /at most \d+ bytes/];
  for (const [index, oid] of [linked, binary, large].entries()) {
    const report = await holder.checkCandidate({ gitDir, commit: oid });
    assert.match(report.kind === 'wrong' ? report.reason : 'ok', wanted[index] ?? /never/);
  }
  const fine = await commit(
    new Map([...rules('default deny'), ['rules/sub/x.lace', 'wibble'], ['data.bin', '\0'.repeat(100)]]),
  );
  assert.equal((await holder.checkCandidate({ gitDir, commit: fine })).kind, 'ok');
});

test('a commit that is not there is a fault, not a verdict', async () => {
  const { gitDir, commit } = await site();
  await commit(rules('default deny'));
  await assert.rejects(holderOn(memoryStore()).holder.checkCandidate({ gitDir, commit: 'f'.repeat(40) }), Fault);
});

test('a store that fails loses the spare and not the policy', async () => {
  const { gitDir, commit } = await site();
  const oid = await commit(rules('default deny\nallow "yes" [user is ian]'));
  const store = memoryStore();
  store.isBroken = true;
  const { holder, errors } = holderOn(store);
  assert.deepEqual(await holder.load({ path: gitDir }), { oid, source: 'head' });
  assert.equal(holder.decide(read).kind, 'allowed');
  assert.deepEqual(errors, ['fail to remember the last good policy']);
});

test('the desk reports on the policy in force, on a directory and on own rules', async () => {
  const { gitDir, commit } = await site();
  const { holder } = holderOn(memoryStore());
  const desk = new PolicyDesk(holder);
  assert.deepEqual((await desk.active()).problems, ['no policy is in force']);
  await commit(houseFiles());
  await holder.load({ path: gitDir });
  const active = await desk.active();
  assert.deepEqual(active.problems, []);
  assert.ok(active.scenarios.length > 10 && active.scenarios.every(({ passed }) => passed));
  const directory = join(gitDir, '..');
  await writeFile(
    join(directory, 'scenarios/bad.yarn'),
    'SCENARIO bad\nGIVEN a user x\nWHEN x runs whoami\nTHEN it is refused\n',
  );
  const report = await desk.inDirectory(directory);
  assert.deepEqual(report.problems, []);
  assert.equal(report.scenarios.filter(({ passed }) => !passed).length, 1);
  await assert.rejects(desk.inDirectory(join(root, 'nowhere')), Fault);
  assert.deepEqual(desk.problemsOfOwnRules('allow "x"'), []);
  assert.match(desk.problemsOfOwnRules('allow')[0] ?? '', /^own rules:1: Expected reason/);
});
