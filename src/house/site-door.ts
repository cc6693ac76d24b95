/** The programs of the site that this house serves, behind its control socket. */
import { realpath } from 'node:fs/promises';
import { systemClock } from '../base/clock.ts';
import { SiteDoor } from '../transport/site-door.ts';
import type { Place } from './on-demand.ts';
import type { Rooms } from './rooms.ts';

export interface SiteDoorOptions {
  readonly site: NonNullable<Rooms['site']>;
  /** Of the data directory. */
  readonly place: Pick<Place, 'isKept'>;
}

export async function siteDoor({ site, place }: SiteDoorOptions): Promise<SiteDoor> {
  const home = await nameOf(site.site.home);
  return new SiteDoor({
    walk: site.walk,
    command: site.command,
    clock: systemClock,
    newRun: (options) => site.newRun(options),
    shellPrincipal: (user) => site.shellPrincipal(user),
    keyHolder: (fingerprint) => site.keys.holder(fingerprint),
    // A home that was removed and made anew has a gate of its own coming.
    serves: async (asked) => asked.startsWith('/') && (await nameOf(asked)) === home && (await place.isKept()),
  });
}

/** Without symbolic links. */
async function nameOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return path;
  }
}
