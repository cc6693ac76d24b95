/**
 * Takes the pack into the quarantine: a small one by the gate itself, others by `git index-pack`, fed from the client. That
 * is bounded in bytes, objects, memory (no allocation over `heldBytesMax`; whole blobs are streamed) and in the time that
 * index-pack itself works.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { Fault, refuse, type Refusal } from '../base/fault.ts';
import type { Odb } from '../git/odb/odb.ts';
import type { ObjectFormat } from '../git/oid.ts';
import type { GitExit, GitProcess, GitProcesses } from '../git/processes.ts';
import { writeAll } from '../git/stream.ts';
import type { Repository } from '../repository/repository.ts';
import { complaints } from './complaints.ts';
import { fsckOption } from './fsck-rules.ts';
import type { ReceiveConfig, ReceiveLimits } from './limits.ts';
import type { PackInput } from './pack-input.ts';
import type { Quarantine } from './quarantine.ts';
import type { SmallPackDesk } from './small-pack-desk.ts';
import type { SmallPack } from './small-pack.ts';

export interface IngestOptions {
  readonly processes: GitProcesses;
  readonly clock: Clock;
  readonly repository: Repository;
  readonly quarantine: Quarantine;
  readonly input: PackInput;
  readonly limits: ReceiveLimits;
  readonly config?: ReceiveConfig | undefined;
  readonly requestId: string;
  readonly signal: AbortSignal;
  /** What index-pack says, for the client. */
  readonly tell: (text: string) => void;
  /**
   * Objects of the repository complete a thin pack: only where the sender may read all of them. Else it could find out, delta by
   * delta, what is in one that is hidden.
   */
  readonly mayComplete: boolean;
  /** Both: small packs are taken in without git. Else git takes every pack. */
  readonly small?: SmallPackDesk | undefined;
  readonly odb?: { of(gitDir: string, format: ObjectFormat): Odb } | undefined;
}

export type Ingested =
  | { readonly kind: 'empty' }
  | {
      readonly kind: 'indexed';
      readonly pack: string;
      /** Objects as they came over the wire. */
      readonly sent: number;
      /** Where the gate took the pack in by itself. */
      readonly small?: SmallPack;
    };

const HEADER_BYTES = 12;
const MIB = 1024 * 1024;
/** More than index-pack's own record of one object; it allocates all of them at once. */
const OBJECT_RECORD_BYTES = 128;

/** The pack in the quarantine, or why it cannot be taken. @throws Fault `aborted`, `timeout`. */
export async function ingestPack(options: IngestOptions): Promise<Ingested | Refusal> {
  const { input, limits } = options;
  const header = await takeBytes(input, HEADER_BYTES);
  if (header === undefined) return refuse('the pack is truncated');
  if (header.toString('latin1', 0, 4) !== 'PACK') return refuse('this is not a pack');
  const version = header.readUInt32BE(4);
  if (version !== 2 && version !== 3) return refuse(`pack version ${version} is not supported`);
  const objects = header.readUInt32BE(8);
  if (objects > limits.packObjectsMax) {
    return refuse(`the pack says that it has ${objects} objects; at most ${limits.packObjectsMax} are taken`);
  }
  if (objects === 0) return takeEmptyPack(options, header);
  input.unread(header);
  return (await takeSmall(options)) ?? new Indexing(options, objects).run();
}

/** Undefined where git is to take the pack. */
async function takeSmall(options: IngestOptions): Promise<Ingested | undefined> {
  const { small, odb, repository } = options;
  if (small === undefined || odb === undefined) return undefined;
  return small.take({ ...options, odb: odb.of(repository.path, repository.objectFormat) });
}

/** A push that brings no object still sends a pack: a header and its checksum. */
async function takeEmptyPack({ input, repository }: IngestOptions, header: Buffer): Promise<Ingested | Refusal> {
  const digest = createHash(repository.objectFormat).update(header).digest();
  const trailer = await takeBytes(input, digest.length);
  if (trailer === undefined) return refuse('the pack is truncated');
  return trailer.equals(digest) ? { kind: 'empty' } : refuse('the pack is corrupt: its checksum does not match');
}

/** Exactly `count` bytes; undefined where the input ends before. */
async function takeBytes(input: PackInput, count: number): Promise<Buffer | undefined> {
  let taken = Buffer.alloc(0);
  while (taken.length < count) {
    const chunk = await input.next();
    if (chunk === undefined) return undefined;
    taken = Buffer.concat([taken, chunk]);
  }
  input.unread(taken.subarray(count));
  return taken.subarray(0, count);
}

