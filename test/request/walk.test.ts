/** The walk: what is decided in which order, what the client reads, and the one journal line of each request. */
import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import type { Decision, Question } from '../../src/access/decision.ts';
import { scopeRefusal } from '../../src/access/scope.ts';
import type { JournalEntry } from '../../src/audit/entry.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Fault } from '../../src/base/fault.ts';
import type { PassScope } from '../../src/identity/pass-scope.ts';
import { makeSecret } from '../../src/identity/secret.ts';
import { ANONYMOUS, parseUserName, type Principal, type TokenScope } from '../../src/identity/principal.ts';
import { parseRepositoryName } from '../../src/repository/name.ts';
import type { Repository } from '../../src/repository/repository.ts';
import type { GitRequest, Outcome } from '../../src/request/request.ts';
import { createWalk, type Walk } from '../../src/request/walk.ts';
import type { WalkParts, WalkVisit } from '../../src/request/walk-parts.ts';
import { principalNamed } from '../support/principals.ts';

function ada(scopes?: readonly TokenScope[]): Principal {
  const credential =
    scopes === undefined
      ? ({ kind: 'key', fingerprint: 'SHA256:abc', tag: 'laptop' } as const)
      : ({ kind: 'token', id: 't', name: 'ci-1', scopes } as const);
  return principalNamed('ada', credential);
}

function repository(text: string): Repository {
  const name = parseRepositoryName(text);
  assert.ok(name.kind === 'ok');
  return {
    id: `id-${text}`,
    name: name.value,
    owner: 'owner',
    settings: {},
    path: '/nowhere',
    objectFormat: 'sha1',
    description: '',
    createdAt: 0,
    version: 1,
  };
}

interface Scene {
  readonly walk: Walk;
  readonly lines: JournalEntry[];
  readonly appended: JournalEntry[];
  readonly questions: Question[];
  readonly served: string[];
  readonly logged: Readonly<Record<string, unknown>>[];
}

/** A walk over the repositories `open`, `closed` (nobody may read) and `fixed` (nobody may write). */
function scene(change: Partial<WalkParts> = {}): Scene {
  const lines: JournalEntry[] = [];
  const appended: JournalEntry[] = [];
  const questions: Question[] = [];
  const served: string[] = [];
  const logged: Readonly<Record<string, unknown>>[] = [];
  const log = (fields: Readonly<Record<string, unknown>>): void => {
    logged.push(fields);
  };
  const decide = (question: Question): Decision => {
    questions.push(question);
    const name = question.repository?.name ?? '';
    const refused =
      name === 'closed' ||
      (name === 'fixed' && question.operation === 'write') ||
      (question.operation === 'create-repository' && !name.startsWith('mine/'));
    const kind = refused ? 'refused' : 'allowed';
    return { kind, reason: `rules/main.lace:7: ${kind}`, rule: 'rules/main.lace:7', trace: [] };
  };
  const walk = createWalk({
    directory: { current: async (principal) => principal },
    catalogue: {
      find: async (name) => (['open', 'closed', 'fixed'].includes(name) ? repository(name) : undefined),
      byId: async (id) => repository(id.replace(/^id-/, '')),
    },
    policy: { decide, readableRefs: () => undefined },
    upload: {
      serve: async (_conversation, { repository: { name }, service }) => {
        served.push(`${service} ${name}`);
        return { event: 'fetch', bytesIn: 10, bytesOut: 20 };
      },
    },
    receive: {
      serve: async (_conversation, { repository: { name } }) => {
        served.push(`receive-pack ${name}`);
        return { refs: [], outcome: 'served', bytesIn: 5, journaled: false };
      },
    },
    journal: {
      append: async (entry) => {
        appended.push(entry);
      },
      record: (entry) => {
        lines.push(entry);
      },
    },
    log: { info: log, warn: log, error: log },
    metrics: { request: () => {}, bytes: () => {} },
    clock: systemClock,
    ...change,
  });
  return { walk, lines, appended, questions, served, logged };
}

