/**
 * Whether everything that the new tips need is there: `git rev-list --objects` over the quarantine, up to what refs
 * already hold. The same walk names every new path, so their lengths come for nothing.
 */
import { Fault } from '../base/fault.ts';
import { oidHexLength, type ObjectFormat, type Oid } from '../git/oid.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { Repository } from '../repository/repository.ts';
import { writeAll } from '../git/stream.ts';
import { eachLine, wholeLines } from './lines.ts';

export interface ConnectivityOptions {
  readonly processes: GitProcesses;
  readonly repository: Repository;
  readonly objectDirectory: string | undefined;
  readonly tips: readonly Oid[];
  /**
   * Given where the principal may not read every ref: the tips it may read, and what it sent. Then every object that is
   * not reachable from the former has to be among the latter; else a push could make a hidden object readable by
   * naming it. Objects that completed a thin pack have to be reachable too: a change of a hidden one holds all of it.
   */
  readonly horizon:
    | {
        readonly readable: readonly Oid[];
        readonly sent: ReadonlySet<string>;
        readonly bases: ReadonlySet<string>;
      }
    | undefined;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly requestId: string;
}

export type Connected =
  | { readonly kind: 'connected'; readonly longestPath: string; readonly longestName: string }
  /** Something is missing, or is not this principal's to name. */
  | { readonly kind: 'disconnected' };

/** @throws Fault `timeout`, `aborted`. */
export async function checkConnectivity(options: ConnectivityOptions): Promise<Connected> {
  const walked = await walk(options);
  const { bases, readable } = options.horizon ?? {};
  if (walked.kind === 'disconnected' || bases === undefined || readable === undefined) return walked;
  return (await leadsToAll(options, readable, bases)) ? walked : { kind: 'disconnected' };
}

/** Whether each of `oids` is reachable from `tips`. Stops at the last of them: those of thin packs lie near the tips. */
async function leadsToAll(
  { processes, repository, deadlineMs, signal, requestId }: ConnectivityOptions,
  tips: readonly Oid[],
  oids: ReadonlySet<string>,
): Promise<boolean> {
  const missing = new Set(oids);
  if (missing.size === 0) return true;
  const flags = ['--objects', '--no-object-names', '--stdin'];
  const where = { gitDir: repository.path, deadlineMs, signal, requestId };
  await using git = await processes.start({ subcommand: 'rev-list', options: flags, ...where });
  git.stdin.on('error', () => {}); // its exit code says what happened
  const asking = writeAll(git.stdin, Buffer.from(tips.map((oid) => `${oid}\n`).join('')), signal).then(() =>
    git.stdin.end(),
  );
  asking.catch(() => {});
  for await (const lines of wholeLines(git.stdout)) {
    eachLine(lines, (start, end) => missing.delete(lines.toString('latin1', start, end)));
    if (missing.size === 0) return true;
  }
  const exit = await git.exit;
  if (exit.ended === 'deadline') throw new Fault('timeout', 'connectivity check took too long');
  if (signal.aborted) throw new Fault('aborted', 'push was aborted', { cause: signal.reason });
  return false;
}

async function walk(options: ConnectivityOptions): Promise<Connected> {
  const { processes, repository, objectDirectory, tips, horizon, deadlineMs, signal, requestId } = options;
  await using git = await processes.start({
    subcommand: 'rev-list',
    options: horizon === undefined ? ['--objects', '--stdin', '--not', '--all'] : ['--objects', '--stdin'],
    gitDir: repository.path,
    ...(objectDirectory === undefined ? {} : { objectDirectory }),
    deadlineMs,
    signal,
    requestId,
  });
  git.stdin.on('error', () => {}); // its exit code says what happened
  const asking = (async (): Promise<void> => {
    const negative = (horizon?.readable ?? []).map((oid) => `^${oid}`);
    await writeAll(git.stdin, Buffer.from([...tips, ...negative].map((line) => `${line}\n`).join('')), signal);
    git.stdin.end();
  })();
  asking.catch(() => {});
  const seen = await readPaths(git.stdout, repository.objectFormat, horizon?.sent);
  if (seen === undefined) return { kind: 'disconnected' };
  const exit = await git.exit;
  if (exit.ended === 'deadline') throw new Fault('timeout', 'connectivity check took too long');
  if (signal.aborted) throw new Fault('aborted', 'push was aborted', { cause: signal.reason });
  return exit.code === 0 ? { kind: 'connected', ...seen } : { kind: 'disconnected' };
}

interface Seen {
  readonly longestPath: string;
  readonly longestName: string;
}

/** Lines of `OID` or `OID PATH`; undefined at the first oid that is not among `sent`. */
async function readPaths(
  output: AsyncIterable<unknown>,
  format: ObjectFormat,
  sent: ReadonlySet<string> | undefined,
): Promise<Seen | undefined> {
  const digits = oidHexLength(format);
  let path = Buffer.alloc(0);
  let name = Buffer.alloc(0);
  let isForeign = false;
  for await (const lines of wholeLines(output)) {
    eachLine(lines, (start, end) => {
      if (sent !== undefined && !sent.has(lines.toString('latin1', start, start + digits))) isForeign = true;
      const from = start + digits + 1;
      if (end - from <= name.length) return;
      const whole = lines.subarray(from, end);
      if (whole.length > path.length) path = Buffer.from(whole);
      const last = whole.subarray(whole.lastIndexOf(SLASH) + 1);
      if (last.length > name.length) name = Buffer.from(last);
    });
    if (isForeign) return undefined;
  }
  return { longestPath: path.toString(), longestName: name.toString() };
}

const SLASH = 0x2f;
