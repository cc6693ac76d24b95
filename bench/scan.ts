/**
 * The secret scan, measured: how many of 10,000 secrets of every kind it finds among 200 MB of ordinary code and near misses,
 * how often it is wrong, and how fast it is on ordinary code alone.
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { createScanner } from '../src/scan/create-scanner.ts';
import { loadDefaultRules } from '../src/scan/rules-in-force.ts';
import type { Finding } from '../src/scan/finding.ts';
import type { ScanItem, Scanner } from '../src/scan/scanner.ts';
import { type AnyProgram, readFlags } from '../test/support/flags.ts';
import { corpusFiles, itemOf, ordinaryCode, scoresOf, type Plant, type Score } from '../test/support/secret-corpus.ts';

const ROOT = join(import.meta.dirname, '..');
const MB = 1_000_000;
const BATCH_BYTES = 8 * MB;
const SEED = 20_260_401;
/** Rounds of the measurement of speed: the median counts. */
const ROUNDS = 5;
const SPEED_MB = 100;

const PROGRAM = {
  call: 'npm run bench -- scan',
  about: 'What the secret scan finds among planted secrets and near misses, and how fast it reads ordinary code.',
  flags: {
    megabytes: { kind: 'count', about: 'of ordinary code around the secrets', default: 200, least: 1 },
    plants: { kind: 'count', about: 'secrets planted, and as many near misses', default: 10_000, least: 1 },
    json: { kind: 'switch', about: 'one line of JSON' },
  },
  examples: ['', '--megabytes 20 --plants 1000'],
} satisfies AnyProgram;

/** Resolves with the exit code. */
export async function benchScan(args: readonly string[]): Promise<number> {
  const flags = readFlags(PROGRAM, args);
  if (flags.kind === 'end') return flags.code;
  const { megabytes, plants, json } = flags.values;
  const loaded = loadDefaultRules();
  if (loaded.kind === 'refused') throw new Error(loaded.reason);
  const sources = ordinaryCode(ROOT);
  const options = { seed: SEED, plants, bytes: megabytes * MB };
  const found = await withScanner({ rules: loaded.value }, (scanner) => quality(scanner, sources, options));
  const sums = sumsOf(found, loaded.value.rules.length);
  if (!json) printScores(found.scores, sums);
  const speeds = await withScanner({ rules: loaded.value, limits: { workers: 1 } }, (scanner) =>
    speed(scanner, sources),
  );
  if (json) process.stdout.write(`${JSON.stringify({ bench: 'scan', ...sums, speeds, kinds: found.scores })}\n`);
  else printSpeeds(speeds);
  return 0;
}

async function withScanner<T>(
  options: Parameters<typeof createScanner>[0],
  work: (scanner: Scanner) => Promise<T>,
): Promise<T> {
  const scanner = createScanner(options);
  try {
    return await work(scanner);
  } finally {
    await scanner.close();
  }
}

interface Quality {
  readonly scores: readonly Score[];
  readonly bytes: number;
}

/** In batches of files, as pushes come: more findings than one push may have are dropped by the scanner. */
async function quality(
  scanner: Scanner,
  sources: readonly string[],
  options: Parameters<typeof corpusFiles>[1],
): Promise<Quality> {
  const plants: Plant[] = [];
  const findings: Finding[] = [];
  let batch: ScanItem[] = [];
  let [bytes, batchBytes] = [0, 0];
  const flush = async (): Promise<void> => {
    const report = await scanner.scan(batch, { signal: new AbortController().signal });
    if (report.findingsDropped > 0 || report.unscanned.length > 0)
      throw new Error(`${report.findingsDropped} findings dropped; ${JSON.stringify(report.unscanned.slice(0, 3))}`);
    findings.push(...report.findings);
    [batch, batchBytes] = [[], 0];
  };
  for (const file of corpusFiles(sources, options)) {
    plants.push(...file.plants);
    batch.push(itemOf(file));
    bytes += file.text.length;
    batchBytes += file.text.length;
    if (batchBytes >= BATCH_BYTES) await flush();
  }
  await flush();
  return { scores: scoresOf(plants, findings), bytes };
}