function ask(change: Partial<GitRequest> = {}): GitRequest {
  return {
    id: 'r1',
    transport: 'ssh',
    address: '10.0.0.9',
    principal: ada(),
    service: 'upload-pack',
    requestedPath: '/open.git',
    protocol: 2,
    mode: 'stateful',
    input: Readable.from([]),
    output: new PassThrough(),
    signal: new AbortController().signal,
    ...change,
  };
}

test('a read that is allowed is served and journaled once', async () => {
  const { walk, lines, appended, served } = scene();
  assert.deepEqual(await walk.handle(ask()), { kind: 'served' });
  assert.deepEqual(served, ['upload-pack open']);
  assert.equal(appended.length, 0);
  assert.equal(lines.length, 1);
  const { ms, ...line } = lines[0] ?? {};
  assert.equal(typeof ms, 'number');
  assert.deepEqual(line, {
    event: 'fetch',
    outcome: 'served',
    request: 'r1',
    transport: 'ssh',
    address: '10.0.0.9',
    principal: 'ada',
    credential: 'key SHA256:abc (laptop)',
    repository: 'open',
    bytesIn: 10,
    bytesOut: 20,
  });
});

test('a repository that is not there and one that may not be read get the same words and the same questions', async () => {
  for (const service of ['upload-pack', 'upload-archive', 'receive-pack'] as const) {
    const texts: string[] = [];
    const asked: string[][] = [];
    for (const name of ['absent', 'closed']) {
      const { walk, lines, questions, served } = scene();
      const outcome = await walk.handle(ask({ service, requestedPath: `/${name}` }));
      assert.equal(outcome.kind, 'missing');
      assert.ok('reason' in outcome);
      texts.push(outcome.reason.replaceAll(name, 'NAME'));
      asked.push(questions.map(({ operation }) => operation));
      assert.deepEqual(served, []);
      assert.equal(lines.length, 1);
      assert.equal(lines[0]?.outcome, 'refused');
      assert.equal(lines[0]?.repository, name);
    }
    assert.equal(texts[0], 'no such repository, or you may not read it: NAME');
    assert.equal(texts[0], texts[1]);
    assert.deepEqual(asked[0], asked[1]);
  }
});

test('who may create the repository pushed to is told how, whether it is there or not', async () => {
  const hint = 'no such repository, or you may not read it: mine/x\nto make it, run the command: create mine/x';
  const push = ask({ service: 'receive-pack', requestedPath: 'mine/x' });
  assert.deepEqual(await scene().walk.handle(push), { kind: 'missing', reason: hint });
  const unreadable = scene({
    catalogue: { find: async () => repository('closed'), byId: async () => repository('closed') },
  });
  assert.deepEqual(await unreadable.walk.handle(push), { kind: 'missing', reason: hint });
  const fetch = await scene().walk.handle(ask({ requestedPath: 'mine/x' }));
  assert.deepEqual(fetch, { kind: 'missing', reason: 'no such repository, or you may not read it: mine/x' });
});

test('a name that no parser takes is missing, and is printed harmlessly', async () => {
  for (const path of [
    '/../etc/passwd',
    'a\u0000b',
    'a\nb\u001b[2J',
    '',
    '/',
    'x'.repeat(5_000),
    'a//b',
    '.git',
    'naïve',
  ]) {
    const { walk, lines, served } = scene();
    const outcome = await walk.handle(ask({ requestedPath: path }));
    assert.equal(outcome.kind, 'missing', path.slice(0, 20));
    assert.ok('reason' in outcome);
    assert.match(outcome.reason, /^no such repository, or you may not read it: [\x20-\x7e]*$/);
    assert.ok(outcome.reason.length < 320);
    assert.match(lines[0]?.repository ?? '', /^[\x20-\x7e]{0,255}$/);
    assert.deepEqual(served, []);
  }
});

