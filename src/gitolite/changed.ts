/** Which repositories the steps behind a compile have to look at. */
import { ALL } from '../access/gitolite/words.ts';
import type { Run } from './run.ts';

/**
 * Those whose settings, or whose rules for one of `users`, may be others than before the compile, sorted, not all of them
 * there; undefined: any may be.
 */
export function changedOf({ changed }: Run, users: readonly string[]): readonly string[] | undefined {
  if (changed === undefined || changed.repositories === 'all') return undefined;
  const { users: moved } = changed;
  // What a repository's own permissions give to a group is not in the conf.
  if (users.length > 0 && (moved === 'all' || [...users, ALL].some((user) => moved.has(user)))) return undefined;
  return [...changed.repositories].sort();
}
