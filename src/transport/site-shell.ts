/**
 * gitolite's shell: what sshd, a web server or a test harness calls for each request of the site's users. Finds out who
 * asks and for what, lets the INPUT triggers have their say, then a remote command runs or Git's request takes the walk.
 * Words, exit codes and log lines are gitolite's: scripts and people read them.
 */
import { newId } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import { parseGitService, type GitService } from '../git/service.ts';
import { glExtra, glLog } from '../gitolite/gl-log.ts';
import { runGitolite } from '../gitolite/gitolite.ts';
import { inputTriggers } from '../gitolite/run-triggers.ts';
import { withEnv, type Env, type Run } from '../gitolite/run.ts';
import { dies, ends, exitOf, fatalText, REMOTE_COMMAND, REPOSITORY_WORD, USER_WORD } from '../gitolite/words.ts';
import type { Outcome, Transport } from '../request/request.ts';
import { parseProtocol } from './door.ts';
import { cgiEntry, type Cgi } from './site-cgi.ts';
import type { SiteDoorParts, SiteInvocation } from './site-door.ts';

export type ShellParts = Pick<SiteDoorParts, 'walk' | 'command' | 'clock' | 'newRun' | 'shellPrincipal'> & {
  /** Nobody's child: it closes its account in the log. */
  readonly isFirst: boolean;
};

/** How the call came. `env` has SSH_ORIGINAL_COMMAND as the shell reads it. */
interface Entry {
  readonly via: 'file' | 'ssh' | 'http' | 'nowhere';
  readonly env: Env;
  readonly argv: readonly string[];
  /** Of the client, for the journal. */
  readonly address: string;
  readonly cgi?: Cgi;
}

interface Call extends Entry {
  readonly invocation: SiteInvocation;
  readonly run: Run;
}

/** A line of Git's, taken apart. */
interface GitLine {
  readonly verb: string;
  readonly service: GitService;
  readonly repository: string;
}

const DIED_IN_GIT = 128;

/** The exit code. Nothing is thrown but the call's abort, and what keeps a run from beginning at all. */
export async function runSiteShell(invocation: SiteInvocation, parts: ShellParts): Promise<number> {
  const entry = entryOf(invocation);
  const { cgi, env } = entry;
  // What a command says to a web server's client goes where its answer goes.
  const stderr = cgi?.request === undefined && cgi !== undefined ? invocation.stdout : invocation.stderr;
  const run = await parts.newRun({ ...invocation, env, stderr });
  try {
    return await converse({ ...entry, invocation, run }, parts);
  } catch (error) {
    invocation.signal.throwIfAborted();
    const text = fatalText(error);
    if (text !== '') await glLog(run, 'die', text.replace(/^FATAL: /, '').replace(/\n$/, ''));
    if (cgi !== undefined && text !== '') return cgi.die(run, text);
    await run.warn(text);
    return exitOf(error);
  }
}

function entryOf(invocation: SiteInvocation): Entry {
  const { env, argv } = invocation;
  const command = env['SSH_ORIGINAL_COMMAND'] ?? '';
  if ('G3T_USER' in env) {
    return { via: 'file', env: { ...env, SSH_ORIGINAL_COMMAND: command }, argv, address: 'local' };
  }
  if ('SSH_CONNECTION' in env) {
    const [address = ''] = (env['SSH_CONNECTION'] || '(no-IP)').split(' ');
    return { via: 'ssh', env: { ...env, SSH_ORIGINAL_COMMAND: command }, argv, address };
  }
  if ('REQUEST_URI' in env) return { via: 'http', ...cgiEntry(invocation) };
  return { via: 'nowhere', env, argv, address: 'local' };
}

async function converse(call: Call, parts: ShellParts): Promise<number> {
  const line = call.env['SSH_ORIGINAL_COMMAND'] ?? '';
  const argv = await arrive(call, line);
  if (/[\n\r]/.test(line)) {
    throw dies(`I don't like newlines in the command: '${line.replaceAll(/[\n\r]+/g, '<<newline>>')}'\n`);
  }
  const input = await inputTriggers(call.run, { user: callerIn(argv), command: line });
  if (input.kind === 'exit') return input.code;
  const { user, command } = input;
  // Commands take an invocation of nobody's for one of the account itself.
  if (user === '') throw dies("invalid user ''");
  const run = withEnv(input.run, { SSH_ORIGINAL_COMMAND: command, GL_USER: user });
  const git = parseGitLine(command);
  // Git's requests have URLs of their own, whose types of content no page of another site can send.
  if (git === undefined || (call.cgi !== undefined && call.cgi.request === undefined))
    return remoteCommand({ ...call, run }, { command: command === '' ? 'info' : command, user, parts });
  const inRepository = withEnv(run, { GL_REPO: git.repository });
  return serveGit({ ...call, run: inRepository }, { git, user, parts });
}

