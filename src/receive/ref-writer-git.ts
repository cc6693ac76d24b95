/** Refs changed by `git update-ref --stdin`, in its two phases: whatever a repository is, git can change its refs. */
import { Fault, refuse } from '../base/fault.ts';
import { isZeroOid } from '../git/oid.ts';
import type { GitProcess, GitProcesses } from '../git/processes.ts';
import { writeAll } from '../git/stream.ts';
import { complaints } from './complaints.ts';
import type { LoggedUpdate } from './log-entry.ts';
import type { PreparedRefs, RefWriter } from './ref-writer.ts';

/** What one transaction may take: git waits some seconds for each lock, and syncs each ref. */
const DEADLINE_MS = 10 * 60_000;
const REPLY_BYTES_MAX = 4_096;

export function createGitRefWriter(processes: GitProcesses): RefWriter {
  return {
    async prepare(repository, updates) {
      const git = await processes.start({
        subcommand: 'update-ref',
        options: ['--no-deref', '--stdin', '-z'],
        // Only a git beside the gate can hold a lock here: the gate's own pushes wait for their turn elsewhere.
        config: { 'core.filesRefLockTimeout': '1000', 'core.logAllRefUpdates': 'false' },
        gitDir: repository.path,
        writable: [repository.path],
        deadlineMs: DEADLINE_MS,
      });
      const transaction = new GitTransaction(git);
      if (await transaction.say(`start\0${updates.map(commandFor).join('')}prepare\0`, 'start: ok\nprepare: ok\n')) {
        return transaction;
      }
      const reason = await transaction.complaint(repository.path);
      return refuse(reason);
    },
  };
}

/** git-update-ref(1), "-z": a zero old value of `update` means that the ref must not exist. */
function commandFor({ refname, oldOid, newOid }: LoggedUpdate): string {
  if (isZeroOid(newOid)) return `delete ${refname}\0${oldOid}\0`;
  return `update ${refname}\0${newOid}\0${oldOid}\0`;
}

class GitTransaction implements PreparedRefs {
  readonly kind = 'prepared';
  readonly isSynced = false;
  readonly #git: GitProcess;
  readonly #replies: AsyncIterator<unknown>;

  constructor(git: GitProcess) {
    this.#git = git;
    this.#git.stdin.on('error', () => {}); // it ends where it refuses: its exit code says so
    this.#replies = git.stdout[Symbol.asyncIterator]();
  }

  /** git did that before it said that it is prepared. */
  async sync(): Promise<void> {}

  async commit(): Promise<void> {
    const isDone = await this.say('commit\0', 'commit: ok\n');
    this.#git.stdin.end();
    const exit = await this.#git.exit;
    await this[Symbol.asyncDispose]();
    if (isDone && exit.code === 0) return;
    throw new Fault('process', 'ref transaction was not finished', {
      context: { code: exit.code, stderr: exit.stderr },
    });
  }

  /** Whether git answers as expected. */
  async say(words: string, expected: string): Promise<boolean> {
    try {
      await writeAll(this.#git.stdin, Buffer.from(words));
    } catch {
      return false;
    }
    let reply = '';
    while (expected.startsWith(reply) && reply.length < Math.min(expected.length, REPLY_BYTES_MAX)) {
      const next = await this.#replies.next().catch(() => undefined);
      if (next === undefined || next.done === true) return false;
      reply += String(next.value);
    }
    return reply === expected;
  }

  /** Why git gave up; for people. */
  async complaint(repositoryPath: string): Promise<string> {
    this.#git.stdin.end();
    const exit = await this.#git.exit;
    await this[Symbol.asyncDispose]();
    return complaints(exit.stderr, repositoryPath).at(-1) ?? 'git could not lock the refs';
  }

  /** The end of its input tells git to abort a transaction that was not committed (and to give its locks back). */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#git.stdin.end();
    await this.#git.exit.catch(() => {});
    await this.#git[Symbol.asyncDispose]();
  }
}
