/**
 * Everything but the doors, built from the bottom up: data directory, store, journal, git, catalogue, directory, policy,
 * push and fetch, the walk, the commands. Recovery happens on the way, before anything can be asked for.
 */
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { PolicyDesk } from '../access/desk.ts';
import { PolicyHolder } from '../access/holder.ts';
import { houseFiles } from '../access/house.ts';
import { openJournal, type OpenJournal } from '../audit/journal.ts';
import { createLog, type Log, type LogLevel } from '../audit/log.ts';
import { createMetrics, type Metrics } from '../audit/metrics.ts';
import type { JournalEntry } from '../audit/entry.ts';
import { newId, systemClock } from '../base/clock.ts';
import type { Config } from '../base/config.ts';
import { AGENT, VERSION } from '../base/version.ts';
import { createCommands } from '../commands/all.ts';
import type { CommandRunner } from '../commands/runner.ts';
import { RefCache } from '../git/ref-cache.ts';
import { startGitProcesses, type ConfinedGitProcesses } from '../git/spawner.ts';
import type { GitProcesses } from '../git/processes.ts';
import { houseGround } from '../gitolite/steps/ground.ts';
import { receiveConfigOf } from '../gitolite/steps/receive-rules.ts';
import { createUpdateStep } from '../gitolite/steps/update-step.ts';
import { Directory } from '../identity/directory.ts';
import type { Principal, UserName } from '../identity/principal.ts';
import { checkUser } from '../identity/user-record.ts';
import { createReceive, type Receive } from '../receive/receive.ts';
import { createPolicyStep } from '../receive/steps/policy-candidate.ts';
import { createSizeStep } from '../receive/steps/size-limits.ts';
import { DEFAULT_RECEIVE_LIMITS, type ReceiveLimits } from '../receive/limits.ts';
import { Catalogue } from '../repository/catalogue.ts';
import { ADMIN_REPOSITORY } from '../repository/lifecycle.ts';
import { withAlternates } from '../gitolite/alternates.ts';
import { GovernedPolicy } from '../gitolite/site-policy.ts';
import { parseRepositoryName } from '../repository/name.ts';
import { createWalk, type Walk } from '../request/walk.ts';
import { claimDataDirectory, type DataDirectory } from '../store/data-directory.ts';
import { openSqliteStore } from '../store/sqlite.ts';
import type { Store } from '../store/store.ts';
import { createUpload } from '../upload/upload.ts';
import { ensureAdminRepository, headBranch } from './admin-repository.ts';
import type { OpenDoors, Urls } from './banner.ts';
import { ensureAdministrator } from './first-start.ts';
import {
  composeCatalogue,
  composeDirectory,
  followUpAdmin,
  isAdminPending,
  siteAccessOf,
  siteCommandsOf,
} from './site-joints.ts';
import { isAdminRepository } from '../gitolite/steps/admin-push.ts';
import { openSiteRoom, readSiteSettings, siteSteps, type SiteRoom, type SiteSettings } from './site-room.ts';

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
  };
  /** For what never comes as far as the walk. */
  readonly journal: Pick<OpenJournal, 'record' | 'failure' | 'sync'>;
  readonly commands: CommandRunner;
  readonly administrator: UserName;
  /** This start made the site. */
  readonly isFirst: boolean;
  /** The administrator has an SSH key. */
  readonly hasKey: boolean;
  /** What a person should know: missing confinement, a policy that was not put in force. */
  readonly warnings: readonly string[];
  /** The doors are open: the journal says so. */
  begin(doors: OpenDoors): Promise<void>;
  close(): Promise<void>;
}

export interface RoomsOptions {
  /** Where repositories are served; asked when somebody wants to know. */
  readonly urls: () => Urls;
}

