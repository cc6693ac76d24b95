/** Who shares a turn, and that nobody's trouble keeps a repository from being pushed to. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { ok, refuse, type Refusal } from '../../src/base/fault.ts';
import { zeroOid } from '../../src/git/oid.ts';
import { parseRefname } from '../../src/git/refname.ts';
import { parseState } from '../../src/receive/state.ts';
import { CommitQueue, type Seat } from '../../src/receive/commit-queue.ts';
import type { CommitRequest } from '../../src/receive/commit-request.ts';
import { Update } from '../../src/receive/update.ts';
import { Turns } from '../../src/repository/turns.ts';
import { EMPTY_PACK, pkt, ZERO } from './raw-client.ts';
import { commitFile, git, gitOk, openSite, PRINCIPAL, type Site } from './site.ts';

const NONE = zeroOid('sha1');

/** A queue whose turns say who was in them; the first push of each test blocks until all the others wait. */
function open(): {
  readonly turns: string[][];
  readonly push: (who: string, names: readonly string[], sharesTurn?: () => boolean) => Promise<unknown>;
} {
  const turns: string[][] = [];
  const queue = new CommitQueue(new Turns(), async (seats: readonly Seat[]) => {
    turns.push(seats.map(({ request: { principal } }) => principal));
    await new Promise((resolve) => setImmediate(resolve));
    for (const { resolve } of seats) resolve(undefined);
  });
  return {
    turns,
    push(who, names, sharesTurn = () => true) {
      const updates = names.map(
        (name) => new Update({ name, refname: parseRefname(name), oldOid: NONE, newOid: NONE }),
      );
      const request: Pick<CommitRequest, 'updates' | 'principal' | 'sharesTurn'> & {
        readonly repository: { id: string };
      } = { repository: { id: 'r' }, updates, principal: who, sharesTurn };
      return queue.run(request as unknown as CommitRequest);
    },
  };
}

test('a push of more refs than one call takes has its turn, and so have those behind it', async () => {
  const { push, turns } = open();
  const many = Array.from({ length: 200_000 }, (_, index) => `refs/heads/${index}`);
  await Promise.all([
    push('a', ['refs/heads/a']),
    push('b', ['refs/heads/b']),
    push('many', many),
    push('c', ['refs/heads/c']),
  ]);
  assert.deepEqual(turns, [['a'], ['b'], ['many'], ['c']]);
});

test('one of whom nobody can say whether it shares goes alone, and keeps nobody from a turn', async () => {
  const { push, turns } = open();
  const unclear = (): boolean => {
    throw new Error('unclear');
  };
  await Promise.all([
    push('a', ['refs/heads/a']),
    push('b', ['refs/heads/b'], unclear),
    push('c', ['refs/heads/c']),
    push('d', ['refs/heads/d']),
  ]);
  assert.deepEqual(turns, [['a'], ['b'], ['c', 'd']]);
});

test('at most 32 pushes and 128 refs share a turn, and nobody overtakes', async () => {
  const { push, turns } = open();
  const refs = (who: number, count: number): readonly string[] =>
    Array.from({ length: count }, (_, index) => `refs/heads/${who}-${index}`);
  await Promise.all(Array.from({ length: 70 }, (_, who) => push(`${who}`, refs(who, 1))));
  assert.deepEqual(
    turns.map(({ length }) => length),
    [1, 32, 32, 5],
  );
  assert.deepEqual(
    turns.flat(),
    Array.from({ length: 70 }, (_, who) => `${who}`),
  );
  const fewer = open();
  await Promise.all([1, 100, 28, 1, 129, 2].map((count, who) => fewer.push(`${who}`, refs(who, count))));
  assert.deepEqual(fewer.turns, [['0'], ['1', '2'], ['3'], ['4'], ['5']]);
});

const THREE = ['a', 'b', 'c'].map((name) => `refs/heads/${name}`);

interface Gathering {
  readonly site: Site;
  /** A commit that is there, the one of `main`. */
  readonly tip: string;
  readonly tree: string;
  readonly generation: () => Promise<number>;
  /** Has the turn until pushes to all of `THREE` have their seats. */
  readonly first: Client;
}

