/** The look-up of words against the plain way to find them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { buildAutomaton } from '../../src/scan/keyword-automaton.ts';

const letters = fc.constantFrom('a', 'b', 'A', 'B', '_', 'é', '\n', 'z');
const text = fc.array(letters, { maxLength: 60 }).map((all) => all.join(''));
const words = fc.uniqueArray(
  fc.array(fc.constantFrom('a', 'b', '_', 'é'), { minLength: 1, maxLength: 4 }).map((all) => all.join('')),
  { minLength: 1, maxLength: 12 },
);

/** Blind to the case of ASCII alone. */
function naive(list: readonly string[], subject: Buffer): readonly string[] {
  const lower = Buffer.from(subject.map((byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte)));
  return list.flatMap((word, number) => {
    const found: string[] = [];
    const needle = Buffer.from(word);
    for (let at = lower.indexOf(needle); at >= 0; at = lower.indexOf(needle, at + 1)) {
      found.push(`${number}@${at + needle.length}`);
    }
    return found;
  });
}

describe('keyword automaton', () => {
  test('finds every word at every place, in pieces cut anywhere', () => {
    fc.assert(
      fc.property(words, text, fc.nat(100), (list, subject, cut) => {
        const bytes = Buffer.from(subject);
        const automaton = buildAutomaton(list);
        const found: string[] = [];
        const at = Math.min(cut, bytes.length);
        const note = (word: number, end: number): number => found.push(`${word}@${end}`);
        const state = automaton.run(bytes, { from: 0, to: at, state: automaton.start }, note);
        automaton.run(bytes, { from: at, to: bytes.length, state }, note);
        assert.deepEqual(found.sort(), [...naive(list, bytes)].sort());
      }),
      { numRuns: 1_500 },
    );
  });

  test('without words it runs and finds nothing', () => {
    const automaton = buildAutomaton([]);
    automaton.run(Buffer.from('abc'), { from: 0, to: 3, state: automaton.start }, () => assert.fail('no words'));
  });
});
