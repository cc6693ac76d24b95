/** What is killed: a real gate, or the push pipeline alone. Both start on the same data again and again. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { startGate, url as gateUrl } from '../support/gate.ts';
import { cleanEnvironment, expectRun, type Scope } from '../support/workspace.ts';
import type { PushServerOptions, PushServerReady } from './push-server.ts';
import { findRepository } from './find-repository.ts';

export interface Running extends PushServerReady {
  /** SIGKILL, and waits for its end. */
  readonly kill: () => Promise<void>;
  /** Resolves when it has ended, however. */
  readonly ended: Promise<unknown>;
}

export interface CrashTarget {
  readonly name: string;
  start(options?: PushServerOptions): Promise<Running>;
}

/**
 * The pipeline alone, for what the real gate does not offer: dying at a given border, and doing it wrong.
 * @param preload source of a module that runs before it.
 */
export function pipelineTarget(scope: Scope, root: string, preload = ''): CrashTarget {
  return {
    name: 'push pipeline',
    async start(options = {}) {
      const program = join(import.meta.dirname, 'push-server.ts');
      const first = `--import=data:text/javascript,${encodeURIComponent(preload)}`;
      const child = spawn(process.execPath, [first, program, root, JSON.stringify(options)], {
        env: cleanEnvironment(root),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit');
      const kill = async (): Promise<void> => {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
        await ended;
      };
      scope.after(kill);
      for await (const line of createInterface(child.stdout)) {
        return { ...(JSON.parse(line) as PushServerReady), kill, ended };
      }
      throw new Error('the push server ended before it was ready');
    },
  };
}

const PROGRAM = join(import.meta.dirname, '../../bin/gatehouse');

/** The gate as people run it, pushed to over HTTP. */
export function gateTarget(scope: Scope, root: string): CrashTarget {
  const data = join(root, 'data');
  const home = join(root, 'home');
  return {
    name: 'gate over HTTP',
    async start() {
      mkdirSync(home, { recursive: true });
      const gate = await startGate(scope, { data, home, args: ['--admin', 'admin', '--log-level', 'error'] });
      let repositoryPath = findRepository(data, 'r');
      if (repositoryPath === undefined) {
        await expectRun(PROGRAM, ['--data', data, 'create', 'r'], { env: cleanEnvironment(home) });
        repositoryPath = findRepository(data, 'r') ?? '';
      }
      const token = readFileSync(join(data, 'admin-token'), 'utf8').trim();
      const url = gateUrl(gate, 'http', 'r', token);
      const ended = gate.child.exitCode === null ? once(gate.child, 'exit') : Promise.resolve();
      return { url, repositoryPath, journalDirectory: join(data, 'journal'), kill: () => gate.kill(), ended };
    },
  };
}
