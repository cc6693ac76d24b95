/** Who answers here: the line that `info` and `help` open with, and the same as fields. Scripts look for `running gitolite`. */
import { hostname } from 'node:os';
import { VERSION } from '../base/version.ts';
import { GITOLITE_VERSION } from './commands/version.ts';
import { runProgram } from './programs.ts';
import { askerOf, type Run } from './run.ts';
import type { Site } from './site.ts';

export interface Greeting {
  /** Empty: nobody in particular. */
  readonly user: string;
  /** `git@host`. */
  readonly account: string;
  /** What we stand in for, and what we are. */
  readonly gitolite: string;
  readonly git: string;
}

/** `hello ada, this is git@host running gitolite3 ... on git ...`, and an empty line. */
export async function greeting(run: Run): Promise<string> {
  const { user, account, gitolite, git } = await greetingFields(run);
  const hello = user === '' ? 'hello' : `hello ${user}`;
  return `${hello}, this is ${account} running gitolite3 ${gitolite} on git ${git}\n\n`;
}

export async function greetingFields(run: Run): Promise<Greeting> {
  const account = run.env['USER'] || 'httpd';
  const host = hostname().replace(/\..*/, '');
  return {
    user: askerOf(run) ?? '',
    account: `${account}@${host}`,
    gitolite: `v${GITOLITE_VERSION} (gatehouse ${VERSION})`,
    git: await gitVersion(run),
  };
}

/** Asked once for each site: it is said at every greeting. */
const GIT_VERSIONS = new WeakMap<Site, string>();

async function gitVersion(run: Run): Promise<string> {
  const known = GIT_VERSIONS.get(run.site);
  if (known !== undefined) return known;
  const { stdout } = await runProgram(run, { file: 'git', args: ['--version'], stdout: 'collect' });
  const version = stdout.replace(/^git version /, '').trimEnd();
  GIT_VERSIONS.set(run.site, version);
  return version;
}
