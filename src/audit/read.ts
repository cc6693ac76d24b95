/** Reads journal lines by filter, in order, without holding more than one chunk of a file. */
import { join } from 'node:path';
import type { JournalLine, JournalOutcome } from './entry.ts';
import { fileName, listFiles, rawLines, type Place } from './files.ts';
import { lineOf, parseLink } from './line.ts';

export interface JournalFilter {
  readonly repository?: string;
  /** Who asked, also as the one really asking under `as USER`. */
  readonly principal?: string;
  readonly event?: string;
  readonly outcome?: JournalOutcome;
  /** Milliseconds since 1970: at or after, and before. */
  readonly since?: number;
  readonly until?: number;
  /** The first so many that match. */
  readonly limit?: number;
}

export interface ReadOptions {
  readonly filter: JournalFilter;
  /** Both default to the ends of the journal. */
  readonly from?: Place;
  readonly to?: Place;
}

/** A clock may be set back: files are skipped by time only with this much to spare, in milliseconds. */
const CLOCK_STEP_MS = 3_600_000;

/** Yields what can be read; whether it is what was written is for `verifyJournal`. */
export async function* readLines(directory: string, options: ReadOptions): AsyncGenerator<JournalLine> {
  const { filter, from, to } = options;
  const matches = matcher(filter);
  let left = filter.limit ?? Number.POSITIVE_INFINITY;
  if (left <= 0) return;
  const files = listFiles(directory).filter(
    (file) => file >= (from?.file ?? 0) && file <= (to?.file ?? Number.MAX_SAFE_INTEGER),
  );
  const first = filter.since === undefined ? 0 : await firstFile(directory, files, filter.since);
  for (const file of files.slice(first)) {
    const range = { from: file === from?.file ? from.offset : 0, to: file === to?.file ? to.offset : undefined };
    for await (const lines of rawLines(join(directory, fileName(file)), range)) {
      for (const { bytes, whole } of lines) {
        const line = whole ? matches(bytes) : undefined;
        if (line === undefined) continue;
        yield line;
        left -= 1;
        if (left <= 0) return;
      }
    }
  }
}

/** The last file that starts well before `since`: everything earlier is older. */
async function firstFile(directory: string, files: readonly number[], since: number): Promise<number> {
  let low = 0;
  for (let high = files.length - 1; low < high;) {
    const middle = Math.ceil((low + high) / 2);
    const time = await firstTime(directory, files[middle] ?? 0);
    if (time !== undefined && time < since - CLOCK_STEP_MS) low = middle;
    else high = middle - 1;
  }
  return low;
}

async function firstTime(directory: string, file: number): Promise<number | undefined> {
  for await (const [line] of rawLines(join(directory, fileName(file)))) {
    const time = line === undefined ? undefined : parseLink(line.bytes)?.fields['time'];
    return typeof time === 'string' ? Date.parse(time) : undefined;
  }
  return undefined;
}

function matcher(filter: JournalFilter): (bytes: Buffer) => JournalLine | undefined {
  const { repository, principal, event, outcome } = filter;
  // The words of a line that matches stand in it as they are, so that most lines need not be parsed.
  const words = [repository, principal, event, outcome].flatMap((word) =>
    word === undefined ? [] : [Buffer.from(JSON.stringify(word))],
  );
  const since = filter.since === undefined ? '' : new Date(filter.since).toISOString();
  const until = filter.until === undefined ? undefined : new Date(filter.until).toISOString();
  return (bytes) => {
    if (!words.every((word) => bytes.includes(word))) return undefined;
    const link = parseLink(bytes);
    if (link === undefined) return undefined;
    const line = lineOf(link);
    if (repository !== undefined && line.repository !== repository) return undefined;
    if (principal !== undefined && line.principal !== principal && line.asking !== principal) return undefined;
    if (event !== undefined && line.event !== event) return undefined;
    if (outcome !== undefined && line.outcome !== outcome) return undefined;
    return line.time >= since && (until === undefined || line.time < until) ? line : undefined;
  };
}
