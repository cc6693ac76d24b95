/** fcgiwrap, and how programs that a test started end. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { Scope } from './workspace.ts';

export const FCGIWRAP = '/usr/sbin/fcgiwrap';

/** Resolves when it takes connections. */
export async function startFcgiwrap(scope: Scope, socket: string, env: NodeJS.ProcessEnv): Promise<void> {
  const fcgiwrap = spawn(FCGIWRAP, ['-c', '4', '-s', `unix:${socket}`], { stdio: 'ignore', env, detached: true });
  await once(fcgiwrap, 'spawn');
  scope.after(() => endGroup(fcgiwrap));
  while (!(await answers(socket))) {
    assert.equal(fcgiwrap.exitCode, null, 'fcgiwrap runs');
    await turn();
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const tried = connect(path, () => {
      tried.destroy();
      resolve(true);
    });
    tried.once('error', () => {
      resolve(false);
    });
  });
}

export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/** Its children as well. */
export async function endGroup(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  process.kill(-child.pid, 'SIGKILL');
  await gone;
}
