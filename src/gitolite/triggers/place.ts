/** Where a repository that a trigger is told of lies. */
import { join } from 'node:path';
import type { Run } from '../run.ts';

export function repositoryPath({ rc }: Pick<Run, 'rc'>, name: string): string {
  return join(rc.repositoryBase, `${name}.git`);
}
