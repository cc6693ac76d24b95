/**
 * Runs one command line: finds the command, asks policy, runs it, prints the answer and gives the exit code.
 * Every command takes the walk (admission, drain, journal) through `walk.command`.
 */
import type { Writable } from 'node:stream';
import { BOUNDS } from '../base/bounds.ts';
import { Fault, publicMessageOf, type Parsed } from '../base/fault.ts';
import { assertWritable, drained, readChunk } from '../git/stream.ts';
import type { CommandRun, RequestOrigin } from '../request/request.ts';
import type { CommandEnd, CommandTrip } from '../request/walk.ts';
import { answerTo, asUser, type Streams } from './answer.ts';
import type { Answer, Command } from './command.ts';
import { parseFor, synopsis, Vocabulary, withoutSecrets, type Entry, type Parse } from './find.ts';
import { isForSite, runSiteCommand } from './gitolite.ts';
import { greeting } from './greeting.ts';
import { helpFamily, helpOne } from './help.ts';
import type { CommandParts } from './parts.ts';

export interface CommandRunner {
  /** The exit code: 0 done, 1 refused or failed, 2 usage. Never rejects. */
  run(run: CommandRun): Promise<number>;
  /** What a person reads who connects without a command. */
  greeting(origin: RequestOrigin): Promise<string>;
}

export function createRunner(parts: CommandParts, commands: readonly Command[]): CommandRunner {
  const vocabulary = new Vocabulary(commands);
  return {
    run: (run) => runCommand({ ...run, parts, vocabulary }),
    greeting: (origin) => greet(parts, origin),
  };
}

interface Run extends CommandRun {
  readonly parts: CommandParts;
  readonly vocabulary: Vocabulary;
}

const USAGE: CommandEnd = { exit: 2, outcome: 'refused', reason: 'usage' };

/** The greeting takes the walk as a command does: it decides about every repository. */
async function greet(parts: CommandParts, origin: RequestOrigin): Promise<string> {
  let text = '';
  await parts.walk.command(origin, { argv: ['(greeting)'], isReadOnly: true }, async (signal, current) => {
    if (current.kind === 'refused') {
      text = `gatehouse: ${current.reason}\n`;
      return { exit: 1, outcome: 'refused', reason: current.reason };
    }
    text = await greeting(parts, current.value, signal);
    return { exit: 0, outcome: 'served' };
  });
  return text;
}

async function runCommand(run: Run): Promise<number> {
  try {
    if (isForSite(run.argv)) return (await runSiteCommand(run, run.parts)).exit;
    const read = readLine(run);
    if (read.kind !== 'command') return (await tellWords(run, read)).exit;
    const { exit } = read.as === undefined ? await travel(run, read, run.origin) : await travelAs(run, read, read.as);
    return exit;
  } catch (error) {
    await say(run, run.stderr, `gatehouse: ${publicMessageOf(error, run.origin.id)}\n`).catch(() => {});
    return 1;
  }
}

/** Help, or what is wrong with the words. */
function tellWords(run: Run, line: Words): Promise<CommandEnd> {
  // What cannot be understood may hold anything, a pasted secret too: the journal keeps its first word at most.
  const known = run.vocabulary.nouns.includes(run.argv[0] ?? '') ? [run.argv[0] ?? ''] : ['(unknown)'];
  const isHelp = line.kind === 'help';
  const argv = isHelp ? [...known, '--help'] : known;
  const tell = (): Promise<void> => say(run, isHelp ? run.stdout : run.stderr, line.text);
  const end: CommandEnd = isHelp ? { exit: 0, outcome: 'served', tell } : { ...USAGE, tell };
  return run.parts.walk.command(run.origin, { argv, isReadOnly: true, signal: run.signal }, async () => end);
}

interface Words {
  readonly kind: 'usage' | 'help';
  readonly text: string;
}

type Line =
  | Words
  | (Parse & { readonly kind: 'command'; readonly argv: readonly string[]; readonly as: string | undefined });

/** The words, understood: a command with its arguments, a question for help, or what is wrong with them. */
function readLine({ argv, vocabulary }: Run): Line {
  // The line of the API and of the control socket has the bound of an SSH command line: the journal keeps it.
  const bytes = argv.reduce((sum, word) => sum + Buffer.byteLength(word) + 1, 0);
  const isTooLong = argv.length > BOUNDS.commandWordsMax || bytes > BOUNDS.commandLineBytesMax;
  if (isTooLong || argv.some((word) => word.includes('\0'))) {
    return {
      kind: 'usage',
      text: `gatehouse: a command has at most ${BOUNDS.commandWordsMax} words of ${BOUNDS.commandLineBytesMax} bytes together, none with a NUL\n`,
    };
  }
  const [first, second] = argv;
  if (first === '--help' || first === '-h') return readLineOf(['help'], vocabulary);
  if (first !== 'as') return readLineOf(argv, vocabulary);
  const as = vocabulary.of('as')[0];
  if (as === undefined || second === '--help' || second === '-h') return readLineOf(argv, vocabulary);
  if (second === undefined || argv.length < 3)
    return usageOf(as, argv.length < 2 ? 'USER is missing' : 'COMMAND is missing');
  if (argv[2] === 'as') return usageOf(as, 'as does not nest');
  const inner = readLineOf(argv.slice(2), vocabulary);
  return inner.kind === 'command' ? { ...inner, argv: ['as', second, ...inner.argv], as: second } : inner;
}

