/** The small parts: the set of oids, the tracker of an answer, recent tips. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BOUNDS } from '../../src/base/bounds.ts';
import { systemClock } from '../../src/base/clock.ts';
import { type Oid, OBJECT_FORMATS, oidHexLength } from '../../src/git/oid.ts';
import type { RefSnapshot } from '../../src/git/ref-cache.ts';
import type { Refname } from '../../src/git/refname.ts';
import { AnswerTracker } from '../../src/upload/answer-tracker.ts';
import { OidSet } from '../../src/upload/oid-set.ts';
import { RecentTips } from '../../src/upload/recent-tips.ts';
import { pkts } from './house.ts';

for (const format of OBJECT_FORMATS) {
  test(`a set of ${format} oids holds what was added and nothing else, however alike they begin`, () => {
    const length = oidHexLength(format);
    // Many share their first bytes, so that they meet in the same slots.
    const oid = fc
      .tuple(fc.constantFrom('00000000', '00000001', 'ffffffff'), fc.integer({ min: 1, max: 5_000 }))
      .map(([start, rest]) => start + rest.toString(16).padStart(length - 8, '0'));
    fc.assert(
      fc.property(fc.array(oid, { maxLength: 3_000 }), fc.array(oid), (members, others) => {
        const set = new OidSet(format);
        const expected = new Set(members);
        for (const member of members) set.add(member);
        assert.equal(set.size, expected.size);
        for (const each of [...members, ...others]) assert.equal(set.has(each), expected.has(each));
      }),
      { numRuns: 30 },
    );
  });
}

test('an error can be said between two pkts of an answer and nowhere else, wherever the chunks were split', () => {
  const answer = pkts('acknowledgments\n', 'NAK\n', '0001', 'packfile\n', '\u0002progress', '\u0001PACK', '0000');
  const ends: number[] = [];
  for (let at = 0; at < answer.length; at += Math.max(4, Number.parseInt(answer.toString('latin1', at, at + 4), 16)))
    ends.push(at);
  ends.push(answer.length);
  const packStart = answer.indexOf('packfile') + 'packfile\n'.length;
  for (let end = 0; end <= answer.length; end += 1) {
    for (const step of [1, 3, 7, answer.length]) {
      const tracker = new AnswerTracker();
      for (let at = 0; at < end; at += step) tracker.take(answer.subarray(at, Math.min(at + step, end)));
      const words = tracker.lastWords('sorry').toString();
      const expected = ends.includes(end) ? (end >= packStart ? '\u0003sorry\n' : 'ERR sorry\n') : undefined;
      assert.equal(words === '' ? undefined : words.slice(4), expected, `${end} in steps of ${step}`);
    }
  }
});

test('in a pack without sideband nothing can be said', () => {
  const tracker = new AnswerTracker();
  tracker.take(Buffer.concat([pkts('NAK\n'), Buffer.from('PACK\0\0\0\u0002')]));
  assert.equal(tracker.lastWords('sorry').length, 0);
});

function snapshotOf(refs: Readonly<Record<string, string>>): RefSnapshot {
  const entries = Object.entries(refs).map(([refname, oid]) => ({ refname: refname as Refname, oid: oid as Oid }));
  const fingerprint = JSON.stringify(refs);
  return {
    head: {},
    refs: entries,
    byName: new Map(entries.map((ref) => [ref.refname, ref])),
    fingerprint,
    memo: new Map(),
  };
}

test('a moved tip is remembered for its time and no longer, and only so many of them', () => {
  let nowMs = 0;
  const tips = new RecentTips({ ...systemClock, monotonicMs: () => nowMs });
  const holds = (oid: string): boolean => tips.holds({ repositoryId: 'r', oid, isShown: () => true });
  tips.note('r', snapshotOf({ 'refs/heads/a': 'one' }));
  assert.equal(holds('one'), false, 'a tip that is still one needs no memory');
  tips.note('r', snapshotOf({ 'refs/heads/a': 'two' }));
  assert.equal(holds('one'), true);
  assert.equal(tips.holds({ repositoryId: 'other', oid: 'one', isShown: () => true }), false);
  nowMs = BOUNDS.recentTipMs + 1;
  assert.equal(holds('one'), false);
  const many = (suffix: string): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: BOUNDS.recentTipsMax + 10 }, (_, index) => [`refs/heads/${index}`, `${index}${suffix}`]),
    );
  tips.note('r', snapshotOf(many('x')));
  tips.note('r', snapshotOf(many('y')));
  assert.equal(holds('0x'), false);
  assert.equal(holds(`${BOUNDS.recentTipsMax + 9}x`), true);
});
