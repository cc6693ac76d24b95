/** A git that answers in lines: its input is fed while its output is read, so neither side can block the other. */
import type { Readable } from 'node:stream';
import { Fault } from '../base/fault.ts';
import type { GitProcess, GitProcesses, GitSpec } from '../git/processes.ts';
import { readChunk, writeAll } from '../git/stream.ts';

/** What was answered: 'enough' where `take` wanted no more and git was ended. */
export type LinesEnd = 'enough' | 'end';

export interface LinesQuestion {
  readonly processes: GitProcesses;
  readonly spec: GitSpec;
  readonly input: Iterable<string>;
  /** Gets whole lines, a chunk at a time; true means enough. */
  readonly take: (lines: readonly string[]) => boolean;
}

/** @throws Fault `process` where git fails, `timeout` at its deadline, `aborted`. */
export async function askLines({ processes, spec, input, take }: LinesQuestion): Promise<LinesEnd> {
  await using child = await processes.start(spec);
  const feeding = feed(child, input, spec.signal);
  try {
    for await (const lines of linesOf(child.stdout, spec.signal)) if (take(lines)) return 'enough';
  } catch (cause) {
    // A child that was ended at its deadline looks like a broken stream: the reason is in its exit.
    await assertSucceeded(child, spec);
    throw cause;
  }
  await feeding;
  await assertSucceeded(child, spec);
  return 'end';
}

async function assertSucceeded(child: GitProcess, spec: GitSpec): Promise<void> {
  if (spec.signal?.aborted === true) throw new Fault('aborted', 'git was aborted', { cause: spec.signal.reason });
  const { code, ended, stderr } = await child.exit;
  if (code === 0) return;
  if (ended === 'deadline')
    throw new Fault('timeout', 'git took too long', { context: { subcommand: spec.subcommand } });
  throw new Fault('process', 'git failed', { context: { subcommand: spec.subcommand, code, stderr } });
}

/** Never rejects: a child that stops reading has exited, and its exit code says why. */
async function feed(child: GitProcess, input: Iterable<string>, signal: AbortSignal | undefined): Promise<void> {
  child.stdin.on('error', () => {});
  try {
    for (const text of pieces(input)) await writeAll(child.stdin, Buffer.from(text), signal);
    child.stdin.end();
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause;
  }
}

function* pieces(input: Iterable<string>): Generator<string> {
  let text = '';
  for (const part of input) {
    text += part;
    if (text.length < 64 * 1024) continue;
    yield text;
    text = '';
  }
  if (text !== '') yield text;
}

async function* linesOf(stdout: Readable, signal: AbortSignal | undefined): AsyncGenerator<readonly string[]> {
  let left = '';
  for (;;) {
    const chunk = await readChunk(stdout, signal);
    if (chunk === undefined) break;
    const lines = (left + chunk.toString('latin1')).split('\n');
    left = lines.pop() ?? '';
    if (lines.length > 0) yield lines;
  }
  if (left !== '') yield [left];
}
