/** Virtual refs of a site's own in front of one update: what they are given, what they may do, how long. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Oid } from '../../../src/git/oid.ts';
import type { Refname } from '../../../src/git/refname.ts';
import { startGitProcesses } from '../../../src/git/spawner.ts';
import { Runs } from '../../../src/gitolite/runs.ts';
import { GitConfigs } from '../../../src/gitolite/steps/git-configs.ts';
import { siteGround } from '../../../src/gitolite/steps/ground.ts';
import { createReceiveRulesStep, receiveConfigOf } from '../../../src/gitolite/steps/receive-rules.ts';
import { createSiteHooksStep } from '../../../src/gitolite/steps/site-hooks.ts';
import { createUpdateStep } from '../../../src/gitolite/steps/update-step.ts';
import type { RepositoryName } from '../../../src/repository/name.ts';
import type { Push, RefUpdate } from '../../../src/receive/step.ts';
import type { UserName } from '../../../src/identity/principal.ts';
import { hasProgram } from '../../support/workspace.ts';
import { PRINCIPAL } from '../../receive/site.ts';
import { newGround, type Ground } from '../ground.ts';

const ZERO = '0'.repeat(40) as Oid;

interface Bench extends AsyncDisposable {
  readonly ground: Ground;
  readonly runs: Runs;
  readonly path: string;
  readonly tip: Oid;
  /** What the client reads. */
  readonly told: () => string;
  program(path: string, text: string): void;
  push(updates?: readonly Partial<RefUpdate>[]): Push;
}

