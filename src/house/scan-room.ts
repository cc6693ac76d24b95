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
import { createSecretScanStep, SCAN_MODES, scanModeOf, type ScanMode } from '../receive/steps/secret-scan.ts';
import type { RepositoryFacts } from '../repository/repository.ts';
import { createScanner, type RuledScanner } from '../scan/create-scanner.ts';
import { createRuleAnnex } from '../scan/rule-annex.ts';
import { loadDefaultRules } from '../scan/rules-in-force.ts';
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
}

export interface ScanRoom {
  readonly scanner: RuledScanner;
  readonly waivers: Waivers;
  readonly desk: ScanDesk;
  /** For the policy: `secrets/*.toml`. */
  readonly annex: PolicyAnnex;
  readonly step: Step;
  /** Whether what goes to this repository is scanned: for uploads that are no push. */
  readonly modeOf: (repository: RepositoryFacts) => ScanMode;
}

/** No thread is started before there is something to scan. @throws Fault where the rules that ship do not load. */
export function openScanRoom(ground: ScanGround, stack: AsyncDisposableStack): ScanRoom {
  const { settings, store, processes, refs, journal, metrics, clock, isMirror } = ground;
  const defaults = loadDefaultRules();
  if (defaults.kind === 'refused') {
    throw new Fault('internal', 'default rules do not load', { context: { reason: defaults.reason } });
  }
  let inForce = { rules: defaults.value, files: [] as readonly string[] };
  let revision = 1;
  const scanner = createScanner({
    rules: defaults.value,
    revision,
    limits: { itemBytesMax: settings.scanItemBytesMax },
  });
  stack.defer(() => scanner.close());
  const waivers = new Waivers({ store, clock });
  const house = SCAN_MODES.find((mode) => mode === settings.scanDefault) ?? 'on';
  const modeOf = (repository: RepositoryFacts): ScanMode => scanModeOf(repository, { isMirror, house });
  const annex = createRuleAnnex({
    defaults: defaults.value,
    adopt(rules, files) {
      if (files.length === 0 && inForce.files.length === 0) return; // the default rules stay as they are
      inForce = { rules, files };
      revision += 1;
      scanner.use(rules, revision);
    },
  });
  const parts = {
    processes,
    scanner,
    waivers,
    clock,
    deadlineMs: settings.scanDeadline,
    objectsMax: BOUNDS.scanObjectsMax,
  };
  return {
    scanner,
    waivers,
    annex,
    modeOf,
    desk: new ScanDesk({ ...parts, refs, inForce: () => inForce }),
    step: createSecretScanStep({ ...parts, modeOf, journal, metrics }),
  };
}
