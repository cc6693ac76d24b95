/**
 * A gate of nothing but the upload floor, for tests: repositories made by real git, a git:// door and a smart HTTP
 * door in front of `serve`, and conversations spoken by hand.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, type Socket, createServer } from 'node:net';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { createGunzip } from 'node:zlib';
import type { Clock } from '../../src/base/clock.ts';
import type { ObjectFormat } from '../../src/git/oid.ts';
import { PktReader, encodePkt, pktText } from '../../src/git/pkt-line.ts';
import { RefCache } from '../../src/git/ref-cache.ts';
import type { Conversation } from '../../src/git/service.ts';
import { type ConfinedGitProcesses, startGitProcesses } from '../../src/git/spawner.ts';
import type { RepositoryName } from '../../src/repository/name.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { type Upload, type UploadReport, createUpload } from '../../src/upload/upload.ts';
import { cleanEnvironment, expectRun, type Ended, run, workspace } from '../support/workspace.ts';

export type Protocol = 0 | 1 | 2;
export type MayRead = ((refname: string) => boolean) | undefined;

export interface HouseOptions {
  readonly clock?: Clock;
  readonly packCache?: { readonly bytesMax: number; readonly keepMs: number; readonly directory?: string };
  /** Bundles are made, and every client is told of `clone.bundle`. */
  readonly hasBundles?: boolean;
}

/** What one conversation came to. */
export interface Served {
  readonly report: UploadReport | undefined;
  readonly fault: unknown;
}

export interface Spoken extends Served {
  readonly output: Buffer;
}

export class House {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly processes: ConfinedGitProcesses;
  readonly upload: Upload;
  readonly refs: RefCache;
  /** What the principal of every door may read. */
  mayRead: MayRead = undefined;
  /** Every conversation's end, in order. */
  readonly served: Served[] = [];
  readonly #hasBundles: boolean;
  readonly #repositories = new Map<string, Repository>();
  readonly #running = new Set<Promise<unknown>>();
  readonly #over = new AbortController();

  /** How often a pack was made, read along, or at hand. */
  readonly asked = { hit: 0, joined: 0, miss: 0 };

  constructor(options: HouseOptions & { directory: string; processes: ConfinedGitProcesses }) {
    this.directory = options.directory;
    this.env = cleanEnvironment(options.directory);
    this.processes = options.processes;
    this.refs = new RefCache({ processes: options.processes });
    const { clock, packCache, hasBundles = false } = options;
    this.#hasBundles = hasBundles;
    this.upload = createUpload({
      processes: options.processes,
      refs: this.refs,
      ...(clock ? { clock } : {}),
      ...(packCache ? { packCache: { directory: join(options.directory, 'packs'), ...packCache } } : {}),
      hasBundles,
      metrics: {
        refCache: () => {},
        packCache: (result) => {
          this.asked[result] += 1;
        },
      },
    });
  }

