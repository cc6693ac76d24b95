/** What everything in the house stands on: the data directory, the log, the store, the journal, and git. */
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { openJournal, type OpenJournal } from '../audit/journal.ts';
import { createLog, type Log, type LogLevel } from '../audit/log.ts';
import { createMetrics, type Metrics } from '../audit/metrics.ts';
import { systemClock } from '../base/clock.ts';
import type { Config } from '../base/config.ts';
import { startGitProcesses, type ConfinedGitProcesses } from '../git/spawner.ts';
import { claimDataDirectory, type DataDirectory } from '../store/data-directory.ts';
import { keepReads } from '../store/kept-reads.ts';
import { openSqliteStore } from '../store/sqlite.ts';
import type { Store } from '../store/store.ts';
import type { EnvironmentToken } from '../upstream/forges/forge-tokens.ts';
import type { KeySource } from '../upstream/vault-keys.ts';
import { readSiteSettings, type SiteSettings } from './site-room.ts';

/** What the start says about forges. */
export interface ForgeGround {
  /** The token that came with the environment. */
  readonly environment?: EnvironmentToken | undefined;
  /** What marks this gate's keys; absent: the site's own mark. */
  readonly gateId?: string;
}

export interface Ground {
  readonly data: DataDirectory;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: Store;
  readonly journal: OpenJournal;
  readonly processes: ConfinedGitProcesses;
  readonly siteSettings: SiteSettings | undefined;
  /** Keys of the vault that came with the environment. */
  readonly vaultKeys: KeySource | undefined;
  readonly forges: ForgeGround;
}

/**
 * Conversations beside those that requests have: upkeep, copies, mirrors. Else clients that do not go on, each with a git that
 * stands still and no place for work, would keep everybody with a place from starting one.
 */
const OWN_CONVERSATIONS = 64;

/** What it opens is closed with the stack. @throws Fault with a public message where something cannot be opened. */
export async function layGround(
  config: Config,
  stack: AsyncDisposableStack,
  { vaultKeys, forges = {} }: { readonly vaultKeys?: KeySource | undefined; readonly forges?: ForgeGround } = {},
): Promise<Ground> {
  const { dataDirectory, settings } = config;
  const log = createLog({ level: settings.logLevel as LogLevel });
  const metrics = createMetrics();
  const siteSettings = await readSiteSettings(config);
  const data = await claimDataDirectory(dataDirectory);
  stack.defer(() => data.release());
  // What lies here is the house's, whatever a site shows of its repositories.
  if (siteSettings !== undefined) await chmod(dataDirectory, 0o700);
  const isReady = data.state === 'ready';
  const store = keepReads(await openSqliteStore({ path: join(dataDirectory, 'gatehouse.db'), create: !isReady }));
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
    conversationsMax: settings.requestsMax + OWN_CONVERSATIONS,
    ...(siteSettings === undefined ? {} : { umask: () => siteSettings.umask.mask }),
    log: (line) => log.info({ line }, 'spawn git'),
  });
  stack.defer(() => processes.close());
  log.info({ confinement: processes.confinement.describe() }, 'confine git');
  return { data, log, metrics, store, journal, processes, siteSettings, vaultKeys, forges };
}
