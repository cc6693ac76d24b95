/**
 * An account that is a gitolite site, with our programs or the real gitolite's: a home directory, the `gitolite` command,
 * and git clients that come through `gitolite-shell` as any user, as sshd's forced command would let them.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cleanEnvironment, hasProgram, run, workspace, type Ended, type RunOptions, type Scope } from './workspace.ts';

const ROOT = join(import.meta.dirname, '..', '..');

/** Where `gitolite` and `gitolite-shell` lie. */
export interface Programs {
  readonly gitolite: string;
  readonly shell: string;
}

export const OWN_PROGRAMS: Programs = {
  gitolite: join(ROOT, 'bin', 'gitolite'),
  shell: join(ROOT, 'bin', 'gitolite-shell'),
};

/** The installed gitolite; undefined where there is none. */
export function realPrograms(): Programs | undefined {
  if (!hasProgram('gitolite')) return undefined;
  const found = spawnSync('gitolite', ['query-rc', '-n', 'GL_BINDIR'], { encoding: 'utf8' });
  return { gitolite: 'gitolite', shell: join(found.stdout, 'gitolite-shell') };
}

export class Account {
  readonly home: string;
  /** For work trees. */
  readonly work: string;
  readonly programs: Programs;
  readonly #bridge: string;

  constructor(scope: Scope, programs: Programs) {
    const directory = workspace(scope, 'gatehouse-account-');
    this.home = join(directory, 'home');
    this.work = join(directory, 'work');
    this.programs = programs;
    this.#bridge = join(directory, 'bridge');
    mkdirSync(this.home);
    mkdirSync(this.work);
    this.put(this.#bridge, BRIDGE);
    chmodSync(this.#bridge, 0o755);
  }

  get env(): NodeJS.ProcessEnv {
    return { ...cleanEnvironment(this.home), USER: 'hoster', LOGNAME: 'hoster' };
  }

  /** Writes a file, relative to the home directory, with the directories that it needs. */
  put(path: string, text: string): void {
    const full = join(path.startsWith('/') ? '' : this.home, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
  }

  /** The `gitolite` command, as the account itself. */
  gitolite(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    return run(this.programs.gitolite, args, { cwd: this.home, ...options, env: { ...this.env, ...options.env } });
  }

  /** What `ssh ACCOUNT COMMAND` does for `user`. */
  ssh(user: string, command: string, options: RunOptions = {}): Promise<Ended> {
    const env = { ...this.env, SSH_CONNECTION: CONNECTION, SSH_ORIGINAL_COMMAND: command, ...options.env };
    return run(this.programs.shell, [user], { cwd: this.home, ...options, env });
  }

  /** A git client of `user`, in `work` or `cwd`. `site:NAME` in its words is a repository of the account. */
  git(user: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
    const env = {
      ...this.env,
      SITE_USER: user,
      SITE_SHELL: this.programs.shell,
      GIT_SSH: this.#bridge,
      GIT_SSH_VARIANT: 'simple',
      ...options.env,
    };
    return run('git', args, { cwd: this.work, ...options, env });
  }
}

const CONNECTION = '192.0.2.7 40000 192.0.2.1 22';

/** Called as ssh is: host, command. */
const BRIDGE = `#!/bin/sh
shift
SSH_CONNECTION='${CONNECTION}' SSH_ORIGINAL_COMMAND="$*" exec "$SITE_SHELL" "$SITE_USER"
`;
