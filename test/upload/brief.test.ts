/** Whose look at the refs answers a short question: one that began after it was asked, shared by all that were asked before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BriefExchange } from '../../src/git/service.ts';
import { BriefAnswers, type BriefQuestion } from '../../src/upload/brief.ts';
import { EncodedLists } from '../../src/upload/encoded.ts';
import type { View } from '../../src/upload/view.ts';

const LS_REFS = Buffer.from('0014command=ls-refs\n0016object-format=sha100010009peel\n0000');

const VIEW: View = {
  snapshot: { head: {}, refs: [], byName: new Map(), fingerprint: 'f', memo: new Map() },
  key: 'all',
  filtered: false,
  hidesTags: false,
  refs: [],
  head: undefined,
  memo: new Map(),
};

/** A clock of looks and questions, and the `since` that each look was asked with. */
function sight(): {
  readonly question: BriefQuestion;
  readonly looks: (number | undefined)[];
  readonly confirms: number;
} {
  let now = 0;
  let confirms = 0;
  const looks: (number | undefined)[] = [];
  const question: BriefQuestion = {
    mode: 'rpc',
    objectFormat: 'sha1',
    hasBundle: false,
    moment: () => (now += 1),
    freshView: async (since) => {
      looks.push(since);
      return VIEW;
    },
    isMirror: false,
    still: async (view) => {
      confirms += 1;
      return view;
    },
  };
  return {
    question,
    looks,
    get confirms() {
      return confirms;
    },
  };
}

function exchange(arrives: Promise<void>, cameLate: boolean): BriefExchange {
  return {
    cameLate,
    async read() {
      await arrives;
      return LS_REFS;
    },
    answer: async () => {},
  };
}

test('questions that wait for one turn were all asked before the first of them looks', async () => {
  const { question, looks } = sight();
  const answers = new BriefAnswers(new EncodedLists());
  const turn = Promise.withResolvers<void>();
  const all = [1, 2, 3].map(() => answers.answer(exchange(turn.promise, false), question));
  const looking = question.moment();
  turn.resolve();
  await Promise.all(all);
  assert.equal(looks.length, 3);
  for (const since of looks) assert.ok(since !== undefined && since < looking, String(since));
});

test('a question whose body came later than its head gets a look of its own', async () => {
  const { question, looks } = sight();
  await new BriefAnswers(new EncodedLists()).answer(exchange(Promise.resolve(), true), question);
  assert.deepEqual(looks, [undefined]);
});

test('who was waited for, the client or an upstream, is asked about again before anything is shown', async () => {
  const answers = new BriefAnswers(new EncodedLists());
  const refused = new Error('not any more');
  const still = (): Promise<View> => Promise.reject(refused);
  const said: Buffer[] = [];
  const answer = async (bytes: Buffer): Promise<void> => void said.push(bytes);
  const own = sight();
  const late = { ...exchange(Promise.resolve(), true), answer };
  const atOnce = { ...exchange(Promise.resolve(), false), answer };
  await assert.rejects(answers.answer(late, { ...own.question, still }), refused);
  await assert.rejects(answers.answer(atOnce, { ...own.question, isMirror: true, still }), refused);
  assert.equal(said.length, 0);
  await answers.answer(atOnce, own.question);
  assert.equal(own.confirms, 0, 'what came at once was decided about just before');
  await answers.answer(late, own.question);
  assert.equal(own.confirms, 1);
  assert.equal(said.length, 2);
});

test('what is shown to a client that was waited for is what it may see then', async () => {
  const answers = new BriefAnswers(new EncodedLists());
  const asked: View[] = [];
  const now: View = { ...VIEW, key: 'fewer', memo: new Map() };
  const { question } = sight();
  const entry = { refname: 'refs/heads/secret', oid: 'a'.repeat(40) } as View['refs'][number];
  const before: View = { ...VIEW, refs: [entry], memo: new Map() };
  const said: Buffer[] = [];
  const late = { ...exchange(Promise.resolve(), true), answer: async (bytes: Buffer) => void said.push(bytes) };
  const still = async (view: View): Promise<View> => {
    asked.push(view);
    return now;
  };
  await answers.answer(late, { ...question, freshView: async () => before, still });
  assert.deepEqual(asked, [before]);
  assert.deepEqual(said.map(String), ['0000']);
});