interface Sums {
  readonly bytes: number;
  readonly rules: number;
  readonly kindsPlanted: number;
  readonly planted: number;
  readonly found: number;
  readonly wrong: number;
  /** Of the worst kind, from 0 to 1. */
  readonly recallLeast: number;
  readonly precisionLeast: number;
}

function sumsOf({ scores, bytes }: Quality, rules: number): Sums {
  const sum = (pick: (score: Score) => number): number => scores.reduce((total, score) => total + pick(score), 0);
  return {
    bytes,
    rules,
    kindsPlanted: scores.filter((score) => score.planted > 0).length,
    planted: sum((score) => score.planted),
    found: sum((score) => score.found),
    wrong: sum((score) => score.wrong),
    recallLeast: Math.min(...scores.map((score) => score.recall)),
    precisionLeast: Math.min(...scores.map((score) => score.precision)),
  };
}

function printScores(scores: readonly Score[], sums: Sums): void {
  const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;
  const width = Math.max(...scores.map(({ rule }) => rule.length));
  process.stdout.write(`${'kind'.padEnd(width)}  planted  found  wrong   recall  precision\n`);
  for (const { rule, planted, found, wrong, recall, precision } of scores) {
    const numbers = [planted, found, wrong].map((number) => String(number).padStart(7)).join('');
    const shares = `${percent(recall).padStart(7)}    ${percent(precision).padStart(7)}`;
    process.stdout.write(`${rule.padEnd(width)}  ${numbers}  ${shares}\n`);
  }
  const { bytes, rules, kindsPlanted, planted, found, wrong, recallLeast, precisionLeast } = sums;
  process.stdout.write(
    `\n${planted} secrets of ${kindsPlanted} kinds in ${Math.round(bytes / MB)} MB, ${rules} rules: ` +
      `${found} found (${percent(found / planted)}), ${wrong} findings wrong; ` +
      `of the worst kind recall ${percent(recallLeast)}, precision ${percent(precisionLeast)}\n`,
  );
}

/** Megabytes a second, a figure for each round. */
interface Speeds {
  readonly processor: readonly number[];
  readonly wall: readonly number[];
  readonly bytes: number;
}

/** One thread on code without secrets, files as they lie in a repository. Processor time too: others use the machine as well. */
async function speed(scanner: Scanner, sources: readonly string[]): Promise<Speeds> {
  const files = [...corpusFiles(sources, { seed: SEED + 1, plants: 0, bytes: SPEED_MB * MB })].map(itemOf);
  const bytes = files.reduce((sum, { size }) => sum + (size ?? 0), 0);
  const signal = new AbortController().signal;
  await scanner.scan(files.slice(0, 200), { signal });
  const [wall, processor]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    await scanner.scan(files, { signal });
    const used = process.cpuUsage(before);
    wall.push(bytes / MB / ((performance.now() - start) / 1_000));
    processor.push(bytes / (used.user + used.system)); // both in millionths
  }
  return { processor, wall, bytes };
}

function printSpeeds({ processor, wall, bytes }: Speeds): void {
  const rounds = `${ROUNDS} rounds of ${Math.round(bytes / MB)} MB, ${cpus().length} processors`;
  process.stdout.write(
    `ordinary code, one thread: ${spread(processor)} a second of processor time, ${spread(wall)} by the clock (${rounds})\n`,
  );
}

function spread(rates: readonly number[]): string {
  const sorted = rates.toSorted((a, b) => a - b);
  const [least = 0, median = 0, most = 0] = [sorted[0], sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  return `${median.toFixed(0)} MB (${least.toFixed(0)} to ${most.toFixed(0)})`;
}
