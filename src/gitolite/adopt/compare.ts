/**
 * Old against new: every question of `questions.ts`, config values and lists, put to the installed gitolite and to the
 * site as we read it. Nothing is changed and nothing is logged on either side.
 */
import type { Access } from '../../access/gitolite/conf-access.ts';
import { Stint } from '../../base/stint.ts';
import { askCommand } from '../ask.ts';
import { configOf } from '../options.ts';
import { withEnv, type Run } from '../run.ts';
import { compareLists } from './compare-lists.ts';
import { askOld, type OldGitolite } from './old-gitolite.ts';
import { questionsAbout, type Batch, type Pair, type QuestionBounds, type Universe } from './questions.ts';

export interface Difference {
  readonly what: 'access' | 'config' | 'list';
  /** As a command line that shows it: `gitolite access lab ann W refs/heads/main`. */
  readonly question: string;
  readonly old: string;
  readonly ours: string;
  /** `gitolite.conf:12`: the line that decided. */
  readonly oldPlace?: string;
  readonly oursPlace?: string;
}

export interface Comparison {
  readonly decisions: number;
  /** How many there would be without bounds. */
  readonly possible: number;
  readonly users: number;
  readonly repositories: number;
  readonly configs: number;
  readonly lists: number;
  readonly differences: readonly Difference[];
  /** With those that are not listed. */
  readonly differing: number;
}

export interface ComparisonOptions {
  readonly old: OldGitolite;
  readonly universe: Universe;
  readonly bounds: QuestionBounds;
  /** Called now and then with how far it is, 0 to 1. */
  readonly progress: (share: number) => void;
}

/** Listed with their places. */
const LISTED_MAX = 200;
/** How often the old one may die in a batch before the rest of it is left. */
const DEATHS_MAX = 20;
/** Old processes at once. */
const AT_ONCE = 2;

export class Differences {
  readonly listed: Difference[] = [];
  count = 0;

  add(difference: Difference): void {
    this.count += 1;
    if (this.listed.length < LISTED_MAX) this.listed.push(difference);
  }
}

