/**
 * A push pipeline with everything real but its policy, behind a git:// socket and an HTTP server of the test's own, and
 * work trees to push from.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, existsSync, readdirSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Decision, Question } from '../../src/access/decision.ts';
import { openJournal, type OpenJournal } from '../../src/audit/journal.ts';
import type { JournalLine } from '../../src/audit/entry.ts';
import { systemClock } from '../../src/base/clock.ts';
import { ok } from '../../src/base/fault.ts';
import { RefCache } from '../../src/git/ref-cache.ts';
import { OdbPool } from '../../src/git/odb/pool.ts';
import type { ObjectFormat } from '../../src/git/oid.ts';
import { PktReader, pktText } from '../../src/git/pkt-line.ts';
import type { GitProcesses } from '../../src/git/processes.ts';
import type { Conversation } from '../../src/git/service.ts';
import { startGitProcesses, type ConfinedGitProcesses } from '../../src/git/spawner.ts';
import { parseUserName, type Principal } from '../../src/identity/principal.ts';
import { Catalogue } from '../../src/repository/catalogue.ts';
import { parseRepositoryName } from '../../src/repository/name.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { DEFAULT_RECEIVE_LIMITS } from '../../src/receive/limits.ts';
import type { RecoveryReport } from '../../src/receive/recovery.ts';
import type { SweepReport } from '../../src/receive/sweep.ts';
import { createSizeStep } from '../../src/receive/steps/size-limits.ts';
import {
  createReceive,
  type Receive,
  type PushAbout,
  type ReceiveParts,
  type ReceiveReport,
} from '../../src/receive/receive.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import type { Store } from '../../src/store/store.ts';

export const GIT_ENV = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  LC_ALL: 'C',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'A U Thor',
  GIT_AUTHOR_EMAIL: 'author@example.com',
  GIT_COMMITTER_NAME: 'C O Mitter',
  GIT_COMMITTER_EMAIL: 'committer@example.com',
  GIT_AUTHOR_DATE: '1700000000 +0000',
  GIT_COMMITTER_DATE: '1700000000 +0000',
};

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs git, whatever its exit code. */
export function git(cwd: string, ...args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { cwd, env: GIT_ENV, maxBuffer: 64 * 1024 * 1024, timeout: 120_000 };
    execFile('git', [...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 128, stdout, stderr });
    });
  });
}

/** Runs git that has to succeed; its output without the last line end. */
export async function gitOk(cwd: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await git(cwd, ...args);
  if (code !== 0) throw new Error(`git ${args.join(' ')}: ${code}\n${stderr}`);
  return stdout.replace(/\n$/, '');
}

export const ALLOW: Decision = { kind: 'allowed', reason: 'allowed', trace: [] };

export interface SiteOptions {
  readonly format?: ObjectFormat;
  readonly decide?: (question: Question) => Decision;
  readonly needsPaths?: boolean;
  readonly parts?: Partial<ReceiveParts>;
  /** What the pipeline starts git through. */
  readonly wrapProcesses?: (processes: GitProcesses) => GitProcesses;
  /** Where the journal lies; default: in `root`. */
  readonly journalDirectory?: string;
  readonly mayRead?: (refname: string) => boolean;
  /** Asked before the commit point. Default: nothing changed. */
  readonly confirm?: PushAbout['confirm'];
  /** Places that each conversation waits for. Default: nobody waits. */
  readonly work?: (conversation: Conversation) => Conversation['work'];
  /** As of a mirror. */
  readonly freshen?: PushAbout['freshen'];
  /** Of a site that was there before. */
  readonly root?: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** Whether what a crash left is looked for everywhere before anything is served. Default: yes. */
  readonly isSwept?: boolean;
}