test('what may be read but not written is refused with the rule', async () => {
  const { walk, lines, served } = scene();
  const outcome = await walk.handle(ask({ service: 'receive-pack', requestedPath: 'fixed' }));
  assert.deepEqual(outcome, { kind: 'refused', reason: 'rules/main.lace:7: refused' });
  assert.deepEqual(served, []);
  assert.equal(lines[0]?.event, 'push');
  assert.equal(lines[0]?.outcome, 'refused');
  assert.equal(lines[0]?.rule, 'rules/main.lace:7');
  assert.equal(lines[0]?.repository, 'fixed');
});

test("a token's scope is asked before the repository is looked for, and the refusal names the scope needed", async () => {
  const cases: readonly (readonly [readonly TokenScope[], 'upload-pack' | 'receive-pack', string | undefined])[] = [
    [['read'], 'upload-pack', undefined],
    [['write'], 'upload-pack', undefined],
    [['admin'], 'receive-pack', undefined],
    [['write'], 'receive-pack', undefined],
    [['read'], 'receive-pack', 'the token ci-1 has only the scope read; to write it needs the scope write'],
    [[], 'upload-pack', 'the token ci-1 has no scope; to read it needs the scope read'],
  ];
  for (const [scopes, service, refusal] of cases) {
    for (const requestedPath of ['open', 'absent']) {
      const { walk, questions, lines } = scene();
      const outcome = await walk.handle(ask({ principal: ada(scopes), service, requestedPath }));
      if (refusal === undefined) {
        assert.equal(outcome.kind, requestedPath === 'open' ? 'served' : 'missing');
      } else {
        assert.deepEqual(outcome, { kind: 'refused', reason: refusal });
        assert.deepEqual(questions, []);
        assert.equal(lines[0]?.credential, 'token ci-1');
      }
    }
  }
});

test('a push that wrote its own line gets no second one; one that did not is on disk before the outcome', async () => {
  const refs = [{ name: 'refs/heads/main', old: '0', new: '1', result: 'ok' }];
  for (const journaled of [true, false]) {
    const receive: WalkParts['receive'] = {
      serve: async () => ({ refs, outcome: 'served', bytesIn: 3, journaled }),
    };
    const { walk, lines, appended } = scene({ receive });
    assert.deepEqual(await walk.handle(ask({ service: 'receive-pack' })), { kind: 'served' });
    assert.equal(lines.length, 0);
    assert.equal(appended.length, journaled ? 0 : 1);
    if (!journaled) assert.deepEqual(appended[0]?.refs, refs);
  }
});

test('a push with nothing in it and an advertisement are listings', async () => {
  const { walk, lines } = scene();
  await walk.handle(ask({ service: 'receive-pack', mode: 'advertise' }));
  await walk.handle(ask({ service: 'receive-pack' }));
  assert.deepEqual(
    lines.map(({ event }) => event),
    ['ls-refs', 'ls-refs'],
  );
});

test('what goes wrong while serving is faulted, in-band, journaled, and shows no inside', async () => {
  const failures: readonly (readonly [unknown, Partial<Outcome>])[] = [
    [
      new Error('disk secret'),
      { kind: 'faulted', code: 'internal', inBand: true, reason: 'internal error (request r1)' },
    ],
    [
      new Fault('bad-input', 'bad', { publicMessage: 'a pkt-line is too long' }),
      { kind: 'faulted', code: 'bad-input', inBand: true, reason: 'a pkt-line is too long' },
    ],
    [
      Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }),
      { kind: 'faulted', code: 'aborted', inBand: true, reason: 'the connection was lost' },
    ],
  ];
  for (const [error, expected] of failures) {
    const upload: WalkParts['upload'] = {
      serve: async () => {
        throw error;
      },
    };
    const { walk, lines, logged } = scene({ upload });
    assert.deepEqual(await walk.handle(ask()), expected);
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.outcome, 'faulted');
    assert.ok(!JSON.stringify(lines).includes('secret'));
    assert.equal(logged.at(-1)?.['error'], error);
    assert.equal(walk.running, 0);
  }
});

