/**
 * Where git is started: checked options, a built environment, confinement, a bound on how many run, a deadline for each.
 * The starting itself is done by `spawner-main.ts`, whose sockets are git's standard input and output.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Fault } from '../base/fault.ts';
import { findGit } from './git-program.ts';
import { assertHarmlessConfig } from './config-guard.ts';
import { type Invocation, invocationOf } from './invocation.ts';
import { Lane } from './lanes.ts';
import type { GitProcess, GitProcesses, GitSpec, Subcommand } from './processes.ts';
import { type Confinement, findConfinement, type IsolationMode } from './sandbox.ts';
import { SpawnedGit } from './spawned-git.ts';
import type { Report, StartOrder } from './spawner-link.ts';
import { SpawnerProcess } from './spawner-process.ts';

export interface GitProcessesOptions {
  /** `auto`: whatever works here; `off`: nothing; `required`: refuse to start where something is missing. */
  readonly isolation: IsolationMode;
  readonly log?: (line: string) => void;
  /** Absolute path of git; default: the first on PATH. */
  readonly gitPath?: string;
  /** The user that git runs as, where the gate runs as root. The repositories must belong to it. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** What git's files are hidden from, asked for each start; absent: as the gate was started with. */
  readonly umask?: () => number;
  /**
   * Conversations with clients at once (upload-pack, index-pack, ...): as many as there are requests, for each may have to wait
   * for its client. And short questions at once; as many more by who holds one.
   */
  readonly conversationsMax?: number;
  readonly questionsMax?: number;
}

export interface ConfinedGitProcesses extends GitProcesses {
  readonly confinement: Confinement;
  /** Processes that run now, and starts that wait for their turn. */
  readonly running: number;
  readonly waiting: number;
  /** How often the spawner had to be started again. */
  readonly restarts: number;
  /** For tests and the log: who spawns. */
  readonly spawnerPid: number | undefined;
}

/** They live as long as a client, an upstream or a housekeeping job does; a question asked meanwhile must not wait for them. */
const CONVERSATIONS: ReadonlySet<Subcommand> = new Set([
  'upload-pack',
  'upload-archive',
  'index-pack',
  'pack-objects',
  'clone',
  'gc',
  'repack',
  'fsck',
]);
/** They take lock files in the repository itself, not in a quarantine. */
const GENTLE: ReadonlySet<Subcommand> = new Set([
  'update-ref',
  'symbolic-ref',
  'pack-refs',
  'gc',
  'repack',
  'prune',
  'commit-graph',
  'multi-pack-index',
]);
const WAITING_MAX = 1_024;
/** At most this many restarts of the spawner in a row before starts fail at once. */
const RESTARTS_IN_A_ROW_MAX = 5;
const RESTART_FORGIVEN_MS = 10_000;

/** @throws Fault `missing` (no git), `process` (no spawner), `usage` (isolation is required and not to be had). */
export async function startGitProcesses(options: GitProcessesOptions): Promise<ConfinedGitProcesses> {
  const log = options.log ?? ((): void => {});
  const git = await findGit(options.gitPath);
  const { isolation: mode, owner } = options;
  const confinement = await findConfinement({ mode, git, ...(owner ? { owner } : {}) });
  const directory = await mkdtemp(join(tmpdir(), 'gatehouse-'));
  const processes = new SpawnedProcesses({ ...options, log, gitPath: git.path, confinement, directory });
  try {
    await processes.open();
  } catch (error) {
    await processes.close();
    throw error;
  }
  return processes;
}

interface Parts extends GitProcessesOptions {
  readonly log: (line: string) => void;
  readonly gitPath: string;
  readonly confinement: Confinement;
  readonly directory: string;
}

