/** How fast the scan itself is: one thread, no messages, bytes that are in memory. */
import { performance } from 'node:perf_hooks';
import { compileRules } from '../src/scan/compiled-rules.ts';
import { ItemScan, PIECE_BYTES } from '../src/scan/item-scan.ts';
import type { RuleSet } from '../src/scan/rule-set.ts';
import { DEFAULT_SCAN_LIMITS } from '../src/scan/scan-limits.ts';
import { runGuarded, type Guarded } from '../src/scan/step-guard.ts';

export interface Throughput {
  readonly bytes: number;
  readonly findings: number;
  /** MB (10^6 bytes) a second of wall time, and of the processor's: the latter where the machine does other work too. */
  readonly megabytesPerSecond: number;
  readonly megabytesPerProcessorSecond: number;
}

/** Scans all files once, in batches as the threads do. Call it twice: the first time V8 compiles. */
export function measureThroughput(rules: RuleSet, files: ReadonlyMap<string, Buffer>): Throughput {
  const compiled = compileRules(rules);
  const work = { rules: compiled, limits: DEFAULT_SCAN_LIMITS };
  const started = performance.now();
  const cpu = process.cpuUsage();
  let bytes = 0;
  let findings = 0;
  let texts: Guarded[] = [];
  let scans: ItemScan[] = [];
  let held = 0;
  const flush = (): void => {
    runGuarded(texts);
    for (const scan of scans) findings += scan.result().findings.length;
    texts = [];
    scans = [];
    held = 0;
  };
  for (const [path, content] of files) {
    const scan = new ItemScan({ ...work, facts: { kind: 'blob', path, oid: '' }, item: 0 });
    const guarded = scan.begin(content);
    // Archives and long files take another way, which this does not measure.
    if (guarded === undefined) continue;
    texts.push(...guarded);
    scans.push(scan);
    bytes += content.length;
    held += content.length;
    if (held >= PIECE_BYTES) flush();
  }
  flush();
  const used = process.cpuUsage(cpu);
  return {
    bytes,
    findings,
    megabytesPerSecond: bytes / 1e3 / (performance.now() - started),
    megabytesPerProcessorSecond: bytes / (used.user + used.system),
  };
}
