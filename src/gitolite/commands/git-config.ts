/** `gitolite git-config`: what the conf sets for a repository. */
import { configMatching, configOf } from '../options.ts';
import { getOptions } from '../getopt.ts';
import { inputLines } from '../input.ts';
import type { Run } from '../run.ts';
import { dies } from '../words.ts';
import { BATCH_BYTES_MAX, batchWords, Pages } from './batch.ts';
import type { SiteCommand } from './command.ts';

const USAGE = `Usage:  gitolite git-config [-n] [-q] [-r] [-ev] REPOSITORY KEY

What the conf sets for a repository, by 'config' and 'option' lines.

    -r      KEY is a pattern, which matches anywhere in a key; each line is then REPOSITORY<tab>KEY<tab>VALUE
    -q      only the exit code: 0 where something is set
    -n      no line end behind the value
    -ev     keys with an empty value, too

With % for REPOSITORY or KEY, what stands for it is read from standard input, a line each.
`;

export const gitConfig: SiteCommand = {
  name: 'git-config',
  summary: 'show what the conf sets for a repository',
  usage: USAGE,
  async run(run, args) {
    const given = await getOptions(run, args, [
      { names: ['n'] },
      { names: ['q'] },
      { names: ['r'] },
      { names: ['h'] },
      { names: ['ev'] },
    ]);
    const [repository = '', key = ''] = given?.operands ?? [];
    if (given === undefined || given.options.has('h') || key === '' || key === '0') {
      await run.print(USAGE);
      return 1;
    }
    const { options } = given;
    const how: How = { isPattern: options.has('r'), isEmptyToo: options.has('ev') };
    if (repository === '%' || key === '%') {
      if (options.has('q')) throw dies("'-q' doesn't go with using a pipe");
      return batch(run, { repository, key }, how);
    }
    const found = await valuesOf(run, { repository, key }, how);
    if (found.size === 0) return 1;
    if (options.has('q')) return 0;
    if (how.isPattern) await run.print(linesOf(repository, found));
    else for (const value of found.values()) await run.print(value + (options.has('n') ? '' : '\n'));
    return 0;
  },
};

interface How {
  readonly isPattern: boolean;
  readonly isEmptyToo: boolean;
}

interface Asked {
  readonly repository: string;
  readonly key: string;
}

async function batch(run: Run, { repository, key }: Asked, how: How): Promise<number> {
  const pages = new Pages(run);
  for await (const line of inputLines(run, BATCH_BYTES_MAX)) {
    const words = batchWords(line);
    const asked = {
      repository: repository === '%' ? (words.shift() ?? '') : repository,
      key: key === '%' ? (words.shift() ?? '') : key,
    };
    await pages.during(async () => linesOf(asked.repository, await valuesOf(run, asked, how)));
  }
  await pages.flush();
  return 0;
}

async function valuesOf(run: Run, { repository, key }: Asked, how: How): Promise<ReadonlyMap<string, string>> {
  if (how.isPattern) return configMatching(run, { name: repository, pattern: key, isEmptyToo: how.isEmptyToo });
  const value = (await configOf(run, repository, how)).get(key);
  return value === undefined ? new Map() : new Map([[key, value]]);
}

function linesOf(repository: string, found: ReadonlyMap<string, string>): string {
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${repository}\t${key}\t${value}\n`)
    .join('');
}