class SpawnedProcesses implements ConfinedGitProcesses {
  readonly confinement: Confinement;
  readonly #parts: Parts;
  readonly #conversations: Lane;
  readonly #questions: Lane;
  readonly #inner: Lane;
  readonly #running = new Map<number, SpawnedGit>();
  readonly #closing = new AbortController();
  #spawner: Promise<SpawnerProcess> | undefined;
  #spawnerPid: number | undefined;
  #nextId = 1;
  #started = 0;
  #restarts = 0;
  #restartsInARow = 0;
  #lastStartMs = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.confinement = parts.confinement;
    this.#conversations = new Lane(parts.conversationsMax ?? 128, WAITING_MAX);
    this.#questions = new Lane(parts.questionsMax ?? 32, WAITING_MAX);
    this.#inner = new Lane(parts.questionsMax ?? 32, WAITING_MAX);
  }

  get started(): number {
    return this.#started;
  }

  get running(): number {
    return this.#running.size;
  }

  get waiting(): number {
    return this.#conversations.waiting + this.#questions.waiting + this.#inner.waiting;
  }

  get restarts(): number {
    return this.#restarts;
  }

  get spawnerPid(): number | undefined {
    return this.#spawnerPid;
  }

  async open(): Promise<void> {
    await this.#currentSpawner();
  }

  async start(spec: GitSpec): Promise<GitProcess> {
    const invocation = invocationOf(spec, searchPathOf(this.#parts.gitPath));
    assertHarmlessConfig(spec);
    const lane = this.#laneOf(spec);
    const signal = AbortSignal.any([this.#closing.signal, ...(spec.signal ? [spec.signal] : [])]);
    const leave = await lane.enter(signal);
    try {
      const spawner = await this.#currentSpawner();
      const [stdin, stdout] = await spawner.takePair(signal);
      const id = this.#nextId++;
      const end = (): void => {
        spawner.send({ kind: 'end', id });
      };
      const git = new SpawnedGit({ stdin: stdin.socket, stdout: stdout.socket, end });
      this.#running.set(id, git);
      this.#started += 1;
      spawner.send({ ...this.#orderOf(spec, invocation), id, stdin: stdin.number, stdout: stdout.number });
      git.watch(spec.signal, () => {
        this.#running.delete(id);
        leave();
      });
      return git;
    } catch (error) {
      leave();
      throw error;
    }
  }

  #laneOf({ subcommand, isInner }: GitSpec): Lane {
    if (CONVERSATIONS.has(subcommand)) return this.#conversations;
    return isInner === true ? this.#inner : this.#questions;
  }

  #orderOf(spec: GitSpec, { argv, env }: Invocation): Omit<StartOrder, 'id' | 'stdin' | 'stdout'> {
    const { gitPath, confinement, owner, umask } = this.#parts;
    const command = confinement.wrap({ file: gitPath, argv }, spec);
    const { deadlineMs } = spec;
    const isGentle = GENTLE.has(spec.subcommand);
    return {
      kind: 'start',
      ...command,
      env,
      deadlineMs,
      isGentle,
      ...(owner ? { owner } : {}),
      ...(umask ? { umask: umask() } : {}),
    };
  }

  async close(): Promise<void> {
    this.#closing.abort(new Fault('aborted', 'gate closes'));
    for (const git of this.#running.values()) git.abort();
    const exits = Promise.allSettled([...this.#running.values()].map((git) => git.exit));
    await Promise.race([exits, new Promise((resolve) => setTimeout(resolve, 2_000).unref())]);
    const spawner = await this.#spawner?.catch(() => undefined);
    await spawner?.close();
    await rm(this.#parts.directory, { recursive: true, force: true });
  }

  /** The spawner; another one where the last has ended. */
  async #currentSpawner(): Promise<SpawnerProcess> {
    if (this.#closing.signal.aborted) throw new Fault('aborted', 'gate closes');
    if (this.#spawner !== undefined) return this.#spawner;
    const starting = this.#startSpawner();
    this.#spawner = starting;
    // One that does not come up is forgotten, so that the next start tries again.
    starting.catch(() => {
      if (this.#spawner === starting) this.#spawner = undefined;
    });
    return starting;
  }

  async #startSpawner(): Promise<SpawnerProcess> {
    const { directory, log, confinement } = this.#parts;
    const now = performance.now();
    this.#restartsInARow = now - this.#lastStartMs > RESTART_FORGIVEN_MS ? 0 : this.#restartsInARow + 1;
    if (this.#restartsInARow > RESTARTS_IN_A_ROW_MAX) throw new Fault('process', 'spawner does not stay up');
    this.#lastStartMs = now;
    const onEnd = (): void => {
      this.#onSpawnerEnd();
    };
    const onReport = (report: Report): void => {
      this.#onReport(report);
    };
    const spawner = await SpawnerProcess.start({ directory, log, prefix: confinement.spawnerPrefix, onReport, onEnd });
    this.#spawnerPid = spawner.pid;
    return spawner;
  }

  #onReport(report: Report): void {
    const git = this.#running.get(report.id);
    if (git === undefined) return;
    if (report.kind === 'started') git.pid = report.pid;
    else git.conclude(report);
  }

  #onSpawnerEnd(): void {
    this.#spawner = undefined;
    this.#spawnerPid = undefined;
    for (const git of this.#running.values()) git.lose();
    if (this.#closing.signal.aborted) return;
    this.#restarts += 1;
    this.#parts.log('spawner ended: starting another');
    this.#currentSpawner().catch(() => {});
  }
}

/** Where git finds its own helpers: its directory and the system's, never the gate's PATH. */
function searchPathOf(gitPath: string): string {
  return [...new Set([dirname(gitPath), '/usr/local/bin', '/usr/bin', '/bin'])].join(':');
}