test('what goes wrong before serving is faulted and not in-band', async () => {
  const catalogue = {
    find: async (): Promise<undefined> => {
      throw new Error('store is gone');
    },
    byId: async (): Promise<undefined> => undefined,
  };
  const { walk, lines } = scene({ catalogue });
  const expected = { kind: 'faulted', code: 'internal', inBand: false, reason: 'internal error (request r1)' };
  assert.deepEqual(await walk.handle(ask()), expected);
  assert.equal(lines.length, 1);
});

test('a push whose line cannot be written is faulted', async () => {
  const receive: WalkParts['receive'] = {
    serve: async () => ({
      refs: [{ name: 'refs/heads/main', old: '0', new: '1', result: 'ok' }],
      outcome: 'served',
      bytesIn: 3,
      journaled: false,
    }),
  };
  const journal = {
    append: async (): Promise<void> => {
      throw new Error('no space left on device');
    },
    record: (): void => {},
  };
  const outcome = await scene({ receive, journal }).walk.handle(ask({ service: 'receive-pack' }));
  assert.equal(outcome.kind, 'faulted');
});

test('a request refused at admission is journaled too', async () => {
  const { walk, lines } = scene();
  await walk.drain(0);
  const outcome = await walk.handle(ask());
  assert.equal(outcome.kind, 'faulted');
  assert.ok('code' in outcome && outcome.code === 'busy' && !outcome.inBand);
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.outcome, 'faulted');
  assert.equal(walk.draining, true);
});

test('the drain waits until the line of the last request is written', async () => {
  const held = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const upload: WalkParts['upload'] = {
    serve: async () => {
      started.resolve();
      await held.promise;
      return { event: 'fetch', bytesIn: 0, bytesOut: 0 };
    },
  };
  const { walk, lines } = scene({ upload });
  const handled = walk.handle(ask({ principal: ANONYMOUS }));
  await started.promise;
  assert.equal(walk.running, 1);
  const drained = walk.drain(60_000).then(() => lines.length);
  held.resolve();
  assert.equal(await drained, 1);
  assert.deepEqual(await handled, { kind: 'served' });
  assert.equal(lines[0]?.principal, 'anonymous');
  assert.equal(lines[0]?.credential, undefined);
});

test('a command runs under admission and gets one line, whatever came of it', async () => {
  const { walk, lines } = scene();
  const origin = { id: 'c1', transport: 'ssh', address: '10.0.0.9', principal: ada() } as const;
  const about = { argv: ['create', 'x'], repository: 'x' };
  const end = { exit: 1, outcome: 'refused', reason: 'no', rule: 'rules/main.lace:3' } as const;
  assert.deepEqual(await walk.command(origin, about, async () => end), end);
  const boom = new Error('secret');
  await assert.rejects(
    walk.command(origin, about, async () => {
      throw boom;
    }),
    boom,
  );
  const told = lines.map(({ event, outcome, reason, rule, argv, repository: name }) => ({
    event,
    outcome,
    reason,
    rule,
    argv,
    name,
  }));
  assert.deepEqual(told, [
    { event: 'command', outcome: 'refused', reason: 'no', rule: 'rules/main.lace:3', argv: ['create', 'x'], name: 'x' },
    {
      event: 'command',
      outcome: 'faulted',
      reason: 'internal error (request c1)',
      rule: undefined,
      argv: ['create', 'x'],
      name: 'x',
    },
  ]);
  assert.equal(walk.running, 0);
});

test('under `as USER` the line names who really asks', async () => {
  const { walk, lines } = scene();
  const principal = ada();
  assert.ok(principal.kind === 'user');
  const root = parseUserName('root');
  assert.ok(root.kind === 'ok');
  await walk.handle(ask({ principal: { ...principal, asking: { name: root.value, groups: new Set() } } }));
  assert.equal(lines[0]?.asking, 'root');
});

