/** The step of the checks where git, the directory or a bound fails it: nothing passes unseen. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '../../src/base/fault.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { Refname } from '../../src/git/refname.ts';
import type { Oid } from '../../src/git/oid.ts';
import { readCheckFile } from '../../src/receive/checks/check-file.ts';
import { Failures } from '../../src/receive/checks/failures.ts';
import { tainted } from '../../src/receive/checks/reach.ts';
import { NO_CONTENTS } from '../../src/receive/pack-contents.ts';
import type { Push } from '../../src/receive/step.ts';
import { createCheckStep } from '../../src/receive/steps/checks.ts';
import { table } from './check-site.ts';
import { PRINCIPAL } from './site.ts';

function pushOf(told: string[], signal = new AbortController().signal): Push {
  return {
    requestId: 'r',
    principal: PRINCIPAL,
    repository: { name: 'x', path: '/nowhere', objectFormat: 'sha1' } as Push['repository'],
    updates: [
      {
        refname: 'refs/heads/main' as Refname,
        oldOid: '0'.repeat(40) as Oid,
        newOid: '1'.repeat(40) as Oid,
        kind: 'create',
      },
    ],
    options: [],
    atomic: false,
    objectDirectory: undefined,
    packBytes: 0,
    contents: NO_CONTENTS,
    tell: (text) => told.push(text),
    signal,
  };
}

function stepOf(toml: string, fault: Fault) {
  const read = readCheckFile('checks/a.toml', toml);
  assert.ok(read.kind === 'ok');
  return createCheckStep({
    processes: { start: () => Promise.reject(fault) },
    refs: { snapshot: () => Promise.reject(fault) },
    people: { registered: () => Promise.reject(fault), verify: () => Promise.reject(fault) },
    clock: systemClock,
    book: { active: () => read.checks },
  });
}

const ASKS = table('name = "a"', 'subject = ["x"]');

test('what is more than checks look at is refused in words, and only told where checks only warn', async () => {
  const fault = new Fault('bad-input', 'push brings too many commits', { publicMessage: 'push it in parts' });
  const told: string[] = [];
  const verdicts = await stepOf(ASKS, fault).check(pushOf(told));
  assert.deepEqual(verdicts, [{ refname: 'refs/heads/main', reason: 'push it in parts', rule: 'checks/a.toml:1, a' }]);
  const held = await stepOf(table('name = "a"', 'subject = ["x"]', 'action = "hold"'), fault).check(pushOf(told));
  assert.equal(held[0]?.hold, undefined, 'nobody can approve what nobody has seen');
  assert.deepEqual(told, []);
  assert.deepEqual(
    await stepOf(table('name = "a"', 'subject = ["x"]', 'action = "warn"'), fault).check(pushOf(told)),
    [],
  );
  assert.match(told.join(''), /push it in parts/);
});

test('checks that take too long refuse the push', async () => {
  const verdicts = await stepOf(ASKS, new Fault('timeout', 'git took too long')).check(pushOf([]));
  assert.match(verdicts[0]?.reason ?? '', /took longer than 20 minutes: push it in parts/);
});

test('git that fails, and a client that goes, fail the push as a whole', async () => {
  await assert.rejects(stepOf(ASKS, new Fault('process', 'git failed')).check(pushOf([])), /git failed/);
  const gone = AbortSignal.abort();
  await assert.rejects(stepOf(ASKS, new Fault('timeout', 'git was aborted')).check(pushOf([], gone)), /aborted/);
});

test('a failed commit fails what is built on it, and nothing beside it', () => {
  const commits = new Map([
    ['a', []],
    ['b', ['a']],
    ['c', ['a']],
    ['d', ['b', 'c']],
  ]);
  const by = tainted({ commits }, new Map([['b', {}]]));
  assert.deepEqual(
    [...by],
    [
      ['b', 'b'],
      ['d', 'b'],
    ],
  );
});

test('a list of failures holds a bounded number of words, whatever a push brings', () => {
  const read = readCheckFile('checks/a.toml', ASKS);
  assert.ok(read.kind === 'ok' && read.checks[0] !== undefined);
  const failures = new Failures(50);
  for (let index = 0; index < 100_000; index += 1) {
    failures.add({
      check: read.checks[0],
      oid: index.toString(16).padStart(40, '0') as Oid,
      words: 'y'.repeat(1_000),
    });
  }
  const text = failures.text(new Map());
  assert.ok(text.length < 50 * 500);
  assert.match(text, /and 99950 more\n$/);
  const hostile = new Failures(50);
  hostile.add({ check: read.checks[0], refname: 'refs/heads/x', path: 'a\nb\x1b[31m\u202e', words: 'w' });
  assert.doesNotMatch(hostile.text(new Map()).trimEnd().split('\n').at(-1) ?? '', /[\x1b\u202e]/);
});