/** A site with one repository, in which `ann` is about to push a commit to a branch. */
async function newBench(conf: string): Promise<Bench> {
  const ground = await newGround();
  const said: string[] = [];
  assert.equal((await ground.gitolite(['setup', '-a', 'admin'])).code, 0);
  const rcFile = join(ground.home, '.gitolite.rc');
  const rc = readFileSync(rcFile, 'utf8');
  writeFileSync(rcFile, rc.replace(/# LOCAL_CODE +=> +"\$ENV\{HOME\}\/local"/, 'LOCAL_CODE => "$ENV{HOME}/local"'));
  writeFileSync(join(ground.home, '.gitolite/conf/gitolite.conf'), `repo lab\n    RW+ = ann\n${conf}\n`);
  assert.equal((await ground.gitolite(['compile'])).code, 0);
  const path = join(ground.home, 'repositories/lab.git');
  const { run } = await ground.newRun({ env: { GL_USER: 'ann', GL_REPO: 'lab' } });
  const identity = ['-c', 'user.name=Ann', '-c', 'user.email=ann@example.com'];
  const args = ['-C', path, ...identity, 'commit-tree', '-m', 'start', '4b825dc642cb6eb9a060e54bf8d69288fbee4904'];
  const tip = execFileSync('git', args, { encoding: 'utf8' }).trim() as Oid;
  const runs = new Runs();
  runs.begin('request', run);
  return {
    ground,
    runs,
    path,
    tip,
    told: () => said.join(''),
    program(file, text) {
      const full = join(ground.home, file);
      mkdirSync(dirname(full), { recursive: true });
      writeFileSync(full, text);
      chmodSync(full, 0o755);
    },
    push: (updates = [{}]) => ({
      requestId: 'request',
      principal: { ...PRINCIPAL, name: 'ann' as UserName },
      repository: {
        id: 'lab',
        name: 'lab' as RepositoryName,
        owner: 'admin',
        settings: {},
        conf: { creator: '', permissions: '', groups: [], roles: new Set() },
        path,
        objectFormat: 'sha1',
        description: '',
        createdAt: 0,
        version: 1,
      },
      updates: updates.map((update) => ({
        refname: 'refs/heads/main' as Refname,
        oldOid: ZERO,
        newOid: tip,
        kind: 'create',
        native: { attempt: 'W', text: 'refs/.*' },
        ...update,
      })),
      options: [],
      atomic: false,
      objectDirectory: undefined,
      packBytes: 0,
      contents: { objects: 0, unpackedBytes: 0, largest: undefined, longestPath: '', longestName: '' },
      tell: (text) => void said.push(text),
      signal: new AbortController().signal,
    }),
    [Symbol.asyncDispose]: () => ground[Symbol.asyncDispose](),
  };
}

async function check(bench: Bench, programMs?: number) {
  const processes = await startGitProcesses({ isolation: 'off', log: () => {} });
  try {
    const findGround = siteGround(bench.runs);
    const step = createUpdateStep({ processes, findGround, ...(programMs === undefined ? {} : { programMs }) });
    return await step.check(bench.push());
  } finally {
    await processes.close();
  }
}

test('a program that takes too long refuses its ref, and the client reads why', async () => {
  await using bench = await newBench('    - VREF/slow = ann');
  bench.program('local/VREF/slow', '#!/bin/sh\nexec sleep 600\n');
  const [verdict] = await check(bench, 300);
  assert.equal(verdict?.refname, 'refs/heads/main');
  assert.match(
    verdict?.report ?? '',
    /^hook declined \(conf\/gitolite\.conf: VREF\/slow: helper program took longer than 0\.3 s\)$/,
  );
  assert.match(
    bench.told(),
    /^FATAL: VREF\/slow: helper program took longer than 0\.3 s\nerror: hook declined to update/,
  );
});

test(
  'a program reads the site and changes nothing of it',
  { skip: hasProgram('bwrap') ? false : 'bubblewrap is not installed' },
  async () => {
    await using bench = await newBench('    - VREF/greedy = ann');
    bench.program(
      'local/VREF/greedy',
      `#!/bin/sh
cat ~/.gitolite/conf/gitolite.conf >/dev/null && echo reads
echo x >~/stolen && echo writes
git update-ref refs/heads/evil $3 2>/dev/null && echo moves
echo x >"$TMPDIR/own" && echo works
exit 0
`,
    );
    const verdicts = await check(bench);
    assert.deepEqual(verdicts, []);
    const told = bench.told();
    if (told.includes('writes')) return; // this machine lets nobody confine anything, as its first lines say
    assert.match(told, /^reads$/m);
    assert.match(told, /^works$/m);
    assert.doesNotMatch(told, /^moves$/m);
    assert.equal(existsSync(join(bench.ground.home, 'stolen')), false);
  },
);

test('what a program says of virtual refs is asked of the rules; the rest is shown', async () => {
  await using bench = await newBench('    - VREF/ask/a = ann\n    RW+ VREF/ask/b = ann');
  bench.program(
    'local/VREF/ask',
    '#!/bin/sh\necho "for $7: $6 $8"\necho "VREF/ask/b fine"\necho "VREF/ask/c who knows"\n',
  );
  assert.deepEqual(await check(bench), []);
  assert.equal(bench.told(), 'for VREF/ask/a: W a\nfor VREF/ask/b: W b\n');
  bench.program('local/VREF/ask', '#!/bin/sh\necho "VREF/ask/a because of this"\n');
  const [verdict] = await check(bench);
  assert.equal(verdict?.reason, 'conf/gitolite.conf:3: DENIED by VREF/ask/a (W VREF/ask/a lab ann); because of this');
  assert.equal(verdict?.rule, 'conf/gitolite.conf:3');
});

test('a push whose invocation nobody knows is not checked, so it fails', async () => {
  await using bench = await newBench('');
  const step = createUpdateStep({
    processes: { start: () => Promise.reject(new Error('not asked')) },
    findGround: siteGround(new Runs()),
  });
  await assert.rejects(step.check(bench.push()), { message: 'push to a site has no invocation' });
});

test('a pre-receive hook that takes too long refuses the push; gitolite’s own hooks do not run', async () => {
  await using bench = await newBench('');
  bench.program('repositories/lab.git/hooks/pre-receive', '#!/bin/sh\necho here; exec sleep 600\n');
  const configs = new GitConfigs();
  const step = createSiteHooksStep({ runs: bench.runs, configs, hookMs: 300 });
  const verdicts = await step.before?.(bench.push());
  assert.deepEqual(verdicts, [{ refname: 'refs/heads/main', reason: 'pre-receive hook declined' }]);
  assert.equal(bench.told(), 'here\nerror: pre-receive hook took longer than 0.3 s\n');
});

test('hooks lie where core.hooksPath says', async () => {
  await using bench = await newBench('');
  bench.program('elsewhere/post-update', '#!/bin/sh\n. git-sh-setup\necho "called as $0 with $*"\n');
  execFileSync('git', ['-C', bench.path, 'config', 'core.hooksPath', join(bench.ground.home, 'elsewhere')]);
  const step = createSiteHooksStep({ runs: bench.runs, configs: new GitConfigs() });
  const push = bench.push();
  await step.done?.(push, push.updates);
  assert.equal(bench.told(), `called as ${bench.ground.home}/elsewhere/post-update with refs/heads/main\n`);
});

test('the git configuration of a repository forbids in git’s words, and is read anew when it changes', async () => {
  await using bench = await newBench('');
  const options = { runs: bench.runs, configs: new GitConfigs() };
  const step = createReceiveRulesStep(options);
  const updates = [
    { kind: 'delete' },
    { kind: 'rewind' },
    { kind: 'delete', refname: 'refs/tags/v1' as Refname },
  ] as const;
  assert.deepEqual(await step.before?.(bench.push(updates)), []);
  for (const [key, value] of [
    ['receive.denyDeletes', 'yes'],
    ['receive.denyNonFastForwards', 'true'],
    ['receive.maxInputSize', '2k'],
    ['receive.denyDeleteCurrent', 'ignore'],
    ['transfer.fsckObjects', 'true'],
    ['receive.fsck.badTimezone', 'error'],
  ] as const)
    execFileSync('git', ['-C', bench.path, 'config', key, value]);
  const verdicts = await step.before?.(bench.push(updates));
  assert.deepEqual(
    verdicts?.map(({ reason }) => reason),
    ['deletion prohibited', 'non-fast-forward'],
  );
  const config = await receiveConfigOf(options)(bench.push().repository, 'request');
  assert.deepEqual(
    { ...config, fsck: [...(config?.fsck ?? [])] },
    { packBytesMax: 2048, isStrict: true, fsck: [['badtimezone', 'error']], mayDeleteHead: true },
  );
});
