/**
 * Repositories of a site may borrow objects of others (`objects/info/alternates`), which a confined git has to be shown.
 * The house's own never do.
 */
import { readFile } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import type { GitProcesses } from '../git/processes.ts';

/** git itself follows five levels. */
const DEPTH_MAX = 5;
const ALTERNATES_MAX = 64;

export function withAlternates(processes: GitProcesses): GitProcesses {
  return {
    async start(spec) {
      const { gitDir, readable = [] } = spec;
      const borrowed = gitDir === undefined ? [] : await alternatesOf(gitDir);
      return processes.start(borrowed.length === 0 ? spec : { ...spec, readable: [...readable, ...borrowed] });
    },
    get started() {
      return processes.started;
    },
    close: () => processes.close(),
  };
}

/** Object directories, absolute: those that it names, and those that these name. */
export async function alternatesOf(gitDir: string): Promise<readonly string[]> {
  const found = new Set<string>();
  let level: readonly string[] = [`${gitDir}/objects`];
  for (let depth = 0; depth < DEPTH_MAX && level.length > 0; depth += 1) {
    const next: string[] = [];
    for (const directory of level) {
      for (const path of await listedIn(directory)) {
        if (found.has(path) || found.size >= ALTERNATES_MAX) continue;
        found.add(path);
        next.push(path);
      }
    }
    level = next;
  }
  return [...found];
}

/** gitrepository-layout(5): a line each, relative ones to the object directory; a `#` makes a comment. */
async function listedIn(directory: string): Promise<readonly string[]> {
  let text: string;
  try {
    text = await readFile(`${directory}/info/alternates`, 'utf8');
  } catch {
    // Hardly any has it.
    return [];
  }
  const lines = text.split('\n').filter((line) => line !== '' && !/^[#"]/.test(line) && !line.includes('\0'));
  return lines.map((line) => (isAbsolute(line) ? line : resolve(directory, line)));
}
