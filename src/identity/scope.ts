/**
 * What a token's scopes let through, before policy is asked: a scope can only narrow what its owner may do.
 *
 * - `read`: clone and fetch, and the commands that only show: whoami, help, ls, a repository's settings.
 * - `write`: that, pushes of every kind, and making a repository (nothing existing is changed by it).
 * - `admin`: everything the user may do.
 */
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

/** Whether a credential has this scope or a wider one. */
export function hasScope(credential: Credential, needed: TokenScope): boolean {
  return credential.kind !== 'token' || credential.scopes.some((scope) => RANK[scope] >= RANK[needed]);
}

/** The words for a credential that does not reach far enough: `the token ci-1 has only the scope read`. */
export function scopesHeld(credential: Extract<Credential, { readonly kind: 'token' }>): string {
  const { name, scopes } = credential;
  return `the token ${name} has ${scopes.length === 0 ? 'no scope' : `only the scope ${scopes.join(', ')}`}`;
}

/**
 * Whether a credential reaches this far. `operation` is a word of `access/decision.ts`, `action` the finer one
 * of `configure` and `administer`. An SSH key and the local command line reach everywhere. An unknown word
 * needs `admin`.
 */
export function scopeAllows(credential: Credential, operation: string, action?: string): boolean {
  if (credential.kind !== 'token' || credential.scopes.includes('admin')) return true;
  const shows =
    (operation === 'configure' || operation === 'administer') && action !== undefined && SHOWING.has(action);
  if (credential.scopes.includes('write') && (shows || WRITING.has(operation))) return true;
  return credential.scopes.includes('read') && (shows || READING.has(operation));
}
