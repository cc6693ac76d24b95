/** `upstream`: a repository that copies another one, fetched before each request unless that was a moment ago. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BOUNDS } from '../../base/bounds.ts';
import { optionOf } from '../options.ts';
import { runProgram } from '../programs.ts';
import type { Run } from '../run.ts';
import { isAbsent } from '../small-file.ts';
import { ends } from '../words.ts';
import { repositoryPath } from '../disk.ts';
import type { BuiltInTrigger } from './trigger.ts';

const MINUTE_MS = 60_000;

export const UPSTREAM: BuiltInTrigger = {
  name: 'upstream',
  async run(run, { point, args }) {
    // Called by hand it is `upstream fetch REPO`, and being nice does not count.
    const [repository = ''] = point === undefined ? args.slice(1) : args;
    const url = await optionOf(run, repository, 'upstream.url');
    if (url === undefined || url === '') return;
    const path = repositoryPath(run.rc, repository);
    if (args[0] !== 'fetch' || point !== undefined) {
      const minutes = Number(await optionOf(run, repository, 'upstream.nice'));
      if (minutes > 0 && (await isFresh(run, path, minutes))) return;
    }
    const { code } = await runProgram(run, {
      file: 'git',
      args: ['fetch', '-q', '--end-of-options', url, '+refs/*:refs/*'],
      cwd: path,
      stdout: 'stderr',
      timeoutMs: BOUNDS.siteFetchMs,
    });
    if (code !== 0) throw ends(code);
  },
};

async function isFresh(run: Run, path: string, minutes: number): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(join(path, 'FETCH_HEAD'));
    return run.clock.now() - mtimeMs < minutes * MINUTE_MS;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}
