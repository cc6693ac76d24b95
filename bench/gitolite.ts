/**
 * A site with many repositories, ours next to the real gitolite in one run, taking turns: the first push of its conf, a
 * push of one changed line, and decisions. Real gitolite makes some thirty repositories a second.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Attempt } from '../src/access/gitolite/conf-access.ts';
import { putInForce } from '../src/gitolite/steps/admin-push.ts';
import { Chance } from '../test/compare/random.ts';
import { newGround, type Ground } from '../test/gitolite/ground.ts';
import { type AnyProgram, readFlags } from '../test/support/flags.ts';
import { confText, repositoryName, userName, type ConfSize } from './gitolite-conf.ts';
import { lineOf, skipped, summaryOf, timed, type Summary } from './measure.ts';
import { removeMany } from './remove.ts';

const DECISIONS = 1_000_000;
/** Real gitolite is asked for so many at once, which is the fastest it can be asked. */
const THEIR_DECISIONS = 2_000;
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

const ATTEMPTS: readonly [Attempt, ...Attempt[]] = ['R', 'R', 'W', 'W', '+', 'C', 'D'];
const REFS = ['refs/heads/master', 'refs/heads/dev/user5/x', 'refs/tags/v1.0', 'refs/heads/topic'] as const;

interface Side {
  readonly home: string;
  readonly env: Readonly<Record<string, string>>;
  /** What happens once a push to gitolite-admin is received. */
  takeEffect(): Promise<void>;
}

interface Plan extends ConfSize {
  readonly rounds: number;
}

const PROGRAM = {
  call: 'npm run bench -- gitolite',
  about: 'A site with many repositories beside the real gitolite: first push of its conf, one changed line, decisions.',
  flags: {
    repositories: { kind: 'count', about: 'of the site; default 10000, with --quick 200', least: 1 },
    users: { kind: 'count', about: 'of the site; default 1000, with --quick 100', least: 1 },
    rounds: { kind: 'count', about: 'of changed lines and decisions', default: 5, least: 1 },
    quick: { kind: 'switch', about: 'a small site' },
    json: { kind: 'switch', about: 'one line of JSON' },
  },
  examples: ['--quick', '--repositories 2000 --rounds 3 --json'],
} satisfies AnyProgram;

/** Resolves with the exit code. */
export async function benchGitolite(args: readonly string[]): Promise<number> {
  const flags = readFlags(PROGRAM, args);
  if (flags.kind === 'end') return flags.code;
  const { values } = flags;
  const plan: Plan = {
    repositories: values.repositories ?? (values.quick ? 200 : 10_000),
    users: values.users ?? (values.quick ? 100 : 1_000),
    rounds: values.rounds,
  };
  const { error } = spawnSync('gitolite', ['version'], { stdio: 'ignore' });
  if (error !== undefined) return skipped('gitolite', 'the real gitolite is not installed', values.json);
  await using ground = await newGround();
  await using stack = new AsyncDisposableStack();
  stack.defer(() => removeMany(join(ground.home, 'repositories')));
  await using real = realSide();
  const summaries = await compare(plan, ground, real);
  const decisions = await ourDecisions(plan, ground);
  if (values.json) process.stdout.write(`${JSON.stringify({ bench: 'gitolite', ...plan, summaries, ...decisions })}\n`);
  else {
    process.stdout.write(`${plan.repositories} repositories, ${plan.users} users, ${plan.rounds} rounds\n`);
    for (const summary of summaries) process.stdout.write(lineOf(summary));
    const [first, second, processorSecond] = [
      decisions.firstDecisionsPerSecond,
      decisions.decisionsPerSecond,
      decisions.decisionsPerProcessorSecond,
    ].map((count) => (count / 1e6).toPrecision(3));
    process.stdout.write(
      `decisions in-process: ${second} million a second (${processorSecond} of processor time), the first ones ${first}\n`,
    );
  }
  return 0;
}

async function compare(plan: Plan, ground: Ground, real: Side): Promise<readonly Summary[]> {
  const ours = await ourSide(ground);
  const push = async (side: Side, text: string): Promise<number> => {
    commitConf(side, text);
    return timed(() => side.takeEffect());
  };
  const first = {
    what: 'first push of the conf',
    ours: [await push(ours, confText(plan))],
    theirs: [await push(real, confText(plan))],
  };
  const again = { what: 'push of one changed line', ours: new Array<number>(), theirs: new Array<number>() };
  for (let round = 0; round < plan.rounds; round += 1) {
    const text = confText(plan, { index: (round * 31) % plan.repositories, line: `RW+ = ${userName(round)}` });
    again.ours.push(await push(ours, text));
    again.theirs.push(await push(real, text));
  }
  const decision = { what: 'one decision', ours: new Array<number>(), theirs: new Array<number>() };
  for (let round = 0; round < plan.rounds; round += 1) {
    decision.ours.push(1_000 / (await ourDecisions(plan, ground)).decisionsPerSecond);
    decision.theirs.push(theirDecision(plan, real));
  }
  return [first, again, decision].map(summaryOf);
}

async function ourSide(ground: Ground): Promise<Side> {
  const made = await ground.gitolite(['setup', '-a', 'admin']);
  if (made.code !== 0) throw new Error(`setup: ${made.stderr}`);
  allowConfig(ground.home);
  const path = join(ground.home, 'repositories/gitolite-admin.git');
  return {
    home: ground.home,
    env: ground.env,
    async takeEffect() {
      const { run, stderr } = await ground.newRun();
      await putInForce(run, path);
      if (stderr().includes('FATAL')) throw new Error(stderr());
    },
  };
}

