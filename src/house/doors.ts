/** The doors that the settings leave open, opened together: if one cannot be had, none stays open. What is off is not loaded. */
import { join } from 'node:path';
import type { JournalEntry } from '../audit/entry.ts';
import { systemClock } from '../base/clock.ts';
import type { Config } from '../base/config.ts';
import { VERSION } from '../base/version.ts';
import type { RequestOrigin } from '../request/request.ts';
import type { Door } from '../transport/door.ts';
import { TurnedAwayBook } from '../transport/turned-away-book.ts';
import { turnedAway, type TurnedAway } from '../transport/turned-away.ts';
import type { OpenDoors } from './banner.ts';
import { unreadyReason } from './readiness.ts';
import type { Rooms } from './rooms.ts';
import { composeLogin, siteShellOf } from './site-joints.ts';

export interface Doors {
  readonly addresses: OpenDoors;
  /** Reads the TLS certificate again. @throws Fault 'usage' where it does not fit. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/** @throws Fault 'usage' where an address cannot be had. */
export async function openDoors(rooms: Rooms, config: Config): Promise<Doors> {
  const { walk, commands, directory, site, log, metrics } = rooms;
  const { settings, dataDirectory } = config;
  const clock = systemClock;
  const turnedAwayBook = new TurnedAwayBook({ clock, record: (entry) => rooms.journal.record(entry) });
  const onTurnedAway: TurnedAway = (entry) => {
    turnedAwayBook.enter(entry);
  };
  const open: Door[] = [];
  let isOpen = false;
  const closeAll = async (): Promise<void> => {
    isOpen = false;
    await Promise.all(open.map((door) => door.close()));
  };
  try {
    const addresses: { ssh?: string; http?: string; git?: string } = {};
    let reload = async (): Promise<void> => {};
    if (settings.ssh !== 'off') {
      const hostKeysDirectory = join(dataDirectory, 'host-keys');
      const { sshClientsMax: clientsMax } = settings;
      const { startSsh } = await import('../transport/ssh.ts');
      const door = await startSsh({
        listen: settings.ssh,
        hostKeysDirectory,
        clientsMax,
        walk,
        commands,
        lfs: rooms.lfs,
        directory: site === undefined ? directory : composeLogin(directory, site),
        ...(site === undefined ? {} : { siteLine: siteShellOf(site, clock) }),
        clock,
        log,
        metrics,
        onTurnedAway,
      });
      open.push(door);
      addresses.ssh = door.address;
    }
    if (settings.http !== 'off') {
      const { tlsCert, tlsKey } = settings;
      const { startHttp } = await import('../transport/http.ts');
      const { registerApi } = await import('../api/api.ts');
      const door = await startHttp({
        listen: settings.http,
        ...(tlsCert === '' ? {} : { tls: { certificatePath: tlsCert, keyPath: tlsKey } }),
        walk,
        directory,
        lfs: rooms.lfs,
        bundles: rooms.bundles,
        clock,
        log,
        metrics,
        onTurnedAway,
        unready: () => (isOpen ? unreadyReason(rooms) : 'the gate is not open'),
        register: (app) =>
          registerApi(app, {
            commands,
            exchange: rooms.exchange,
            hooks: rooms.upstreams.hooks,
            onHook: (origin, repository) => {
              turnedAwayBook.enter(hookEntry(origin, repository));
            },
            directory,
            clock,
            version: VERSION,
            onTurnedAway: (origin, reason) => {
              onTurnedAway(turnedAway(origin, { event: 'login', reason }));
            },
          }),
      });
      open.push(door);
      addresses.http = door.address;
      reload = () => door.reload();
    }
    if (settings.git !== 'off') {
      const { startGit } = await import('../transport/git-daemon.ts');
      const door = await startGit({
        listen: settings.git,
        walk,
        clock,
        log,
        metrics,
        onTurnedAway,
        clientsMax: settings.gitClientsMax,
      });
      open.push(door);
      addresses.git = door.address;
    }
    isOpen = true;
    return { addresses, reload, close: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** A forge's webhook, as the journal has it: bounded with those who were turned away, for it can be sent again and again. */
function hookEntry(
  origin: Pick<RequestOrigin, 'id' | 'transport' | 'address'>,
  repository: string | undefined,
): JournalEntry {
  const { id: request, transport, address } = origin;
  const about = repository === undefined ? {} : { repository };
  const reason = 'the upstream changed: the next fetch asks it';
  return { event: 'hook', outcome: 'served', request, transport, address, principal: 'forge', ...about, reason };
}
