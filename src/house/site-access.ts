/** What the house's own commands may ask about a gitolite site: a repository, a user, and what there is. */
import { insaneRepository } from '../access/gitolite/words.ts';
import { printable } from '../access/problem.ts';
import { Fault } from '../base/fault.ts';
import type { CommandParts } from '../commands/parts.ts';
import { descriptionOf } from '../gitolite/description.ts';
import { isDiskName } from '../gitolite/disk.ts';
import type { Run } from '../gitolite/run.ts';
import { confOf } from '../gitolite/site-catalogue.ts';
import { anonymousUser } from '../gitolite/visits.ts';
import { REPOSITORY_WORD } from '../gitolite/words.ts';
import { ANONYMOUS } from '../identity/principal.ts';
import { ADMIN_REPOSITORY } from '../repository/lifecycle.ts';
import type { RepositoryName } from '../repository/name.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import type { SiteRoom } from './site-room.ts';

/** Users of the site write them: one line of that many characters is shown. */
const DESCRIPTION_LENGTH_MAX = 500;

export function siteAccessOf(room: SiteRoom): NonNullable<CommandParts['siteAccess']> {
  const { site, catalogue, users } = room;
  return {
    async facts(text, user) {
      const name = text.replace(/^\//, '').replace(/\.git$/, '');
      if (!REPOSITORY_WORD.test(name) || insaneRepository(name) !== undefined || name === ADMIN_REPOSITORY)
        return undefined;
      const rc = await site.rc({});
      const { policy } = await site.conf(rc);
      const found = await catalogue.find(name, rc);
      if (found !== undefined) return found;
      const conf = { creator: user, permissions: '', groups: [], roles: rc.roles };
      // Of the site's own alphabet, as was asked above.
      const phantom = { id: '', name: name as RepositoryName, owner: user, settings: {}, conf };
      return policy.governsRepository(phantom) ? phantom : undefined;
    },
    principal: async (user) => (user === 'anonymous' ? ANONYMOUS : users.current(users.principal(user))),
    list: (asked) => listSite(room, asked),
    async describer() {
      const run = await room.ownRun();
      return async (name) => printable(await descriptionIn(run, name)).slice(0, DESCRIPTION_LENGTH_MAX);
    },
  };
}

/** A file that is too large to be one shall not keep the others from being listed. */
async function descriptionIn(run: Run, name: string): Promise<string> {
  try {
    return Buffer.from(await descriptionOf(run, name), 'latin1').toString();
  } catch (error) {
    if (error instanceof Fault) return '';
    throw error;
  }
}

/** As the disk is at the beginning; what is removed meanwhile is left out. */
async function* listSite(
  { site }: SiteRoom,
  { principal, transport }: Parameters<NonNullable<CommandParts['siteAccess']>['list']>[0],
): AsyncGenerator<RepositoryFacts> {
  const rc = await site.rc({});
  // What is decided is decided by what is in force.
  await site.conf(rc);
  const outsider = principal.kind === 'anonymous' ? { anonymousUser: anonymousUser(rc, transport) } : {};
  for (const name of await site.physical(rc)) {
    if (!isDiskName(name) || name === ADMIN_REPOSITORY) continue;
    const there = await site.repository(rc, name);
    if (!there.exists) continue;
    const conf = { ...confOf(there), ...outsider };
    // Of the site's own alphabet, as was asked above. It is there, so it has an id; its own might have to be written first.
    yield { id: `site ${name}`, name: name as RepositoryName, owner: printable(there.creator), settings: {}, conf };
  }
}
