/** Webhooks that forges call: which mirror one is about, and what it does. One that nobody knows is checked all the same. */
import type { IncomingHttpHeaders } from 'node:http';
import { BOUNDS } from '../../base/bounds.ts';
import type { Clock } from '../../base/clock.ts';
import type { Store } from '../../store/store.ts';
import type { Vault } from '../vault.ts';
import { readGrant, type HookGrant } from './grant-record.ts';
import { checkHook, type HookCheck } from './hook-signature.ts';

export interface HooksParts {
  readonly store: Pick<Store, 'get'>;
  readonly vault: Pick<Vault, 'open'>;
  readonly clock: Pick<Clock, 'randomBytes'>;
  readonly mirrors: { invalidate(repositoryId: string): void };
  readonly nameOf: (repositoryId: string) => Promise<string | undefined>;
}

/** One call that is being read. */
export interface HookCall {
  readonly check: HookCheck;
  /** The signature was right: what was fetched counts as stale. The mirror's name, where there is one. */
  accept(): Promise<{ readonly repository: string | undefined }>;
}

export class Hooks {
  readonly #parts: HooksParts;

  constructor(parts: HooksParts) {
    this.#parts = parts;
  }

  /** A call of the webhook `id`. Of one that is not there the signature is never right, and costs the same. */
  async open(id: string, headers: IncomingHttpHeaders): Promise<HookCall> {
    const { vault, clock, mirrors, nameOf } = this.#parts;
    const grant = await this.#find(id);
    if (grant === undefined) {
      const nobodys = clock.randomBytes(BOUNDS.hookSecretBytes).toString('base64url');
      return { check: checkHook('gitea', nobodys, headers), accept: async () => ({ repository: undefined }) };
    }
    const secret = await vault.open({ id: grant.secretId, purpose: 'webhook-secret' });
    return {
      check: checkHook(grant.place.kind, secret, headers),
      accept: async () => {
        // Read again: the mirror may have come to be since, for a forge calls as soon as its webhook is made.
        const repositoryId = (await this.#find(id))?.repositoryId;
        if (repositoryId === undefined) return { repository: undefined };
        mirrors.invalidate(repositoryId);
        return { repository: await nameOf(repositoryId) };
      },
    };
  }

  async #find(id: string): Promise<HookGrant | undefined> {
    if (!/^[0-9a-f]{32}$/.test(id)) return undefined;
    const stored = await this.#parts.store.get('deploy-key', id);
    const grant = stored && readGrant(stored);
    return grant?.what === 'hook' ? grant : undefined;
  }
}
