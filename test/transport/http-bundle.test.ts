/** A bundle is made of branches that its reader may have, also where that changes while it is made. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { Fault, ok } from '../../src/base/fault.ts';
import { ANONYMOUS } from '../../src/identity/principal.ts';
import type { Visited } from '../../src/request/visit.ts';
import { serveBundle, type BundleDoorParts } from '../../src/transport/http-bundle.ts';

type MayRead = Visited['mayRead'];

const ALL = (): boolean => true;
const SOME = (refname: string): boolean => !refname.includes('secret');

interface Answered {
  readonly status: number;
  readonly text: string;
  /** What each bundle was opened for, and how many were given back. */
  readonly opened: readonly MayRead[];
  readonly closed: number;
}

/** @param rights what may be read, each time that it is asked: the last one for ever */
async function answered(t: TestContext, rights: readonly MayRead[]): Promise<Answered> {
  const opened: MayRead[] = [];
  let closed = 0;
  let looks = 0;
  const visited = {
    repository: { id: 'r', name: 'r' },
    principal: ANONYMOUS,
    signal: AbortSignal.timeout(60_000),
    mayRead: rights[0],
    freshen: undefined,
    work: undefined,
    confirm: async () => {
      looks += 1;
      return ok({ mayRead: rights[Math.min(looks, rights.length - 1)] });
    },
    onAnswer: () => {},
  } as unknown as Visited;
  const bundles: BundleDoorParts = {
    walk: {
      async visit(_request, tail) {
        try {
          const end = await tail(visited);
          await end.tell?.();
          return { kind: 'told', end };
        } catch (error) {
          assert.ok(error instanceof Fault);
          return { kind: 'faulted', code: error.code, reason: error.publicMessage ?? '', inBand: false };
        }
      },
    },
    async open({ mayRead }) {
      opened.push(mayRead);
      const bytes = Buffer.from(mayRead?.('refs/heads/secret') === true ? 'with a secret' : 'without');
      return {
        etag: 'e',
        size: bytes.length,
        async *read() {
          yield bytes;
        },
        [Symbol.dispose]: () => {
          closed += 1;
        },
      };
    },
  };
  const directory = { byToken: async () => undefined };
  const metrics = { login: () => {} };
  const server = createServer((request, response) => {
    void serveBundle({ bundles, directory, clock: systemClock, metrics, request, response }, 'r');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/r/clone.bundle`);
  return { status: response.status, text: await response.text(), opened, closed };
}

test('a branch that is hidden while a bundle is made is not in what is sent', async (t) => {
  assert.deepEqual(await answered(t, [ALL]), { status: 200, text: 'with a secret', opened: [ALL], closed: 1 });
  const hidden = await answered(t, [ALL, SOME]);
  assert.deepEqual(hidden, { status: 200, text: 'without', opened: [ALL, SOME], closed: 2 });
});

test('where the branches that may be read change each time, the client is told to come again', async (t) => {
  const rights = Array.from({ length: 20 }, (): MayRead => (refname) => refname !== 'refs/heads/x');
  const { status, text, opened, closed } = await answered(t, rights);
  assert.equal(status, 503);
  assert.match(text, /has just been changed: fetch again/);
  assert.ok(opened.length < 10, String(opened.length));
  assert.equal(closed, opened.length);
});
