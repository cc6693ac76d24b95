/** Which predicate an asker gets: the same one as long as anybody holds it, and no more of them than are held or recent. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ReadPredicates, type ReadPredicate } from '../../src/access/read-predicates.ts';

const made = (): ReadPredicate => {
  const known = new Map<string, boolean>();
  return (refname) => known.get(refname) ?? true;
};

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

test('whoever was given a predicate gets it again, however many others asked meanwhile', () => {
  const predicates = new ReadPredicates(4);
  const collect = collector();
  const first = predicates.of('first', made);
  for (let round = 0; round < 3; round += 1) {
    for (let asker = 0; asker < 100; asker += 1) predicates.of(`other ${asker}`, made);
    collect();
    assert.equal(predicates.of('first', made), first);
  }
});

test('those that were asked for last are kept for who comes again, and the rest goes with its holders', async () => {
  const predicates = new ReadPredicates(4);
  const collect = collector();
  for (let asker = 0; asker < 1_000; asker += 1) {
    predicates.of('regular', made);
    predicates.of(`passer-by ${asker}`, made);
  }
  // Weak references live to the end of the turn that made or read them.
  for (let turns = 0; predicates.size > 4 && turns < 50; turns += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
  assert.equal(predicates.size, 4);
  let isMade = false;
  predicates.of('regular', () => {
    isMade = true;
    return made();
  });
  assert.equal(isMade, false, 'the least recently asked for went first');
});
