/** Who, which, and what may be done: catalogue, directory, policy and pushes, with what a crash left made good. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { PolicyHolder } from '../access/holder.ts';
import { houseFiles } from '../access/house.ts';
import { Trusts } from '../access/trust/trusts.ts';
import type { Metrics } from '../audit/metrics.ts';
import { BOUNDS } from '../base/bounds.ts';
import { systemClock } from '../base/clock.ts';
import type { Config } from '../base/config.ts';
import { AGENT } from '../base/version.ts';
import type { GitProcesses } from '../git/processes.ts';
import { OdbPool } from '../git/odb/pool.ts';
import { RefCache } from '../git/ref-cache.ts';
import { withAlternates } from '../gitolite/alternates.ts';
import { GovernedPolicy } from '../gitolite/site-policy.ts';
import { isAdminRepository } from '../gitolite/steps/admin-push.ts';
import { houseGround } from '../gitolite/steps/ground.ts';
import { receiveConfigOf } from '../gitolite/steps/receive-rules.ts';
import { createUpdateStep } from '../gitolite/steps/update-step.ts';
import { Directory } from '../identity/directory.ts';
import { ANONYMOUS, type Principal, type UserName } from '../identity/principal.ts';
import { checkUser } from '../identity/user-record.ts';
import { CheckBook } from '../receive/checks/check-book.ts';
import { peopleOf } from '../receive/checks/people.ts';
import { DEFAULT_RECEIVE_LIMITS, type ReceiveLimits } from '../receive/limits.ts';
import { CertificateDesk } from '../receive/push-certificate.ts';
import { createReceive, type Receive } from '../receive/receive.ts';
import { createCheckStep } from '../receive/steps/checks.ts';
import { createPolicyStep } from '../receive/steps/policy-candidate.ts';
import { createSizeStep } from '../receive/steps/size-limits.ts';
import { PushPointers } from '../lfs/pointers-of-push.ts';
import { Catalogue } from '../repository/catalogue.ts';
import { Housekeeper, HOUSEKEEPING_LIMITS } from '../repository/housekeeper.ts';
import { ADMIN_REPOSITORY } from '../repository/lifecycle.ts';
import { createForwarding, type Forwarding } from '../upstream/forwarding.ts';
import { ensureAdminRepository, headBranch } from './admin-repository.ts';
import { ensureAdministrator } from './first-start.ts';
import type { Ground } from './ground.ts';
import { holdingOf } from './hold-room.ts';
import { lfsUpstreams, openLfsRoom, type LfsRoom } from './lfs-room.ts';
import { composeCatalogue, composeDirectory, followUpAdmin, isAdminPending } from './site-joints.ts';
import { openSiteRoom, siteSteps, type SiteRoom } from './site-room.ts';
import { openScanRoom, type ScanRoom } from './scan-room.ts';
import { openUpstreamRoom, type UpstreamRoom } from './upstream-room.ts';

export interface Spine extends UpstreamRoom {
  /** Every start counted. */
  readonly processes: GitProcesses;
  readonly refs: RefCache;
  /** Objects of repositories, read without a process. */
  readonly odb: OdbPool;
  readonly catalogue: Catalogue;
  readonly directory: Directory;
  readonly policy: PolicyHolder;
  /** `policy`, and the conf of the site for what lies there. */
  readonly governed: PolicyHolder | GovernedPolicy;
  readonly site: SiteRoom | undefined;
  readonly scan: ScanRoom;
  readonly lfs: LfsRoom;
  readonly receive: Receive;
  /** Which CI identities get passes. */
  readonly trusts: Trusts;
  readonly housekeeper: Housekeeper;
  readonly administrator: UserName;
  readonly isFirst: boolean;
}

