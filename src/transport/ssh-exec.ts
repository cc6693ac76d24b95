/** One command line of an SSH client: Git's services go to the walk, everything else is a command. */
import type { Readable, Writable } from 'node:stream';
import { publicMessageOf } from '../base/fault.ts';
import { parseGitService, type GitService } from '../git/service.ts';
import { isSiteUser } from '../gitolite/site-users.ts';
import type { RequestOrigin } from '../request/request.ts';
import type { LfsDoorParts } from './lfs-parts.ts';
import { authenticateLfs } from './ssh-lfs.ts';
import { spoken, type DoorCommands, type DoorWalk } from './door.ts';
import { parseShellWords } from './shell-words.ts';
import { turnedAway, type TurnedAway, type TurnedAwayAbout } from './turned-away.ts';

export interface Execution {
  readonly origin: RequestOrigin;
  /** As the client sent it; undefined: it asked for a shell, and is greeted. */
  readonly line: string | undefined;
  readonly protocol: 0 | 1 | 2;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

/** Serves a line of a user of a gitolite site, with the words of its shell; the exit code. */
export type SiteLine = (execution: Execution) => Promise<number>;

export interface ExecutionParts {
  readonly walk: DoorWalk;
  readonly siteLine?: SiteLine;
  readonly commands: DoorCommands;
  readonly lfs?: LfsDoorParts;
  /** Told of whom the door turns away before the walk hears of it. */
  readonly onTurnedAway?: TurnedAway;
}

const EXIT_USAGE = 2;
const EXIT_UNKNOWN = 127;

/** Runs it and resolves with the exit code. Never throws: what goes wrong is said on standard error. */
export async function execute(execution: Execution, parts: ExecutionParts): Promise<number> {
  try {
    const { siteLine } = parts;
    if (siteLine !== undefined && isSiteUser(execution.origin.principal)) return await siteLine(execution);
    if (execution.line === undefined) {
      execution.stdout.write(await parts.commands.greeting(execution.origin));
      return 0;
    }
    return await executeLine(execution, execution.line, parts);
  } catch (error) {
    return say(execution, publicMessageOf(error, execution.origin.id), 1);
  }
}

async function executeLine(execution: Execution, line: string, parts: ExecutionParts): Promise<number> {
  const words = parseShellWords(line);
  const turnAway = (reason: string, event: TurnedAwayAbout['event'] = 'command'): void => {
    parts.onTurnedAway?.(turnedAway(execution.origin, { event, reason }));
  };
  if (words.kind === 'refused') {
    turnAway(words.reason);
    return say(execution, words.reason, EXIT_USAGE);
  }
  const argv = words.value;
  // git-lfs asks by name and takes 127 for "not here" (its server discovery document).
  if (/^git-lfs-(?:authenticate|transfer)$/.test(argv[0] ?? '')) {
    if (argv[0] === 'git-lfs-authenticate' && parts.lfs?.doorUrl() !== undefined) {
      return authenticateLfs(execution, argv.slice(1), { lfs: parts.lfs, turnAway });
    }
    const reason = 'Git LFS is served over HTTP only';
    turnAway(reason);
    return say(execution, reason, EXIT_UNKNOWN);
  }
  const git = parseGitLine(argv);
  if (git === undefined) {
    const { origin, stdin, stdout, stderr, signal } = execution;
    return parts.commands.run({ origin, argv, stdin, stdout, stderr, signal });
  }
  if (git.path === undefined) {
    const usage = `usage: git-${git.service} PATH`;
    turnAway(usage, git.service === 'receive-pack' ? 'push' : 'fetch');
    return say(execution, usage, EXIT_USAGE);
  }
  return executeGit(execution, { service: git.service, path: git.path }, parts.walk);
}

async function executeGit(
  execution: Execution,
  git: { readonly service: GitService; readonly path: string },
  walk: DoorWalk,
): Promise<number> {
  const outcome = await walk.handle({
    ...execution.origin,
    service: git.service,
    requestedPath: git.path,
    protocol: execution.protocol,
    mode: 'stateful',
    input: execution.stdin,
    output: execution.stdout,
    stderr: execution.stderr,
    signal: execution.signal,
  });
  switch (outcome.kind) {
    case 'served':
      return 0;
    case 'missing':
    case 'refused':
      return say(execution, outcome.reason, 1);
    case 'faulted':
      return outcome.inBand ? 1 : say(execution, outcome.reason, 1);
    default:
      return outcome satisfies never;
  }
}

/** `git-upload-pack PATH` or `git upload-pack PATH`; `path` is undefined where there is not exactly one. */
function parseGitLine(
  argv: readonly string[],
): { readonly service: GitService; readonly path: string | undefined } | undefined {
  const [first = '', second = ''] = argv;
  const spaced = first === 'git';
  const service = first.startsWith('git-') || spaced ? parseGitService(spaced ? `git ${second}` : first) : undefined;
  if (service === undefined) return undefined;
  const operands = argv.slice(spaced ? 2 : 1);
  const [path] = operands;
  return { service, path: operands.length === 1 && path !== '' ? path : undefined };
}

function say(execution: Execution, reason: string, exit: number): number {
  execution.stderr.write(spoken(reason));
  return exit;
}
