/** The lines of the site's log about refs that were updated: who pushed what. */
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { repositoryPath, statOf } from './disk.ts';
import type { Run } from './run.ts';

/** `update` lines held of one file. */
const LINES_MAX = 1_000_000;

export interface PushedLine {
  readonly text: string;
  /** As it is written there: a name, or the path of the repository. */
  readonly repository: string;
  readonly time: string;
  readonly transaction: string;
  readonly user: string;
  readonly ref: string;
  readonly oldOid: string;
  readonly newOid: string;
}

/** The site's log files, oldest first. */
export async function logFiles(run: Run): Promise<readonly string[]> {
  const folder = dirname(run.env['GL_LOGFILE'] ?? '');
  const names = (await readdir(folder).catch(() => [])).filter((name) => !name.startsWith('.'));
  return names.sort().map((name) => join(folder, name));
}

/** Updates of the repository, the latest first: from the repository's own log where it has one, else from the site's. */
export async function* updatesOf(run: Run, name: string): AsyncGenerator<PushedLine, void, undefined> {
  const path = repositoryPath(run.rc, name);
  const own = join(path, 'gl-log');
  const files = statOf(own)?.isFile() === true ? [own] : (await logFiles(run)).toReversed();
  for (const file of files) {
    const lines: PushedLine[] = [];
    for await (const line of updatesIn(file)) {
      if (line.repository !== name && line.repository !== path) continue;
      lines.push(line);
      if (lines.length > LINES_MAX) lines.shift();
    }
    yield* lines.reverse();
  }
}

export async function* updatesIn(file: string): AsyncGenerator<PushedLine, void, undefined> {
  if (statOf(file)?.isFile() !== true) return;
  const lines = createInterface({ input: createReadStream(file, { encoding: 'latin1' }), crlfDelay: Infinity });
  for await (const text of lines) {
    if (!text.includes('\tupdate\t')) continue;
    const [time = '', transaction = '', kind, repository = '', user = '', , ref = '', oldOid = '', newOid = ''] =
      text.split('\t');
    if (kind === 'update') yield { text, repository, time, transaction, user, ref, oldOid, newOid };
  }
}