/** Writes down that somebody came. The words behind the program's name: the user, and what else the forced command says. */
async function arrive(
  { via, run, argv, address, env, cgi, invocation }: Call,
  line: string,
): Promise<readonly string[]> {
  if (via === 'nowhere') throw dies('who the *heck* are you?');
  if (via === 'http' && (env['GITOLITE_HTTP_HOME'] ?? '') === '') throw dies('GITOLITE_HTTP_HOME not set');
  if (env['REQUEST_METHOD'] === 'PROPFIND' && via === 'http') throw dies('fallback to DAV not supported');
  await cgi?.begin();
  const user = cgi === undefined ? undefined : cgi.user(run);
  const words = user === undefined ? argv : [user];
  const from = via === 'file' ? [] : [`FROM=${address}`];
  await glLog(run, via, `ARGV=${words.join(',')}`, `SOC=${line}`, ...from);
  // A name that people give themselves on the web: `-s` would be the word that lets a trigger give a shell.
  if (user !== undefined && user !== '' && !USER_WORD.test(user)) throw dies(`invalid user '${user}'`);
  // Test harnesses look for these lines.
  if (via === 'file' && /git-\w+-pack/.test(line)) {
    await run.warn(`TRACE: gsh(${words.join(')(')})\nTRACE: gsh(SOC=${line})\n`);
  }
  return withoutShellFlag(words, invocation.program);
}

/** The user's name; behind `-s`, which goes with it, where a trigger may give them a shell. */
function callerIn([first = '', second = '']: readonly string[]): string {
  return first === '-s' ? `${first} ${second}`.trimEnd() : first;
}

/** Called as a login shell: `-c '/path/to/gitolite-shell USER'`. */
function withoutShellFlag(argv: readonly string[], program: string): readonly string[] {
  const [flag, text = '', ...rest] = argv;
  if (flag !== '-c') return argv;
  const [name = '', ...words] = text.split(' ');
  if (words.length === 0 || !(name === program || name.endsWith(`/${program}`))) {
    throw dies(`unknown git/gitolite command: '${text}'`);
  }
  return [words.join(' '), ...rest];
}

/** @throws `dies` where the name that it asks for is none. */
function parseGitLine(command: string): GitLine | undefined {
  const [, verb = '', path] =
    /^(git-upload-pack|git-receive-pack|git-upload-archive) '?\/?(.*?)'?$/.exec(command) ?? [];
  const service = parseGitService(verb);
  if (service === undefined || path === undefined) return undefined;
  const repository = path
    .replace(/\.git\d$/, '')
    .replace(/\/$/, '')
    .replace(/\.git$/, '');
  if (!REPOSITORY_WORD.test(repository)) throw dies(`invalid repo name: '${repository}'`);
  if (repository.endsWith('/')) throw dies(`'${repository}' ends with a '/'`);
  if (repository.includes('..')) throw dies(`'${repository}' contains '..'`);
  if (repository.includes('.git/')) throw dies(`'${repository}' contains '.git/'`);
  if (repository.endsWith('.git')) throw dies(`'${repository}' ends with '.git'`);
  return { verb, service, repository };
}

interface CommandAsked {
  readonly command: string;
  readonly user: string;
  readonly parts: ShellParts;
}

async function remoteCommand(call: Call, { command, user, parts }: CommandAsked): Promise<number> {
  const { run, via, address } = call;
  const words = command.split(/\s+/).filter((word) => word !== '');
  const enabled = run.rc.commands.get(words[0] ?? '');
  if (enabled === undefined || enabled === '' || enabled === '0') {
    throw dies(`unknown git/gitolite command: '${command}'`);
  }
  if (enabled !== 'ua') {
    if (!REMOTE_COMMAND.test(command)) throw dies(`suspicious characters loitering about '${command}'`);
    if (command.includes('../')) throw dies('no relative paths allowed anywhere!');
  }
  await glExtra(run, 'system', 'gitolite', ...words);
  const { signal } = call.invocation;
  return parts.command({ user, transport: transportOf(via), address, argv: words, signal }, () =>
    runGitolite(run, words),
  );
}

function transportOf(via: Entry['via']): Transport {
  return via === 'ssh' || via === 'http' ? via : 'local';
}

interface GitAsked {
  readonly git: GitLine;
  readonly user: string;
  readonly parts: ShellParts;
}

async function serveGit(call: Call, { git, user, parts }: GitAsked): Promise<number> {
  const { cgi, run, invocation, via, env } = call;
  const wire = cgi?.request ?? {
    service: git.service,
    mode: 'stateful' as const,
    protocol: parseProtocol(env['GIT_PROTOCOL']),
    input: invocation.stdin,
    output: invocation.stdout,
  };
  if (wire.mode === 'refused') return wire.answer();
  const outcome = await parts.walk.handle({
    id: newId(parts.clock),
    transport: transportOf(via),
    address: call.address,
    principal: parts.shellPrincipal(user),
    service: wire.service,
    requestedPath: git.repository,
    protocol: wire.protocol,
    mode: wire.mode,
    input: wire.input,
    output: wire.output,
    stderr: invocation.stderr,
    signal: invocation.signal,
    run,
  });
  const exit = conclude(outcome);
  await cgi?.finish();
  if (parts.isFirst && exit === 0) await glLog(run, 'END');
  return exit;
}

/** A question that gitolite dies of is no refusal. */
function hinted(answer: string): string {
  return answer.includes('DENIED') ? `${answer}\n(or you mis-spelled the reponame)` : answer;
}

/** @throws what the client is to read, where nothing was said yet. */
function conclude(outcome: Outcome): number {
  switch (outcome.kind) {
    case 'served':
      return 0;
    case 'missing':
    case 'refused':
      throw dies(outcome.native === undefined ? outcome.reason : hinted(outcome.native));
    case 'faulted': {
      if (outcome.inBand) return DIED_IN_GIT;
      const { cause } = outcome;
      // A program of the site's that ended the request has said why.
      if (cause instanceof Fault && cause.context['exit'] !== undefined) throw ends(exitOf(cause));
      throw dies(outcome.reason, cause);
    }
    default:
      return outcome satisfies never;
  }
}