/** After a crash, what it left is made good here. */
export async function raiseSpine(config: Config, ground: Ground, stack: AsyncDisposableStack): Promise<Spine> {
  const { store, log, metrics, siteSettings } = ground;
  const clock = systemClock;
  const started = counted(ground.processes, metrics);
  const processes = siteSettings === undefined ? started : withAlternates(started);
  const odb = new OdbPool({ clock, mayBorrow: siteSettings !== undefined });
  stack.defer(() => {
    odb.close();
  });
  const refs = new RefCache({ processes, clock, odb });
  const site = siteSettings && openSiteRoom(config.settings.gitoliteHome, siteSettings, { store, clock, log });
  if (site !== undefined) stack.use(site.programs);
  const catalogue = new Catalogue({
    store,
    processes,
    root: join(config.dataDirectory, 'repositories'),
    clock,
    ownerCheck: (owner) => checkUser(store, owner),
    ...(site === undefined ? {} : { nameCheck: (name) => site.catalogue.nameRefusal(name) }),
    log: (text, fields) => log.info(fields, text),
    makeGood: (repository) => receive.makeGood(repository),
  });
  const directory: Directory = new Directory({
    store,
    clock,
    ownership: catalogue,
    passLifeMsMax: config.settings.passLifeMax,
  });
  const { administrator, made } = await ensureAdministrator(directory, config);
  await catalogue.recover();
  await directory.recover();
  const { pushDeadline: deadlineMs } = config.settings;
  const pointers = new PushPointers({ processes, objectsMax: BOUNDS.scanObjectsMax, deadlineMs });
  const scan = openScanRoom(
    {
      ...ground,
      ...config,
      processes,
      refs,
      clock,
      isMirror: (id) => upstream.mirrors.isMirror(id),
      observe: (push, item) => pointers.note(push, item),
    },
    stack,
  );
  const trusts = new Trusts({ passLifeMsMax: config.settings.passLifeMax });
  const checks = new CheckBook({ isPolicyRepository: (name) => name === ADMIN_REPOSITORY });
  const policy = new PolicyHolder({ store, processes, log, clock, annexes: [scan.annex, trusts, checks.annex] });
  const everything = site === undefined ? catalogue : composeCatalogue(catalogue, site.catalogue);
  const housekeeper = new Housekeeper({
    store,
    clock,
    repositories: { byId: (id) => everything.byId(id), all: () => catalogue.all() },
    upkeep: { roll: (upkeep) => catalogue.roll(upkeep), gc: (upkeep) => catalogue.gc(upkeep) },
    isBusy: () => ground.processes.waiting > 0 || ground.processes.running > 2 * availableParallelism(),
    log,
    metrics,
    limits: { ...HOUSEKEEPING_LIMITS, tasksMax: config.settings.housekeepingTasksMax },
  });
  const governed = site === undefined ? policy : new GovernedPolicy(policy, site.site);
  const upstream = await openUpstreamRoom(
    {
      ...ground,
      config,
      processes,
      refs,
      catalogue,
      clock,
      limits: limitsOf(config),
      receive: () => receive,
      around: (repository, call, refresh) => forwarding.around(repository, call, refresh),
    },
    stack,
  );
  const { mirrors } = upstream;
  const lfs = await openLfsRoom(
    { ...ground, config, clock, scan, pointers, catalogue, upstreams: lfsUpstreams(mirrors) },
    stack,
  );
  const forwarding = createForwarding({ ...ground, processes, refs, clock, mirrors, catalogue });
  const everybody = site === undefined ? directory : composeDirectory(directory, site);
  const holdGround = { ...upstream, directory: everybody, catalogue: everything, policy: governed };
  const receive: Receive = createReceive({
    processes,
    refs,
    odb,
    store,
    policy: governed,
    passes: directory.passes.pushing,
    certificates: new CertificateDesk({
      clock,
      verify: (text) => directory.signatures.verify(text),
      isWanted: (name, principal) => checks.wantsCertificate(name, principal),
    }),
    steps: [
      ...stepsOf(config, policy),
      createCheckStep({ processes, refs, clock, book: checks, people: peopleOf(directory) }),
      scan.step,
      lfs.step,
      createUpdateStep({ processes, findGround: houseGround(policy) }),
      ...(site === undefined ? [] : siteSteps(site, { processes, ...config.settings })),
      forwarding.step,
    ],
    journal: ground.journal,
    log,
    metrics,
    clock,
    catalogue: everything,
    onChanged: (id) => {
      housekeeper.note(id);
    },
    limits: limitsOf(config),
    ...(config.settings.holdPerUserMax === 0 ? {} : { holding: holdingOf(config, holdGround, directory) }),
    ...(site === undefined ? {} : { configOf: receiveConfigOf(site) }),
    agent: AGENT,
    // A policy that was pushed and could not be applied then is in force as soon as it is.
    onSettled: async (repository) => {
      if (repository.name === ADMIN_REPOSITORY) await policy.load(repository);
      if (site !== undefined && isAdminRepository(repository)) await followUpAdmin(site);
    },
  });
  stack.defer(() => receive.close());
  stack.defer(() => housekeeper.close());
  const isAdminLate = site !== undefined && (await isAdminPending(store, site));
  await receive.recover();
  if (isAdminLate) await followUpAdmin(site);
  await catalogue.recover();
  await askUpstreams(forwarding, log, stack);
  const principal = await localAdministrator(directory);
  const admin = await ensureAdminRepository(
    { catalogue, receive, refs, processes, clock },
    { administrator, principal, files: houseFiles() },
  );
  await policy.load(admin);
  return {
    ...upstream,
    scan,
    lfs,
    processes,
    refs,
    odb,
    catalogue,
    directory,
    policy,
    governed,
    site,
    receive,
    trusts,
    housekeeper,
    administrator,
    isFirst: made,
  };
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

/** What became of pushes that were on their way upstream. One that is silent keeps its mirror closed, not the gate. */
async function askUpstreams(forwarding: Forwarding, log: Ground['log'], stack: AsyncDisposableStack): Promise<void> {
  const closing = new AbortController();
  stack.defer(() => {
    closing.abort();
  });
  const { found, settled, waiting } = await forwarding.reconcile({ signal: closing.signal });
  if (found > 0) log.warn({ found, settled, waiting }, 'find forwarded pushes that nobody was told of');
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

/** Whom the account itself acts as; nobody in particular on a house that lost its administrator. */
export async function localAdministrator(directory: Directory): Promise<Principal> {
  const name = await directory.administrator();
  return (name && (await directory.principalOf(name, { kind: 'local' }))) ?? ANONYMOUS;
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