/** One run of index-pack. */
class Indexing {
  readonly #options: IngestOptions;
  readonly #objects: number;
  readonly #overdue = new AbortController();
  readonly #exited = new AbortController();
  #workedMs = 0;
  #isTooLarge = false;

  constructor(options: IngestOptions, objects: number) {
    this.#options = options;
    this.#objects = objects;
  }

  async run(): Promise<Ingested | Refusal> {
    const { processes, limits, config, repository, quarantine, mayComplete, requestId, signal } = this.#options;
    const thin = mayComplete ? ['--fix-thin'] : [];
    await using git = await processes.start({
      subcommand: 'index-pack',
      options: ['--stdin', ...thin, fsckOption(repository, config), `--max-input-size=${limits.packBytesMax}`],
      config: { 'core.bigFileThreshold': '16m' },
      gitDir: repository.path,
      objectDirectory: quarantine.objectDirectory,
      writable: [quarantine.objectDirectory],
      allocationBytesMax: Math.max(limits.heldBytesMax, this.#objects * OBJECT_RECORD_BYTES),
      deadlineMs: limits.deadlineMs,
      signal: AbortSignal.any([signal, this.#overdue.signal]),
      requestId,
    });
    void git.exit.finally(() => {
      this.#exited.abort();
    });
    const output = collect(git);
    await this.#feed(git);
    const exit = await this.#working(git.exit);
    return this.#outcome(exit, await output);
  }

  /** Everything up to the end of the pack, which index-pack knows: it ends itself, whether or not the client goes on. */
  async #feed(git: GitProcess): Promise<void> {
    const { input, limits } = this.#options;
    git.stdin.on('error', () => {}); // it may end before it has read all: its exit says what happened
    for (;;) {
      const chunk = await input.next(this.#exited.signal);
      if (chunk === undefined) break;
      if (input.bytes > limits.packBytesMax) {
        this.#isTooLarge = true;
        break;
      }
      try {
        await this.#working(writeAll(git.stdin, chunk, this.#exited.signal));
      } catch (error) {
        if (error instanceof Fault && error.code === 'aborted') break;
        throw error;
      }
    }
    git.stdin.end();
  }

  /** Waits for index-pack, on its own account of time. */
  async #working<T>(wait: Promise<T>): Promise<T> {
    const { clock, limits, input } = this.#options;
    const budgetMs = limits.indexMs + (limits.indexMsPerMib * input.bytes) / MIB;
    const start = clock.monotonicMs();
    const cancel = clock.after(Math.max(1, budgetMs - this.#workedMs), () => {
      this.#overdue.abort();
    });
    try {
      return await wait;
    } finally {
      cancel();
      this.#workedMs += clock.monotonicMs() - start;
    }
  }

  async #outcome(exit: GitExit, output: string): Promise<Ingested | Refusal> {
    const { limits, signal, tell, repository } = this.#options;
    if (this.#isTooLarge) return refuse(`the pack is larger than ${limits.packBytesMax} bytes`);
    if (this.#overdue.signal.aborted) return refuse('the pack takes too long to unpack for its size');
    if (exit.ended === 'deadline') return refuse('the push took too long');
    if (signal.aborted) throw new Fault('aborted', 'push was aborted', { cause: signal.reason });
    const said = complaints(exit.stderr, repository.path);
    if (exit.code !== 0) {
      for (const line of said) tell(line);
      // Of fsck's lines the first says what is wrong with which object, the last only that something is.
      const telling = said.find((line) => /^object [0-9a-f]+: /.test(line)) ?? said.at(-1);
      return refuse(telling ?? `index-pack ended with ${exit.code}`);
    }
    for (const line of said) tell(line);
    const name = /^(?:pack|keep)\t([0-9a-f]+)\n/.exec(output)?.[1];
    if (name === undefined) throw new Fault('process', 'index-pack named no pack', { context: { output } });
    return { kind: 'indexed', pack: `pack-${name}`, sent: this.#objects };
  }
}

async function collect(git: GitProcess): Promise<string> {
  let output = '';
  try {
    for await (const chunk of git.stdout) output = (output + String(chunk)).slice(0, 1_000);
  } catch {
    // Its exit code says more.
  }
  return output;
}
