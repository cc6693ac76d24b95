/**
 * What a server costs: processor time of all its processes, those that ended included, and the memory of those that live.
 * A cgroup (version 2) of its own tells where one can be made; else the process tree under /proc does, in steps of 10 ms.
 */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { processTree, residentBytes } from '../../test/support/memory.ts';
import type { Scope } from '../../test/support/workspace.ts';

export type MeterKind = 'cgroup' | 'process tree';

/** What a kernel without HZ of its own counts in; every Linux that Debian ships says 100 to programs. */
const TICK_MS = 10;
const QUIET_MS = 0.5;
const SETTLE_STEP_MS = 25;
const SETTLE_STEPS_MAX = 40;
const PEAK_EVERY_MS = 250;

export class Meter {
  #folder: string | undefined;
  readonly #roots: number[] = [];

  /** Make it before the server is started: it is given back after the server has ended. */
  constructor(scope: Scope, name: string) {
    this.#folder = makeFolder(`gatehouse-bench-${process.pid}-${name}`);
    scope.after(() => this.#remove());
  }

  get kind(): MeterKind {
    return this.#folder === undefined ? 'process tree' : 'cgroup';
  }

  /** Counts this process from now on, with everything below it. */
  add(root: number): void {
    this.#roots.push(root);
    if (this.#folder === undefined) return;
    for (const { pid } of processTree(root)) {
      try {
        writeFileSync(join(this.#folder, 'cgroup.procs'), String(pid));
      } catch (error) {
        // A child may have ended since; the server itself has not.
        if (pid !== root) continue;
        this.#leave(error);
        return;
      }
    }
  }

  /** Milliseconds so far: only differences mean something. */
  cpuMs(): number {
    if (this.#folder === undefined) return this.#roots.reduce((sum, root) => sum + treeMs(root), 0);
    const text = readFileSync(join(this.#folder, 'cpu.stat'), 'utf8');
    return Number(/^usage_usec (\d+)/m.exec(text)?.[1] ?? Number.NaN) / 1_000;
  }

  /** The same, once the server has tidied up behind the last request. */
  async settledMs(): Promise<number> {
    let before = this.cpuMs();
    for (let step = 0; step < SETTLE_STEPS_MAX; step += 1) {
      await later(SETTLE_STEP_MS);
      const now = this.cpuMs();
      if (now - before < QUIET_MS) return now;
      before = now;
    }
    return before;
  }

  /** Milliseconds of processor time that `act` costs the server. */
  async cost(act: () => Promise<unknown>): Promise<number> {
    const before = await this.settledMs();
    await act();
    return (await this.settledMs()) - before;
  }

  /** Bytes that all its processes hold; shared pages in proportion. */
  bytes(): number {
    return this.#pids().reduce((sum, pid) => sum + residentBytes(pid), 0);
  }

  watchPeak(): { readonly stop: () => number } {
    let peak = this.bytes();
    const look = (): void => {
      peak = Math.max(peak, this.bytes());
    };
    const timer = setInterval(look, PEAK_EVERY_MS);
    return {
      stop() {
        clearInterval(timer);
        look();
        return peak;
      },
    };
  }

  /** Not a cgroup that processes may be moved to: the process tree tells. */
  #leave(error: unknown): void {
    process.stderr.write(`bench: no cgroup for ${this.#roots.join(', ')}: ${String(error)}\n`);
    if (this.#folder !== undefined) rmdirSync(this.#folder);
    this.#folder = undefined;
  }

  #pids(): readonly number[] {
    if (this.#folder === undefined) return this.#roots.flatMap((root) => processTree(root).map(({ pid }) => pid));
    return readFileSync(join(this.#folder, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  }

  /** The kernel lets go of a cgroup a moment after its last process. */
  async #remove(): Promise<void> {
    for (let step = 0; this.#folder !== undefined && step < SETTLE_STEPS_MAX; step += 1) {
      try {
        rmdirSync(this.#folder);
        this.#folder = undefined;
      } catch {
        await later(SETTLE_STEP_MS);
      }
    }
  }
}

/** Below the cgroup of this process; undefined where none can be made. */
function makeFolder(name: string): string | undefined {
  try {
    const mount = / (\/\S*) \S+ - cgroup2 /.exec(readFileSync('/proc/self/mountinfo', 'utf8'))?.[1];
    const own = /^0::(\S*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
    if (mount === undefined || own === undefined) return undefined;
    const folder = join(mount, own, name);
    mkdirSync(folder);
    readFileSync(join(folder, 'cpu.stat'), 'utf8');
    return folder;
  } catch {
    return undefined;
  }
}

/** Living processes, and the ended children that they waited for. */
function treeMs(root: number): number {
  return processTree(root).reduce((sum, { pid }) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return sum + fields.slice(11, 15).reduce((ticks, field) => ticks + Number(field), 0) * TICK_MS;
    } catch {
      return sum;
    }
  }, 0);
}
