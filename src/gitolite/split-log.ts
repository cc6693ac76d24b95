/** Makes each repository's own log of updates from the site's log files: once, when a site begins to keep such logs. */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryPath, statOf } from './disk.ts';
import { logFiles, updatesIn } from './pushed-log.ts';
import type { Run } from './run.ts';
import { writeSiteFile } from './site-file.ts';

const FILE = 'gl-log';
/** Lines, and repositories, whose lines are held before they are written. */
const HELD_LINES_MAX = 10_000;
const HELD_REPOSITORIES_MAX = 100;

/** The exit code. @param isForced logs that are there are written anew. */
export async function splitLog(run: Run, isForced: boolean): Promise<number> {
  const names = await run.site.physical(run.rc, { anew: true });
  const logOf = (name: string): string => join(repositoryPath(run.rc, name), FILE);
  const count = names.filter((name) => statOf(logOf(name)) !== undefined).length;
  if (count > 0 && !isForced) {
    await run.warn(`${count} repo(s) already have gl-log files.  To confirm overwriting, please re-run as:\n`);
    await run.warn('\tgitolite who-pushed --migrate --force\n');
    return 1;
  }
  for (const name of names) await writeSiteFile(run, logOf(name), { data: '' });
  const known = new Set(names);
  const held = new Map<string, string[]>();
  let lines = 0;
  const flush = async (): Promise<void> => {
    for (const [name, texts] of held) await appendFile(logOf(name), texts.join(''), 'latin1');
    await run.warn(`flushed ${lines} lines to ${held.size} repos...\n`);
    held.clear();
    lines = 0;
  };
  for (const file of await logFiles(run)) {
    for await (const { text, repository } of updatesIn(file)) {
      const name = nameOf(run, repository);
      if (!known.has(name)) continue;
      const texts = held.get(name);
      if (texts === undefined) held.set(name, [`${text}\n`]);
      else texts.push(`${text}\n`);
      lines += 1;
      if (lines >= HELD_LINES_MAX || held.size >= HELD_REPOSITORIES_MAX) await flush();
    }
    await run.warn(`processed '${file}'\n`);
  }
  await flush();
  return 0;
}

function nameOf(run: Run, repository: string): string {
  const base = `${run.rc.repositoryBase}/`;
  return repository.startsWith(base) ? repository.slice(base.length).replace(/\.git$/, '') : repository;
}
