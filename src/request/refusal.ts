/** The words of refusals at admission, and the stand-in for a repository that does not exist. */
import type { Parsed } from '../base/fault.ts';
import type { Principal } from '../identity/principal.ts';
import { coversRepository, placeRefusal } from '../identity/pass-scope.ts';
import { credentialRefusal, scopeAllows, scopesHeld } from '../identity/scope.ts';
import type { RepositoryName } from '../repository/name.ts';
import type { RepositoryFacts } from '../repository/repository.ts';

/**
 * The words for a repository that does not exist or may not be read (docs: "Refusals"): the same for both. The
 * hint depends only on who asks and the name asked for, never on what is there.
 */
export function missingReason(requestedPath: string, name: Parsed<RepositoryName>, mayCreate: boolean): string {
  const shown = name.kind === 'ok' ? name.value : printable(requestedPath);
  const reason = `no such repository, or you may not read it: ${shown}`;
  return mayCreate ? `${reason}\nto make it, run the command: create ${shown}` : reason;
}

/** What is asked about in place of a repository that is not there: nobody's, with no settings. */
export function phantomOf(name: Parsed<RepositoryName>, principal: Principal): RepositoryFacts {
  return {
    id: '',
    // A name that no parser accepts is in no catalogue; policy is asked all the same, about a name it knows nothing of.
    name: name.kind === 'ok' ? name.value : ('-' as RepositoryName),
    owner: principal.kind === 'user' ? principal.name : '',
    settings: {},
  };
}

/** Why the token, or the pass, does not reach that far; undefined where it does or there is none. */
export function scopeRefusal(
  principal: Principal,
  operation: 'read' | 'write',
  repository: string,
): string | undefined {
  if (principal.kind !== 'user') return undefined;
  const { credential } = principal;
  if (credential.kind === 'pass') return credentialRefusal(credential, { operation, repository });
  if (credential.kind !== 'token' || scopeAllows(credential, operation)) return undefined;
  return `${scopesHeld(credential)}; to ${operation} it needs the scope ${operation}`;
}

/**
 * Whether a pass is not about this repository: then it does not matter whether there is one, and nothing is looked up.
 * Where the pass itself is no good from there, `scopeRefusal` says so.
 */
export function isOutsidePass(principal: Principal, repository: string): boolean {
  if (principal.kind !== 'user' || principal.credential.kind !== 'pass') return false;
  const { credential } = principal;
  return placeRefusal(credential) === undefined && !coversRepository(credential.scope, repository);
}

/** The name in a client's path, whatever the alphabet: what a pass is held against. */
export function nameInPath(path: string): string {
  return path
    .replace(/^\/(?:~\/)?/, '')
    .replace(/\/$/, '')
    .replace(/\.git$/, '');
}

/** Text of the client's that is safe on a terminal and in a log: printable ASCII, at most 255 characters. */
export function printable(text: string): string {
  const clean = text.slice(0, 256).replaceAll(/[^\x20-\x7e]/g, '?');
  return clean.length > 255 ? `${clean.slice(0, 252)}...` : clean;
}
