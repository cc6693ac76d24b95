/**
 * Who stands behind a push that is held: none of them approves it, and only they take it back. Accounts are known by their
 * ids, for names change hands; by their names where an id is not known, as in records of older versions.
 */
import type { Principal } from '../identity/principal.ts';
import type { HeldPush } from './hold-record.ts';

/** The id of the account that has this name now; undefined: nobody has. */
export type AccountId = (name: string) => Promise<string | undefined>;

/** Those who stand behind a push or a decision. */
export interface Behind {
  readonly names: readonly string[];
  /** Undefined: not every one of them could be found. */
  readonly ids: readonly string[] | undefined;
}

/** Everybody who stands behind what a principal does: who pushed, who really asked, who issued the pass. */
export async function behindOf(principal: Principal, accountId: AccountId): Promise<Behind> {
  if (principal.kind === 'anonymous') return { names: [], ids: [] };
  const { name, asking, credential } = principal;
  const pass = credential.kind === 'pass' ? credential : undefined;
  const present = [name, ...(asking === undefined ? [] : [asking.name])];
  // The name is the one that its issuer had then.
  const issuer = pass?.issuedBy === undefined ? [] : [pass.issuedBy];
  const issuerIds = issuer.map(async (each) => pass?.issuerId ?? accountId(each));
  const ids = await Promise.all([...present.map(accountId), ...issuerIds]);
  const known = ids.filter((id) => id !== undefined);
  return {
    names: [...new Set([...present, ...issuer])],
    ids: known.length === ids.length ? [...new Set(known)] : undefined,
  };
}

/** Whether one of `who` pushed it: by the account, where both sides know it. */
export function isTheirs(held: Pick<HeldPush, 'behind' | 'behindIds'>, who: Behind): boolean {
  const { behind, behindIds } = held;
  if (behindIds === undefined || who.ids === undefined) return who.names.some((name) => behind.includes(name));
  return who.ids.some((id) => behindIds.includes(id));
}

/** Why one of `who` may not approve it; undefined: nothing speaks against it. A name that was theirs is enough. */
export function ownPush(held: HeldPush, who: Behind): string | undefined {
  if (!isTheirs(held, who) && !who.names.some((name) => held.behind.includes(name))) return undefined;
  const { principal: pusher } = held;
  const pass = pusher.kind === 'user' && pusher.credential.kind === 'pass' ? pusher.credential : undefined;
  const isIssuer =
    pass?.issuedBy !== undefined &&
    (who.names.includes(pass.issuedBy) || (pass.issuerId !== undefined && who.ids?.includes(pass.issuerId) === true));
  const issued = isIssuer ? ', nor one by a pass that they issued' : '';
  return `nobody approves their own push${issued}: somebody else has to look at it`;
}
