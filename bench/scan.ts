/**
 * The secret scan, measured: how many of 10,000 secrets of every kind it finds among 200 MB of ordinary code and near misses,
 * how often it is wrong, and how fast it is on ordinary code alone. `npm run bench -- scan [--megabytes N] [--plants N]`.
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createScanner } from '../src/scan/create-scanner.ts';
import { loadDefaultRules } from '../src/scan/rules-in-force.ts';
import type { Finding } from '../src/scan/finding.ts';
import type { ScanItem, Scanner } from '../src/scan/scanner.ts';
import { corpusFiles, itemOf, ordinaryCode, scoresOf, type Plant, type Score } from '../test/support/secret-corpus.ts';

const ROOT = join(import.meta.dirname, '..');
const MB = 1_000_000;
const BATCH_BYTES = 8 * MB;
const SEED = 20_260_401;
/** Rounds of the measurement of speed: the median counts. */
const ROUNDS = 5;
const SPEED_MB = 100;

export async function benchScan(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { megabytes: { type: 'string', default: '200' }, plants: { type: 'string', default: '10000' } },
  });
  const loaded = loadDefaultRules();
  if (loaded.kind === 'refused') throw new Error(loaded.reason);
  const sources = ordinaryCode(ROOT);
  const options = { seed: SEED, plants: Number(values.plants), bytes: Number(values.megabytes) * MB };
  const scanner = createScanner({ rules: loaded.value });
  try {
    const { scores, bytes } = await quality(scanner, sources, options);
    printScores(scores, { bytes, rules: loaded.value.rules.length });
  } finally {
    await scanner.close();
  }
  const single = createScanner({ rules: loaded.value, limits: { workers: 1 } });
  try {
    await speed(single, sources);
  } finally {
    await single.close();
  }
  return 0;
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

function printScores(
  scores: readonly Score[],
  { bytes, rules }: { readonly bytes: number; readonly rules: number },
): void {
  const percent = (share: number): string => `${(share * 100).toFixed(1)}%`.padStart(7);
  const width = Math.max(...scores.map(({ rule }) => rule.length));
  process.stdout.write(`${'kind'.padEnd(width)}  planted  found  wrong   recall  precision\n`);
  for (const { rule, planted, found, wrong, recall, precision } of scores) {
    const numbers = [planted, found, wrong].map((number) => String(number).padStart(7)).join('');
    process.stdout.write(`${rule.padEnd(width)}  ${numbers}  ${percent(recall)}    ${percent(precision)}\n`);
  }
  const sum = (pick: (score: Score) => number): number => scores.reduce((total, score) => total + pick(score), 0);
  const [planted, found, wrong] = [
    sum((score) => score.planted),
    sum((score) => score.found),
    sum((score) => score.wrong),
  ];
  const least = (pick: (score: Score) => number): string => percent(Math.min(...scores.map(pick))).trim();
  process.stdout.write(
    `\n${planted} secrets of ${scores.filter((score) => score.planted > 0).length} kinds in ${Math.round(bytes / MB)} MB, ${rules} rules: ` +
      `${found} found (${percent(found / planted).trim()}), ${wrong} findings wrong; ` +
      `of the worst kind recall ${least((score) => score.recall)}, precision ${least((score) => score.precision)}\n`,
  );
}

/** One thread on code without secrets, files as they lie in a repository. Processor time too: others use the machine as well. */
async function speed(scanner: Scanner, sources: readonly string[]): Promise<void> {
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
