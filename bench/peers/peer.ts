/** A way to reach a server: what every row needs to know about it, and the clients that go there. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, run, type Ended, type RunOptions, type Scope } from '../../test/support/workspace.ts';
import type { Meter } from './meter.ts';
import type { ShapeName } from './shapes.ts';

export const PEERS = [
  'gatehouse ssh',
  'gatehouse http',
  'gatehouse git',
  'gitolite',
  'git-shell',
  'git-shell tuned',
  'nginx',
  'git daemon',
  'file',
] as const;
export type PeerName = (typeof PEERS)[number];

/** Also `pushed`, which is a second copy of small: rows that push go there. */
export type Served = ShapeName | 'pushed';

/** How a client that is not git reaches it. */
export type Reach =
  | { readonly kind: 'ssh'; readonly argv: readonly string[]; path(repository: Served): string }
  | { readonly kind: 'http'; readonly headers: Readonly<Record<string, string>> }
  | { readonly kind: 'git'; readonly host: string; readonly port: number }
  | { readonly kind: 'file' };

export interface Peer {
  readonly name: PeerName;
  /** Undefined for `file`, which has no server. */
  readonly meter: Meter | undefined;
  readonly reach: Reach;
  readonly env: NodeJS.ProcessEnv;
  url(repository: Served): string;
}

export interface BenchGround {
  readonly scope: Scope;
  /** A directory of the run. */
  readonly root: string;
  readonly templates: ReadonlyMap<ShapeName, string>;
}

/** The repositories that a server is filled with: name and template. */
export function fillings(templates: BenchGround['templates']): readonly (readonly [Served, string])[] {
  const small = templates.get('small');
  return [...templates, ...(small === undefined ? [] : [['pushed', small] as const])];
}

export function git(peer: Peer, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return run('git', args, { deadlineMs: 600_000, ...options, env: { ...peer.env, ...options.env } });
}

/** The same, where failing ends the bench: a figure of something that did not work is none. */
export async function gitOk(peer: Peer, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const ended = await git(peer, args, options);
  if (ended.code !== 0)
    throw new Error(`${peer.name}: git ${args.join(' ')} ended with ${ended.code}\n${ended.stderr}`);
  return ended.stdout.trimEnd();
}

export function newHome(ground: Pick<BenchGround, 'root'>, name: string): string {
  const home = join(ground.root, name.replaceAll(' ', '-'));
  mkdirSync(home, { recursive: true });
  return home;
}

/** Settings of git for one peer, without a file. */
export function clientEnvironment(home: string, settings: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const entries = Object.entries(settings);
  return {
    ...cleanEnvironment(home),
    GIT_CONFIG_COUNT: String(entries.length),
    ...Object.fromEntries(
      entries.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  };
}

/** `ssh` with one key and nothing of the machine's own settings. */
export function sshArgv(
  keyPath: string,
  { host, port, user }: { host: string; port: string; user: string },
): readonly string[] {
  const options = [
    `HostName=${host}`,
    `Port=${port}`,
    `User=${user}`,
    `IdentityFile=${keyPath}`,
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    'BatchMode=yes',
    'StrictHostKeyChecking=no',
    `UserKnownHostsFile=${keyPath}.known_hosts`,
    'UpdateHostKeys=no',
    'LogLevel=ERROR',
  ];
  return ['ssh', '-F', 'none', ...options.flatMap((option) => ['-o', option])];
}
