/** A gate for one job in a process of its own, in front of a forge of the test's. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Person } from '../support/gate.ts';
import type { TestForge } from '../support/forges.ts';
import { cleanEnvironment, type Scope } from '../support/workspace.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/gatehouse');

export interface JobGate {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Resolves at the ready line, with what stands behind it up to the last word of what the gate says. */
  readonly ready: Promise<void>;
  stdout(): string;
  stderr(): string;
  /** The exit code after this signal. */
  end(signal: NodeJS.Signals): Promise<number | null>;
  /** The exit code, whenever that is. */
  readonly ended: Promise<number | null>;
}

export interface JobOptions {
  readonly home: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export function startJob(scope: Scope, { home, args, env }: JobOptions): JobGate {
  const child = spawn(PROGRAM, ['gate', ...args], {
    env: { ...cleanEnvironment(home), TMPDIR: home, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  ready.catch(() => {});
  child.stdout.on('data', (chunk: Buffer) => {
    said.stdout += chunk.toString();
    if (said.stdout.includes('Ctrl-C ends the gate')) resolve();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said.stderr += chunk.toString();
  });
  const ended = once(child, 'close').then(() => {
    reject(new Error(`the gate ended:\n${said.stdout}${said.stderr}`));
    return child.exitCode;
  });
  scope.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  });
  return {
    child,
    pid: child.pid ?? 0,
    ready,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    ended,
    end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}

/** A declaration with one upstream at `forge`; further lines go into its table. */
export function declare(
  path: string,
  forge: TestForge,
  more: { readonly project: string; readonly lines?: readonly string[]; readonly top?: readonly string[] },
): void {
  const lines = [
    ...(more.top ?? []),
    '[[upstream]]',
    'name = "app"',
    `url = "${forge.sshUrl(more.project)}"`,
    `host-key = "${forge.hostKey}"`,
    `forge = { kind = "${forge.kind}", url = "${forge.url}", project = "${more.project}", token-env = "JOB_TOKEN" }`,
    'deploy-key = true',
    'push = ["refs/heads/agent/*"]',
    ...(more.lines ?? []),
    '',
  ];
  writeFileSync(path, lines.join('\n'));
}

/** The agent: an empty home, and the configuration that the gate printed. */
export function agentOf(person: Person, gitconfig: string): Person {
  const path = join(person.home, 'agent.gitconfig');
  writeFileSync(path, gitconfig);
  return { ...person, env: { ...person.env, GIT_CONFIG_GLOBAL: path } };
}

/** What the gate printed for the agent's git. */
export function gitconfigIn(stdout: string): string {
  const from = stdout.indexOf('[url ');
  return stdout.slice(from, stdout.indexOf("# The agent's git", from));
}
