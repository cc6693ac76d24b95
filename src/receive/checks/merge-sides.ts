/**
 * What a merge does by taking a side: a file that is as one parent has it was changed on that parent's line, or else the
 * merge threw away what another line did to it (`git merge -s ours`, an old version put back), which no other commit tells of.
 */
import { BOUNDS } from '../../base/bounds.ts';
import { Fault } from '../../base/fault.ts';
import { specOf, type ObjectPlace } from '../../git/objects.ts';
import type { Oid } from '../../git/oid.ts';
import { assertOwnEnd, runGit } from '../../git/run.ts';
import { fieldsIn } from './raw-fields.ts';

/** Beyond that, every file that differs from some parent counts as the merge's own. */
const PARENTS_MAX = 8;

export interface MergeSides {
  readonly commit: Oid;
  readonly parents: readonly string[];
  /** Files that differ from some parent and not from all. */
  readonly paths: ReadonlySet<string>;
}

/** Those of `paths` that the merge itself changed. A few processes for each merge. @throws Fault `process`, `timeout`, `aborted`. */
export async function changedByMerge(place: ObjectPlace, merge: MergeSides): Promise<ReadonlySet<string>> {
  const { commit, parents, paths } = merge;
  if (parents.length > PARENTS_MAX) return paths;
  const own = new Set<string>();
  const differing = new Map<string, ReadonlySet<string>>();
  for (const parent of parents) differing.set(parent, await differences(place, [parent, commit], paths));
  for (const taken of parents) {
    for (const left of parents) {
      const asked = [...(differing.get(left) ?? [])].filter((path) => differing.get(taken)?.has(path) === false);
      if (asked.length === 0) continue;
      // Where it is as it was before the lines parted, the line that it was taken from did nothing to it.
      for (const base of await mergeBases(place, taken, left)) {
        const since = await differences(place, [base, commit], new Set(asked));
        for (const path of asked) if (!since.has(path)) own.add(path);
      }
    }
  }
  return own;
}

async function mergeBases(place: ObjectPlace, one: string, other: string): Promise<readonly string[]> {
  const spec = specOf(place, { subcommand: 'merge-base', options: ['--all'], operands: [one, other] });
  const { code, stdout, stderr } = await runGit(place.processes, spec);
  // 1: histories that have nothing in common.
  if (code === 0 || code === 1) return stdout.toString('latin1').split('\n').filter(Boolean);
  throw new Fault('process', 'git failed', { context: { subcommand: 'merge-base', code, stderr } });
}

/** Of `paths`, those in which two commits differ. */
async function differences(
  place: ObjectPlace,
  commits: readonly [string, string],
  paths: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const options = ['-r', '-z', '--name-only', '--no-renames'];
  const question = { subcommand: 'diff-tree', options, operands: commits } as const;
  const spec = { ...specOf(place, question), deadlineMs: BOUNDS.checkMs };
  await using git = await place.processes.start(spec);
  git.stdin.end();
  const found = new Set<string>();
  for await (const path of fieldsIn(git.stdout)) if (paths.has(path)) found.add(path);
  const exit = await git.exit;
  assertOwnEnd(exit, spec);
  if (exit.code !== 0) throw new Fault('process', 'git failed', { context: { code: exit.code, stderr: exit.stderr } });
  return found;
}
