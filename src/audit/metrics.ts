/**
 * Numbers for dashboards (`/metrics`, Prometheus text). prom-client does the counting behind this
 * interface. Labels are closed word lists: nothing that a client can choose becomes a label.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import { watchEventLoop } from './event-loop-delay.ts';
import { Tally } from './tally.ts';

export interface Metrics {
  /** A request ended. `service`: `upload-pack`, `command`, ... */
  request(labels: { readonly transport: string; readonly service: string; readonly outcome: string }, ms: number): void;
  /** A git process was started. `subcommand` is of the spawner's allow-list. */
  gitProcess(subcommand: string): void;
  refCache(result: 'hit' | 'miss'): void;
  packCache(result: 'hit' | 'joined' | 'miss'): void;
  bundle(event: 'offered' | 'served' | 'refused'): void;
  /** Bytes that went over the wire, seen from the gate. */
  bytes(direction: 'in' | 'out', transport: string, count: number): void;
  push(outcome: string, ms: number): void;
  /** A push was judged without a git process, or one was asked, and why (`receive/connectivity-own.ts`). */
  pushInProcess(answer: 'taken' | 'fallback', why: string): void;
  /** Pushes that wait for an approval now; one was held (`waiting`), or what became of a held one. */
  heldWaiting(count: number): void;
  held(outcome: string): void;
  /** A mirror was wanted as its upstream is. `ms` is undefined where the upstream was not asked. */
  mirrorRefresh(outcome: 'fresh' | 'unchanged' | 'updated' | 'failed', ms: number | undefined): void;
  /** Findings of the secret scan, and bytes that it looked at. */
  scanFindings(outcome: 'refused' | 'held' | 'waived' | 'reported' | 'known', count: number): void;
  scanBytes(count: number): void;
  /** A repository was tidied. */
  upkeep(kind: string, outcome: 'done' | 'failed', ms: number): void;
  journalSync(ms: number, lines: number): void;
  connectionOpened(transport: string): void;
  connectionClosed(transport: string): void;
  login(transport: string, outcome: 'served' | 'refused'): void;
  /** How long work waited for a place. */
  workWaited(ms: number): void;
  /** A number that is asked for when somebody looks. Once for each name. */
  watch(name: string, help: string, read: () => number): void;
  readonly contentType: string;
  text(): Promise<string>;
  /** The sum of a counter over all its labels, by its name without prefix; 0 where there is none yet. For tests. */
  value(name: string): Promise<number>;
}

const PREFIX = 'gatehouse_';
/** What prom-client samples of the event loop; `watchEventLoop` has better ones. */
const LAG_PARTS = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'] as const;
/** As long as a timer can be. */
const NEVER_MS = 2 ** 31 - 1;
const REQUEST_SECONDS = [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300];
const SYNC_SECONDS = [0.0005, 0.002, 0.005, 0.01, 0.05, 0.2, 1, 5];