function realSide(): Side & AsyncDisposable {
  const home = mkdtempSync(join(tmpdir(), 'bench-gitolite-'));
  const env: Record<string, string> = {
    HOME: home,
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    LC_ALL: 'C',
    USER: 'git',
    LOGNAME: 'git',
    GIT_CONFIG_NOSYSTEM: '1',
  };
  const made = call({ env, cwd: home }, 'gitolite', ['setup', '-a', 'admin']);
  if (!/Initialized/.test(made.stderr)) throw new Error(`gitolite setup: ${made.stderr}`);
  allowConfig(home);
  const setting = (name: string): string => call({ env, cwd: home }, 'gitolite', ['query-rc', name]).stdout.trim();
  const hookEnv = { ...env, GIT_DIR: '.', GL_BINDIR: setting('GL_BINDIR'), GL_LIBDIR: setting('GL_LIBDIR') };
  const repository = join(home, 'repositories/gitolite-admin.git');
  return {
    home,
    env,
    takeEffect() {
      const hook = join(repository, 'hooks/post-update');
      const { stderr } = call({ env: hookEnv, cwd: repository }, hook, ['refs/heads/master']);
      if (/FATAL|line \d/.test(stderr)) throw new Error(stderr);
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => removeMany(home),
  };
}

/** Git configuration may be set by the conf. */
function allowConfig(home: string): void {
  const path = join(home, '.gitolite.rc');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace(/(GIT_CONFIG_KEYS\s*=>\s*)''/, "$1'.*'"));
}

/** What a push would leave: the conf in a new commit on master. Not timed. */
function commitConf({ home, env }: Side, text: string): void {
  const cwd = join(home, 'repositories/gitolite-admin.git');
  const index = join(home, 'bench-index');
  const git = (args: readonly string[], input = ''): string =>
    call({ env: { ...env, ...AUTHOR, GIT_DIR: cwd, GIT_INDEX_FILE: index }, cwd }, 'git', args, input).stdout.trim();
  git(['read-tree', 'master']);
  const blob = git(['hash-object', '-w', '--stdin'], text);
  git(['update-index', '--add', '--cacheinfo', `100644,${blob},conf/gitolite.conf`]);
  const commit = git(['commit-tree', git(['write-tree']), '-p', 'master', '-m', 'conf']);
  git(['update-ref', 'refs/heads/master', commit]);
}

const AUTHOR = {
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@example.org',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@example.org',
};

interface OurDecisions {
  /** Of the first 100,000 after a compile. */
  readonly firstDecisionsPerSecond: number;
  readonly decisionsPerSecond: number;
  readonly decisionsPerProcessorSecond: number;
}

/** Decisions a second: random user, repository, attempt and ref; half of the users are ones that the repository's rules name. */
async function ourDecisions({ repositories, users }: ConfSize, ground: Ground): Promise<OurDecisions> {
  const { run } = await ground.newRun();
  const { access } = (await ground.site.conf(run.rc)).compiled;
  const chance = new Chance(1);
  const asked = Array.from({ length: 100_000 }, () => {
    const index = chance.int(repositories);
    const attempt = chance.one(ATTEMPTS);
    return {
      repository: { name: repositoryName(index), exists: true, creator: '', permissions: '' },
      user: { name: userName(chance.is(50) ? index % users : chance.int(users)) },
      attempt,
      ref: attempt === 'R' ? 'any' : chance.one(REFS),
    };
  });
  let allowed = 0;
  const ask = (): void => {
    for (const question of asked) if (access.access(question).kind === 'allowed') allowed += 1;
  };
  // What applies to a user and to a repository is remembered when it is first asked for.
  const firstMs = await timed(ask);
  const before = process.cpuUsage();
  const ms = await timed(() => {
    for (let i = 0; i < DECISIONS; i += asked.length) ask();
  });
  if (allowed === 0) throw new Error('nothing was allowed');
  // What others do on the same machine counts less there.
  const { user, system } = process.cpuUsage(before);
  return {
    firstDecisionsPerSecond: (1e3 * asked.length) / firstMs,
    decisionsPerSecond: (1e3 * DECISIONS) / ms,
    decisionsPerProcessorSecond: (1e6 * DECISIONS) / (user + system),
  };
}

/** Milliseconds for one out of many that are asked for at once. */
function theirDecision({ repositories, users }: ConfSize, { env, home }: Side): number {
  const chance = new Chance(2);
  const lines = Array.from(
    { length: THEIR_DECISIONS },
    () => `${repositoryName(chance.int(repositories))} ${userName(chance.int(users))}\n`,
  );
  const start = performance.now();
  call({ env, cwd: home }, 'gitolite', ['access', '%', '%', 'W', 'refs/heads/master'], lines.join(''));
  return (performance.now() - start) / THEIR_DECISIONS;
}

function call(
  options: { readonly env: Readonly<Record<string, string>>; readonly cwd: string },
  program: string,
  args: readonly string[],
  input = '',
): { readonly stdout: string; readonly stderr: string } {
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    ...options,
    input,
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (error !== undefined) throw error;
  if (status !== 0 && program === 'git') throw new Error(`git ${args.join(' ')}: ${stderr}`);
  return { stdout, stderr };
}
