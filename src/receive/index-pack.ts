/**
 * One run of `git index-pack` into the quarantine, bounded in bytes, objects, memory (no allocation over `heldBytesMax`; whole
 * blobs are streamed) and in the time that index-pack itself works.
 */
import type { Clock } from '../base/clock.ts';
import { Fault, refuse, type Refusal } from '../base/fault.ts';
import type { GitExit, GitProcess, GitProcesses } from '../git/processes.ts';
import { writeAll } from '../git/stream.ts';
import type { Repository } from '../repository/repository.ts';
import { complaints } from './complaints.ts';
import { fsckOption } from './fsck-rules.ts';
import type { ReceiveConfig, ReceiveLimits } from './limits.ts';
import type { PackInput } from './pack-input.ts';
import type { Quarantine } from './quarantine.ts';

export interface IndexOptions {
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
}

/** Where the bytes of a pack come from. */
export interface PackSource {
  /** The next chunk; undefined at the end, or when `until` is aborted first. */
  next(until: AbortSignal): Promise<Buffer | undefined>;
}

export interface IndexRun {
  /** How many the pack says that it has. */
  readonly objects: number;
  readonly source: PackSource;
  /** Ends git, whatever it has done by then: nothing is told of that, and the outcome is a Fault `aborted`. */
  readonly stop?: AbortSignal;
}

export interface Indexed {
  readonly kind: 'indexed';
  readonly pack: string;
  /** Objects as they came over the wire. */
  readonly sent: number;
}

const MIB = 1024 * 1024;
/** More than index-pack's own record of one object; it allocates all of them at once. */
const OBJECT_RECORD_BYTES = 128;

/** The pack in the quarantine, or why it cannot be taken. @throws Fault `aborted`, `timeout`. */
export function indexPack(options: IndexOptions, run: IndexRun): Promise<Indexed | Refusal> {
  return new Indexing(options, run).outcome();
}

class Indexing {
  readonly #options: IndexOptions;
  readonly #run: IndexRun;
  readonly #overdue = new AbortController();
  readonly #exited = new AbortController();
  #workedMs = 0;
  #isTooLarge = false;

  constructor(options: IndexOptions, run: IndexRun) {
    this.#options = options;
    this.#run = run;
  }

  async outcome(): Promise<Indexed | Refusal> {
    const { processes, limits, config, repository, quarantine, mayComplete, requestId, signal } = this.#options;
    const { stop } = this.#run;
    const thin = mayComplete ? ['--fix-thin'] : [];
    await using git = await processes.start({
      subcommand: 'index-pack',
      options: ['--stdin', ...thin, fsckOption(repository, config), `--max-input-size=${limits.packBytesMax}`],
      config: { 'core.bigFileThreshold': '16m' },
      gitDir: repository.path,
      objectDirectory: quarantine.objectDirectory,
      writable: [quarantine.objectDirectory],
      allocationBytesMax: Math.max(limits.heldBytesMax, this.#run.objects * OBJECT_RECORD_BYTES),
      deadlineMs: limits.deadlineMs,
      signal: AbortSignal.any([signal, this.#overdue.signal, ...(stop === undefined ? [] : [stop])]),
      requestId,
    });
    void git.exit.finally(() => {
      this.#exited.abort();
    });
    const output = collect(git);
    await this.#feed(git);
    const exit = await this.#working(git.exit);
    return this.#outcomeOf(exit, await output);
  }

  /** Everything up to the end of the pack, which index-pack knows: it ends itself, whether or not the client goes on. */
  async #feed(git: GitProcess): Promise<void> {
    const { input, limits } = this.#options;
    const { source } = this.#run;
    git.stdin.on('error', () => {}); // it may end before it has read all: its exit says what happened
    for (;;) {
      const chunk = await source.next(this.#exited.signal);
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

  #outcomeOf(exit: GitExit, output: string): Indexed | Refusal {
    const { limits, signal, tell, repository } = this.#options;
    if (this.#isTooLarge) return refuse(`the pack is larger than ${limits.packBytesMax} bytes`);
    if (this.#overdue.signal.aborted) return refuse('the pack takes too long to unpack for its size');
    if (exit.ended === 'deadline') return refuse('the push took too long');
    if (signal.aborted) throw new Fault('aborted', 'push was aborted', { cause: signal.reason });
    if (this.#run.stop?.aborted === true) throw new Fault('aborted', 'git was stopped');
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
    return { kind: 'indexed', pack: `pack-${name}`, sent: this.#run.objects };
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
