/** Mirrors and what they stand on: the vault, the connections to upstreams, the desk where mirrors are declared. */
import { join } from 'node:path';
import type { Metrics } from '../audit/metrics.ts';
import type { Clock } from '../base/clock.ts';
import type { Config } from '../base/config.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { RefCache } from '../git/ref-cache.ts';
import type { ReceiveLimits } from '../receive/limits.ts';
import type { Receive } from '../receive/receive.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { Store } from '../store/store.ts';
import { MirrorDesk } from '../upstream/declare.ts';
import { ForgeDesk } from '../upstream/forges/forge-desk.ts';
import { Hooks } from '../upstream/forges/hooks.ts';
import { Mirrors, type MirrorLog, type MirrorsParts } from '../upstream/mirrors.ts';
import { keyFile, type KeySource } from '../upstream/vault-keys.ts';
import { Vault } from '../upstream/vault.ts';
import { createRemote } from '../upstream/wire/create-remote.ts';
import type { ForgeGround } from './ground.ts';

export interface UpstreamRoom {
  readonly mirrors: Mirrors;
  readonly mirrorDesk: MirrorDesk;
  readonly vault: Vault;
  readonly forges: ForgeDesk;
  readonly hooks: Hooks;
}

export interface UpstreamGround {
  readonly config: Config;
  /** Keys that came with the environment. */
  readonly vaultKeys: KeySource | undefined;
  readonly forges: ForgeGround;
  readonly store: Store;
  readonly processes: GitProcesses;
  readonly refs: RefCache;
  readonly catalogue: Catalogue;
  /** Asked when it is built: pushes to mirrors go through what stands here. */
  readonly receive: () => Pick<Receive, 'commit' | 'exclusively'>;
  readonly limits: ReceiveLimits;
  readonly around?: MirrorsParts['around'];
  readonly log: MirrorLog;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** No upstream is asked: a gate starts whether they can be reached or not. @throws Fault where vault keys cannot be read. */
export async function openUpstreamRoom(ground: UpstreamGround, stack: AsyncDisposableStack): Promise<UpstreamRoom> {
  const { config, store, processes, refs, catalogue, receive, limits, around, log, metrics, clock } = ground;
  const path = config.settings.upstreamKeyFile;
  const keys = ground.vaultKeys ?? keyFile(path === '' ? join(config.dataDirectory, 'vault.key') : path);
  const vault = await Vault.open({ store, clock, keys });
  const mirrors = await Mirrors.open({
    store,
    processes,
    refs,
    catalogue,
    clock,
    limits,
    vault,
    createRemote,
    log,
    metrics,
    commit: (own) => receive().commit(own),
    pointHead: (repository, branch) => catalogue.setSetting(repository, 'default-branch', branch),
    ...(around === undefined ? {} : { around }),
  });
  stack.defer(() => mirrors.close());
  const mirrorDesk = new MirrorDesk({
    mirrors,
    store,
    clock,
    vault,
    catalogue,
    createRemote,
    exclusively: (id, task) => receive().exclusively(id, task),
  });
  const { environment, gateId } = ground.forges;
  const isMirror = (id: string): boolean => mirrors.isMirror(id);
  const forges = new ForgeDesk({ store, clock, vault, environment, gateId, isMirror, log });
  const nameOf = async (id: string): Promise<string | undefined> => (await catalogue.byId(id))?.name;
  const hooks = new Hooks({ store, vault, clock, mirrors, nameOf });
  return { mirrors, mirrorDesk, vault, forges, hooks };
}