  static async open(scope: Pick<TestContext, 'after'>, options: HouseOptions = {}): Promise<House> {
    const directory = workspace(scope);
    const processes = await startGitProcesses({ isolation: 'off' });
    await mkdir(join(directory, 'packs'));
    const house = new House({ directory, processes, ...options });
    scope.after(async () => {
      await house.upload.close();
      // A test that failed in the middle of a conversation leaves it open: it would be waited for for ever.
      house.#over.abort(new Error('the test is over'));
      await Promise.allSettled(house.#running);
      await processes.close();
    });
    return house;
  }

  async git(args: readonly string[], cwd = this.directory): Promise<string> {
    return await expectRun('git', args, { cwd, env: this.env });
  }

  async tryGit(args: readonly string[], cwd = this.directory): Promise<Ended> {
    return await run('git', args, { cwd, env: this.env });
  }

  /** A work tree on main, and what makes one commit in it and answers its oid. */
  async workTree(format: ObjectFormat = 'sha1'): Promise<{ work: string; commit: (text: string) => Promise<string> }> {
    const work = join(this.directory, 'work');
    await this.git(['init', '-q', '-b', 'main', `--object-format=${format}`, work]);
    const commit = async (text: string): Promise<string> => {
      await writeFile(join(work, 'file'), text);
      await this.git(['add', '.'], work);
      await this.git(['commit', '-q', '-m', text], work);
      return await this.git(['rev-parse', 'HEAD'], work);
    };
    return { work, commit };
  }

  /** An empty bare repository. */
  async create(name: string, format: ObjectFormat = 'sha1'): Promise<Repository> {
    const path = join(this.directory, `${name}.git`);
    await this.git(['init', '-q', '--bare', '-b', 'main', `--object-format=${format}`, path]);
    const repository: Repository = {
      id: name,
      name: name as RepositoryName,
      owner: 'admin',
      settings: {},
      path,
      objectFormat: format,
      description: '',
      createdAt: 0,
      version: 1,
    };
    this.#repositories.set(name, repository);
    return repository;
  }

  repository(name: string): Repository {
    const found = this.#repositories.get(name);
    if (found === undefined) throw new Error(`no repository ${name}`);
    return found;
  }

  /** Serves one conversation and remembers how it ended. */
  async serve(conversation: Conversation, request: { name: string; service: string }): Promise<Served> {
    const signal = AbortSignal.any([conversation.signal, this.#over.signal]);
    const serving = this.upload
      .serve(
        { ...conversation, signal },
        {
          repository: this.repository(request.name),
          service: request.service.includes('archive') ? 'upload-archive' : 'upload-pack',
          mayRead: this.mayRead,
          ...(this.#hasBundles ? { bundleUrl: 'clone.bundle' } : {}),
        },
      )
      .then(
        (report): Served => ({ report, fault: undefined }),
        (fault: unknown): Served => ({ report: undefined, fault }),
      );
    this.#running.add(serving);
    const ended = await serving;
    this.#running.delete(serving);
    this.served.push(ended);
    return ended;
  }

  /** Resolves when `count` conversations have ended. */
  async settled(count: number): Promise<void> {
    while (this.served.length < count)
      await Promise.race([...this.#running, new Promise((resolve) => setImmediate(resolve))]);
  }

  /** Says `input`, closes its side, and listens to the end. */
  async say(input: Uint8Array, options: Partial<Conversation> & { name: string; service?: string }): Promise<Spoken> {
    const chunks: Buffer[] = [];
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(Buffer.from(chunk));
        done();
      },
    });
    const conversation = conversationOf({
      input: Readable.from([Buffer.from(input)], { objectMode: false }),
      output,
      ...options,
    });
    const ended = await this.serve(conversation, { name: options.name, service: options.service ?? 'upload-pack' });
    return { ...ended, output: Buffer.concat(chunks) };
  }

  /** A git:// door; answers `git://127.0.0.1:PORT`. */
  async openGit(scope: Pick<TestContext, 'after'>): Promise<string> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      void this.#answerGit(socket);
    });
    const sockets = new Set<Socket>();
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    scope.after(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    });
    return `git://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #answerGit(socket: Socket): Promise<void> {
    const gone = new AbortController();
    socket.on('error', () => {});
    socket.on('close', () => gone.abort());
    const reader = new PktReader(socket, gone.signal);
    try {
      const pkt = await reader.next();
      if (pkt?.kind !== 'data') return;
      const [command = '', , ...extra] = pktText(pkt.payload).split('\0');
      const [, service = '', name = ''] = /^(git-[a-z-]+) \/(.*)$/.exec(command) ?? [];
      const version = extra.find((word) => word.startsWith('version='))?.slice('version='.length) ?? '0';
      const input = Readable.from(reader.rest(), { objectMode: false });
      const conversation = conversationOf({
        input,
        output: socket,
        protocol: Number(version) as Protocol,
        signal: gone.signal,
      });
      await this.serve(conversation, { name: name.replace(/\.git$/, ''), service });
    } catch {
      // The client went away before it said what it wants.
    } finally {
      if (socket.writableEnded || socket.destroyed) socket.destroy();
      else socket.end(() => socket.destroySoon());
    }
  }

  /** A smart HTTP door; answers `http://127.0.0.1:PORT`. */
  async openHttp(scope: Pick<TestContext, 'after'>): Promise<string> {
    const server = createHttpServer((request, response) => {
      void this.#answerHttp(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    scope.after(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #answerHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on('close', () => {
      if (!response.writableFinished) gone.abort();
    });
    const url = new URL(request.url ?? '/', 'http://localhost');
    const [, name = '', action = ''] = /^\/([^/]+?)(?:\.git)?\/(info\/refs|git-[a-z-]+)$/.exec(url.pathname) ?? [];
    const isAdvertisement = action === 'info/refs';
    const service = isAdvertisement ? (url.searchParams.get('service') ?? '') : action;
    const version = /version=([012])/.exec(String(request.headers['git-protocol'] ?? ''))?.[1] ?? '0';
    response.setHeader('content-type', `application/x-${service}-${isAdvertisement ? 'advertisement' : 'result'}`);
    const input = request.headers['content-encoding'] === 'gzip' ? request.pipe(createGunzip()) : request;
    const conversation = conversationOf({
      input,
      output: response,
      protocol: Number(version) as Protocol,
      mode: isAdvertisement ? 'advertise' : 'rpc',
      signal: gone.signal,
    });
    await this.serve(conversation, { name, service });
    response.end();
  }
}

export function conversationOf(options: Partial<Conversation>): Conversation {
  return {
    protocol: 2,
    mode: 'stateful',
    input: new PassThrough(),
    output: new PassThrough(),
    signal: new AbortController().signal,
    requestId: 'test',
    ...options,
  };
}

/** Lines as pkts; '0000', '0001' and '0002' as they are. */
export function pkts(...lines: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    lines.map((line) => (typeof line === 'string' && /^000[012]$/.test(line) ? Buffer.from(line) : encodePkt(line))),
  );
}

/** The pkts of an answer as text, specials as '0000' and so on; what is no pkt at the end is left out. */
export async function readPkts(bytes: Buffer): Promise<string[]> {
  const reader = new PktReader(Readable.from([bytes], { objectMode: false }));
  const lines: string[] = [];
  for (;;) {
    const pkt = await reader.next().catch(() => undefined);
    if (pkt === undefined) return lines;
    if (pkt.kind === 'data') lines.push(pkt.payload.toString('latin1'));
    else lines.push({ flush: '0000', delim: '0001', 'response-end': '0002' }[pkt.kind]);
  }
}