function readLineOf(argv: readonly string[], vocabulary: Vocabulary): Line {
  const family = vocabulary.of(argv[0] ?? '');
  const wantsHelp = argv.some((word) => word === '--help' || word === '-h');
  const found = vocabulary.find(argv);
  if (found.kind === 'refused') {
    if (wantsHelp && family.length > 0) return { kind: 'help', text: helpFamily(family) };
    const hint = family.length > 0 ? helpFamily(family) : 'help lists the commands\n';
    return { kind: 'usage', text: `gatehouse: ${found.reason}\n${hint}` };
  }
  const args = parseFor(found.value, argv);
  if (args.kind === 'refused') return usageOf(found.value, args.reason);
  if (args.value.has('--help')) return { kind: 'help', text: helpOne(found.value) };
  return {
    kind: 'command',
    entry: found.value,
    args: args.value,
    argv: withoutSecrets(found.value, argv),
    as: undefined,
  };
}

function usageOf(entry: Entry, reason: string): Line {
  return { kind: 'usage', text: `gatehouse: ${reason}\nusage: ${synopsis(entry)}\n` };
}

/** The walk of one command, as `origin.principal`. */
function travel(
  run: Run,
  read: Parse & { readonly argv: readonly string[] },
  origin: RequestOrigin,
): Promise<CommandEnd> {
  const repository = read.args.optional('REPO') ?? read.args.optional('OLD');
  const trip: CommandTrip = {
    argv: read.argv,
    isReadOnly: read.entry.command.isReadOnly ?? false,
    signal: run.signal,
    ...(repository === undefined ? {} : { repository }),
  };
  return run.parts.walk.command(origin, trip, async (signal, current) => {
    if (current.kind === 'refused') return finish({ run, answer: current, entry: read.entry, json: false });
    const streams: Streams = {
      read: () => readChunkWithin(run, signal),
      print: (text) => say(run, run.stdout, text, signal),
      warn: (text) => say(run, run.stderr, text, signal),
    };
    const answer = await answerTo({
      parts: run.parts,
      origin: current.value,
      parse: read,
      streams,
      signal,
      vocabulary: run.vocabulary,
    });
    return finish({ run, answer, entry: read.entry, json: read.args.has('--json') });
  });
}

/** `as USER COMMAND`: whether there is a USER is told only to those who may act as others. */
async function travelAs(
  run: Run,
  read: Parse & { readonly argv: readonly string[] },
  name: string,
): Promise<CommandEnd> {
  const target: Parsed<RequestOrigin> | Answer = await asUser(run.parts, run.origin, name);
  if (target.kind === 'ok') return travel(run, read, target.value);
  return run.parts.walk.command(run.origin, { argv: read.argv, signal: run.signal }, async () =>
    finish({ run, answer: target, entry: read.entry, json: false }),
  );
}

interface Finish {
  readonly run: Run;
  readonly answer: Answer;
  readonly entry: Entry;
  readonly json: boolean;
}

/** What came of it, and the answer in words: what was asked for on standard output, everything else on standard error. */
function finish({ run, answer, entry, json }: Finish): CommandEnd {
  const tell = (output: Writable, text: string) => (): Promise<void> => say(run, output, text);
  switch (answer.kind) {
    case 'done': {
      const text =
        json && answer.json !== undefined ? `${JSON.stringify(answer.json, undefined, 2)}\n` : (answer.text ?? '');
      return { exit: answer.exit ?? 0, outcome: 'served', tell: tell(run.stdout, text) };
    }
    case 'forbidden': {
      const { reason, rule } = answer.decision;
      const told = tell(run.stderr, `gatehouse: refused: ${reason}\n`);
      return { exit: 1, outcome: 'refused', reason, ...(rule === undefined ? {} : { rule }), tell: told };
    }
    case 'missing':
    case 'refused':
      return {
        exit: 1,
        outcome: 'refused',
        reason: answer.reason,
        tell: tell(run.stderr, `gatehouse: ${answer.reason}\n`),
      };
    case 'usage': {
      const text = `gatehouse: ${answer.reason}\nusage: ${synopsis(entry)}\n`;
      return { exit: 2, outcome: 'refused', reason: `usage: ${answer.reason}`, tell: tell(run.stderr, text) };
    }
    default:
      return answer satisfies never;
  }
}

/** Writes text; a client that is gone is no error of the command's. One that does not read is given up. */
async function say(run: Run, output: Writable, text: string, signal?: AbortSignal): Promise<void> {
  if (text === '') return;
  if (signal !== undefined) assertWritable(output, signal);
  else if (output.destroyed || output.writableEnded) return;
  if (output.write(shownSafely(text))) return;
  await within(run, signal ?? run.signal, (bounded) => drained(output, bounded));
}

/**
 * What a terminal would obey instead of show, as `\\u001b`: names, reasons and settings may hold it, and in JSON it means
 * the same. A CR stays before its LF only.
 */
function shownSafely(text: string): string {
  return text.replaceAll(OBEYED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const OBEYED = /\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The next of standard input; undefined at its end. A client that holds its place and sends nothing is given up. */
function readChunkWithin(run: Run, signal: AbortSignal): Promise<Buffer | undefined> {
  return within(run, signal, (bounded) => readChunk(run.stdin, bounded));
}

/** @throws Fault 'timeout' where the client lets us wait longer than `BOUNDS.clientIdleMs`. */
async function within<T>(run: Run, signal: AbortSignal, wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const idle = new AbortController();
  const fault = new Fault('timeout', 'client is idle', { publicMessage: 'the client let the command wait too long' });
  const cancel = run.parts.clock.after(BOUNDS.clientIdleMs, () => {
    idle.abort(fault);
  });
  try {
    return await wait(AbortSignal.any([signal, idle.signal]));
  } catch (error) {
    throw idle.signal.aborted ? fault : error;
  } finally {
    cancel();
  }
}
