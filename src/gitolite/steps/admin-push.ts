/**
 * The step that puts a pushed gitolite-admin in force, as gitolite's own post-update hook does: checked out to the site's
 * directory, compiled, POST_COMPILE. A wrong conf is taken all the same and says FATAL to who pushed it, while the old one
 * stays in force; a site may have it refused instead.
 */
import { dirname, isAbsolute, normalize } from 'node:path/posix';
import { compileConf, type ConfSources } from '../../access/gitolite/compile-conf.ts';
import { CONF_ENTRY } from '../../access/gitolite/conf-lines.ts';
import { renderProblem } from '../../access/problem.ts';
import { BOUNDS } from '../../base/bounds.ts';
import { listTree, readBlob, type ObjectPlace } from '../../git/objects.ts';
import { isZeroOid, type Oid } from '../../git/oid.ts';
import type { GitProcesses } from '../../git/processes.ts';
import type { Repository } from '../../repository/repository.ts';
import type { Push, RefUpdate, Step, Verdict } from '../../receive/step.ts';
import { refusedName } from '../compile.ts';
import { confText, settingsOf } from '../conf-sources.ts';
import { runGitolite } from '../gitolite.ts';
import { ADMIN_REPOSITORY, GATE_NAMES } from '../hooks.ts';
import { runProgram } from '../programs.ts';
import type { Run } from '../run.ts';
import type { Runs } from '../runs.ts';
import { dies, fatalText } from '../words.ts';
import { hookRun, Voice } from './voice.ts';

/** The branch that is in force, whatever HEAD says. */
const BRANCH = 'refs/heads/master';

export interface AdminPushOptions {
  readonly runs: Pick<Runs, 'of'>;
  readonly processes: Pick<GitProcesses, 'start'>;
  /** What becomes of a conf that does not compile. */
  readonly brokenConf: 'accept' | 'refuse';
}

export function createAdminPushStep({ runs, processes, brokenConf }: AdminPushOptions): Step {
  return {
    name: 'gitolite-admin',
    async check(push) {
      const update = adminUpdate(push.repository, push.updates);
      const run = runs.of(push.requestId);
      if (update === undefined || run === undefined || brokenConf === 'accept') return [];
      return isZeroOid(update.newOid) ? [] : checkCandidate({ processes, run, push, update });
    },
    async committed(push, updates) {
      const run = runs.of(push.requestId);
      if (run === undefined || adminUpdate(push.repository, updates) === undefined) return;
      const voice = new Voice(push);
      // Its objects are in the repository by now.
      const installed = { ...push, objectDirectory: undefined };
      await putInForce(hookRun(run, installed, { voice, signal: run.signal }), push.repository.path);
      voice.end();
    },
    sharesTurn: (repository) => !isAdminRepository(repository),
  };
}

export function isAdminRepository({ name, conf }: Pick<Repository, 'name' | 'conf'>): boolean {
  return conf !== undefined && (name as string) === ADMIN_REPOSITORY;
}

function adminUpdate(repository: Repository, updates: readonly RefUpdate[]): RefUpdate | undefined {
  return isAdminRepository(repository) ? updates.find(({ refname }) => (refname as string) === BRANCH) : undefined;
}

/** What is at the branch becomes the site's files, and is compiled. Says what goes wrong; throws nothing of the site's. */
export async function putInForce(run: Run, gitDir: string): Promise<void> {
  try {
    const isHookChanged = await checkOut(run, gitDir);
    if ((await runGitolite(run, ['compile'])) !== 0) return;
    if (isHookChanged && (await runGitolite(run, ['setup', '--hooks-only'])) !== 0) return;
    const changed = run.site.unpublished;
    const publishing = changed === undefined ? run : { ...run, changed };
    if ((await runGitolite(publishing, ['trigger', 'POST_COMPILE'])) !== 0) return;
    if (changed !== undefined) run.site.published?.(changed);
  } catch (error) {
    run.signal.throwIfAborted();
    await run.warn(fatalText(error));
  }
}

type Ask = (args: readonly string[]) => Promise<string>;

/**
 * Whether common hooks below LOCAL_CODE changed with it.
 * @throws `dies` where it holds what the site keeps there itself, or links that show other files as its conf.
 */
