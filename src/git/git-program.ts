/** Which git runs, and where its parts lie. */
import { execFile } from 'node:child_process';
import { access, constants, realpath } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { Fault } from '../base/fault.ts';

export interface GitProgram {
  readonly path: string;
  /** `2.39.5`. */
  readonly version: string;
  /** Where its own programs lie (`git --exec-path`). */
  readonly execPath: string;
}

const VERSION_MIN = [2, 36] as const;
const run = promisify(execFile);

/** The git at `path`, or the first on PATH. @throws Fault `missing` where there is none, or it is too old. */
export async function findGit(path?: string): Promise<GitProgram> {
  const found = path ?? (await searchGit());
  const options = { env: { LC_ALL: 'C' }, timeout: 10_000 };
  try {
    const { stdout: said } = await run(found, ['version'], options);
    const { stdout: execPath } = await run(found, ['--exec-path'], options);
    const version = /^git version (\d+\.\d+(?:\.\d+)*)/.exec(said)?.[1] ?? 'unknown';
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major < VERSION_MIN[0] || (major === VERSION_MIN[0] && minor < VERSION_MIN[1])) {
      throw new Fault('missing', 'git is too old', { context: { version, needed: VERSION_MIN.join('.') } });
    }
    return { path: found, version, execPath: execPath.trim() };
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault('missing', 'git does not run', { cause, context: { path: found } });
  }
}

async function searchGit(): Promise<string> {
  const directories = `${process.env['PATH'] ?? ''}${delimiter}/usr/local/bin${delimiter}/usr/bin`.split(delimiter);
  for (const directory of directories) {
    if (!isAbsolute(directory)) continue;
    const candidate = join(directory, 'git');
    try {
      await access(candidate, constants.X_OK);
      return await realpath(candidate);
    } catch {
      // Not here.
    }
  }
  throw new Fault('missing', 'git is not installed', { publicMessage: 'git is not installed' });
}