export async function compareSites(run: Run, options: ComparisonOptions): Promise<Comparison> {
  const { old, universe, bounds, progress } = options;
  const questions = questionsAbout(universe, bounds);
  const differences = new Differences();
  const waiting = [...questions.batches];
  let done = 0;
  const work = async (): Promise<void> => {
    for (let batch = waiting.shift(); batch !== undefined; batch = waiting.shift()) {
      run.signal.throwIfAborted();
      await compareBatch(run, old, batch, differences);
      done += 1;
      progress(done / questions.batches.length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const configs = await compareConfigs(run, old, questions.repositories, differences);
  const lists = await compareLists(run, { old, universe, differences });
  return {
    decisions: questions.asked,
    possible: questions.possible,
    users: questions.users.length,
    repositories: questions.repositories.length,
    configs,
    lists,
    differences: await placed(run, old, differences.listed),
    differing: differences.count,
  };
}

/** Gitolite dies of a question that it does not like, and with it the rest of the batch, which is asked again. */
async function compareBatch(run: Run, old: OldGitolite, batch: Batch, differences: Differences): Promise<void> {
  const asking = batch.asker === undefined ? run : withEnv(run, { GL_USER: batch.asker });
  const stint = new Stint();
  for (let at = 0, deaths = 0; at < batch.pairs.length && deaths <= DEATHS_MAX; deaths += 1) {
    const pairs = batch.pairs.slice(at);
    const { stdout, stderr } = await askOld(run, old, {
      args: ['access', '%', '%', batch.attempt, batch.ref],
      stdin: pairs.map(({ repository, user }) => `${repository} ${user}\n`).join(''),
      ...(batch.asker === undefined ? {} : { asker: batch.asker }),
    });
    const lines = stdout.split('\n').slice(0, -1);
    for (const [index, pair] of pairs.slice(0, lines.length + 1).entries()) {
      const told = lines[index]?.split('\t').slice(2).join('\t');
      const ours = await oursTo(asking, pair, batch);
      // What both die of is the same, whatever they say.
      const isSame = told === undefined ? ours.kind === 'fatal' : ours.kind !== 'fatal' && ours.text === told;
      const question = commandOf(pair, batch);
      if (!isSame) differences.add({ what: 'access', question, old: told ?? deathIn(stderr), ours: textOf(ours) });
      if (stint.isOver) await stint.rest();
    }
    at += lines.length + 1;
  }
}

function oursTo(run: Run, { repository, user }: Pair, { attempt, ref }: Batch): Promise<Access> {
  return askCommand(run, { repository, user, attempt, ref });
}

function textOf(access: Access): string {
  return access.kind === 'fatal' ? `(died) ${access.text}` : access.text;
}

function deathIn(stderr: string): string {
  return `(died) ${/FATAL: (.*)/.exec(stderr)?.[1] ?? ''}`;
}

function commandOf({ repository, user }: Pair, { attempt, ref, asker }: Batch): string {
  const words = ['gitolite', 'access', repository, user, `'${attempt}'`, `'${ref}'`].join(' ');
  return asker === undefined ? words : `GL_USER=${asker} ${words}`;
}

async function compareConfigs(
  run: Run,
  old: OldGitolite,
  repositories: readonly string[],
  differences: Differences,
): Promise<number> {
  const { stdout } = await askOld(run, old, {
    args: ['git-config', '-r', '%', '.'],
    stdin: repositories.map((name) => `${name}\n`).join(''),
  });
  const told = new Map<string, Map<string, string>>();
  for (const line of stdout.split('\n').filter((one) => one !== '')) {
    const [name = '', key = '', ...value] = line.split('\t');
    const known = told.get(name) ?? new Map<string, string>();
    told.set(name, known.set(key, value.join('\t')));
  }
  let asked = 0;
  for (const name of repositories) {
    const theirs = told.get(name) ?? new Map<string, string>();
    const ours = await configOf(run, name);
    for (const key of new Set([...theirs.keys(), ...ours.keys()])) {
      asked += 1;
      const [before, after] = [theirs.get(key) ?? '(not set)', ours.get(key) ?? '(not set)'];
      if (before !== after)
        differences.add({ what: 'config', question: `gitolite git-config ${name} ${key}`, old: before, ours: after });
    }
  }
  return asked;
}

/** With the lines that decided, on both sides: `access -s` shows the old one's. */
async function placed(run: Run, old: OldGitolite, differences: readonly Difference[]): Promise<readonly Difference[]> {
  const found: Difference[] = [];
  for (const difference of differences) {
    const words =
      /^(?:GL_USER=(?<asker>\S+) )?gitolite access (?<repository>\S+) (?<user>\S+) '(?<attempt>[^']+)' '(?<ref>[^']+)'$/.exec(
        difference.question,
      )?.groups;
    if (difference.what !== 'access' || words === undefined) {
      found.push(difference);
      continue;
    }
    const { asker, repository = '', user = '', attempt = '', ref = '' } = words;
    const shown = await askOld(run, old, {
      args: ['access', '-s', repository, user, attempt, ref],
      ...(asker === undefined ? {} : { asker }),
    });
    const oldPlace = /^ {2}[DA] +(\S+?):(\d+)/m.exec(shown.stdout)?.slice(1).join(':');
    const asking = asker === undefined ? run : withEnv(run, { GL_USER: asker });
    const ours = await askCommand(asking, { repository, user, attempt: attempt as Batch['attempt'], ref });
    const rule = ours.kind === 'fatal' ? undefined : ours.rule;
    found.push({
      ...difference,
      ...(oldPlace === undefined ? {} : { oldPlace }),
      ...(rule === undefined ? {} : { oursPlace: `${rule.file}:${rule.line}` }),
    });
  }
  return found;
}
