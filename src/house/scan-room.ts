/** The secret scan as it stands in this house: the scanner, the rules in force, waivers, the step of the push. */
import type { PolicyAnnex } from '../access/annex.ts';
import type { JournalEntry } from '../audit/entry.ts';
import type { Metrics } from '../audit/metrics.ts';
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { Settings } from '../base/settings.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { RefCache } from '../git/ref-cache.ts';
import { ScanDesk } from '../receive/scan-desk.ts';
import type { Step } from '../receive/step.ts';
import {
  createSecretScanStep,
  SCAN_MODES,
  scanModeOf,
  type ScanMode,
  type SecretScanParts,
} from '../receive/steps/secret-scan.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import { createScanner, type RuledScanner, type ScanLimits } from '../scan/create-scanner.ts';
import { createRuleAnnex, type RulesInForce } from '../scan/rule-annex.ts';
import { loadDefaultRules } from '../scan/rules-in-force.ts';
import type { RuleSet } from '../scan/rule-set.ts';
import type { Scanner } from '../scan/scanner.ts';
import { Waivers } from '../scan/waivers.ts';
import type { Store } from '../store/store.ts';

export interface ScanGround {
  readonly settings: Settings;
  readonly store: Store;
  readonly processes: GitProcesses;
  readonly refs: RefCache;
  readonly journal: { append(entry: JournalEntry): Promise<void> };
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly isMirror: (repositoryId: string) => boolean;
  /** As `ScanPushParts.observe`. */
  readonly observe?: SecretScanParts['observe'];
}

export interface ScanRoom {
  readonly scanner: Scanner;
  readonly waivers: Waivers;
  readonly desk: ScanDesk;
  /** For the policy: `secrets/*.toml`. */
  readonly annex: PolicyAnnex;
  readonly step: Step;
  /** Whether what goes to this repository is scanned: for uploads that are no push. */
  readonly modeOf: (repository: RepositoryFacts) => ScanMode;
}

/** Nothing is read and no thread started before there is something to scan. */
export function openScanRoom(ground: ScanGround, stack: AsyncDisposableStack): ScanRoom {
  const { settings, store, processes, refs, journal, metrics, clock, isMirror, observe } = ground;
  const keeper = new ScannerKeeper({ itemBytesMax: settings.scanItemBytesMax });
  stack.defer(() => keeper.close());
  const waivers = new Waivers({ store, clock });
  const house = SCAN_MODES.find((mode) => mode === settings.scanDefault) ?? 'on';
  const modeOf = (repository: RepositoryFacts): ScanMode => scanModeOf(repository, { isMirror, house });
  const annex = createRuleAnnex({ defaults: () => keeper.defaults, adopt: (inForce) => keeper.use(inForce) });
  const { scanDeadline: deadlineMs } = settings;
  const parts = { processes, scanner: keeper, waivers, clock, deadlineMs, objectsMax: BOUNDS.scanObjectsMax };
  return {
    scanner: keeper,
    waivers,
    annex,
    modeOf,
    desk: new ScanDesk({ ...parts, refs, inForce: () => keeper.inForce }),
    step: createSecretScanStep({ ...parts, modeOf, journal, metrics, ...(observe === undefined ? {} : { observe }) }),
  };
}

/** The scanner, made when it is first used, with the rules that are in force then. */
class ScannerKeeper implements Scanner {
  readonly #limits: Partial<ScanLimits>;
  #defaults: RuleSet | undefined;
  /** Undefined: the default rules. */
  #site: RulesInForce | undefined;
  #revision = 1;
  #scanner: RuledScanner | undefined;

  constructor(limits: Partial<ScanLimits>) {
    this.#limits = limits;
  }

  get revision(): number {
    return this.#revision;
  }

  /** @throws Fault `internal` where what ships does not load. */
  get defaults(): RuleSet {
    if (this.#defaults !== undefined) return this.#defaults;
    const loaded = loadDefaultRules();
    if (loaded.kind === 'refused') {
      throw new Fault('internal', 'default rules do not load', { context: { reason: loaded.reason } });
    }
    this.#defaults = loaded.value;
    return loaded.value;
  }

  get inForce(): RulesInForce {
    return this.#site ?? { rules: this.defaults, files: [] };
  }

  use(inForce: RulesInForce | undefined): void {
    if (inForce === undefined && this.#site === undefined) return;
    this.#site = inForce;
    this.#revision += 1;
    this.#scanner?.use(this.inForce.rules, this.#revision);
  }

  scan(...[items, options]: Parameters<Scanner['scan']>): ReturnType<Scanner['scan']> {
    const parts = { rules: this.inForce.rules, revision: this.#revision, limits: this.#limits };
    this.#scanner ??= createScanner(parts);
    return this.#scanner.scan(items, options);
  }

  async close(): Promise<void> {
    await this.#scanner?.close();
  }
}
