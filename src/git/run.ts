/** One question to git: its input written, its output collected up to a bound. */
import { BOUNDS } from '../base/bounds.ts';
import { Fault } from '../base/fault.ts';
import type { GitExit, GitProcess, GitProcesses, GitRun, GitSpec } from './processes.ts';
import { readChunk, writeAll } from './stream.ts';

/**
 * Runs git to its end. A failing exit code is a value: look at `code`.
 * @throws Fault `process` (not started, or output over `BOUNDS.collectedOutputBytesMax`), `timeout`, `aborted`.
 */
export async function runGit(
  processes: Pick<GitProcesses, 'start'>,
  spec: GitSpec,
  input?: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<GitRun> {
  await using git = await processes.start(spec);
  const ended = Promise.all([collect(git, spec), git.exit]);
  // Input that fails, fails the run; input that never ends does not outlive the process.
  const fed = feed(git, input).then(() => ended);
  fed.catch(() => {});
  const [stdout, exit] = await Promise.race([ended, fed]);
  assertOwnEnd(exit, spec);
  return { code: exit.code, stdout, stderr: exit.stderr };
}

/** As `runGit`, where anything but exit code 0 is a fault. @throws Fault `process` too. */
export async function runGitOk(
  processes: Pick<GitProcesses, 'start'>,
  spec: GitSpec,
  input?: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<Buffer> {
  const { code, stdout, stderr } = await runGit(processes, spec, input);
  if (code === 0) return stdout;
  throw new Fault('process', 'git failed', { context: { subcommand: spec.subcommand, code, stderr } });
}

/** @throws Fault `timeout` or `aborted` where we ended it. */
export function assertOwnEnd(exit: GitExit, spec: GitSpec): void {
  const context = { subcommand: spec.subcommand, stderr: exit.stderr };
  if (exit.ended === 'deadline') throw new Fault('timeout', 'git took too long', { context });
  if (exit.ended === 'aborted') throw new Fault('aborted', 'git was aborted', { context });
}

/** Writes the input and closes it. git may stop reading when it knows enough: its exit code tells. */
async function feed(git: GitProcess, input: Uint8Array | AsyncIterable<Uint8Array> = new Uint8Array()): Promise<void> {
  if (input instanceof Uint8Array) {
    git.stdin.end(input);
    return;
  }
  for await (const chunk of input) {
    try {
      await writeAll(git.stdin, chunk);
    } catch {
      return;
    }
  }
  git.stdin.end();
}

async function collect(git: GitProcess, spec: GitSpec): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const chunk = await readChunk(git.stdout);
    if (chunk === undefined) return Buffer.concat(chunks, bytes);
    bytes += chunk.length;
    if (bytes > BOUNDS.collectedOutputBytesMax) {
      throw new Fault('process', 'git said too much', { context: { subcommand: spec.subcommand, bytes } });
    }
    chunks.push(chunk);
  }
}
