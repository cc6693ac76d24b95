/** A question to the site's conf about a repository as it lies on disk: gitolite's `access`. */
import { Meter } from '../access/meter.ts';
import type { Access, Attempt } from '../access/gitolite/conf-access.ts';
import type { ConfUser } from '../access/gitolite/rule-index.ts';
import { insaneRepository, isUserWord } from '../access/gitolite/words.ts';
import { glWarn } from './gl-log.ts';
import { runProgram } from './programs.ts';
import { wordsOf } from './rc-value.ts';
import { askerOf, type Run } from './run.ts';
import type { SiteRepository } from './site.ts';
import { dies } from './words.ts';

export interface SiteQuestion {
  readonly repository: string;
  readonly user: string;
  readonly attempt: Attempt;
  /** Full, `VREF/...`, or `any`. */
  readonly ref: string;
}

export async function ask(run: Run, question: SiteQuestion): Promise<Access> {
  const { compiled } = await run.site.conf(run.rc);
  return answer(run, question, (asked) => compiled.access.access(asked));
}

/** As the command `access` asks: branches by their short names, C, D and M only where the repository is strict about them. */
export async function askCommand(run: Run, question: SiteQuestion): Promise<Access> {
  const { compiled } = await run.site.conf(run.rc);
  return answer(run, question, (asked) => compiled.access.accessCommand(asked));
}

/** Where it is allowed; a question that gitolite would die of is none. @throws `dies` */
export async function isAllowed(run: Run, question: SiteQuestion): Promise<boolean> {
  return decided(await ask(run, question)).kind === 'allowed';
}

export type Decided = Exclude<Access, { readonly kind: 'fatal' }>;

/** @throws `dies` where gitolite would die of the question. */
export function decided(access: Access): Decided {
  if (access.kind === 'fatal') throw dies(access.text);
  return access;
}

/** As it lies on disk; one that is not there is asked about as if the asker made it. */
export async function repositoryOf(run: Run, name: string): Promise<SiteRepository> {
  const repository = await run.site.repository(run.rc, name);
  return repository.exists ? repository : { ...repository, creator: askerOf(run) ?? '' };
}

/** With the groups that the site's own program knows. */
export async function siteUser(run: Run, name: string): Promise<ConfUser> {
  return { name, outerGroups: await outerGroupsOf(run, name) };
}

/** @throws `dies` where the name is none. */
export function assertSane(name: string): void {
  const insane = insaneRepository(name);
  if (insane !== undefined) throw dies(insane);
}

type AskedQuestion = Omit<SiteQuestion, 'repository' | 'user'> & {
  readonly repository: SiteRepository;
  readonly user: ConfUser;
};

async function answer(run: Run, question: SiteQuestion, put: (asked: AskedQuestion) => Access): Promise<Access> {
  const repository = await repositoryOf(run, question.repository);
  if (repository.exists && !repository.isHooked) {
    const text = `${question.attempt} any ${repository.name} ${question.user} DENIED by fallthru`;
    return { kind: 'denied', text, by: 'fallthru', steps: [] };
  }
  await warnOfPermissions(run, repository);
  return put({ ...question, repository, user: await siteUser(run, question.user) });
}

/** Lines of the permissions that give nothing are said to do so each time, as gitolite has it. */
export async function warnOfPermissions(run: Run, { permissions }: Pick<SiteRepository, 'permissions'>): Promise<void> {
  if (permissions === '') return;
  for (const warning of permissionWarnings(permissions, run.rc.roles)) await glWarn(run, warning);
}

/** The first of them: who owns a repository writes the lines, and everybody who comes near it pays for what is said. */
export function permissionWarnings(permissions: string, roles: ReadonlySet<string>): readonly string[] {
  const warnings: string[] = [];
  for (const line of permissions.split('\n')) {
    if (warnings.length >= WARNINGS_MAX) break;
    warnings.push(...warningsOf(line, roles).slice(0, WARNINGS_MAX - warnings.length));
  }
  return warnings;
}

const WARNINGS_MAX = 20;

function warningsOf(line: string, roles: ReadonlySet<string>): readonly string[] {
  const text = line.replace(/^\s+/, '').replace('=', ' ').replace(/^@/, '');
  if (text.startsWith('#')) return [];
  const [role, ...members] = wordsOf(text);
  if (role === undefined) return [];
  if (role !== 'CREATOR' && !roles.has(role)) return [`role '${role}' not allowed, ignoring`];
  return members.filter((member) => !isUserWord(member)).map((member) => `ignoring '${member}' in perms line`);
}

/** For one invocation, as gitolite remembers them. */
const outerGroups = new WeakMap<AbortSignal, Map<string, readonly string[]>>();

async function outerGroupsOf(run: Run, user: string): Promise<readonly string[]> {
  const program = run.rc.groupListProgram;
  if (program === undefined || !isUserWord(user)) return [];
  const known = outerGroups.get(run.signal) ?? new Map<string, readonly string[]>();
  outerGroups.set(run.signal, known);
  const remembered = known.get(user);
  if (remembered !== undefined) return remembered;
  // The setting is a shell's command line; the name is handed over as a word, never as part of it.
  const args = ['-c', `${program} "$1"`, 'sh', user];
  const { stdout } = await runProgram(run, { file: '/bin/sh', args, stdout: 'collect' });
  const groups = wordsOf(stdout).map((group) => group.replace(/^@?/, '@'));
  known.set(user, groups);
  return groups;
}

/** Everything the repository counts as behind `repo`. */
export async function repositoryMemberships(run: Run, repository: SiteRepository): Promise<ReadonlySet<string>> {
  const { compiled } = await run.site.conf(run.rc);
  return compiled.index.repositoryMemberships(repository, new Meter());
}
