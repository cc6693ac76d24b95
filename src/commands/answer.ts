/** From a parsed command to its answer: token scope, policy, then the command itself. The one place that asks. */
import { BOUNDS } from '../base/bounds.ts';
import { refuse, type Parsed, type Refusal } from '../base/fault.ts';
import type { Principal } from '../identity/principal.ts';
import { commandRefusal } from '../identity/scope.ts';
import { parseRequestedName } from '../repository/name.ts';
import type { Repository } from '../repository/repository.ts';
import { parseSettingKey } from '../repository/settings.ts';
import { missingReason, phantomOf } from '../request/refusal.ts';
import type { RequestOrigin } from '../request/request.ts';
import type { Arguments } from './arguments.ts';
import type { Answer, Call, Command, RepositoryCommand, SiteCommand } from './command.ts';
import type { Parse, Vocabulary } from './find.ts';
import { shown } from './find.ts';
import type { CommandParts } from './parts.ts';

export interface Streams {
  /** The next of standard input; undefined at its end. */
  readonly read: () => Promise<Buffer | undefined>;
  readonly print: (text: string) => Promise<void>;
  readonly warn: (text: string) => Promise<void>;
}

export interface Asked {
  readonly parts: CommandParts;
  readonly origin: RequestOrigin;
  readonly parse: Parse;
  readonly streams: Streams;
  readonly signal: AbortSignal;
  readonly vocabulary: Vocabulary;
}

export async function answerTo(asked: Asked): Promise<Answer> {
  const { command } = asked.parse.entry;
  const scope = scopeRefusal(asked.origin.principal, command);
  if (scope !== undefined) return { kind: 'forbidden', decision: { reason: scope } };
  const call = callOf(asked);
  switch (command.permission.kind) {
    case 'open':
      return (command as Extract<Command, { permission: { kind: 'open' } }>).run(call);
    case 'site':
      return answerSite(call, command as SiteCommand);
    case 'repository':
      return answerRepository(call, command as RepositoryCommand);
    default:
      return command.permission satisfies never;
  }
}

function callOf(asked: Asked): Call {
  const { parts, origin, parse, streams, signal, vocabulary } = asked;
  return {
    parts,
    origin,
    principal: origin.principal,
    args: parse.args,
    json: parse.args.has('--json'),
    signal,
    vocabulary,
    readStdin: () => readStdin(streams.read),
    print: streams.print,
    warn: streams.warn,
    ask: (question) => parts.policy.decide({ ...question, principal: origin.principal }),
  };
}

async function answerSite(call: Call, command: SiteCommand): Promise<Answer> {
  const { action, variables } = command.permission;
  const decision = call.ask({ operation: 'administer', action, variables: variablesOf(call.args, variables) });
  return decision.kind === 'refused' ? { kind: 'forbidden', decision } : command.run(call);
}

async function answerRepository(call: Call, command: RepositoryCommand): Promise<Answer> {
  const found = await findReadable(call, call.args.text(command.permission.argument ?? 'REPO'));
  if (found.kind !== 'found') return found;
  const { repository } = found;
  const { operation, action, variables } = command.permission;
  const decision = call.ask({
    operation,
    repository,
    variables: variablesOf(call.args, variables),
    ...(action === undefined ? {} : { action }),
  });
  return decision.kind === 'refused' ? { kind: 'forbidden', decision } : command.run(call, repository);
}

/**
 * The repository, where the principal may read it. What is not there gets the same questions as what is, so that
 * neither words nor time tell them apart (as in the walk).
 */
export async function findReadable(
  call: Pick<Call, 'parts' | 'principal' | 'ask'>,
  text: string,
): Promise<{ readonly kind: 'found'; readonly repository: Repository } | Extract<Answer, { kind: 'missing' }>> {
  const name = parseRequestedName(text);
  const repository = name.kind === 'ok' ? await call.parts.catalogue.find(name.value) : undefined;
  const phantom = phantomOf(name, call.principal);
  const reading = call.ask({ operation: 'read', repository: repository ?? phantom });
  const creating = call.ask({ operation: 'create-repository', repository: phantom });
  if (repository !== undefined && reading.kind === 'allowed') return { kind: 'found', repository };
  return { kind: 'missing', reason: missingReason(text, name, name.kind === 'ok' && creating.kind === 'allowed') };
}

function variablesOf(
  args: Arguments,
  variables: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(variables).flatMap(([variable, argument]) => {
      const text = argument.startsWith('--') ? args.value(argument) : args.optional(argument);
      return text === undefined ? [] : [[variable, CANONICAL.get(argument)?.(text) ?? text]];
    }),
  );
}

/** What a rule sees is what will be done: a key or a name that can be written in several ways has one here. */
const CANONICAL: ReadonlyMap<string, (text: string) => string | undefined> = new Map([
  ['KEY', (text: string) => valueOf(parseSettingKey(text))?.key],
  ['NEW', (text: string) => valueOf(parseRequestedName(text))],
]);

function valueOf<T>(parsed: Parsed<T>): T | undefined {
  return parsed.kind === 'ok' ? parsed.value : undefined;
}

/** Why the token or the pass does not reach this command; undefined where it does, or none was shown. */
function scopeRefusal(principal: Principal, command: Pick<Command, 'scope' | 'form'>): string | undefined {
  return principal.kind === 'user' ? commandRefusal(principal.credential, command) : undefined;
}

/** Standard input, whole. Keys, rules and the like are small: more than the bound is refused, not collected. */
async function readStdin(read: Streams['read']): Promise<Uint8Array | Refusal> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for (let chunk = await read(); chunk !== undefined; chunk = await read()) {
    bytes += chunk.length;
    if (bytes > BOUNDS.commandInputBytesMax)
      return refuse(`standard input has at most ${BOUNDS.commandInputBytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * The origin of a command that runs as another user. Whether that user exists is told only to who may act as
 * others; the policy sees both, the user and who asks.
 */
export async function asUser(
  parts: CommandParts,
  origin: RequestOrigin,
  name: string,
): Promise<Parsed<RequestOrigin> | Answer> {
  const { principal } = origin;
  if (principal.kind !== 'user') return { kind: 'forbidden', decision: { reason: 'as: log in first' } };
  const scope = scopeRefusal(principal, { scope: 'admin', form: 'as USER' });
  if (scope !== undefined) return { kind: 'forbidden', decision: { reason: scope } };
  const decision = parts.policy.decide({
    principal,
    operation: 'administer',
    action: 'as',
    variables: { targetuser: name },
  });
  if (decision.kind === 'refused') return { kind: 'forbidden', decision };
  const target = await parts.directory.asUser(principal, name);
  return target === undefined
    ? refuse(`there is no active user ${shown(name)}`)
    : { kind: 'ok', value: { ...origin, principal: target } };
}
