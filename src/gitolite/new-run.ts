/** How an invocation on a site comes to be: the caller's words and streams, and what the site's settings say. */
import type { Readable, Writable } from 'node:stream';
import type { Clock } from '../base/clock.ts';
import { writeAll } from '../git/stream.ts';
import { siteEnv } from './gl-log.ts';
import type { Env, Run } from './run.ts';
import type { Site } from './site.ts';

export interface RunOptions {
  /** The caller's whole environment. */
  readonly env: Env;
  readonly cwd: string;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

export type NewRun = (options: RunOptions) => Promise<Run>;

/** Transaction ids of the site's log: gitolite uses process ids, of which the gate has one only. */
const TIDS_MAX = 4_000_000;

export function createNewRun({ site, clock }: { readonly site: Site; readonly clock: Clock }): NewRun {
  let tid = process.pid;
  return async ({ env, cwd, stdin, stdout, stderr, signal }) => {
    const rc = await site.rc(env);
    tid = (tid % TIDS_MAX) + 1;
    return {
      site,
      rc,
      env: siteEnv(rc, env, { tid, now: clock.now() }),
      cwd,
      stdin,
      print: (text) => writeAll(stdout, bytesOf(text), signal),
      warn: (text) => writeAll(stderr, bytesOf(text), signal),
      signal,
      clock,
    };
  };
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === 'string' ? Buffer.from(text) : text;
}