test('rules see through which door a request came, as the variable source', async () => {
  for (const transport of ['ssh', 'http', 'git'] as const) {
    const { walk, questions } = scene();
    await walk.handle(ask({ transport, service: 'receive-pack' }));
    await walk.handle(ask({ transport, requestedPath: 'absent', service: 'receive-pack' }));
    assert.deepEqual(
      questions.map(({ operation }) => operation),
      ['read', 'write', 'read', 'create-repository'],
    );
    for (const { variables } of questions) assert.deepEqual(variables, { source: transport });
  }
});

test('a request that waited while its user was suspended is refused, and so is a command', async () => {
  const { walk, lines, served } = scene({ directory: { current: async () => undefined } });
  const outcome = await walk.handle(ask());
  assert.equal(outcome.kind, 'refused');
  assert.deepEqual(served, []);
  const origin = { id: 'c1', transport: 'ssh', address: '10.0.0.9', principal: ada() } as const;
  await walk.command(origin, { argv: ['create', 'x'] }, async (_signal, current) => {
    assert.equal(current.kind, 'refused');
    return { exit: 1, outcome: 'refused', reason: 'no' };
  });
  assert.deepEqual(
    lines.map(({ outcome: told }) => told),
    ['refused', 'refused'],
  );
});

test('confirm, asked at the end of a push, sees a suspended user, a destroyed repository and changed rules', async () => {
  const now = { principal: ada() as Principal | undefined, name: 'open' as string | undefined };
  const answers: string[] = [];
  const { walk } = scene({
    directory: { current: async () => now.principal },
    catalogue: {
      find: async () => repository('open'),
      byId: async (id) => {
        assert.equal(id, 'id-open');
        return now.name === undefined ? undefined : repository(now.name);
      },
    },
    receive: {
      async serve(_conversation, { confirm }) {
        const say = async (): Promise<void> => {
          const confirmed = await confirm();
          answers.push(confirmed.kind === 'ok' ? confirmed.value.repository.name : confirmed.reason);
        };
        await say();
        now.name = 'fixed';
        await say();
        now.name = undefined;
        await say();
        now.principal = undefined;
        await say();
        return { refs: [], outcome: 'served', bytesIn: 5, journaled: false };
      },
    },
  });
  assert.deepEqual(await walk.handle(ask({ service: 'receive-pack' })), { kind: 'served' });
  assert.deepEqual(answers, [
    'open',
    'rules/main.lace:7: refused',
    'open was destroyed meanwhile',
    'your account, or the key or token you showed, is not accepted any more',
  ]);
});

test('while the journal cannot be written no push and no changing command begins; reads and looks go on', async () => {
  const failure = new Fault('busy', 'journal cannot be written', {
    publicMessage: 'the audit journal cannot be written (ENOSPC); try again later',
  });
  const lines: JournalEntry[] = [];
  const { walk, served } = scene({
    journal: {
      failure,
      append: async () => {
        throw failure;
      },
      record: (entry) => {
        lines.push(entry);
      },
    },
  });
  const push = await walk.handle(ask({ service: 'receive-pack' }));
  assert.deepEqual(push, { kind: 'faulted', code: 'busy', reason: failure.publicMessage, inBand: false });
  assert.deepEqual(await walk.handle(ask()), { kind: 'served' });
  assert.deepEqual(served, ['upload-pack open']);
  const origin = { id: 'c1', transport: 'ssh', address: '10.0.0.9', principal: ada() } as const;
  const done = { exit: 0, outcome: 'served' } as const;
  let ran = 0;
  const tail = async () => {
    ran += 1;
    return done;
  };
  await assert.rejects(walk.command(origin, { argv: ['create', 'x'] }, tail), failure);
  assert.equal(ran, 0);
  assert.deepEqual(await walk.command(origin, { argv: ['ls'], isReadOnly: true }, tail), done);
  assert.deepEqual(
    lines.map(({ event, outcome }) => `${event} ${outcome}`),
    ['push faulted', 'fetch served', 'command faulted', 'command served'],
  );
});

