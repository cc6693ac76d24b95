/** How much memory a process and its helpers that serve (not the git it starts) hold, from /proc. */
import { readFileSync, readdirSync } from 'node:fs';

/**
 * Resident bytes of one process, pages that it shares with others counted in proportion (Pss): the node binary is
 * mapped by each of the gate's processes and lies in memory once. 0 where the process is gone.
 */
export function residentBytes(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

interface ProcessLine {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

function processes(): readonly ProcessLine[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        return [
          { pid: Number(name), parent, command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') },
        ];
      } catch {
        return []; // it ended while we read
      }
    });
}

/** Every process below `pid`, itself included. */
export function processTree(pid: number): readonly ProcessLine[] {
  const all = processes();
  const tree = all.filter((line) => line.pid === pid);
  for (let index = 0; index < tree.length; index += 1)
    tree.push(...all.filter((line) => line.parent === tree[index]?.pid));
  return tree;
}

/** The gate's own memory: its node processes, without git and what confines it. */
export function gateBytes(pid: number): number {
  return processTree(pid)
    .filter(({ command }) => /\bnode\b/.test(command.split(' ')[0] ?? ''))
    .reduce((sum, line) => sum + residentBytes(line.pid), 0);
}

/** Samples until stopped; gives the highest value seen. */
export function watchPeak(pid: number, everyMs = 100): { readonly stop: () => number } {
  let peak = gateBytes(pid);
  const timer = setInterval(() => {
    peak = Math.max(peak, gateBytes(pid));
  }, everyMs);
  return {
    stop() {
      clearInterval(timer);
      return Math.max(peak, gateBytes(pid));
    },
  };
}