/** @throws Fault with a public message where something cannot be opened; what was opened is closed again. */
export async function openRooms(config: Config, options: RoomsOptions): Promise<Rooms> {
  await using stack = new AsyncDisposableStack();
  const ground = await layGround(config, stack);
  const spine = await raiseSpine(config, ground, stack);
  const { site: siteRoom, ...parts } = spine;
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
    upload: createUpload({
      processes: spine.processes,
      refs: spine.refs,
      clock: systemClock,
      log: ground.log,
      metrics: ground.metrics,
    }),
    metrics: ground.metrics,
    limits: { runningMax: config.settings.requestsMax, perPrincipalMax: config.settings.requestsPerUserMax },
  });
  const commands = createCommands({
    ...spine,
    pushes: spine.receive,
    policy: spine.governed,
    ...(siteRoom === undefined ? {} : { gitolite: siteCommandsOf(siteRoom), siteAccess: siteAccessOf(siteRoom) }),
    policyDesk: new PolicyDesk(spine.policy),
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
      : { site: { ...siteRoom, walk, shellPrincipal: (user: string) => siteRoom.users.principal(user) } }),
    journal,
    commands,
    administrator,
    isFirst,
    hasKey: (await directory.keys.list(administrator)).length > 0,
    warnings: warningsOf(ground.processes, policy),
    async begin(doors) {
      await journal.append(
        houseEntry('start', `ssh=${doors.ssh ?? 'off'} http=${doors.http ?? 'off'} git=${doors.git ?? 'off'}`),
      );
      begun = true;
    },
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

function houseEntry(event: 'start' | 'stop', reason: string): JournalEntry {
  const request = newId(systemClock);
  return { event, outcome: 'served', request, transport: 'local', address: 'local', principal: 'gatehouse', reason };
}

interface Ground {
  readonly data: DataDirectory;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: Store;
  readonly journal: OpenJournal;
  readonly processes: ConfinedGitProcesses;
  readonly siteSettings: SiteSettings | undefined;
}

/** What everything stands on: the directory, the store, the journal, and git. */
async function layGround(config: Config, stack: AsyncDisposableStack): Promise<Ground> {
  const { dataDirectory, settings } = config;
  const log = createLog({ level: settings.logLevel as LogLevel });
  const metrics = createMetrics();
  const siteSettings = await readSiteSettings(config);
  const data = await claimDataDirectory(dataDirectory);
  stack.defer(() => data.release());
  // What lies here is the house's, whatever a site shows of its repositories.
  if (siteSettings !== undefined) await chmod(dataDirectory, 0o700);
  const isReady = data.state === 'ready';
  const store = await openSqliteStore({ path: join(dataDirectory, 'gatehouse.db'), create: !isReady });
  stack.defer(() => store.close());
  const journal = await openJournal({
    directory: join(dataDirectory, 'journal'),
    rotateBytes: settings.journalRotateBytes,
    clock: systemClock,
    log,
    expected: isReady,
    onSync: (ms, lines) => metrics.journalSync(ms, lines),
  });
  stack.defer(() => journal.close());
  const processes = await startGitProcesses({
    isolation: settings.isolation as 'auto' | 'off' | 'required',
    ...(siteSettings === undefined ? {} : { umask: () => siteSettings.umask.mask }),
    log: (line) => log.info({ line }, 'spawn git'),
  });
  stack.defer(() => processes.close());
  log.info({ confinement: processes.confinement.describe() }, 'confine git');
  return { data, log, metrics, store, journal, processes, siteSettings };
}

interface Spine {
  /** Every start counted. */
  readonly processes: GitProcesses;
  readonly refs: RefCache;
  readonly catalogue: Catalogue;
  readonly directory: Directory;
  readonly policy: PolicyHolder;
  /** `policy`, and the conf of the site for what lies there. */
  readonly governed: PolicyHolder | GovernedPolicy;
  readonly site: SiteRoom | undefined;
  readonly receive: Receive;
  readonly administrator: UserName;
  readonly isFirst: boolean;
}

/** Who, which, and what may be done; after a crash, what it left is made good here. */
async function raiseSpine(config: Config, ground: Ground, stack: AsyncDisposableStack): Promise<Spine> {
  const { store, log, metrics } = ground;
  const clock = systemClock;
  const { siteSettings } = ground;
  const started = counted(ground.processes, metrics);
  const processes = siteSettings === undefined ? started : withAlternates(started);
  const refs = new RefCache({ processes, clock });
  const catalogue = new Catalogue({
    store,
    processes,
    root: join(config.dataDirectory, 'repositories'),
    clock,
    ownerCheck: (owner) => checkUser(store, owner),
    log: (text, fields) => log.info(fields, text),
  });
  const directory: Directory = new Directory({ store, clock, ownership: catalogue });
  const { administrator, made } = await ensureAdministrator(directory, config);
  await catalogue.recover();
  await directory.recover();
  const policy = new PolicyHolder({ store, processes, log, clock });
  const site =
    siteSettings && openSiteRoom(config.settings.gitoliteHome, siteSettings, { store, processes, clock, log });
  const governed = site === undefined ? policy : new GovernedPolicy(policy, site.site);
  const receive = createReceive({
    processes,
    refs,
    store,
    policy: governed,
    steps: [
      ...stepsOf(config, policy),
      createUpdateStep({ processes, findGround: houseGround(policy) }),
      ...(site === undefined ? [] : siteSteps(site, { processes, ...config.settings })),
    ],
    journal: ground.journal,
    log,
    metrics,
    clock,
    catalogue: site === undefined ? catalogue : composeCatalogue(catalogue, site.catalogue),
    limits: limitsOf(config),
    ...(site === undefined ? {} : { configOf: receiveConfigOf(site) }),
    agent: AGENT,
    // A policy that was pushed and could not be applied then is in force as soon as it is.
    onSettled: async (repository) => {
      if (repository.name === ADMIN_REPOSITORY) await policy.load(repository);
      if (site !== undefined && isAdminRepository(repository)) await followUpAdmin(site);
    },
  });
  stack.defer(() => receive.close());
  const isAdminLate = site !== undefined && (await isAdminPending(store, site));
  await receive.recover();
  if (isAdminLate) await followUpAdmin(site);
  await catalogue.recover();
  const principal = await directory.principalOf(administrator, { kind: 'local' });
  const admin = await ensureAdminRepository(
    { catalogue, receive, refs, processes, clock },
    { administrator, principal: principal ?? { kind: 'anonymous' }, files: houseFiles() },
  );
  await policy.load(admin);
  return { processes, refs, catalogue, directory, policy, governed, site, receive, administrator, isFirst: made };
}

function limitsOf({ settings }: Config): ReceiveLimits {
  return {
    ...DEFAULT_RECEIVE_LIMITS,
    packBytesMax: settings.packBytesMax,
    objectBytesMax: settings.objectBytesMax,
    pathBytesMax: settings.pathBytesMax,
    deadlineMs: settings.pushDeadline,
  };
}

/** The checks of a push, in order, after the policy has decided about refs and paths. */
function stepsOf(config: Config, policy: PolicyHolder): Parameters<typeof createReceive>[0]['steps'] {
  return [
    createSizeStep(limitsOf(config)),
    createPolicyStep({
      guard: policy,
      isPolicyRepository: ({ name }) => name === ADMIN_REPOSITORY,
      headOf: headBranch,
    }),
  ];
}

/** Counts each start by subcommand. */
function counted(processes: GitProcesses, metrics: Metrics): GitProcesses {
  return {
    start(spec) {
      metrics.gitProcess(spec.subcommand);
      return processes.start(spec);
    },
    get started() {
      return processes.started;
    },
    close: () => processes.close(),
  };
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
