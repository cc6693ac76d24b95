/**
 * Hands one call of a gitolite site's program to the account's gate, and starts a gate where none runs: what
 * bin/site-launcher.pl does, for machines without Perl. Arguments: the program, and its words.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
} from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ControlConnection } from '../api/control-client.ts';
import { SITE_PROGRAMS, type SiteCall, type SiteProgram } from '../api/site-call.ts';
import { Fault } from '../base/fault.ts';

const START_MS = 60_000;
const POLL_MS = 20;
const VARIABLE_BYTES_MAX = 128 * 1024;
const LOG_BYTES_MAX = 4 * 1024 * 1024;
const TAIL_BYTES = 2_000;
const EXIT_FATAL = 25;
/** Of a gate: another answers in its place (on-demand.ts). One that answers, but never for this account, is no help. */
const EXIT_ANSWERED = 75;
const ANSWERED_MAX = 8;
const GATE_ENV = /^(?:HOME|PATH|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ)$/;

interface Launch {
  readonly call: SiteCall;
  readonly home: string;
  readonly data: string;
  /** Of this launcher alone, as long as it starts a gate. */
  lock?: { close(): void } | undefined;
  gate?: ChildProcess;
  /** How often a gate that it started gave way to another. */
  answered: number;
}

async function main([program, ...argv]: readonly string[]): Promise<number> {
  enableCompileCache();
  const known = SITE_PROGRAMS.find((name) => name === program);
  if (known === undefined) throw failure(`a program of a site is expected: ${SITE_PROGRAMS.join(', ')}`);
  const launch = prepare(known, argv);
  const deadlineMs = performance.now() + START_MS;
  while (performance.now() < deadlineMs) {
    await using connection = await dial(launch);
    const exit = connection.gate && (await converse(launch, connection.gate));
    if (exit !== undefined) return exit;
    await startGate(launch);
    await delay(POLL_MS);
  }
  throw failure(`no gate answers for ${launch.home}; see ${launch.data}/gate.log`);
}

function prepare(program: SiteProgram, argv: readonly string[]): Launch {
  const { env } = process;
  const webHome = program === 'gitolite' ? undefined : env['GITOLITE_HTTP_HOME'];
  const home = [webHome, env['HOME']].find((path) => path !== undefined && path !== '') ?? homedir();
  // 'sshkeys-lint' does not wait for what nobody types.
  const GATEHOUSE_STDIN = process.stdin.isTTY ? 'terminal' : '';
  const kept = Object.entries({ ...env, HOME: home, GATEHOUSE_STDIN }).flatMap(([name, value]) => {
    if (Buffer.byteLength(value) <= VARIABLE_BYTES_MAX) return [[name, value] as const];
    process.stderr.write(`WARNING: the variable ${name} is too large to be handed on\n`);
    return [];
  });
  const call = { program, pid: process.pid, cwd: workingDirectory(home), argv, env: Object.fromEntries(kept) };
  return { call, home, data: join(home, '.gitolite', 'gatehouse'), answered: 0 };
}

/** Of a directory that is gone there is no path. */
function workingDirectory(home: string): string {
  try {
    return process.cwd();
  } catch {
    return home;
  }
}

async function dial({ data }: Launch): Promise<AsyncDisposable & { readonly gate: ControlConnection | undefined }> {
  const { connectControl } = await import('../api/control-client.ts');
  const { controlPath } = await import('./control-path.ts');
  try {
    await using socket = await controlPath(data);
    const gate = await connectControl(socket.path);
    return { gate, [Symbol.asyncDispose]: async () => gate?.close() };
  } catch (error) {
    if (error instanceof Fault) throw error;
    // No directory yet: no gate either.
    return { gate: undefined, async [Symbol.asyncDispose]() {} };
  }
}

/** Undefined: the gate did not take the call. */
async function converse(launch: Launch, gate: ControlConnection): Promise<number | undefined> {
  const late = setTimeout(() => {
    fail(failure(`the gate does not answer; see ${launch.data}/gate.log`));
  }, START_MS);
  const onTaken = (): void => {
    clearTimeout(late);
    launch.lock?.close();
  };
  const { stdin, stdout, stderr } = process;
  const exit = await gate.call(launch.call, { stdin, stdout, stderr, onTaken });
  clearTimeout(late);
  return exit;
}

/** One of all callers starts the gate, the others wait for its socket. */
async function startGate(launch: Launch): Promise<void> {
  const { gate, data, home } = launch;
  if (gate !== undefined) {
    if (gate.exitCode === null && gate.signalCode === null) return;
    delete launch.gate;
    launch.answered += isInOrder(gate) ? 1 : ANSWERED_MAX;
    if (launch.answered < ANSWERED_MAX) return;
    throw failure(`the gate for ${home} did not start:\n${tailOf(join(data, 'gate.log'))}`);
  }
  if (!existsSync(home)) throw failure(`the home directory '${home}' does not exist`);
  try {
    mkdirSync(data, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw failure(`cannot make ${data}`, cause);
  }
  launch.lock ??= await takeLock(data);
  if (launch.lock === undefined) return;
  await using other = await dial(launch);
  if (other.gate === undefined) launch.gate = await spawnGate(launch);
}

/** Another took its place, before it served anybody or since. */
function isInOrder({ exitCode }: ChildProcess): boolean {
  return exitCode === EXIT_ANSWERED || exitCode === 0;
}

/** Dropped by the kernel with this process, however that ends. */
async function takeLock(data: string): Promise<{ close(): void } | undefined> {
  const { DatabaseSync } = await import('node:sqlite');
  const lock = new DatabaseSync(join(data, 'start-lock.db'), { timeout: 0 });
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    return lock;
  } catch {
    lock.close();
    return undefined;
  }
}

async function spawnGate({ data, home }: Launch): Promise<ChildProcess> {
  const path = join(data, 'gate.log');
  keepLogShort(path);
  const log = openSync(path, 'a', 0o600);
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => GATE_ENV.test(name)));
  const doors = ['--ssh', 'off', '--http', 'off', '--git', 'off', '--log-level', 'warn'];
  const words = [join(import.meta.dirname, '..', 'main.ts'), 'serve', '--data', data, '--gitolite', home, ...doors];
  const gate = spawn(process.execPath, words, {
    cwd: '/',
    env: { ...env, HOME: home, GATEHOUSE_ON_DEMAND: '1', NODE_COMPILE_CACHE: cacheFor(data) },
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  await once(gate, 'spawn');
  gate.unref();
  return gate;
}

/** What is compiled once is kept where others cannot write: with the programs, else with the data. */
function cacheFor(data: string): string {
  const packages = join(import.meta.dirname, '..', '..', 'node_modules');
  try {
    accessSync(packages, constants.W_OK);
    return join(packages, '.cache', 'gatehouse');
  } catch {
    return join(data, 'compile-cache');
  }
}

function keepLogShort(path: string): void {
  try {
    if (statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.old`);
  } catch {
    // There is none yet.
  }
}

function tailOf(path: string): string {
  try {
    return readFileSync(path).subarray(-TAIL_BYTES).toString('utf8').split('\n').slice(-9).join('\n');
  } catch {
    return '';
  }
}

function failure(publicMessage: string, cause?: unknown): Fault {
  return new Fault('process', 'launch failed', { publicMessage, cause });
}

function fail(error: unknown): never {
  const message = error instanceof Fault ? (error.publicMessage ?? error.message) : String(error);
  process.stderr.write(`FATAL: ${message}\n`);
  process.exit(EXIT_FATAL);
}

// A reader that goes away ends the call.
process.stdout.on('error', () => process.exit(1));
try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  fail(error);
}
