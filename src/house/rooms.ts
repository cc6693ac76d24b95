/**
 * Everything but the doors, built from the bottom up: data directory, store, journal, git, catalogue, directory, policy,
 * push and fetch, the walk, the commands. Recovery happens on the way, before anything can be asked for.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PolicyDesk } from '../access/desk.ts';
import type { PolicyHolder } from '../access/holder.ts';
import type { Exchange } from '../access/trust/exchange.ts';
import type { JournalEntry } from '../audit/entry.ts';
import type { OpenJournal } from '../audit/journal.ts';
import type { Log } from '../audit/log.ts';
import type { Metrics } from '../audit/metrics.ts';
import { newId, systemClock } from '../base/clock.ts';
import type { Config } from '../base/config.ts';
import { VERSION } from '../base/version.ts';
import { createCommands } from '../commands/all.ts';
import type { CommandRunner } from '../commands/runner.ts';
import type { ConfinedGitProcesses } from '../git/spawner.ts';
import type { Directory } from '../identity/directory.ts';
import type { Principal, UserName } from '../identity/principal.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { parseRepositoryName } from '../repository/name.ts';
import type { Receive } from '../receive/receive.ts';
import { createWalk, type Walk } from '../request/walk.ts';
import type { BundleDoorParts } from '../transport/http-bundle.ts';
import type { LfsDoorParts } from '../transport/lfs-parts.ts';
import type { SiteCommandWalk } from '../transport/site-door.ts';
import { createUpload } from '../upload/upload.ts';
import type { KeySource } from '../upstream/vault-keys.ts';
import type { OpenDoors, Urls } from './banner.ts';
import { openExchange } from './exchange-room.ts';
import { layGround, type ForgeGround } from './ground.ts';
import { bundleUrls } from './bundle-urls.ts';
import { lfsDoor } from './lfs-room.ts';
import { siteAccessOf } from './site-access.ts';
import { composeDirectory, siteCommandsOf, siteCommandWalk } from './site-joints.ts';
import type { SiteRoom } from './site-room.ts';
import type { UpstreamRoom } from './upstream-room.ts';
import { localAdministrator, raiseSpine, type Spine } from './spine.ts';
import { openWorkRoom } from './work-room.ts';

export interface Rooms {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly directory: Directory;
  readonly catalogue: Catalogue;
  readonly policy: PolicyHolder;
  readonly walk: Walk;
  /** The gitolite site that this gate serves, where it serves one. */
  readonly site?: Pick<SiteRoom, 'site' | 'newRun' | 'runs' | 'users' | 'keys'> & {
    /** @throws `dies` where this is no user's name. */
    shellPrincipal(user: string): Principal;
    readonly walk: Walk;
    readonly command: SiteCommandWalk;
  };
  /** For what never comes as far as the walk. */
  readonly journal: Pick<OpenJournal, 'record' | 'failure' | 'sync'>;
  readonly commands: CommandRunner;
  /** Git LFS, for the doors. */
  readonly lfs: LfsDoorParts;
  readonly bundles: BundleDoorParts;
  /** CI identities for passes. */
  readonly exchange: Exchange;
  /** Mirrors, and what they have at forges. */
  readonly upstreams: UpstreamRoom;
  readonly administrator: UserName;
  /** This start made the site. */
  readonly isFirst: boolean;
  /** The administrator has an SSH key. */
  readonly hasKey: boolean;
  /** What a person should know: missing confinement, a policy that was not put in force. */
  readonly warnings: readonly string[];
  /** The doors are open: the journal says so. */
  begin(doors: OpenDoors): Promise<void>;
  /** The gate is about to close: whoever only waits for other people is sent home. */
  stopWaiting(): void;
  close(): Promise<void>;
}

export interface RoomsOptions {
  /** Where repositories are served; asked when somebody wants to know. */
  readonly urls: () => Urls;
  /** Keys of the vault, where they came with the environment. */
  readonly vaultKeys?: KeySource | undefined;
  readonly forges?: ForgeGround;
}

