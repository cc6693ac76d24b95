/** Runs a child in place of this process: its streams, its exit code, and every signal sent to us. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'];
const ORPHAN_POLL_MS = 500;

/**
 * Under npm, this process's parent is npm, or the shell that npm started. Where one of them is killed without passing
 * the signal on, nobody would be left to stop the child: a lost parent counts as SIGTERM.
 */
function watchParents(child) {
  if (process.env.npm_lifecycle_event === undefined) return;
  const before = parents();
  const timer = setInterval(() => {
    if (parents() === before) return;
    clearInterval(timer);
    child.kill('SIGTERM');
  }, ORPHAN_POLL_MS);
  timer.unref();
}

/** Our parent, and where that is a shell its parent, too, which is npm then. Without /proc the parent alone. */
function parents() {
  const { ppid } = process;
  try {
    const status = readFileSync(`/proc/${ppid}/status`, 'latin1');
    const isShell = /^Name:\t(?:sh|dash|bash|busybox)$/m.test(status);
    return isShell ? `${ppid} ${/^PPid:\t(\d+)$/m.exec(status)?.[1]}` : String(ppid);
  } catch {
    return String(ppid);
  }
}

/** Starts Node faster: what is compiled once is kept where only those write who may change the program itself. */
function withCompileCache(env) {
  return { NODE_COMPILE_CACHE: join(ROOT, 'node_modules', '.cache', 'gatehouse'), ...env };
}

/** Resolves with the child's exit code; 128 + signal where a signal ended it. */
export function runChild({ program, args, env = process.env, cwd }) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: withCompileCache(env), cwd, stdio: 'inherit' });
    for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
    watchParents(child);
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? 128 + (constants.signals[signal] ?? 0)));
  });
}
