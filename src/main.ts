/**
 * The program: `serve` opens the gate, everything else is a command for a running gate, through its control socket,
 * or for the store itself where none runs. What a command does not need is not loaded.
 */
import { join } from 'node:path';
import type { ControlCommand } from './api/control-client.ts';
import { showConfig } from './base/config.ts';
import { Fault, ok, publicMessageOf } from './base/fault.ts';
import { VERSION } from './base/version.ts';
import { takeForgeTokenFrom, type EnvironmentToken } from './upstream/forges/forge-tokens.ts';
import { takeKeysFrom, type KeySource } from './upstream/vault-keys.ts';
import { controlPath } from './house/control-path.ts';
import {
  absoluteWords,
  configOf,
  dataDirectoryOf,
  helpText,
  isDataDirectory,
  readWish,
  type LocalFlags,
  type Surroundings,
  type Wish,
} from './house/options.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

async function main(argv: readonly string[]): Promise<number> {
  // Whatever is made from here on, by us and by every git we start, is for this user alone: also in a data directory
  // that somebody made for everybody to enter.
  process.umask(0o077);
  // Taken out before anything is started that would inherit it.
  const vaultKeys = takeKeysFrom(process.env);
  if (vaultKeys.kind === 'refused') return usage(vaultKeys.reason);
  const wish = readWish(argv);
  if (wish.kind === 'refused') return usage(wish.reason);
  // A gate for one job takes the variables that its declaration names.
  const environment = wish.value.kind === 'gate' ? ok(undefined) : takeForgeTokenFrom(process.env);
  // A command may be meant for a running gate, which has its own.
  if (environment.kind === 'refused' && wish.value.kind === 'serve') return usage(environment.reason);
  const forges = { environment: environment.kind === 'ok' ? environment.value : undefined };
  const surroundings = { env: process.env, cwd: process.cwd(), vaultKeys: vaultKeys.value, forges };
  try {
    return await fulfil(wish.value, surroundings);
  } catch (error) {
    process.stderr.write(`gatehouse: ${messageOf(error)}\n`);
    return EXIT_FAILED;
  }
}

interface Start extends Surroundings {
  readonly vaultKeys: KeySource | undefined;
  readonly forges: { readonly environment: EnvironmentToken | undefined };
}

function fulfil(wish: Wish, surroundings: Start): Promise<number> {
  switch (wish.kind) {
    case 'version':
      process.stdout.write(`gatehouse ${VERSION}\n`);
      return Promise.resolve(0);
    case 'help':
      process.stdout.write(helpText());
      return Promise.resolve(0);
    case 'config':
      return Promise.resolve(configShow(wish.flags, surroundings, wish.json));
    case 'serve':
      return serve(wish.flags, surroundings);
    case 'gate':
      return gate(wish.flags, surroundings);
    case 'command':
      return command(wish.flags, wish.argv, surroundings);
    default:
      return wish satisfies never;
  }
}

function usage(reason: string): number {
  process.stderr.write(`gatehouse: ${reason}\ngatehouse --help lists flags and commands\n`);
  return EXIT_USAGE;
}

/** What a person at this terminal may read: the public message, else everything, since it is their machine. */
function messageOf(error: unknown): string {
  if (error instanceof Fault) return error.publicMessage ?? `${error.message} ${JSON.stringify(error.context)}`;
  return error instanceof Error ? (error.stack ?? error.message) : publicMessageOf(error, 'local');
}

function configShow(flags: LocalFlags, surroundings: Surroundings, json: boolean): number {
  const config = configOf(flags, surroundings);
  if (config.kind === 'refused') return usage(config.reason);
  const shown = showConfig(config.value);
  if (json) {
    const settings = shown.map(({ key, value, origin, meaning }) => ({ key, value, origin, meaning }));
    process.stdout.write(`${JSON.stringify({ data: config.value.dataDirectory, settings }, undefined, 2)}\n`);
    return 0;
  }
  const width = Math.max(...shown.map(({ key, value }) => key.length + value.length));
  process.stdout.write(`# data directory: ${config.value.dataDirectory}\n`);
  for (const { key, value, origin } of shown) {
    process.stdout.write(`${`${key} = ${value}`.padEnd(width + 3)}  # ${origin}\n`);
  }
  return 0;
}

