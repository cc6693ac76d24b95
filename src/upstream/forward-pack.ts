/**
 * The pack that goes upstream: everything a push brings that the upstream does not have, made by git from the push's
 * quarantine and handed on as it comes. The last piece is held back until git has ended well, so that an upstream never
 * gets a whole pack of half a push.
 */
import { Fault } from '../base/fault.ts';
import { isZeroOid, type Oid } from '../git/oid.ts';
import type { GitProcess, GitProcesses } from '../git/processes.ts';
import { readChunk, writeAll } from '../git/stream.ts';
import type { PackForm } from './wire/remote.ts';

export interface ForwardPackOptions {
  readonly processes: Pick<GitProcesses, 'start'>;
  /** The bare repository. */
  readonly gitDir: string;
  /** The push's quarantine; undefined where it brought no object. */
  readonly objectDirectory: string | undefined;
  readonly tips: readonly Oid[];
  /** Tips whose whole history is here: of what an upstream says it has, only these can be left out. */
  readonly here: ReadonlySet<Oid>;
  readonly form: PackForm;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly requestId: string;
  /** Called before the last piece is handed on: from then on the upstream may have everything. */
  readonly onComplete: () => void | Promise<void>;
}

/** @throws Fault `process`, `timeout`, `aborted`, also while it is read: then its last piece never comes. */
export async function* forwardPack(options: ForwardPackOptions, known: readonly Oid[]): AsyncGenerator<Uint8Array> {
  const { processes, gitDir, objectDirectory, form, deadlineMs, signal, requestId } = options;
  await using git = await processes.start({
    subcommand: 'pack-objects',
    options: ['--revs', '--stdout', '--quiet', ...formOptions(form)],
    gitDir,
    ...(objectDirectory === undefined ? {} : { objectDirectory }),
    deadlineMs,
    signal,
    requestId,
  });
  git.stdin.on('error', () => {}); // its exit code says what happened
  const asked = ask(git, options, known);
  asked.catch(() => {});
  let held: Buffer | undefined;
  for (;;) {
    const chunk = await readChunk(git.stdout, signal);
    if (chunk === undefined) break;
    if (held !== undefined) yield held;
    held = chunk;
  }
  const { code, ended, stderr } = await git.exit;
  if (ended === 'deadline') throw new Fault('timeout', 'git took too long to pack', { context: { stderr } });
  if (signal.aborted) throw new Fault('aborted', 'packing was aborted', { cause: signal.reason });
  if (code !== 0 || held === undefined) {
    throw new Fault('process', 'git could not pack the push', { context: { code, stderr } });
  }
  await options.onComplete();
  yield held;
}

function formOptions({ thin, ofsDelta }: PackForm): readonly string[] {
  return [...(thin ? ['--thin'] : []), ...(ofsDelta ? ['--delta-base-offset'] : [])];
}

async function ask(git: GitProcess, { tips, here, signal }: ForwardPackOptions, known: readonly Oid[]): Promise<void> {
  const wanted = tips.filter((oid) => !isZeroOid(oid));
  const had = new Set(known.filter((oid) => here.has(oid)));
  const lines = [...new Set(wanted), ...[...had].map((oid) => `^${oid}`)];
  await writeAll(git.stdin, Buffer.from(lines.map((line) => `${line}\n`).join('')), signal);
  git.stdin.end();
}