export interface Site {
  readonly root: string;
  readonly repository: Repository;
  readonly receive: Receive;
  readonly processes: ConfinedGitProcesses;
  readonly store: Store;
  readonly journal: OpenJournal;
  readonly catalogue: Catalogue;
  /** git://127.0.0.1:PORT/r and http://127.0.0.1:PORT/r */
  readonly gitUrl: string;
  readonly httpUrl: string;
  readonly port: number;
  /** What its start found. */
  readonly recovery: RecoveryReport & Partial<SweepReport>;
  /** Reports and faults of conversations, in the order of their ends. */
  readonly ends: (ReceiveReport | { readonly fault: unknown })[];
  readonly logged: { readonly level: string; readonly message: string; readonly fields: unknown }[];
  /** Resolves when the next conversation that begins has ended. */
  nextEnd(): Promise<ReceiveReport | { readonly fault: unknown }>;
  workTree(): Promise<string>;
  refs(): Promise<string>;
  journalLines(): Promise<readonly JournalLine[]>;
  /** What no push may leave behind. */
  leftovers(): readonly string[];
  close(): Promise<void>;
}

export const PRINCIPAL: Principal = {
  kind: 'user',
  name: userName('alice'),
  account: 'person',
  email: 'alice@example.com',
  realName: 'Alice',
  groups: new Set(),
  credential: { kind: 'local' },
};

function userName(text: string) {
  const parsed = parseUserName(text);
  if (parsed.kind === 'refused') throw new Error(parsed.reason);
  return parsed.value;
}

export async function openSite(context: TestContext, options: SiteOptions = {}): Promise<Site> {
  const site = await startSite(options);
  context.after(async () => {
    await site.close();
    await rm(site.root, { recursive: true, force: true, maxRetries: 5 });
  });
  return site;
}

/** A site that nobody closes but its caller. */
export async function startSite(options: SiteOptions = {}): Promise<Site> {
  const root = options.root ?? mkdtempSync(join(tmpdir(), 'gatehouse-receive-'));
  await mkdir(join(root, 'repositories'), { recursive: true });
  const journalDirectory = options.journalDirectory ?? join(root, 'journal');
  await mkdir(journalDirectory, { recursive: true });
  const logged: Site['logged'] = [];
  const say = (level: string) => (fields: unknown, message: string) => {
    logged.push({ level, message, fields });
  };
  const log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
  const clock = systemClock;
  // One question at a time: a push that holds one while it waits for another shows at once.
  const processes = await startGitProcesses({ isolation: 'off', questionsMax: 1 });
  const store = await openSqliteStore({ path: join(root, 'gatehouse.db') });
  const journal = await openJournal({ directory: journalDirectory, clock, log });
  const catalogue = new Catalogue({ store, processes, root: join(root, 'repositories'), clock });
  await catalogue.recover();
  const repository = await findOrCreate(catalogue, options);
  const seam = options.wrapProcesses?.(processes) ?? processes;
  const odb = new OdbPool({ clock });
  const receive = createReceive({
    processes: seam,
    odb,
    refs: new RefCache({ processes, odb }),
    store,
    policy: { decide: options.decide ?? (() => ALLOW), needsFor: () => ({ paths: options.needsPaths ?? false }) },
    steps: [createSizeStep({ ...DEFAULT_RECEIVE_LIMITS, ...options.parts?.limits })],
    journal,
    log,
    metrics: { push: () => {} },
    clock,
    catalogue,
    agent: 'gatehouse/test',
    ...options.parts,
  });
  const recovery = { ...(await receive.recover()), ...(options.isSwept === false ? undefined : await receive.sweep()) };
  const ends: Site['ends'] = [];
  const waiting: ((end: Site['ends'][number]) => void)[] = [];
  const serve = async (conversation: Conversation): Promise<void> => {
    const waiter = waiting.shift();
    let end: Site['ends'][number];
    try {
      const fresh = (await catalogue.byId(repository.id)) ?? repository;
      const origin = { id: conversation.requestId, transport: 'git', address: '127.0.0.1' };
      const work = options.work?.(conversation);
      end = await receive.serve(work === undefined ? conversation : { ...conversation, work }, {
        repository: fresh,
        principal: PRINCIPAL,
        origin,
        mayRead: options.mayRead,
        freshen: options.freshen,
        confirm: options.confirm ?? (async () => ok({ principal: PRINCIPAL, repository: fresh })),
      });
    } catch (fault) {
      end = { fault };
    }
    ends.push(end);
    waiter?.(end);
  };
  const sockets = new Set<Socket>();
  const gitServer = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    void serveGit(socket, serve);
  });
  const httpServer = createHttpServer((request, response) => {
    void serveHttp(request, response, serve);
  });
  const port = await listen(gitServer);
  const httpPort = await listen(httpServer);
  let trees = 0;
  return {
    root,
    repository,
    receive,
    processes,
    store,
    journal,
    catalogue,
    port,
    ends,
    logged,
    recovery,
    gitUrl: `git://127.0.0.1:${port}/r`,
    httpUrl: `http://127.0.0.1:${httpPort}/r`,
    nextEnd: () => new Promise((resolve) => waiting.push(resolve)),
    async workTree() {
      const path = join(root, `tree-${++trees}`);
      await gitOk(root, 'init', '-q', '-b', 'main', `--object-format=${repository.objectFormat}`, path);
      return path;
    },
    refs: () => gitOk(repository.path, 'for-each-ref', '--format=%(objectname) %(refname)'),
    async journalLines() {
      const lines: JournalLine[] = [];
      await journal.sync();
      for await (const line of journal.read()) lines.push(line);
      return lines;
    },
    leftovers() {
      const incoming = join(repository.path, 'gatehouse', 'incoming');
      const pack = join(repository.path, 'objects', 'pack');
      const odd = readdirSync(pack).filter((name) => !/^pack-[0-9a-f]+\.(?:pack|idx|rev)$/.test(name));
      return [
        ...(existsSync(incoming) ? readdirSync(incoming) : []),
        ...odd,
        ...(processes.running > 0 ? ['a process'] : []),
      ];
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      gitServer.close();
      httpServer.closeAllConnections();
      httpServer.close();
      await receive.close();
      odb.close();
      await processes.close();
      await journal.close();
      await store.close();
    },
  };
}

