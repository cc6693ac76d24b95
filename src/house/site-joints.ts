/** Where the house and its gitolite site meet: one directory, one login, one command line, one list to recover. */
import { newId, type Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { CommandParts } from '../commands/parts.ts';
import { runGitolite } from '../gitolite/gitolite.ts';
import { ADMIN_REPOSITORY as SITE_ADMIN_REPOSITORY } from '../gitolite/hooks.ts';
import type { SiteCatalogue } from '../gitolite/site-catalogue.ts';
import { fingerprintOfBlob } from '../gitolite/site-keys.ts';
import { isSiteUser } from '../gitolite/site-users.ts';
import { isAdminRepository, putInForce } from '../gitolite/steps/admin-push.ts';
import { dies, USER_WORD } from '../gitolite/words.ts';
import type { Directory } from '../identity/directory.ts';
import { ANONYMOUS, type Principal } from '../identity/principal.ts';
import type { RepositorySource } from '../receive/recovery.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { Walk } from '../request/walk.ts';
import { listAll, type Store } from '../store/store.ts';
import type { DoorWalk } from '../transport/door.ts';
import type { SiteCommandWalk } from '../transport/site-door.ts';
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
    async byKey(blob, address) {
      const fingerprint = fingerprintOfBlob(blob);
      const held = await keys.holder(fingerprint);
      return held === undefined ? house.byKey(blob, address) : users.principal(held.user, fingerprint);
    },
  };
}

export interface SshLogin {
  isKnownKey(blob: Buffer): Promise<boolean>;
  byKey(blob: Buffer, address: string): Promise<Principal | undefined>;
}

/** For recovery: the house's repositories, and those of the site that were ever pushed to. */
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

/** Whether a push to the admin repository was committed and, for all that the store knows, never followed up. */
export async function isAdminPending(store: Store, { catalogue }: Pick<SiteRoom, 'catalogue'>): Promise<boolean> {
  for await (const { key } of listAll(store, 'pending')) {
    const repository = await catalogue.byId(key);
    if (repository !== undefined && isAdminRepository(repository)) return true;
  }
  return false;
}

/** After a crash behind the commit point of a push to the admin repository: nobody else would put it in force. */
export async function followUpAdmin({ catalogue, ownRun }: Pick<SiteRoom, 'catalogue' | 'ownRun'>): Promise<void> {
  const repository = await catalogue.find(SITE_ADMIN_REPOSITORY);
  if (repository !== undefined) await putInForce(await ownRun(), repository.path);
}

/** `gatehouse gitolite ...`, as the account in its home. */
export function siteCommandsOf({ site, newRun }: SiteRoom): NonNullable<CommandParts['gitolite']> {
  return async ({ argv, stdin, stdout, stderr, signal }) => {
    const run = await newRun({ env: houseEnv(), cwd: site.home, stdin, stdout, stderr, signal });
    return runGitolite(run, argv, { isFirst: true });
  };
}

/** Commands that look and change nothing: their line in the journal need not be on disk before the answer. */
const LOOKING =
  /^(?:access|creator|git-config|help|info|list-[\w-]+|owns|print-default-rc|query-rc|sshkeys-lint|version|who-pushed)$/;

/** Commands of the site in the walk of the house. `administrator`: whom the journal names where the account itself acts. */
export function siteCommandWalk(
  walk: Pick<Walk, 'command'>,
  {
    clock,
    users,
    administrator,
  }: Pick<SiteRoom, 'users'> & { readonly clock: Clock; readonly administrator: () => Promise<Principal> },
): SiteCommandWalk {
  return async ({ user, transport, address, argv, signal }, task) => {
    const known = user !== undefined && USER_WORD.test(user) ? users.principal(user) : ANONYMOUS;
    const principal = user === undefined ? await administrator() : known;
    const origin = { id: newId(clock), transport, address, principal };
    const words = ['gitolite', ...argv];
    const isReadOnly = LOOKING.test(argv[0] ?? '');
    const end = await walk.command(origin, { argv: words, isReadOnly, signal }, async (_signal, current) => {
      if (current.kind === 'refused') throw dies(current.reason);
      const exit = await task();
      return {
        exit,
        outcome: exit === 0 ? 'served' : 'refused',
        ...(exit === 0 ? {} : { reason: `exit code ${exit}` }),
      };
    });
    return end.exit;
  };
}

type ShellRoom = Pick<SiteRoom, 'site' | 'newRun' | 'users'> & {
  readonly walk: DoorWalk;
  readonly command: SiteCommandWalk;
};

/** A line of a site's user at the house's own SSH door, as sshd would hand it to the site's shell. */
export function siteShellOf(room: ShellRoom, clock: Clock): SiteLine {
  const { site, newRun, users, walk, command } = room;
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
        command,
        clock,
        newRun,
        // Triggers may turn the user into another, whose key it is not.
        shellPrincipal: (user) => users.principal(user, user === name ? credential.fingerprint : undefined),
        isFirst: true,
      },
    );
  };
}
