/** The commands on a real store, catalogue, directory, journal and the house ruleset; only the walk is a stand-in. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import type { Question } from '../../src/access/decision.ts';
import { compilePolicy } from '../../src/access/compile.ts';
import { houseFiles } from '../../src/access/house.ts';
import { checkRepositoryRules } from '../../src/access/own-rules.ts';
import { renderProblem } from '../../src/access/problem.ts';
import { openJournal } from '../../src/audit/journal.ts';
import { SILENT_LOG } from '../../src/audit/log.ts';
import { BOUNDS } from '../../src/base/bounds.ts';
import { systemClock, type Clock } from '../../src/base/clock.ts';
import { createCommands } from '../../src/commands/all.ts';
import type { PolicyReport } from '../../src/commands/policy.ts';
import { ok } from '../../src/base/fault.ts';
import { startGitProcesses } from '../../src/git/spawner.ts';
import { Directory } from '../../src/identity/directory.ts';
import { ANONYMOUS, type Credential, type Principal } from '../../src/identity/principal.ts';
import { Catalogue } from '../../src/repository/catalogue.ts';
import { commandLine } from '../../src/request/line.ts';
import type { Transport } from '../../src/request/request.ts';
import type { CommandEnd, CommandTrip } from '../../src/request/walk.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';

export interface Ran {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string | Uint8Array | Readable;
  readonly transport?: Transport;
  readonly credential?: Credential;
  readonly signal?: AbortSignal;
  /** Hears everything on standard output so far, at each chunk. */
  readonly onStdout?: (text: string) => void;
}

export interface Journaled {
  readonly trip: CommandTrip;
  readonly principal: string;
  readonly asking: string | undefined;
  readonly end: CommandEnd | undefined;
}

export interface Harness extends AsyncDisposable {
  readonly directory: Directory;
  readonly catalogue: Catalogue;
  /** What the walk was given, in order. */
  readonly journaled: readonly Journaled[];
  /** Milliseconds that the clock is ahead. */
  advance(ms: number): void;
  /** Every client that lets a command wait has done so for too long. How many there were. */
  runOutOfPatience(): number;
  /** Ids of repositories, and what was done to each while no push could commit. */
  readonly alone: readonly string[];
  /** Questions to the policy, in order. */
  readonly asked: readonly Question[];
  /** Runs a command as a user, or as `anonymous`. */
  as(user: string, words: string | readonly string[], options?: RunOptions): Promise<Ran>;
  /** The same as the administrator; fails the test where the command does. */
  admin(words: string | readonly string[], options?: RunOptions): Promise<string>;
  greeting(user: string): Promise<string>;
}

export const KEY = {
  ian: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPkqEbi0KRNPZg2q1DhNQgHcmgWX4XwoPRuj1qvA7NHE ian@laptop',
};

