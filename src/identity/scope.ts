/**
 * What the scopes of a token, or a pass, let through, before policy is asked: a scope can only narrow what its owner may do.
 *
 * - `read`: clone and fetch, and the commands that only show: whoami, help, ls, a repository's settings.
 * - `write`: that, pushes of every kind, and making a repository (nothing existing is changed by it).
 * - `admin`: everything the user may do.
 */
import { describePass, passRefusal, placeRefusal, type ScopeQuestion } from './pass-scope.ts';
import type { Credential, TokenScope } from './principal.ts';

/** Scopes of a token that was made without naming any: what a clone-and-push needs, and not the keys to the account. */
export const DEFAULT_SCOPES: readonly TokenScope[] = ['write'];

const READING: ReadonlySet<string> = new Set(['read']);
const WRITING: ReadonlySet<string> = new Set([
  'read',
  'write',
  'create-ref',
  'update-ref',
  'rewind-ref',
  'delete-ref',
  'create-repository',
]);
/** Finer words of `configure` and `administer` that change nothing and show nothing of other people. */
const SHOWING: ReadonlySet<string> = new Set(['whoami', 'help', 'ls', 'info', 'config_show', 'count_objects']);

const RANK: Readonly<Record<TokenScope, number>> = { read: 0, write: 1, admin: 2 };

/** Whether a credential has this scope or a wider one. A pass has none: what it fetches and pushes is asked otherwise. */
export function hasScope(credential: Credential, needed: TokenScope): boolean {
  if (credential.kind === 'pass') return false;
  return credential.kind !== 'token' || credential.scopes.some((scope) => RANK[scope] >= RANK[needed]);
}

/** The words for a credential that does not reach far enough: `the token ci-1 has only the scope read`. */
export function scopesHeld(credential: Extract<Credential, { readonly kind: 'token' }>): string {
  const { name, scopes } = credential;
  return `the token ${name} has ${scopes.length === 0 ? 'no scope' : `only the scope ${scopes.join(', ')}`}`;
}

/** Commands that a pass may run: they show its owner, the gate, what the pass reads, and what became of what it pushed. */
const PASS_COMMANDS: ReadonlySet<string> = new Set([
  'whoami',
  'help',
  'ls',
  'info',
  'hold list',
  'hold show',
  'hold cancel',
]);

/** Why what was shown does not reach a command that needs this scope; undefined: it does. @param form as `Command.form` */
export function commandRefusal(
  credential: Credential,
  { scope, form }: { readonly scope: TokenScope; readonly form: string },
): string | undefined {
  if (credential.kind === 'pass') {
    const [noun = '', verb = ''] = form.split(' ');
    if (PASS_COMMANDS.has(noun) || PASS_COMMANDS.has(`${noun} ${verb}`)) return placeRefusal(credential);
    return `${describePass(credential)}, and runs no command but ${[...PASS_COMMANDS].join(', ')}`;
  }
  if (credential.kind !== 'token' || hasScope(credential, scope)) return undefined;
  return `${scopesHeld(credential)}; this command needs the scope ${scope}`;
}

/**
 * Why what was shown is not enough for this question, or undefined. An SSH key, the local command line and what a site's
 * shell vouches for are enough for everything.
 */
export function credentialRefusal(credential: Credential, question: ScopeQuestion): string | undefined {
  const { operation, action } = question;
  if (credential.kind === 'pass') return passRefusal(credential, question);
  if (credential.kind !== 'token' || scopeAllows(credential, operation, action)) return undefined;
  return `${scopesHeld(credential)}, which does not reach as far as ${action ?? operation}`;
}

/**
 * Whether a credential reaches this far, wherever. `operation` is a word of `access/decision.ts`, `action` the finer one
 * of `configure` and `administer`. An SSH key and the local command line reach everywhere. An unknown word
 * needs `admin`. A pass is asked about a repository: `credentialRefusal`.
 */
export function scopeAllows(credential: Credential, operation: string, action?: string): boolean {
  if (credential.kind === 'pass') return passRefusal(credential, { operation, action }) === undefined;
  if (credential.kind !== 'token' || credential.scopes.includes('admin')) return true;
  const shows =
    (operation === 'configure' || operation === 'administer') && action !== undefined && SHOWING.has(action);
  if (credential.scopes.includes('write') && (shows || WRITING.has(operation))) return true;
  return credential.scopes.includes('read') && (shows || READING.has(operation));
}