async function checkOut(run: Run, gitDir: string): Promise<boolean> {
  const git = async (args: readonly string[], stdout: 'collect' | 'show' = 'collect'): Promise<string> => {
    const env = { GIT_DIR: gitDir, GIT_WORK_TREE: run.rc.adminBase };
    const ended = await runProgram(run, { file: 'git', args, env, cwd: run.rc.adminBase, stdout });
    if (ended.code !== 0) throw dies(`git ${args[0]} failed in ${run.rc.adminBase}`);
    return ended.stdout;
  };
  await assertHarmless(git);
  const isHookChanged = (await git(['diff', '--name-only', 'master'])).includes('/hooks/common/');
  await git(['checkout', '-f', '--quiet', 'master'], 'show');
  return isHookChanged;
}

/** Who pushes changes the site's files, and sees and changes no others: not all who may are administrators. */
async function assertHarmless(git: Ask): Promise<void> {
  const top = entriesOf(await git(['ls-tree', '-z', 'master']));
  const names = new Set(top.map(({ path }) => path));
  if (names.has('hooks') || names.has('logs')) throw dies("no files/dirs called 'hooks' or 'logs' are allowed");
  for (const name of GATE_NAMES) if (names.has(name)) throw dies(`no files/dirs called '${name}' are allowed`);
  for (const { path, mode } of top)
    if (mode === LINK_MODE && (path === 'conf' || path === 'keydir')) throw dies(`'${path}' is a symbolic link`);
  if (!names.has('conf')) return;
  for (const { path, mode, oid } of entriesOf(await git(['ls-tree', '-r', '-z', 'master', 'conf/']))) {
    if (mode !== LINK_MODE) continue;
    const target = await git(['cat-file', 'blob', oid]);
    const [first = ''] = normalize(`${dirname(path)}/${target}`).split('/');
    if (isAbsolute(target) || !names.has(first))
      throw dies(`'${path}' is a symbolic link to what is not in ${ADMIN_REPOSITORY}`);
  }
}

const LINK_MODE = '120000';

function entriesOf(listed: string): readonly { readonly mode: string; readonly oid: string; readonly path: string }[] {
  return listed.split('\0').flatMap((line) => {
    const [, mode = '', oid = '', path = ''] = /^(\d+) \w+ (\w+)\t(.+)$/s.exec(line) ?? [];
    return path === '' ? [] : [{ mode, oid, path }];
  });
}

interface Candidate {
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly run: Run;
  readonly push: Push;
  readonly update: RefUpdate;
}

async function checkCandidate({ processes, run, push, update }: Candidate): Promise<readonly Verdict[]> {
  const { repository, objectDirectory, requestId, signal } = push;
  const place = {
    processes,
    gitDir: repository.path,
    ...(objectDirectory === undefined ? {} : { objectDirectory }),
    requestId,
    signal,
  };
  const result = compileConf({
    ...(await readConf(place, update.newOid)),
    settings: settingsOf(run.rc),
    folder: 'conf/',
  });
  if (result.kind === 'ok') {
    const reason = refusedName(result.compiled);
    return reason === undefined ? [] : [{ refname: update.refname, reason }];
  }
  for (const problem of result.problems) push.tell(`FATAL: ${renderProblem(problem)}\n`);
  const [first] = result.problems;
  const reason = first === undefined ? 'the conf is wrong' : `${first.file}:${first.line}: ${first.message}`;
  return [{ refname: update.refname, reason }];
}

async function readConf(place: ObjectPlace, commit: Oid): Promise<Pick<ConfSources, 'files' | 'others'>> {
  const files = new Map<string, string>();
  const others = new Set<string>();
  let left = BOUNDS.policyBytesMax;
  for (const { path, oid, type, mode } of await listTree(place, commit, { recursive: true, prefix: 'conf/' })) {
    if (type !== 'blob' || mode === '120000') continue;
    const name = path.slice('conf/'.length);
    if (!name.endsWith('.conf')) {
      others.add(name);
      continue;
    }
    const bytes = await readBlob(place, oid, left);
    left -= bytes?.length ?? 0;
    files.set(name, bytes === undefined ? '' : confText(bytes));
  }
  if (!files.has(CONF_ENTRY)) throw dies(`a push to ${ADMIN_REPOSITORY} holds conf/${CONF_ENTRY}`);
  return { files, others };
}