async function serve(flags: LocalFlags, surroundings: Start): Promise<number> {
  const config = configOf(flags, surroundings);
  if (config.kind === 'refused') return usage(config.reason);
  const { serveHouse } = await import('./house.ts');
  const { vaultKeys, forges } = surroundings;
  return serveHouse({ config: config.value, program: programFor(flags, surroundings), vaultKeys, forges });
}

/** A gate for one job. */
async function gate(flags: LocalFlags, { cwd, vaultKeys }: Start): Promise<number> {
  const [{ runGate }, { openHouse }] = await Promise.all([import('./house/gate-command.ts'), import('./house.ts')]);
  const { stdin, stdout, stderr, env } = process;
  return runGate({ openHouse, flags, env, cwd, vaultKeys, stdin, stdout, stderr });
}

/** How a person at this place calls this program for the same data directory, in words to copy. */
function programFor(flags: LocalFlags, { cwd }: Surroundings): string {
  const root = join(import.meta.dirname, '..');
  const data = flags.get('--data')?.at(-1);
  const program = cwd === root ? 'bin/gatehouse' : join(root, 'bin', 'gatehouse');
  return data === undefined ? program : `${program} --data ${data}`;
}

/** A command of the local command line, as the administrator or the user named by --as. */
async function command(flags: LocalFlags, words: readonly string[], surroundings: Start): Promise<number> {
  const unfit = [...flags.keys()].find((flag) => !['--data', '--config', '--as'].includes(flag));
  if (unfit !== undefined) return usage(`${unfit} goes with serve, not with a command`);
  if (words[0] === 'gitolite' && words[1] === 'adopt') return adopt(words.slice(2), surroundings);
  const dataDirectory = dataDirectoryOf(flags, surroundings);
  const as = flags.get('--as')?.at(-1);
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort(new Fault('aborted', 'interrupted')));
  process.once('SIGTERM', () => interrupt.abort(new Fault('aborted', 'interrupted')));
  const run = {
    argv: absoluteWords(words, surroundings.cwd),
    ...(as === undefined ? {} : { as }),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: interrupt.signal,
  };
  if (!isDataDirectory(dataDirectory)) return answerWithoutSite(words, dataDirectory);
  const answered = await throughGate(dataDirectory, run);
  if (answered !== undefined) return answered;
  const config = configOf(flags, surroundings);
  if (config.kind === 'refused') return usage(config.reason);
  const { runOnStore } = await import('./house.ts');
  return runOnStore(config.value, { ...run, vaultKeys: surroundings.vaultKeys, forges: surroundings.forges });
}

/** Takes a gitolite site over: works on the account's files, where no gate ran yet. */
async function adopt(argv: readonly string[], { env, cwd }: Surroundings): Promise<number> {
  const { adoptSite } = await import('./commands/gitolite-adopt.ts');
  const { stdin, stdout, stderr } = process;
  return adoptSite({ argv, env, cwd, stdin, stdout, stderr, signal: new AbortController().signal });
}

/** The exit code that the running gate gave; undefined where none runs. */
async function throughGate(dataDirectory: string, run: ControlCommand): Promise<number | undefined> {
  const { connectControl } = await import('./api/control-client.ts');
  await using socket = await controlPath(dataDirectory);
  const connection = await connectControl(socket.path);
  return connection?.run(run);
}

/** Where no gate ever ran there is nothing to act on, but help can be given. */
async function answerWithoutSite(words: readonly string[], dataDirectory: string): Promise<number> {
  const { helpWithoutSite } = await import('./commands/offline.ts');
  const help = helpWithoutSite(words);
  if (help === undefined) {
    process.stderr.write(
      `gatehouse: there is no site in ${dataDirectory}: start one with gatehouse serve, or name it with --data\n`,
    );
    return EXIT_FAILED;
  }
  process.stdout.write(help);
  return 0;
}

// A reader that goes away (`gatehouse ls | head -1`) ends the program, not with a stack trace.
process.stdout.on('error', () => process.exit(EXIT_FAILED));
process.exit(await main(process.argv.slice(2)));
