/** `mirror rekey`: another key for everything that the vault has, and what to do with what does not open. */
import { refuse } from '../base/fault.ts';
import type { Rekeyed, Unreadable } from '../upstream/vault.ts';
import { done, type Answer, type Call, type Command } from './command.ts';
import { count } from './table.ts';

/** What the commands ask of the vault (`upstream/vault.ts`). */
export interface VaultDesk {
  unreadable(): Promise<readonly Unreadable[]>;
  rekey(options: { readonly dropDamaged: boolean }): Promise<Rekeyed>;
}

export const MIRROR_REKEY: Command = {
  form: 'mirror rekey',
  summary: 'Seal every credential anew, under another key',
  details: [
    'Makes another vault key, seals every credential under it, then forgets the old key. It may be cut off at any moment and goes on at the next start. Where the key comes from GATEHOUSE_VAULT_KEY, start the gate with the new key there and the old one in GATEHOUSE_VAULT_OLD_KEY first.',
    'Where a credential does not open, nothing is changed, and each such credential is named with the mirror that it is for. `mirror set` gives a mirror another one; with --drop-damaged those that no key opens are removed, and their mirrors say that their credential is gone. What is sealed with a key that is not here is never removed: bring the key back, or give these mirrors their credentials anew.',
  ],
  flags: [{ name: '--drop-damaged', meaning: 'remove credentials that are damaged, instead of stopping at them' }],
  examples: ['mirror rekey', 'mirror rekey --drop-damaged'],
  scope: 'admin',
  permission: { kind: 'site', action: 'mirrorrekey' },
  run: rekey,
};

async function rekey(call: Call): Promise<Answer> {
  const { vault } = call.parts;
  if (vault === undefined) return refuse('this gate has no mirrors');
  const dropDamaged = call.args.has('--drop-damaged');
  const unreadable = await vault.unreadable();
  const users = unreadable.length === 0 ? NOBODY : await usersOf(call);
  const inTheWay = unreadable.filter(({ lacksKey }) => lacksKey !== undefined || !dropDamaged);
  if (inTheWay.length > 0) return refuse(wayOut(inTheWay, users));
  const { keyId, resealed, dropped } = await vault.rekey({ dropDamaged });
  const gone = dropped.map((id) => `${described({ id, lacksKey: undefined }, users)}: removed\n`).join('');
  const text = `${gone}${count(resealed, 'credential')} sealed anew; the vault key is ${keyId} now. Keep a copy of it where the data directory is not.\n`;
  return done({ keyId, resealed, dropped: dropped.map((id) => ({ id, mirror: users.get(id) ?? null })) }, text);
}

const NOBODY: ReadonlyMap<string, string> = new Map();

/** Names of mirrors, by the id of their credential. What a forge or a webhook uses is found by nobody here. */
async function usersOf({ parts }: Call): Promise<ReadonlyMap<string, string>> {
  const users = new Map<string, string>();
  for (const { upstream } of (await parts.mirrors?.list()) ?? []) {
    const { credentialId, repositoryId } = upstream;
    if (credentialId === undefined) continue;
    const repository = await parts.catalogue.byId(repositoryId);
    users.set(credentialId, repository?.name ?? `a destroyed mirror of ${upstream.url.text}`);
  }
  return users;
}

function described({ id, lacksKey }: Unreadable, users: ReadonlyMap<string, string>): string {
  const user = users.get(id);
  const why = lacksKey === undefined ? 'damaged' : `sealed with the vault key ${lacksKey}, which is not here`;
  return `credential ${id}${user === undefined ? '' : ` of ${user}`} (${why})`;
}

function wayOut(unreadable: readonly Unreadable[], users: ReadonlyMap<string, string>): string {
  const lines = unreadable.map((each) => described(each, users));
  const isAnyDamaged = unreadable.some(({ lacksKey }) => lacksKey === undefined);
  const drop = isAnyDamaged ? ', or remove the damaged ones with mirror rekey --drop-damaged' : '';
  return `nothing is changed, since these do not open: ${lines.join('; ')}. Give them anew with mirror set${drop}`;
}
