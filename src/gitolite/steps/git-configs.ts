/** The git configuration of a site's repositories, the account's own included, as git reads it; remembered by the files' stamps. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../programs.ts';
import type { Run } from '../run.ts';

/** Keys in lower case but for a middle part; the last value of each. */
export type GitConfig = ReadonlyMap<string, string>;

const KNOWN_MAX = 1_000;
const TIMEOUT_MS = 60_000;

export class GitConfigs {
  readonly #known = new Map<string, { readonly stamp: string; readonly config: GitConfig }>();
  #programs: Promise<string> | undefined;

  /** Where git's own programs lie: git puts it in front of the PATH of its hooks. */
  programs(run: Run): Promise<string> {
    this.#programs ??= runProgram(run, {
      file: 'git',
      args: ['--exec-path'],
      stdout: 'collect',
      timeoutMs: TIMEOUT_MS,
    }).then(({ stdout }) => stdout.trim());
    this.#programs.catch(() => {
      this.#programs = undefined;
    });
    return this.#programs;
  }

  async of(run: Run, gitDir: string): Promise<GitConfig> {
    const files = [
      join(gitDir, 'config'),
      ...['.gitconfig', '.config/git/config'].map((name) => join(run.rc.home, name)),
    ];
    const stamp = (await Promise.all(files.map(stampOf))).join(' ');
    const known = this.#known.get(gitDir);
    if (known?.stamp === stamp) return known.config;
    const config = await readConfig(run, gitDir);
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(gitDir, { stamp, config });
    return config;
  }
}

/** As git understands a switch: a key without value is on. */
export function isOn(config: GitConfig, key: string): boolean {
  return /^(?:true|yes|on|[1-9]\d*)?$/i.test(config.get(key) ?? 'false');
}

async function readConfig(run: Run, gitDir: string): Promise<GitConfig> {
  const args = [`--git-dir=${gitDir}`, 'config', '-z', '--get-regexp', '^(receive|transfer|core|fsck)\\.'];
  const { stdout } = await runProgram(run, { file: 'git', args, stdout: 'collect', timeoutMs: TIMEOUT_MS });
  const entries = stdout.split('\0').slice(0, -1);
  return new Map(
    entries.map((entry) => {
      const end = entry.indexOf('\n');
      return end === -1 ? [entry, ''] : [entry.slice(0, end), entry.slice(end + 1)];
    }),
  );
}

async function stampOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeMs } = await stat(path);
    return `${ino}:${size}:${mtimeMs}`;
  } catch {
    return '-';
  }
}
