/** What the doors' tests share: a directory of their own, real keys and clients, and a walk that runs git itself. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished, pipeline } from 'node:stream/promises';
import type { Principal } from '../../src/identity/principal.ts';
import type { GitRequest, Outcome } from '../../src/request/request.ts';
import type { DoorLog, DoorMetrics } from '../../src/transport/door.ts';
import { principalNamed } from '../support/principals.ts';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export const GIT_ENV = {
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'A',
  GIT_AUTHOR_EMAIL: 'a@example.org',
  GIT_COMMITTER_NAME: 'A',
  GIT_COMMITTER_EMAIL: 'a@example.org',
  LC_ALL: 'C',
} as const;

export async function makeDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'gatehouse-door-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Runs a program to its end; a deadline ends it with a code that no test expects. */
export function run(
  program: string,
  args: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
    readonly input?: string | Buffer;
  } = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    const env = { ...GIT_ENV, ...options.env };
    const child = execFile(
      program,
      args,
      { env, cwd: options.cwd, timeout: 60_000, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024, encoding: 'utf8' },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

export async function git(args: readonly string[], options: Parameters<typeof run>[2] = {}): Promise<Ran> {
  return run('git', args, options);
}

/** A bare repository with one commit on main, and its path. */
export async function makeRepository(directory: string, name: string): Promise<string> {
  const bare = join(directory, name);
  const work = join(directory, `${name}-work`);
  for (const args of [
    ['init', '-q', '-b', 'main', work],
    ['-C', work, 'commit', '-q', '--allow-empty', '-m', 'first'],
    ['clone', '-q', '--bare', work, bare],
    ['-C', bare, 'config', 'uploadpack.allowFilter', 'true'],
  ]) {
    const ran = await git(args);
    assert.equal(ran.code, 0, ran.stderr);
  }
  return bare;
}

export function person(name: string): Principal {
  return principalNamed(name, { kind: 'key', fingerprint: 'SHA256:x', tag: 'laptop' });
}

/** A key pair made by ssh-keygen: path of the private half, and the wire form of the public one. */
export async function makeKey(
  directory: string,
  name: string,
  args: readonly string[] = ['-t', 'ed25519'],
): Promise<{ readonly path: string; readonly blob: Buffer }> {
  const path = join(directory, name);
  const ran = await run('ssh-keygen', ['-q', '-N', '', '-C', name, '-f', path, ...args]);
  assert.equal(ran.code, 0, ran.stderr);
  const text = await readFile(`${path}.pub`, 'utf8');
  return { path, blob: Buffer.from(text.split(' ')[1] ?? '', 'base64') };
}

/** A walk that serves repositories of one directory through git itself, and remembers what it was asked. */
export class GitWalk {
  readonly requests: GitRequest[] = [];
  readonly draining = false;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async handle(request: GitRequest): Promise<Outcome> {
    this.requests.push(request);
    const name = request.requestedPath.replace(/^\//, '').replace(/\.git$/, '');
    if (name.includes('hidden') || name.includes('..')) {
      return { kind: 'missing', reason: `no such repository, or you may not read it: ${name}` };
    }
    if (name === 'readonly' && request.service === 'receive-pack') {
      return { kind: 'refused', reason: 'rules/main.lace:7: readers do not write' };
    }
    if (name === 'broken') {
      return { kind: 'faulted', code: 'internal', inBand: false, reason: `internal error (request ${request.id})` };
    }
    const flags = {
      stateful: [],
      advertise: ['--stateless-rpc', '--advertise-refs'],
      rpc: ['--stateless-rpc'],
    } as const;
    const args = request.service === 'upload-archive' ? [] : flags[request.mode];
    const env = { ...GIT_ENV, ...(request.protocol === 0 ? {} : { GIT_PROTOCOL: `version=${request.protocol}` }) };
    const child = spawn('git', [request.service, ...args, join(this.#root, name)], {
      env,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const kill = (): void => {
      child.kill('SIGKILL');
    };
    request.signal.addEventListener('abort', kill, { once: true });
    const exited = new Promise<void>((resolve) => {
      child.once('close', () => {
        resolve();
      });
    });
    const fed = pipeline(request.input, child.stdin).catch(() => {});
    if (request.mode === 'advertise' && request.protocol !== 2) {
      const line = `# service=git-${request.service}\n`;
      request.output.write(`${(line.length + 4).toString(16).padStart(4, '0')}${line}0000`);
    }
    try {
      await pipeline(child.stdout, request.output);
      await finished(request.output);
    } catch {
      kill();
      await exited;
      return { kind: 'faulted', code: 'aborted', inBand: true, reason: 'the connection was lost' };
    }
    await exited;
    request.input.destroy();
    await fed;
    return { kind: 'served' };
  }
}

export const SILENT: DoorLog = { debug: () => {}, info: () => {}, warn: () => {} };

export const UNCOUNTED: DoorMetrics = { connectionOpened: () => {}, connectionClosed: () => {}, login: () => {} };

/** Answers without end, at the client's pace, until it is given up; then tells how many bytes the door took. */
export async function pourUntilGone({ output, signal }: GitRequest, done: (bytes: number) => void): Promise<Outcome> {
  const chunk = Buffer.alloc(65_536, 1);
  let bytes = 0;
  while (!signal.aborted) {
    bytes += chunk.length;
    if (!output.write(chunk)) await once(output, 'drain', { signal }).catch(() => {});
  }
  done(bytes);
  return { kind: 'faulted', code: 'aborted', inBand: true, reason: 'the connection was lost' };
}

/** As SSH has numbers on the wire (RFC 4251, 5). */
export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** As SSH has text on the wire: its length before it. */
export function wireText(value: string): Buffer {
  return Buffer.concat([uint32(value.length), Buffer.from(value)]);
}
