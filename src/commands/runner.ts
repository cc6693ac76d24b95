/**
 * Runs one command line: finds the command, asks policy, runs it, prints the answer and gives the exit code.
 * Every command takes the walk (admission, drain, journal) through `walk.command`.
 */
import type { Readable, Writable } from 'node:stream';
import { BOUNDS } from '../base/bounds.ts';
import { publicMessageOf, type Parsed } from '../base/fault.ts';
import { assertWritable, writeAll } from '../git/stream.ts';
import type { RequestOrigin } from '../request/request.ts';
import type { CommandEnd } from '../request/walk.ts';
import { answerTo, asUser, type Streams } from './answer.ts';
import type { Answer, Command } from './command.ts';
import { parseFor, synopsis, Vocabulary, withoutSecrets, type Entry, type Parse } from './find.ts';
import { greeting } from './greeting.ts';
import { helpFamily, helpOne } from './help.ts';
import type { CommandParts } from './parts.ts';

export interface CommandRun {
  readonly origin: RequestOrigin;
  readonly argv: readonly string[];
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly signal: AbortSignal;
}

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
    greeting: (origin) => greeting(parts, origin),
  };
}

interface Run extends CommandRun {
  readonly parts: CommandParts;
  readonly vocabulary: Vocabulary;
}

const USAGE: CommandEnd = { exit: 2, outcome: 'refused', reason: 'usage' };

async function runCommand(run: Run): Promise<number> {
  try {
    const read = readLine(run);
    if (read.kind === 'usage') {
      // What cannot be understood may hold anything, a pasted secret too: the journal keeps its first word at most.
      const argv = run.vocabulary.nouns.includes(run.argv[0] ?? '') ? [run.argv[0] ?? ''] : ['(unknown)'];
      await run.parts.walk.command(run.origin, { argv, signal: run.signal }, async () => USAGE);
      await say(run.stderr, read.text);
      return 2;
    }
    if (read.kind === 'help') {
      await say(run.stdout, read.text);
      return 0;
    }
    const { exit } = read.as === undefined ? await travel(run, read, run.origin) : await travelAs(run, read, read.as);
    return exit;
  } catch (error) {
    await say(run.stderr, `gatehouse: ${publicMessageOf(error, run.origin.id)}\n`);
    return 1;
  }
}

type Line =
  | { readonly kind: 'usage'; readonly text: string }
  | { readonly kind: 'help'; readonly text: string }
  | (Parse & { readonly kind: 'command'; readonly argv: readonly string[]; readonly as: string | undefined });

/** The words, understood: a command with its arguments, a question for help, or what is wrong with them. */
function readLine({ argv, vocabulary }: Run): Line {
  if (argv.length > BOUNDS.commandWordsMax || argv.some((word) => word.includes('\0'))) {
    return {
      kind: 'usage',
      text: `gatehouse: a command has at most ${BOUNDS.commandWordsMax} words, none with a NUL\n`,
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
  const trip = { argv: read.argv, signal: run.signal, ...(repository === undefined ? {} : { repository }) };
  return run.parts.walk.command(origin, trip, async (signal) => {
    const streams: Streams = {
      stdin: run.stdin,
      print: (text) => say(run.stdout, text, signal),
      warn: (text) => say(run.stderr, text, signal),
    };
    const answer = await answerTo({
      parts: run.parts,
      origin,
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
  return run.parts.walk.command(run.origin, { argv: read.argv, signal: run.signal }, () =>
    finish({ run, answer: target, entry: read.entry, json: false }),
  );
}

interface Finish {
  readonly run: Run;
  readonly answer: Answer;
  readonly entry: Entry;
  readonly json: boolean;
}

/** Prints the answer: what was asked for on standard output, everything else on standard error. */
async function finish({ run, answer, entry, json }: Finish): Promise<CommandEnd> {
  switch (answer.kind) {
    case 'done': {
      const text =
        json && answer.json !== undefined ? `${JSON.stringify(answer.json, undefined, 2)}\n` : (answer.text ?? '');
      if (text !== '') await say(run.stdout, text);
      return { exit: answer.exit ?? 0, outcome: 'served' };
    }
    case 'forbidden': {
      const { reason, rule } = answer.decision;
      await say(run.stderr, `gatehouse: refused: ${reason}\n`);
      return { exit: 1, outcome: 'refused', reason, ...(rule === undefined ? {} : { rule }) };
    }
    case 'missing':
    case 'refused':
      await say(run.stderr, `gatehouse: ${answer.reason}\n`);
      return { exit: 1, outcome: 'refused', reason: answer.reason };
    case 'usage':
      await say(run.stderr, `gatehouse: ${answer.reason}\nusage: ${synopsis(entry)}\n`);
      return { exit: 2, outcome: 'refused', reason: `usage: ${answer.reason}` };
    default:
      return answer satisfies never;
  }
}

/** Writes text; a client that is gone is no error of the command's. */
async function say(output: Writable, text: string, signal?: AbortSignal): Promise<void> {
  if (signal !== undefined) assertWritable(output, signal);
  else if (output.destroyed || output.writableEnded) return;
  await writeAll(output, Buffer.from(text), signal);
}