test('a changing command is in the journal, on disk, before its client hears; one whose line fails is told so', async () => {
  const events: string[] = [];
  const failure = new Fault('busy', 'journal cannot be written', { publicMessage: 'the audit journal is full' });
  const held: { failure?: Fault } = {};
  const { walk } = scene({
    journal: {
      append: async ({ argv }) => {
        if (held.failure !== undefined) throw held.failure;
        events.push(`on disk ${argv?.join(' ') ?? ''}`);
      },
      record: ({ argv }) => {
        events.push(`recorded ${argv?.join(' ') ?? ''}`);
      },
    },
  });
  const origin = { id: 'c1', transport: 'ssh', address: '10.0.0.9', principal: ada() } as const;
  const tell = async (): Promise<void> => {
    events.push('told');
  };
  const tail = async () => ({ exit: 0, outcome: 'served', tell }) as const;
  await walk.command(origin, { argv: ['create', 'x'] }, tail);
  held.failure = failure;
  await assert.rejects(walk.command(origin, { argv: ['create', 'y'] }, tail), failure);
  assert.deepEqual(events, ['on disk create x', 'told', 'recorded create y']);
});

test('a token pasted where a name is asked for does not stand in the journal', async () => {
  const { walk, lines } = scene();
  const { text: secret } = makeSecret(systemClock);
  await walk.handle(ask({ requestedPath: `/${secret}` }));
  const origin = { id: 'c1', transport: 'ssh', address: '10.0.0.9', principal: ada() } as const;
  const end = { exit: 1, outcome: 'refused', reason: `there is no token ${secret}` } as const;
  await walk.command(origin, { argv: ['token', 'revoke', secret], repository: `x/${secret}` }, async () => end);
  assert.equal(lines.length, 2);
  assert.doesNotMatch(JSON.stringify(lines), /ght_/);
  assert.deepEqual(lines[1]?.argv, ['token', 'revoke', '(secret)']);
});

/** Ada with a pass for the repositories `open` and `closed`. */
function withPass(scope: Partial<PassScope> = {}, address?: string): Principal {
  const none = { read: false, push: [], createOnly: false, rewind: false, delete: false, from: [] };
  return principalNamed('ada', {
    kind: 'pass',
    id: 'p1',
    name: 'agent',
    purpose: 'fix it',
    scope: { ...none, repositories: ['open', 'closed'], ...scope },
    expiresAt: 0,
    ...(address === undefined ? {} : { address }),
  });
}

test('what a pass is not about is not looked for: not in the catalogue, not at the site, not by the policy', async () => {
  const looked: string[] = [];
  for (const requestedPath of ['/fixed.git', '/absent', '~/fixed', '/mine/new', '/..', '/gitolite-admin']) {
    for (const service of ['upload-pack', 'receive-pack'] as const) {
      const { walk, questions, lines } = scene({
        catalogue: {
          find: async (name) => void looked.push(name),
          byId: async (id) => void looked.push(id),
        },
        site: { begin: async ({ requestedPath: path }) => void looked.push(path) },
      });
      const outcome = await walk.handle(
        ask({ requestedPath, service, principal: withPass({ read: true, push: ['refs/*'] }) }),
      );
      assert.equal(outcome.kind, 'missing');
      assert.ok('reason' in outcome && /^no such repository, or you may not read it: \S+$/.test(outcome.reason));
      assert.deepEqual(questions, []);
      assert.equal(lines[0]?.pass, 'p1');
      assert.equal(lines[0].purpose, 'fix it');
    }
  }
  assert.deepEqual(looked, []);
});

test('a pass that only pushes is asked about its repository for the push, and is refused a fetch with words', async () => {
  const principal = withPass({ push: ['refs/heads/agent/*'] });
  const { walk, questions, served } = scene();
  const fetched = await walk.handle(ask({ principal }));
  assert.ok(fetched.kind === 'refused' && fetched.reason.endsWith('; it does not fetch'));
  assert.deepEqual(await walk.handle(ask({ principal, service: 'receive-pack' })), { kind: 'served' });
  assert.deepEqual(served, ['receive-pack open']);
  assert.deepEqual(
    questions.map(({ operation, forPush }) => [operation, forPush]),
    [
      ['read', true],
      ['write', undefined],
    ],
  );
});

