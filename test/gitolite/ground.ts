/** A gitolite site of a test's own: a home directory that goes with the test, and what `gitolite` says and does there. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/base/clock.ts';
import { siteEnv } from '../../src/gitolite/gl-log.ts';
import { runGitolite } from '../../src/gitolite/gitolite.ts';
import { openSite } from '../../src/gitolite/open-site.ts';
import type { ProgramStarter } from '../../src/gitolite/program-starter.ts';
import type { ReadRc } from '../../src/gitolite/rc.ts';
import { createRcReader } from '../../src/gitolite/rc-file.ts';
import type { Env, Run } from '../../src/gitolite/run.ts';
import type { Site } from '../../src/gitolite/site.ts';

const BIN = fileURLToPath(new URL('../../bin', import.meta.url));

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Over the ground's own environment. */
  readonly env?: Env;
  readonly stdin?: string;
  readonly cwd?: string;
}

export interface Ground extends AsyncDisposable {
  readonly home: string;
  readonly site: Site;
  /** What every invocation has in its environment. */
  readonly env: Env;
  /** An invocation that collects what it says. */
  newRun(options?: RunOptions): Promise<CollectingRun>;
  /** As a gate that starts finds the site. It goes with this ground. */
  reopen(): Promise<Ground>;
  /** `gitolite ARGS`. */
  gitolite(args: readonly string[], options?: RunOptions): Promise<Said>;
}

export interface CollectingRun {
  readonly run: Run;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

export interface GroundOptions {
  readonly binDirectory?: string;
  readonly readRc?: ReadRc;
  readonly env?: Env;
  readonly programs?: ProgramStarter;
}

/** An empty home; `gitolite setup -a admin` makes a site of it. */
export async function newGround(options: GroundOptions = {}): Promise<Ground> {
  return groundAt(await mkdtemp(join(tmpdir(), 'gatehouse-site-')), options);
}

function groundAt(home: string, options: GroundOptions): Ground {
  const readRc = options.readRc ?? createRcReader({ binDirectory: options.binDirectory ?? BIN });
  const { programs } = options;
  const site = openSite({ home, readRc, clock: systemClock, ...(programs === undefined ? {} : { programs }) });
  const env = { ...identity(home), ...options.env };
  const ground: Ground = {
    home,
    site,
    env,
    reopen: () => Promise.resolve(groundAt(home, options)),
    newRun: (own) => newRun(ground, own),
    async gitolite(args, own) {
      const { run, stdout, stderr } = await ground.newRun(own);
      const code = await runGitolite(run, args);
      return { code, stdout: stdout(), stderr: stderr() };
    },
    async [Symbol.asyncDispose]() {
      await rm(home, { recursive: true, force: true });
    },
  };
  return ground;
}

async function newRun({ site, home, env: base }: Ground, own: RunOptions = {}): Promise<CollectingRun> {
  const env = { ...base, ...own.env };
  const rc = await site.rc(env);
  const collected = { stdout: '', stderr: '' };
  const run: Run = {
    site,
    rc,
    env: siteEnv(rc, env, { tid: process.pid, now: systemClock.now() }),
    cwd: own.cwd ?? home,
    stdin: Readable.from(own.stdin === undefined ? [] : [Buffer.from(own.stdin)]),
    print: (text) => collect(collected, 'stdout', text),
    warn: (text) => collect(collected, 'stderr', text),
    signal: new AbortController().signal,
    clock: systemClock,
  };
  return { run, stdout: () => collected.stdout, stderr: () => collected.stderr };
}

/** An account without a configuration of its own, at a fixed time: what git makes in it is the same each time. */
function identity(home: string): Env {
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: home,
    USER: 'tester',
    LOGNAME: 'tester',
    LC_ALL: 'C',
    TZ: 'UTC',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_DATE: '2026-01-02T03:04:05Z',
    GIT_COMMITTER_DATE: '2026-01-02T03:04:05Z',
  };
}

function collect(
  collected: { stdout: string; stderr: string },
  stream: 'stdout' | 'stderr',
  text: string | Uint8Array,
): Promise<void> {
  collected[stream] += typeof text === 'string' ? text : Buffer.from(text).toString('utf8');
  return Promise.resolve();
}
