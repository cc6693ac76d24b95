/**
 * Some configuration of a repository names programs under keys that no fixed override can reach (`filter.<any>.smudge`).
 * Where a subcommand would obey it, a repository that has any is refused: the gate writes none, an adopted one may have.
 */
import { readFileSync } from 'node:fs';
import { Fault } from '../base/fault.ts';
import type { GitSpec, Subcommand } from './processes.ts';

/** Sections whose keys name programs, and inclusions, which could bring such a section. */
const PROGRAM_SECTION = /^[\t ]*\[[\t ]*(?:filter|tar|include|includeif)\b/im;
/** git 2.42 and later run it for each `gc` and `repack`. */
const PROGRAM_KEY = /^[\t ]*(?:\[[^\]]*\][\t ]*)?recentobjectshook\b/im;

const OBEYS: ReadonlySet<Subcommand> = new Set(['upload-archive', 'gc', 'repack', 'prune']);

/** @throws Fault `corrupt` where the repository's own configuration could make this subcommand run a program. */
export function assertHarmlessConfig({ subcommand, gitDir }: GitSpec): void {
  if (gitDir === undefined || !OBEYS.has(subcommand)) return;
  for (const name of ['config', 'config.worktree']) {
    const text = readConfig(`${gitDir}/${name}`);
    if (!PROGRAM_SECTION.test(text) && !PROGRAM_KEY.test(text)) continue;
    const publicMessage = 'the configuration of this repository names programs, which this server does not run';
    throw new Fault('corrupt', 'repository configuration names programs', { context: { gitDir, name }, publicMessage });
  }
}

function readConfig(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Not there, or not readable: git will say what it thinks of that.
    return '';
  }
}
