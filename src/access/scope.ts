/** What the token or the pass that was shown may do: it only narrows what its owner may do anyway. */
import { credentialRefusal } from '../identity/scope.ts';
import type { Question } from './decision.ts';

/** Why what was shown is not enough, or undefined. Every rule language asks this before its rules. */
export function scopeRefusal({ principal, operation, action, repository, ref, forPush }: Question): string | undefined {
  if (principal.kind !== 'user') return undefined;
  const refname = ref?.refname;
  return credentialRefusal(principal.credential, { operation, action, repository: repository?.name, refname, forPush });
}