/** @throws Fault with a public message where something cannot be opened; what was opened is closed again. */
export async function openRooms(config: Config, options: RoomsOptions): Promise<Rooms> {
  await using stack = new AsyncDisposableStack();
  const ground = await layGround(config, stack, options);
  const spine = await raiseSpine(config, ground, stack);
  const { site: siteRoom, ...parts } = spine;
  const upload = createUpload({
    processes: spine.processes,
    refs: spine.refs,
    clock: systemClock,
    log: ground.log,
    metrics: ground.metrics,
    packCache: {
      directory: await emptyDirectory(join(config.dataDirectory, 'cache')),
      bytesMax: config.settings.packCacheBytesMax,
      keepMs: config.settings.packCacheKeep,
    },
    hasBundles: config.settings.fetchBundles === 'on' && config.settings.http !== 'off',
  });
  stack.defer(() => upload.close());
  const work = await openWorkRoom(config, { ...ground, shrink: (level) => upload.shrink(level) }, stack);
  const walk = createWalk({
    ...parts,
    ...(siteRoom === undefined
      ? {}
      : {
          directory: composeDirectory(spine.directory, siteRoom),
          policy: spine.governed,
          site: siteRoom.visits(async (name) => isRepositoryOf(spine.catalogue, name)),
        }),
    journal: ground.journal,
    log: ground.log,
    clock: systemClock,
    upload,
    bundleUrl: bundleUrls(config.settings),
    metrics: ground.metrics,
    work,
    limits: { runningMax: config.settings.requestsMax, perPrincipalMax: config.settings.requestsPerUserMax },
  });
  const commands = createCommands({
    ...spine,
    pushes: spine.receive,
    holds: spine.receive.holds,
    housekeeping: spine.housekeeper,
    policy: spine.governed,
    ...(siteRoom === undefined ? {} : { gitolite: siteCommandsOf(siteRoom), siteAccess: siteAccessOf(siteRoom) }),
    policyDesk: new PolicyDesk(spine.policy),
    scan: spine.scan.desk,
    lfs: spine.lfs.objects,
    walk,
    journal: ground.journal,
    clock: systemClock,
    version: VERSION,
    urls: options.urls,
  });
  await ground.data.finish();
  const { log, metrics, journal } = ground;
  const { directory, catalogue, policy, administrator, isFirst } = spine;
  const kept = stack.move();
  let begun = false;
  return {
    log,
    metrics,
    directory,
    catalogue,
    policy,
    walk,
    ...(siteRoom === undefined
      ? {}
      : {
          site: {
            ...siteRoom,
            walk,
            shellPrincipal: (user: string) => siteRoom.users.principal(user),
            command: siteCommandWalk(walk, {
              ...siteRoom,
              clock: systemClock,
              administrator: () => localAdministrator(directory),
            }),
          },
        }),
    journal,
    commands,
    bundles: { walk, open: (request) => upload.openBundle(request) },
    lfs: lfsDoor(spine.lfs, { walk, settings: config.settings, urls: options.urls }),
    exchange: openExchange(ground, spine),
    upstreams: spine,
    administrator,
    isFirst,
    hasKey: (await directory.keys.list(administrator)).length > 0,
    warnings: [
      ...warningsOf(ground.processes, policy),
      ...(await vaultWarnings(spine)),
      ...(await damagedWarnings(spine)),
    ],
    async begin(doors) {
      await journal.append(
        houseEntry('start', `ssh=${doors.ssh ?? 'off'} http=${doors.http ?? 'off'} git=${doors.git ?? 'off'}`),
      );
      begun = true;
      void sweepBehind(spine.receive, ground.log);
      spine.housekeeper.begin();
    },
    stopWaiting: () => spine.receive.holds?.stopWaiting(),
    async close() {
      if (begun) await journal.append(houseEntry('stop', 'asked to stop')).catch(() => {});
      await kept.disposeAsync();
    },
  };
}

async function isRepositoryOf(catalogue: Catalogue, text: string): Promise<boolean> {
  const name = parseRepositoryName(text);
  return name.kind === 'ok' && (await catalogue.find(name.value)) !== undefined;
}

/** Files in it have no names while they are used: what is found was left by a crash between two system calls. */
async function emptyDirectory(path: string): Promise<string> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { mode: 0o700 });
  return path;
}

/** What a crash left and nobody sees; whoever pushes does not wait for it. Never rejects. */
async function sweepBehind(receive: Receive, log: Log): Promise<void> {
  try {
    const report = await receive.sweep();
    const { quarantines, entries, areas } = report;
    if (quarantines + entries + areas > 0) log.warn({ ...report }, 'remove what a crash left of pushes');
    else log.info({ ...report }, 'find nothing left of pushes');
  } catch (error) {
    log.error({ error }, 'fail to look for what a crash left of pushes');
  }
}

function houseEntry(event: 'start' | 'stop', reason: string): JournalEntry {
  const request = newId(systemClock);
  return { event, outcome: 'served', request, transport: 'local', address: 'local', principal: 'gatehouse', reason };
}

async function vaultWarnings({ vault }: Spine): Promise<readonly string[]> {
  const problem = await vault.problem();
  return problem === undefined ? [] : [`mirrors whose credential does not open serve nothing: ${problem}`];
}

/** Records that do not parse and were set aside. */
async function damagedWarnings({ mirrors, catalogue, receive }: Spine): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const id of mirrors.damaged) {
    const name = (await catalogue.byId(id))?.name ?? id;
    lines.push(
      `the record of the mirror ${name} is damaged: it serves nothing; \`mirror remove ${name}\` makes it an ordinary repository`,
    );
  }
  for (const id of receive.holds?.damaged ?? []) {
    lines.push(
      `the record of the held push ${id} is damaged: its objects are kept; \`hold refuse ${id} --reason TEXT\` removes both`,
    );
  }
  return lines;
}

function warningsOf(processes: ConfinedGitProcesses, policy: PolicyHolder): readonly string[] {
  const { origin } = policy;
  const kept = {
    head: [],
    'last-good': ['the policy at HEAD of gatehouse-admin is wrong: the last good one is in force (see the log)'],
    closed: ['no policy is in force: only administrators may do anything; repair gatehouse-admin'],
  }[origin.source];
  // What is confined is in the log; a person is told what is not.
  return [...kept, ...processes.confinement.describe().filter((line) => !line.startsWith('confined:'))];
}