async function findOrCreate(catalogue: Catalogue, { format, settings }: SiteOptions): Promise<Repository> {
  const name = parseRepositoryName('r');
  if (name.kind === 'refused') throw new Error(name.reason);
  const found = await catalogue.find(name.value);
  if (found !== undefined) return found;
  const created = await catalogue.create({
    name: name.value,
    owner: 'alice',
    ...(format ? { objectFormat: format } : {}),
    ...(settings ? { settings } : {}),
  });
  if (created.kind === 'refused') throw new Error(created.reason);
  return created.value;
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

let conversations = 0;

async function serveGit(socket: Socket, serve: (conversation: Conversation) => Promise<void>): Promise<void> {
  const gone = new AbortController();
  socket.on('error', () => {});
  socket.on('close', () => {
    gone.abort();
  });
  const first = await new PktReader(socket).next().catch(() => undefined);
  if (first?.kind !== 'data') return;
  const version = /\0version=(\d)/.exec(pktText(first.payload))?.[1];
  const protocol = version === '1' ? 1 : version === '2' ? 2 : 0;
  await serve({
    protocol,
    mode: 'stateful',
    input: socket,
    output: socket,
    signal: gone.signal,
    requestId: `request-${++conversations}`,
  });
  socket.end();
}

async function serveHttp(
  request: IncomingMessage,
  response: ServerResponse,
  serve: (conversation: Conversation) => Promise<void>,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => {
    if (!response.writableEnded) gone.abort();
  });
  const mode = request.method === 'GET' ? 'advertise' : 'rpc';
  const type = mode === 'rpc' ? 'result' : 'advertisement';
  response.setHeader('content-type', `application/x-git-receive-pack-${type}`);
  await serve({
    protocol: 0,
    mode,
    input: request,
    output: response,
    signal: gone.signal,
    requestId: `request-${++conversations}`,
  });
  response.end();
}

/** A commit on the current branch with one file of its own. */
export async function commitFile(tree: string, name: string, content: string | Buffer = name): Promise<string> {
  await mkdir(join(tree, name, '..'), { recursive: true });
  await writeFile(join(tree, name), content);
  await gitOk(tree, 'add', '-f', '--', name);
  await gitOk(tree, 'commit', '-q', '-m', `Change ${name}`);
  return gitOk(tree, 'rev-parse', 'HEAD');
}

/** A raw connection that has asked for receive-pack. */
export function dial(site: Site, version = 0): Socket {
  const socket = connect({ port: site.port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  const extra = version === 0 ? '' : `\0version=${version}\0`;
  const line = `git-receive-pack /r\0host=x\0${extra}`;
  socket.write(`${(line.length + 4).toString(16).padStart(4, '0')}${line}`);
  return socket;
}