test('a repository of the site within a pass is decided with the pass, and a fetch is never asked about as a push', async () => {
  const questions: Question[] = [];
  const decide = (question: Question): Decision => {
    questions.push(question);
    const reason = scopeRefusal(question);
    return { kind: reason === undefined ? 'allowed' : 'refused', reason: reason ?? '', trace: [] };
  };
  const visit: WalkVisit = {
    name: repository('open').name,
    repository: repository('open'),
    facts: repository('open'),
    look: async () => repository('open'),
    create: async () => {},
    decided: async () => {},
    begin: async () => ({ [Symbol.dispose]() {} }),
    end: async () => {},
  };
  const parts = { policy: { decide, readableRefs: () => undefined }, site: { begin: async () => visit } };
  const { walk, served } = scene(parts);
  assert.deepEqual(await walk.handle(ask({ principal: withPass({ read: true }) })), { kind: 'served' });
  assert.deepEqual(await walk.handle(ask({ principal: withPass({ push: ['refs/*'] }), service: 'receive-pack' })), {
    kind: 'served',
  });
  const reader = await walk.handle(ask({ principal: withPass({ read: true }), service: 'receive-pack' }));
  assert.ok(reader.kind === 'refused' && reader.reason.endsWith('; it does not push'));
  assert.deepEqual(served, ['upload-pack open', 'receive-pack open']);
  assert.ok(questions.every(({ operation, forPush }) => operation !== 'read' || forPush === undefined));
});

test('a pass for some addresses is refused with words where it comes from another, before anything is looked for', async () => {
  for (const address of ['192.0.2.1', undefined]) {
    const { walk, questions } = scene();
    for (const requestedPath of ['/open', '/fixed', '/absent']) {
      const outcome = await walk.handle(
        ask({ requestedPath, principal: withPass({ read: true, from: ['10.0.0.0/8'] }, address) }),
      );
      const where = address ?? 'here';
      assert.deepEqual(outcome, {
        kind: 'refused',
        reason: `this pass is for requests from 10.0.0.0/8, not from ${where}`,
      });
    }
    assert.deepEqual(questions, []);
  }
});

test('who may only read is asked about reading once more, not about writing', async () => {
  const { walk } = scene();
  const confirmed: string[] = [];
  for (const [requestedPath, operation] of [
    ['/fixed', 'read'],
    ['/open', 'write'],
  ] as const) {
    const request = { ...ask({ requestedPath }), event: 'bundle', argv: [], operation };
    await walk.visit(request, async ({ confirm }) => {
      confirmed.push((await confirm()).kind);
      return { outcome: 'served' };
    });
  }
  assert.deepEqual(confirmed, ['ok', 'ok']);
});

test('a fetch that had to wait is asked about again, with everything as it is by then', async () => {
  const heard: string[] = [];
  for (const change of ['nothing', 'suspended', 'destroyed', 'closed']) {
    let now = 'nothing';
    const allowed: Decision = { kind: 'allowed', reason: '', trace: [] };
    const { walk } = scene({
      directory: { current: async (principal) => (now === 'suspended' ? undefined : principal) },
      catalogue: {
        find: async () => repository('fixed'),
        byId: async () => (now === 'destroyed' ? undefined : repository('fixed')),
      },
      policy: {
        decide: ({ operation }) =>
          now === 'closed' || operation === 'write' ? { ...allowed, kind: 'refused', reason: 'no' } : allowed,
        readableRefs: () => undefined,
      },
      upload: {
        serve: async ({ confirm }) => {
          now = change;
          const still = await confirm?.();
          heard.push(still?.kind === 'refused' ? still.reason : 'ok');
          return { event: 'fetch', bytesIn: 0, bytesOut: 0 };
        },
      },
    });
    await walk.handle(ask());
  }
  assert.deepEqual(heard, [
    'ok',
    'your account, or the key or token you showed, is not accepted any more',
    'fixed was destroyed meanwhile',
    'no',
  ]);
});
