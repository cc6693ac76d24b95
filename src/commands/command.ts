/**
 * What a command is: its form, flags, the question it asks of policy, and what it does. Each is defined once,
 * in the file of its noun, and serves the command line, SSH and the API alike.
 */
import type { Decision, Operation, Question } from '../access/decision.ts';
import type { Refusal } from '../base/fault.ts';
import type { Json } from '../base/json.ts';
import type { Principal, TokenScope } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';
import type { RequestOrigin } from '../request/request.ts';
import type { Arguments } from './arguments.ts';
import type { Vocabulary } from './find.ts';
import type { CommandParts } from './parts.ts';

export interface Flag {
  /** `--scope`. */
  readonly name: string;
  /** What follows it, in capitals; absent: the flag stands alone. */
  readonly value?: string;
  readonly repeat?: true;
  /** One letter, `-v`. */
  readonly short?: string;
  readonly meaning: string;
}

interface CommandBase {
  /**
   * `user add NAME EMAIL REAL-NAME…`: small words as they are typed, arguments in capitals, `[OPTIONAL]` last
   * but for one `MANY…`, which takes one word or more.
   */
  readonly form: string;
  readonly summary: string;
  /** Paragraphs for `--help`. */
  readonly details?: readonly string[];
  readonly flags?: readonly Flag[];
  readonly examples: readonly string[];
  /** The least token scope it needs: `read` looks, `write` changes repositories, `admin` people and credentials. */
  readonly scope: TokenScope;
  /** It only looks. Whatever else is in the journal, on disk, before the client hears of it. */
  readonly isReadOnly?: true;
  /** Arguments, and flags by name, whose text must not stand in the journal. */
  readonly secrets?: readonly string[];
  /** What it reads from standard input, in words. */
  readonly stdin?: string;
}

/** Answers only what anybody may know, or asks its own questions: `call.ask`. */
export interface OpenCommand extends CommandBase {
  readonly permission: { readonly kind: 'open' };
  readonly run: (call: Call) => Promise<Answer>;
}

/** Asks `administer` with an action (Gitano's word) about the site. */
export interface SiteCommand extends CommandBase {
  readonly permission: {
    readonly kind: 'site';
    readonly action: string;
    /** Rule variables by the argument or flag that gives them: `{ targetuser: 'NAME' }`, `{ targetuser: '--for' }`. */
    readonly variables?: Readonly<Record<string, string>>;
  };
  readonly run: (call: Call) => Promise<Answer>;
}

/** Asks about the repository that an argument names; who may not read it is told that there is none. */
export interface RepositoryCommand extends CommandBase {
  readonly permission: {
    readonly kind: 'repository';
    /** Default: REPO. */
    readonly argument?: 'OLD';
    readonly operation: Operation;
    readonly action?: string;
    readonly variables?: Readonly<Record<string, string>>;
  };
  readonly run: (call: Call, repository: Repository) => Promise<Answer>;
}

export type Command = OpenCommand | SiteCommand | RepositoryCommand;

/** One run of a command. */
export interface Call {
  readonly parts: CommandParts;
  readonly origin: RequestOrigin;
  /** Who it runs as: the asker, or the USER of `as USER`. */
  readonly principal: Principal;
  readonly args: Arguments;
  /** `--json` was given: streams print JSON lines. */
  readonly json: boolean;
  readonly signal: AbortSignal;
  /** For `help`. */
  readonly vocabulary: Vocabulary;
  /** Standard input, whole; a refusal where it is too large. */
  readStdin(): Promise<Uint8Array | Refusal>;
  /** Writes to standard output at once, honouring back-pressure: for streams and progress. */
  print(text: string): Promise<void>;
  /** Writes to standard error at once. */
  warn(text: string): Promise<void>;
  ask(question: Omit<Question, 'principal'>): Decision;
}

export type Answer =
  | {
      readonly kind: 'done';
      /** What `--json` prints, as one document; absent where everything was printed on the way. */
      readonly json?: Json;
      /** What a person reads. */
      readonly text?: string;
      /** 1 for an answer that says no: `access explain` of a refused operation, `audit verify` of a damaged journal. */
      readonly exit?: 0 | 1;
    }
  /** Policy says no. */
  | { readonly kind: 'forbidden'; readonly decision: Pick<Decision, 'reason' | 'rule'> }
  /** The repository is not there, or may not be read: one answer for both. */
  | { readonly kind: 'missing'; readonly reason: string }
  /** Anything else that cannot be done, in words. */
  | Refusal
  /** The words make no sense: exit 2. */
  | { readonly kind: 'usage'; readonly reason: string };

export function done(json: Json, text: string): Answer {
  return { kind: 'done', json, text };
}