export async function startHarness(): Promise<Harness> {
  const root = mkdtempSync(join(tmpdir(), 'gatehouse-commands-'));
  let aheadMs = 0;
  const idle = new Set<() => void>();
  const clock: Clock = {
    ...systemClock,
    now: () => systemClock.now() + aheadMs,
    after(ms, callback) {
      if (ms !== BOUNDS.clientIdleMs) return systemClock.after(ms, callback);
      idle.add(callback);
      return () => idle.delete(callback);
    },
  };
  const stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(root, { recursive: true, force: true }));
  const store = await openSqliteStore({ path: join(root, 'gatehouse.db') });
  stack.defer(() => store.close());
  const processes = await startGitProcesses({ isolation: 'off' });
  stack.defer(() => processes.close());
  const catalogue = new Catalogue({ store, processes, root: join(root, 'repositories'), clock });
  const directory = new Directory({ store, clock, ownership: catalogue });
  const journal = await openJournal({ directory: join(root, 'journal'), clock, log: SILENT_LOG });
  stack.defer(() => journal.close());
  const compiled = compilePolicy(houseFiles());
  if (compiled.kind === 'wrong') throw new Error(compiled.problems.map(renderProblem).join('\n'));
  const report: PolicyReport = { source: 'test', rules: ['rules/main.lace'], problems: [], scenarios: [] };
  const journaled: Journaled[] = [];
  const alone: string[] = [];
  const asked: Question[] = [];
  const commands = createCommands({
    directory,
    catalogue,
    policy: {
      decide(question) {
        asked.push(question);
        return compiled.policy.decide(question);
      },
      explain: (question) => compiled.policy.explain(question),
      readableRefs: (principal, repository) => compiled.policy.readableRefs(principal, repository),
    },
    policyDesk: {
      active: async () => report,
      inDirectory: async (path) => ({ ...report, source: path, problems: ['rules/main.lace:1: wrong'] }),
      problemsOfOwnRules(text) {
        const problem = checkRepositoryRules(text);
        return problem === undefined ? [] : [renderProblem(problem)];
      },
    },
    walk: {
      async command(origin, trip, tail) {
        const principal = origin.principal.kind === 'user' ? origin.principal.name : 'anonymous';
        const asking = origin.principal.kind === 'user' ? origin.principal.asking?.name : undefined;
        let end: CommandEnd | undefined;
        try {
          const { tell, ...told } = await tail(trip.signal ?? new AbortController().signal, ok(origin));
          end = told;
          journal.record(commandLine(origin, trip, end, 1));
          await tell?.();
          return end;
        } finally {
          journaled.push({ trip, principal, asking, end });
        }
      },
    },
    journal,
    refs: { forget() {} },
    housekeeping: {
      status: async () => ({ isOn: true, running: [], queued: 0, noted: 0, sweptAt: undefined, failing: [] }),
      record: async () => ({
        rolledAt: undefined,
        collectedAt: undefined,
        failures: 0,
        failedAt: undefined,
        reason: undefined,
      }),
    },
    pushes: {
      exclusively(id, task) {
        alone.push(id);
        return task();
      },
    },
    clock,
    version: '0.0.0',
    urls: () => ({ ssh: 'ssh://git@gate.example', http: 'http://gate.example' }),
  });
  const first = await directory.ensureAdministrator({ name: 'root1', keys: [] });
  if (first.kind === 'refused') throw new Error(first.reason);

  async function principalOf(user: string, credential: Credential): Promise<Principal> {
    if (user === 'anonymous') return ANONYMOUS;
    const principal = await directory.principalOf(user, credential);
    if (principal === undefined) throw new Error(`no user ${user}`);
    return principal;
  }

  const harness: Harness = {
    directory,
    catalogue,
    journaled,
    advance(ms) {
      aheadMs += ms;
    },
    runOutOfPatience() {
      const { size } = idle;
      for (const callback of idle) callback();
      return size;
    },
    alone,
    asked,
    async as(user, words, options = {}) {
      const { stdin = '', transport = 'ssh', credential = { kind: 'local' }, signal } = options;
      const [out, err] = [new PassThrough(), new PassThrough()];
      const [stdout, stderr] = [collect(out, options.onStdout), collect(err)];
      const exit = await commands.run({
        origin: { id: 'r1', transport, address: '192.0.2.1', principal: await principalOf(user, credential) },
        argv: typeof words === 'string' ? words.split(' ') : words,
        stdin: stdin instanceof Readable ? stdin : Readable.from([Buffer.from(stdin)]),
        stdout: out,
        stderr: err,
        signal: signal ?? new AbortController().signal,
      });
      out.end();
      err.end();
      return { exit, stdout: await stdout, stderr: await stderr };
    },
    async admin(words, options) {
      const ran = await harness.as('root1', words, options);
      if (ran.exit !== 0) throw new Error(`${String(words)}: exit ${ran.exit}\n${ran.stdout}${ran.stderr}`);
      return ran.stdout;
    },
    async greeting(user) {
      const principal = await principalOf(user, { kind: 'local' });
      return commands.greeting({ id: 'r1', transport: 'ssh', address: '192.0.2.1', principal });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
  return harness;
}

async function collect(stream: Readable, hear?: (text: string) => void): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    hear?.(Buffer.concat(chunks).toString());
  }
  return Buffer.concat(chunks).toString();
}

/** The token that a first call of destroy, user del or group del prints. */
export function lastWord(stdout: string): string {
  const lastLine = stdout.trimEnd().split('\n').at(-1) ?? '';
  return lastLine.split(' ').at(-1) ?? '';
}
