/**
 * The step that runs the hooks of a site's repository as git would: pre-receive before anything is decided, post-receive
 * and post-update when all is done. Gitolite's own hooks are not among them: the gate does what they do.
 */
import { access, constants, realpath, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { Fault } from '../../base/fault.ts';
import type { Push, RefUpdate, Step, Verdict } from '../../receive/step.ts';
import { runProgram } from '../programs.ts';
import type { Env, Run } from '../run.ts';
import type { Runs } from '../runs.ts';
import type { GitConfigs } from './git-configs.ts';
import { hookRun, Voice } from './voice.ts';

export interface SiteHooksOptions {
  readonly runs: Pick<Runs, 'of'>;
  readonly configs: GitConfigs;
  /** What one hook may take. */
  readonly hookMs?: number;
}

const HOOK_MS = 30 * 60_000;
const DECLINED = 'pre-receive hook declined';

export function createSiteHooksStep(options: SiteHooksOptions): Step {
  const hooksOf = async (push: Push): Promise<Hooks | undefined> => {
    const run = push.repository.conf === undefined ? undefined : options.runs.of(push.requestId);
    return run && new Hooks(run, push, { ...options, folder: await folderOf(run, push, options.configs) });
  };
  return {
    name: 'gitolite-hooks',
    async before(push) {
      const hooks = await hooksOf(push);
      return (await hooks?.preReceive()) ?? [];
    },
    check: () => Promise.resolve([]),
    async done(push, updates) {
      const hooks = await hooksOf(push);
      await hooks?.afterwards(updates);
    },
  };
}

/** Where git looks for them, as the repository's configuration has it. */
async function folderOf(run: Run, { repository }: Push, configs: GitConfigs): Promise<string> {
  const config = await configs.of(run, repository.path);
  return config.get('core.hookspath') ?? 'hooks';
}

interface HooksOptions extends SiteHooksOptions {
  /** As git has it: relative to the repository. */
  readonly folder: string;
}

class Hooks {
  readonly #run: Run;
  readonly #push: Push;
  readonly #options: HooksOptions;

  constructor(run: Run, push: Push, options: HooksOptions) {
    this.#run = run;
    this.#push = push;
    this.#options = options;
  }

  /** Refuses all of the push or nothing. */
  async preReceive(): Promise<readonly Verdict[]> {
    const { updates, objectDirectory, signal } = this.#push;
    const env: Env = objectDirectory === undefined ? {} : { GIT_QUARANTINE_PATH: objectDirectory };
    const code = await this.#hook('pre-receive', { args: [], updates, signal, env });
    return code === 0 ? [] : updates.map(({ refname }) => ({ refname, reason: DECLINED }));
  }

  /** A client that is gone by now changes nothing: what is to follow a push follows it. */
  async afterwards(updates: readonly RefUpdate[]): Promise<void> {
    const { signal } = new AbortController();
    await this.#hook('post-receive', { args: [], updates, signal });
    await this.#hook('post-update', { args: updates.map(({ refname }) => refname), signal });
  }

  /** The exit code; 0 where there is no such hook. */
  async #hook(
    name: string,
    given: {
      readonly args: readonly string[];
      readonly updates?: readonly RefUpdate[];
      readonly signal: AbortSignal;
      readonly env?: Env;
    },
  ): Promise<number> {
    const { folder, configs, hookMs = HOOK_MS } = this.#options;
    // The name under which git calls it: hooks look at it.
    const file = `${folder}/${name}`;
    if (!(await this.#isSites(resolve(this.#push.repository.path, file)))) return 0;
    const voice = new Voice(this.#push);
    const run = hookRun(this.#run, this.#push, { voice, signal: given.signal });
    const { args, updates } = given;
    const input = updates?.map(({ refname, oldOid, newOid }) => `${oldOid} ${newOid} ${refname}\n`).join('');
    try {
      const path = `${await configs.programs(this.#run)}:${run.env['PATH'] ?? ''}`;
      const env = { ...given.env, ...(updates && optionsEnv(this.#push)), PATH: path };
      const { code } = await runProgram(run, {
        file,
        args,
        env,
        stdin: input === undefined ? 'none' : Buffer.from(input),
        timeoutMs: hookMs,
      });
      return code;
    } catch (error) {
      // `busy`: the program has ended, but there is no place for what comes then.
      if (!(error instanceof Fault) || error.code === 'aborted' || error.code === 'busy') throw error;
      const why = error.code === 'timeout' ? `took longer than ${hookMs / 1000} s` : 'cannot be run';
      voice.say(`error: ${name} hook ${why}\n`);
      return 1;
    } finally {
      voice.end();
    }
  }

  /** It can be run, and is none of gitolite's own. */
  async #isSites(path: string): Promise<boolean> {
    const { adminBase } = this.#run.rc;
    try {
      await access(path, constants.X_OK);
      if (!(await stat(path)).isFile()) return false;
      const real = await realpath(path);
      const own = ['hooks/common/update', 'hooks/gitolite-admin/post-update'].map((name) => join(adminBase, name));
      const isOwn = await Promise.all(own.map(async (hook) => (await realpath(hook).catch(() => hook)) === real));
      return !isOwn.includes(true) && basename(path) !== 'update';
    } catch {
      return false;
    }
  }
}

/** githooks(5): pre-receive and post-receive get push options as numbered variables, and git's own count of none, too. */
function optionsEnv({ options }: Push): Env {
  const numbered = options.map((option, index) => [`GIT_PUSH_OPTION_${index}`, option] as const);
  return { GIT_PUSH_OPTION_COUNT: String(options.length), ...Object.fromEntries(numbered) };
}