/** Pushes to `THREE`, begun when this resolves, share a turn. @param confirm asked of each in that turn. */
async function gather(
  t: TestContext,
  confirm: (nth: number, signals: ReadonlyMap<string, AbortSignal>) => Promise<Refusal | undefined>,
): Promise<Gathering> {
  const signals = new Map<string, AbortSignal>();
  const blocked = Promise.withResolvers<void>();
  const queued = Promise.withResolvers<void>();
  let turn = 0;
  const site: Site = await openSite(t, {
    async confirm() {
      turn += 1;
      if (turn === 2) {
        blocked.resolve();
        await queued.promise;
      }
      const refused = turn > 2 ? await confirm(turn - 2, signals) : undefined;
      return refused ?? ok({ principal: PRINCIPAL, repository: site.repository });
    },
    parts: {
      steps: [
        {
          name: 'watch',
          async check({ updates, signal }) {
            const refname = updates[0]?.refname ?? '';
            if (THREE.includes(refname)) signals.set(refname, signal);
            // From here to its seat a push waits for nothing.
            if (signals.size === THREE.length) setImmediate(queued.resolve);
            return [];
          },
        },
      ],
    },
  });
  const tree = await site.workTree();
  const tip = await commitFile(tree, 'base');
  await gitOk(tree, 'push', '-q', site.gitUrl, 'main');
  const generation = async (): Promise<number> =>
    parseState(await site.store.get('repository-state', site.repository.id)).generation;
  const first = connectPush(site, 'refs/heads/first', tip);
  await blocked.promise;
  return { site, tip, tree, generation, first };
}

test('a client that vanishes inside a group takes nobody with it, and its push is whole, with its line', async (t) => {
  const clients = new Map<string, Client>();
  const { site, tip, generation, first } = await gather(t, async (nth, signals) => {
    if (nth > 1) return;
    const signal = signals.get('refs/heads/b');
    assert.ok(signal !== undefined && !signal.aborted);
    const gone = once(signal, 'abort');
    clients.get('refs/heads/b')?.vanish();
    await gone;
  });
  const before = await generation();
  for (const name of THREE) clients.set(name, connectPush(site, name, tip));
  const all = [first, ...clients.values()];
  const answers = await Promise.all(all.map(({ answer }) => answer));
  await Promise.all(all.map(({ ended }) => ended));
  assert.deepEqual(
    answers.map((answer) => /ok (refs\/heads\/\w+)/.exec(answer ?? '')?.[1]),
    ['refs/heads/first', 'refs/heads/a', undefined, 'refs/heads/c'],
  );
  assert.equal(await generation(), before + 2, 'the first alone, the others together');
  const refs = (await site.refs()).split('\n').map((line) => line.split(' ')[1]);
  assert.deepEqual(refs, [...THREE, 'refs/heads/first', 'refs/heads/main']);
  const lines = (await site.journalLines()).flatMap(({ event, refs: told }) =>
    event === 'push' ? (told ?? []).map(({ name, result }) => `${name} ${result}`) : [],
  );
  assert.deepEqual(
    lines.sort(),
    refs.map((name) => `${name} ok`),
  );
  assert.deepEqual(site.leftovers(), []);
});

test('of a push that may not any more when its turn comes, nothing gets into the repository with the others of its group', async (t) => {
  const { site, tree, generation, first } = await gather(t, async (nth) =>
    nth === 2 ? refuse('your key was revoked') : undefined,
  );
  const before = await generation();
  const tips: string[] = [];
  for (const name of THREE) {
    await gitOk(tree, 'checkout', '-q', '-B', name, 'main');
    tips.push(await commitFile(tree, name));
  }
  const pushed = await Promise.all(
    THREE.map((name, index) => git(tree, 'push', '-q', site.gitUrl, `${tips[index]}:${name}`)),
  );
  await first.ended;
  assert.equal(await generation(), before + 2, 'the first alone, the others together');
  const refused = pushed.findIndex(({ code }) => code !== 0);
  assert.match(pushed[refused]?.stderr ?? '', /your key was revoked/);
  assert.equal(pushed.filter(({ code }) => code === 0).length, 2);
  for (const [index, tip] of tips.entries()) {
    const found = await git(site.repository.path, 'cat-file', '-e', tip);
    assert.equal(found.code === 0, index !== refused);
  }
  assert.deepEqual(site.leftovers(), []);
  await gitOk(site.repository.path, 'fsck', '--strict');
});

interface Client {
  /** What it read; undefined: it is gone. */
  readonly answer: Promise<string | undefined>;
  /** The gate is done with its push. */
  readonly ended: Promise<unknown>;
  readonly vanish: () => void;
}

/** Makes a ref at a commit that is there. */
function connectPush(site: Site, refname: string, tip: string): Client {
  const ended = site.nextEnd();
  const request = httpRequest(`${site.httpUrl}/git-receive-pack`, { method: 'POST' });
  const answer = (async (): Promise<string | undefined> => {
    try {
      const [response] = await once(request, 'response');
      return await text(response as IncomingMessage);
    } catch {
      return undefined;
    }
  })();
  request.on('error', () => {});
  const command = pkt(`${ZERO} ${tip} ${refname}\0report-status`);
  request.end(Buffer.concat([command, Buffer.from('0000'), EMPTY_PACK]));
  return { answer, ended, vanish: () => request.destroy() };
}
