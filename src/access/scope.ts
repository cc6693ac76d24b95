/** What a token may do: its scopes only narrow what its user may do anyway. */
import { scopeAllows, scopesHeld } from '../identity/scope.ts';
import type { Question } from './decision.ts';

/** Why the token that was shown is not enough, or undefined. */
export function scopeRefusal(question: Question): string | undefined {
  const { principal, operation, action } = question;
  if (principal.kind !== 'user' || principal.credential.kind !== 'token') return undefined;
  if (scopeAllows(principal.credential, operation, action)) return undefined;
  return `${scopesHeld(principal.credential)}, which does not reach as far as ${action ?? operation}`;
}
