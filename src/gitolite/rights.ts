/** What the user behind an invocation may do with a repository, as commands ask about it. */
import type { Attempt } from '../access/gitolite/conf-access.ts';
import { ask, assertSane, decided, siteUser } from './ask.ts';
import { isTrue, scalarOf } from './rc-value.ts';
import { askerOf, type Run } from './run.ts';
import type { SiteRepository } from './site.ts';
import { dies, fatalText } from './words.ts';

/** @throws `dies` where nobody in particular asks. */
export function assertAsker(run: Run): string {
  const user = askerOf(run);
  if (user === undefined) throw dies('GL_USER not set');
  return user;
}

/** The creator of the repository, and who has the site's owner role there. Nobody owns what does not exist. */
export async function owns(run: Run, name: string): Promise<boolean> {
  const user = assertAsker(run);
  assertSane(name);
  const repository = await run.site.repository(run.rc, name);
  if (!repository.exists) return false;
  return repository.creator === user || hasOwnerRole(run, user, repository);
}

async function hasOwnerRole(run: Run, user: string, repository: SiteRepository): Promise<boolean> {
  const role = run.rc.values['OWNER_ROLENAME'];
  if (!isTrue(role)) return false;
  const { compiled } = await run.site.conf(run.rc);
  const group = scalarOf(role).replace(/^@?/, '@');
  return compiled.index.userMemberships(await siteUser(run, user), repository).has(group);
}

/** @throws `dies` where gitolite would die of the question. */
export async function may(run: Run, name: string, attempt: Attempt, ref = 'any'): Promise<boolean> {
  const answer = await ask(run, { repository: name, user: assertAsker(run), attempt, ref });
  return decided(answer).kind === 'allowed';
}

/** As `may` and `owns`, where a question that gitolite would die of is answered with its complaint, and no. */
export async function quietly(run: Run, question: () => Promise<boolean>): Promise<boolean> {
  try {
    return await question();
  } catch (error) {
    run.signal.throwIfAborted();
    await run.warn(fatalText(error));
    return false;
  }
}

export function isAdministrator(run: Run): Promise<boolean> {
  return may(run, 'gitolite-admin', 'W');
}
