/** Where the house and its gitolite site meet: one directory, one login, one command line, one list to recover. */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { CommandParts } from '../commands/parts.ts';
import { runGitolite } from '../gitolite/gitolite.ts';
import type { SiteCatalogue } from '../gitolite/site-catalogue.ts';
import { fingerprintOfBlob } from '../gitolite/site-keys.ts';
import { isSiteUser } from '../gitolite/site-users.ts';
import type { Directory } from '../identity/directory.ts';
import type { Principal } from '../identity/principal.ts';
import type { RepositorySource } from '../receive/recovery.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { DoorWalk } from '../transport/door.ts';
import { runSiteShell } from '../transport/site-shell.ts';
import type { SiteLine } from '../transport/ssh-exec.ts';
import { houseEnv, type SiteRoom } from './site-room.ts';

/** Who is who: users of the conf as well. */
export function composeDirectory(house: Directory, { users }: SiteRoom): Pick<Directory, 'current'> {
  return { current: (principal) => (isSiteUser(principal) ? users.current(principal) : house.current(principal)) };
}

/** Who logs in with a key at the house's own SSH door: whoever the keydir says, else a user of the house. */
export function composeLogin(
  house: Pick<Directory, 'isKnownKey' | 'byKey'>,
  { keys, users }: Pick<SiteRoom, 'keys' | 'users'>,
): SshLogin {
  return {
    isKnownKey: async (blob) => (await keys.holder(fingerprintOfBlob(blob))) !== undefined || house.isKnownKey(blob),
    async byKey(blob) {
      const fingerprint = fingerprintOfBlob(blob);
      const held = await keys.holder(fingerprint);
      return held === undefined ? house.byKey(blob) : users.principal(held.user, fingerprint);
    },
  };
}

export interface SshLogin {
  isKnownKey(blob: Buffer): Promise<boolean>;
  byKey(blob: Buffer): Promise<Principal | undefined>;
}

/** For recovery: the house's repositories, and those of the site that were ever seen. */
export function composeCatalogue(house: Catalogue, site: SiteCatalogue): RepositorySource {
  return {
    byId: async (id) => (await house.byId(id)) ?? site.byId(id),
    async list({ after, limit = 500 }) {
      const page = { ...(after === undefined ? {} : { after }), limit };
      const both = [...(await house.list(page)), ...(await site.list(page))];
      both.sort((a, b) => (a.name < b.name ? -1 : 1));
      const last = both[limit - 1]?.name;
      // Two of one name stay together: the next page starts behind the name.
      return last === undefined ? both : both.filter(({ name }, index) => index < limit || name === last);
    },
  };
}

/** `gatehouse gitolite ...`, as the account in its home. */
export function siteCommandsOf({ site, newRun }: SiteRoom): NonNullable<CommandParts['gitolite']> {
  return async ({ argv, stdin, stdout, stderr, signal }) => {
    const run = await newRun({ env: houseEnv(), cwd: site.home, stdin, stdout, stderr, signal });
    return runGitolite(run, argv, { isFirst: true });
  };
}

/** A line of a site's user at the house's own SSH door, as sshd would hand it to the site's shell. */
export function siteShellOf(room: Pick<SiteRoom, 'site' | 'newRun' | 'users'>, walk: DoorWalk, clock: Clock): SiteLine {
  const { site, newRun, users } = room;
  return (execution) => {
    const { origin, line = '', protocol, stdin, stdout, stderr, signal } = execution;
    const { principal, address } = origin;
    if (!isSiteUser(principal)) throw new Fault('internal', 'not a user of the site');
    const { name, credential } = principal;
    const env = {
      ...houseEnv(),
      SSH_CONNECTION: `${address} 0 0 0`,
      SSH_ORIGINAL_COMMAND: line,
      ...(protocol === 0 ? {} : { GIT_PROTOCOL: `version=${protocol}` }),
    };
    const call = { program: 'gitolite-shell', pid: process.pid, argv: [name], env, cwd: site.home } as const;
    return runSiteShell(
      { ...call, stdin, stdout, stderr, signal },
      {
        walk,
        clock,
        newRun,
        // Triggers may turn the user into another, whose key it is not.
        shellPrincipal: (user) => users.principal(user, user === name ? credential.fingerprint : undefined),
        isFirst: true,
      },
    );
  };
}