/** Each call has its own registry: two gates in one process do not mix. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  // Process numbers: nodejs_eventloop_lag_seconds, process_resident_memory_bytes, ...
  collectDefaultMetrics({ register: registry, prefix: PREFIX, eventLoopMonitoringPrecision: NEVER_MS });
  // Those would be looked for a hundred times a second, whether anybody asks or not.
  for (const part of LAG_PARTS) registry.removeSingleMetric(`${PREFIX}nodejs_eventloop_lag_${part}_seconds`);
  watchEventLoop(registry, PREFIX);
  return new PromMetrics(registry);
}

class PromMetrics implements Metrics {
  readonly #registry: Registry;
  readonly #requests: Histogram<'transport' | 'service' | 'outcome'>;
  readonly #gitProcesses: Counter<'subcommand'>;
  readonly #refCache: Counter<'result'>;
  readonly #packCache: Counter<'result'>;
  readonly #bundles: Counter<'event'>;
  readonly #bytes = new Tally('direction', 'transport');
  readonly #pushes: Histogram<'outcome'>;
  readonly #pushesInProcess: Counter<'answer' | 'why'>;
  readonly #refreshes: Counter<'outcome'>;
  readonly #refreshSeconds: Histogram<'outcome'>;
  readonly #scanFindings: Counter<'outcome'>;
  readonly #scanBytes: Counter;
  readonly #upkeep: Histogram<'kind' | 'outcome'>;
  readonly #journalSyncs: Histogram;
  readonly #journalLines: Counter;
  readonly #connections: Gauge<'transport'>;
  readonly #logins = new Tally('transport', 'outcome');
  readonly #held: Counter<'outcome'>;
  readonly #heldWaiting: Gauge;
  readonly #workWaits: Histogram;

  constructor(registry: Registry) {
    this.#registry = registry;
    const counter = <T extends string>(
      name: string,
      help: string,
      labelNames: readonly T[],
      tally?: { pour(into: Counter<T>): void },
    ): Counter<T> => {
      const made: Counter<T> = new Counter({
        name: PREFIX + name,
        help,
        labelNames: [...labelNames],
        registers: [registry],
        ...(tally === undefined ? {} : { collect: () => tally.pour(made) }),
      });
      return made;
    };
    const seconds = <T extends string>(
      name: string,
      help: string,
      more: { readonly labelNames: readonly T[]; readonly buckets: readonly number[] },
    ): Histogram<T> =>
      new Histogram({
        name: PREFIX + name,
        help,
        labelNames: [...more.labelNames],
        buckets: [...more.buckets],
        registers: [registry],
      });
    this.#requests = seconds('request_seconds', 'Requests by transport, service and outcome.', {
      labelNames: ['transport', 'service', 'outcome'],
      buckets: REQUEST_SECONDS,
    });
    this.#pushes = seconds('push_seconds', 'Pushes by outcome.', { labelNames: ['outcome'], buckets: REQUEST_SECONDS });
    this.#pushesInProcess = counter(
      'push_in_process_total',
      'Pushes whose objects were judged without a git process (taken), or why one was asked (fallback).',
      ['answer', 'why'],
    );
    this.#refreshes = counter(
      'mirror_refresh_total',
      'Looks at a mirror: fresh within its bound, or the upstream was asked.',
      ['outcome'],
    );
    this.#refreshSeconds = seconds('mirror_refresh_seconds', 'Questions to upstreams, with what had to be fetched.', {
      labelNames: ['outcome'],
      buckets: REQUEST_SECONDS,
    });
    this.#scanFindings = counter('scan_findings_total', 'Findings of the secret scan of pushes.', ['outcome']);
    this.#scanBytes = counter('scan_bytes_total', 'Bytes that the secret scan of pushes looked at.', []);
    this.#upkeep = seconds('upkeep_seconds', 'Repositories tidied up.', {
      labelNames: ['kind', 'outcome'],
      buckets: REQUEST_SECONDS,
    });
    this.#journalSyncs = seconds('journal_sync_seconds', 'Syncs of the audit journal.', {
      labelNames: [],
      buckets: SYNC_SECONDS,
    });
    this.#gitProcesses = counter('git_processes_total', 'Git processes started.', ['subcommand']);
    this.#refCache = counter('ref_cache_total', 'Look-ups in the ref cache.', ['result']);
    this.#bundles = counter('bundles_total', 'Bundles: told of in an answer, sent, or asked for where none was.', [
      'event',
    ]);
    this.#packCache = counter('pack_cache_total', 'Packs asked for: at hand, read along while made, or made.', [
      'result',
    ]);
    counter('bytes_total', 'Bytes on the wire, seen from the gate.', ['direction', 'transport'], this.#bytes);
    this.#journalLines = counter('journal_lines_total', 'Lines of the audit journal on disk.', []);
    counter('logins_total', 'Credentials shown.', ['transport', 'outcome'], this.#logins);
    this.#held = counter('held_pushes_total', 'Pushes held for approval (waiting), and what became of them.', [
      'outcome',
    ]);
    this.#heldWaiting = new Gauge({
      name: `${PREFIX}held_pushes`,
      help: 'Pushes that wait for an approval.',
      registers: [registry],
    });
    this.#workWaits = seconds('work_wait_seconds', 'How long work that costs much waited for a place.', {
      labelNames: [],
      buckets: REQUEST_SECONDS,
    });
    this.#connections = new Gauge({
      name: `${PREFIX}connections`,
      help: 'Open connections.',
      labelNames: ['transport'],
      registers: [registry],
    });
  }

  workWaited(ms: number): void {
    this.#workWaits.observe(ms / 1000);
  }

  watch(name: string, help: string, read: () => number): void {
    const gauge = new Gauge({
      name: PREFIX + name,
      help,
      registers: [this.#registry],
      collect: () => {
        gauge.set(read());
      },
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  request(
    labels: { readonly transport: string; readonly service: string; readonly outcome: string },
    ms: number,
  ): void {
    this.#requests.observe({ ...labels }, ms / 1000);
  }

  pushInProcess(answer: 'taken' | 'fallback', why: string): void {
    this.#pushesInProcess.inc({ answer, why });
  }

  gitProcess(subcommand: string): void {
    this.#gitProcesses.inc({ subcommand });
  }

  refCache(result: 'hit' | 'miss'): void {
    this.#refCache.inc({ result });
  }

  bundle(event: 'offered' | 'served' | 'refused'): void {
    this.#bundles.inc({ event });
  }

  packCache(result: 'hit' | 'joined' | 'miss'): void {
    this.#packCache.inc({ result });
  }

  bytes(direction: 'in' | 'out', transport: string, count: number): void {
    this.#bytes.add(direction, transport, count);
  }

  heldWaiting(count: number): void {
    this.#heldWaiting.set(count);
  }

  held(outcome: string): void {
    this.#held.inc({ outcome });
  }

  push(outcome: string, ms: number): void {
    this.#pushes.observe({ outcome }, ms / 1000);
  }

  mirrorRefresh(outcome: 'fresh' | 'unchanged' | 'updated' | 'failed', ms: number | undefined): void {
    this.#refreshes.inc({ outcome });
    if (ms !== undefined) this.#refreshSeconds.observe({ outcome }, ms / 1000);
  }

  scanFindings(outcome: 'refused' | 'held' | 'waived' | 'reported' | 'known', count: number): void {
    this.#scanFindings.inc({ outcome }, count);
  }

  scanBytes(count: number): void {
    this.#scanBytes.inc(count);
  }

  upkeep(kind: string, outcome: 'done' | 'failed', ms: number): void {
    this.#upkeep.observe({ kind, outcome }, ms / 1000);
  }

  journalSync(ms: number, lines: number): void {
    this.#journalSyncs.observe(ms / 1000);
    this.#journalLines.inc(lines);
  }

  connectionOpened(transport: string): void {
    this.#connections.inc({ transport });
  }

  connectionClosed(transport: string): void {
    this.#connections.dec({ transport });
  }

  login(transport: string, outcome: 'served' | 'refused'): void {
    this.#logins.add(transport, outcome, 1);
  }

  async text(): Promise<string> {
    return await this.#registry.metrics();
  }

  async value(name: string): Promise<number> {
    const metric = await this.#registry.getSingleMetric(PREFIX + name)?.get();
    return (metric?.values ?? []).reduce((sum, { value }) => sum + value, 0);
  }
}
