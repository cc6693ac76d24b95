/**
 * Making, revoking and finding again what the gate has at forges. The order is what counts: a record before the forge is
 * asked, the record gone only after the forge said that its part is. A crash in between leaves a record, never a key that
 * nobody knows of; `sweep` settles such records by looking at the forge.
 */
import { newId, type Clock } from '../../base/clock.ts';
import { Fault, publicMessageOf } from '../../base/fault.ts';
import { listAll, type Store, type Write } from '../../store/store.ts';
import type { Vault } from '../vault.ts';
import { BOUNDS } from '../../base/bounds.ts';
import { createForge } from './create-forge.ts';
import { titleOf, titlePrefix, type Asking, type Forge, type ForgeKey, type ForgePlace } from './forge.ts';
import { environmentTokenFor, noToken, tokenFor, type EnvironmentToken } from './forge-tokens.ts';
import { describeGrant, readGrant, writeGrant, type Grant, type HookGrant, type KeyGrant } from './grant-record.ts';
import { makeKeyPair, type DeployKeyPair } from './key-pair.ts';

export interface ForgeDeskParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly vault: Vault;
  readonly environment: EnvironmentToken | undefined;
  /** Whether a repository, one in the graveyard included, is a mirror. */
  readonly isMirror: (repositoryId: string) => boolean;
  /** What marks this gate's keys; default: made at the first need and kept. */
  readonly gateId: string | undefined;
  readonly log: { warn(fields: Readonly<Record<string, unknown>>, message: string): void };
}

/** What somebody wants made. */
export interface GrantAsked {
  readonly place: ForgePlace;
  readonly mirror: string;
  /** Sealed with what it makes, to revoke it later; undefined: that of the environment. */
  readonly token: string | undefined;
}

/** Made, and not yet anybody's: `keep` it, or `undo` it. */
export interface Made<G extends Grant> {
  readonly grant: G;
  /** What links it to its mirror, for the mirror's own transaction. */
  link(repositoryId: string): Write;
  /** Its mirror is there. */
  keep(): void;
  /** Revokes it. Why that failed, in words; undefined: it is gone. */
  undo(asking: Asking): Promise<string | undefined>;
}

export interface MadeKey extends Made<KeyGrant> {
  readonly pair: DeployKeyPair;
}

/** One that was looked at by a sweep. */
export interface Swept {
  readonly what: string;
  /** `found`: a dry run. `none`: the forge never had it. */
  readonly outcome: 'found' | 'revoked' | 'none' | 'failed';
  readonly problem?: string;
}

export interface SweepAsked extends Asking {
  readonly isDryRun: boolean;
  readonly token?: string | undefined;
}

export class ForgeDesk {
  readonly #parts: ForgeDeskParts;
  /** Records that somebody is at: a sweep leaves them alone. */
  readonly #busy = new Set<string>();

  constructor(parts: ForgeDeskParts) {
    this.#parts = parts;
  }

  /** Makes a key pair, and its public half a deploy key. @throws Fault with a public message; then nothing is left, or a record. */
  async makeKey(asked: GrantAsked & { readonly mayWrite: boolean }, asking: Asking): Promise<MadeKey> {
    const { clock } = this.#parts;
    const { place, mirror, mayWrite } = asked;
    const forge = this.#forge(place, asked.token ?? this.#fromEnvironment(place, 'to make a deploy key'));
    const pair = makeKeyPair(clock);
    const title = titleOf(await this.#gateId(), mirror);
    const grant: KeyGrant = { ...this.#begun(asked), what: 'key', title, publicKey: pair.publicKey, mayWrite };
    const made = await this.#make(grant, { asked, asking, forge }, async () => {
      const key = await createdKey(forge, grant, asking);
      await assertKeyOrUndo(forge, { ...grant, forgeId: key.id }, asking);
      return key.id;
    });
    return { ...this.#held(made), pair };
  }

  /** A webhook that calls `urlOf(id)`; its secret is sealed here. @throws as `makeKey`. */
  async makeHook(
    asked: GrantAsked & { readonly urlOf: (id: string) => string },
    asking: Asking,
  ): Promise<Made<HookGrant>> {
    const { clock } = this.#parts;
    const { place } = asked;
    const forge = this.#forge(place, asked.token ?? this.#fromEnvironment(place, 'to make a webhook'));
    const secret = clock.randomBytes(BOUNDS.hookSecretBytes).toString('base64url');
    const begun = this.#begun(asked);
    const grant: HookGrant = { ...begun, what: 'hook', url: asked.urlOf(begun.id), secretId: newId(clock) };
    const made = await this.#make(
      grant,
      { asked, asking, forge, secret: { id: grant.secretId, text: secret } },
      async () => createdHook(forge, { url: grant.url, secret }, asking),
    );
    return this.#held(made);
  }

  /** Everything that is on record, of one mirror or of all, in the order in which it was made. */
  async list(repositoryId?: string): Promise<readonly Grant[]> {
    const grants: Grant[] = [];
    for await (const stored of listAll(this.#parts.store, 'deploy-key')) {
      const grant = readGrant(stored);
      if (repositoryId === undefined || grant.repositoryId === repositoryId) grants.push(grant);
    }
    return grants.toSorted((a, b) => a.madeAt - b.madeAt || (a.what > b.what ? -1 : 1));
  }

  /** Whether the forge still has it as it was made. What is wrong, in words; undefined: nothing. */
  async verify(grant: Grant, asking: Asking): Promise<string | undefined> {
    try {
      const forge = this.#forge(grant.place, await tokenFor(this.#parts, grant, undefined));
      if (grant.what === 'key') await assertKey(forge, grant, asking);
      else if (!(await forge.listHooks(asking)).some(({ id, url }) => id === grant.forgeId && url === grant.url))
        return `the ${describeGrant(grant)} is gone`;
      return undefined;
    } catch (error) {
      if (error instanceof Fault && error.code === 'aborted') throw error;
      return publicMessageOf(error, 'local');
    }
  }

  /** Takes it away at the forge, then the record. False: the forge had it no more. @throws Fault; the record stays then. */
  async revoke(grant: Grant, asking: Asking & { readonly token?: string | undefined }): Promise<boolean> {
    const forge = this.#forge(grant.place, await tokenFor(this.#parts, grant, asking.token));
    const there = await deletedAt(forge, grant, asking);
    await this.#forget(grant);
    return there;
  }

  /** Each of a mirror that goes. What could not be revoked, in words of what to do by hand. */
  async revokeOf(
    repositoryId: string,
    asking: Asking & { readonly token?: string | undefined },
  ): Promise<{ readonly revoked: readonly string[]; readonly problems: readonly string[] }> {
    const [revoked, problems]: [string[], string[]] = [[], []];
    for (const grant of await this.list(repositoryId)) {
      try {
        await this.revoke(grant, asking);
        revoked.push(describeGrant(grant));
      } catch (error) {
        problems.push(byHand(grant, error));
      }
    }
    return { revoked, problems };
  }

  /** Records whose mirror is gone, or never came to be. */
  async leftovers(): Promise<readonly Grant[]> {
    const { isMirror } = this.#parts;
    return (await this.list()).filter(
      ({ id, repositoryId }) => !this.#busy.has(id) && (repositoryId === undefined || !isMirror(repositoryId)),
    );
  }

  /** Revokes leftovers; with `isDryRun` only tells of them. */
  async sweep(asked: SweepAsked): Promise<readonly Swept[]> {
    const swept: Swept[] = [];
    for (const grant of await this.leftovers()) {
      const what = describeGrant(grant);
      if (asked.isDryRun) swept.push({ what, outcome: 'found' });
      else
        try {
          swept.push({ what, outcome: (await this.revoke(grant, asked)) ? 'revoked' : 'none' });
        } catch (error) {
          if (error instanceof Fault && error.code === 'aborted') throw error;
          swept.push({ what, outcome: 'failed', problem: byHand(grant, error) });
        }
    }
    return swept;
  }

  /** Keys at the forge that carry this gate's mark and that no record tells of: a gate that lost its data left them. */
  async sweepMarked(place: ForgePlace, asked: SweepAsked & { readonly token: string }): Promise<readonly Swept[]> {
    const forge = this.#forge(place, asked.token);
    const prefix = titlePrefix(await this.#gateId());
    const known = new Set((await this.list()).flatMap((grant) => (grant.what === 'key' ? [grant.publicKey] : [])));
    const swept: Swept[] = [];
    for (const key of await forge.listKeys(asked)) {
      if (!key.title.startsWith(prefix) || known.has(key.publicKey)) continue;
      const what = `deploy key "${key.title}" (${key.id}) of ${place.project} at ${new URL(place.apiUrl).host}`;
      if (!asked.isDryRun) await forge.deleteKey(key.id, asked);
      swept.push({ what, outcome: asked.isDryRun ? 'found' : 'revoked' });
    }
    return swept;
  }

  #forge(place: ForgePlace, token: string): Forge {
    return createForge({ place, token, clock: this.#parts.clock });
  }

  #fromEnvironment(place: ForgePlace, why: string): string {
    const token = environmentTokenFor(this.#parts, place);
    if (token === undefined) throw noToken(place, why);
    return token;
  }

  #begun({ place, mirror, token }: GrantAsked) {
    const { clock } = this.#parts;
    const [repositoryId, forgeId] = [undefined, undefined];
    const tokenId = token === undefined ? undefined : newId(clock);
    return { id: newId(clock), place, mirror, repositoryId, forgeId, tokenId, madeAt: clock.now() };
  }

  /** The record, the forge, the record. Where the forge surely did nothing, no record stays. */
  async #make<G extends Grant>(
    grant: G,
    about: {
      readonly asked: GrantAsked;
      readonly asking: Asking;
      readonly forge: Forge;
      readonly secret?: { readonly id: string; readonly text: string };
    },
    create: () => Promise<string>,
  ): Promise<G> {
    this.#busy.add(grant.id);
    try {
      await this.#record(grant, about);
      const made = { ...grant, forgeId: await create() };
      await this.#parts.store.transact({ writes: [put(made)] });
      return made;
    } catch (error) {
      const isSure = error instanceof Fault && error.code === 'upstream' && error.context['isUnsure'] !== true;
      if (isSure) await this.#forget(grant);
      this.#busy.delete(grant.id);
      throw error;
    }
  }

  async #record(
    grant: Grant,
    { asked, secret }: { readonly asked: GrantAsked; readonly secret?: { readonly id: string; readonly text: string } },
  ): Promise<void> {
    const { store, vault } = this.#parts;
    const commit = async (writes: readonly Write[]): Promise<void> => {
      await store.transact({ writes: [...writes, put(grant)] });
    };
    const withToken = async (writes: readonly Write[]): Promise<void> => {
      const { tokenId: id } = grant;
      if (id === undefined || asked.token === undefined) return commit(writes);
      return vault.seal({ id, purpose: 'forge-token', text: asked.token }, (write) => commit([...writes, write]));
    };
    if (secret === undefined) return withToken([]);
    // Two seals do not nest: the secret goes in first, of no use without its record.
    await vault.seal({ ...secret, purpose: 'webhook-secret' }, async (write) => store.transact({ writes: [write] }));
    return withToken([]);
  }

  #held<G extends Grant>(grant: G): Made<G> {
    return {
      grant,
      link: (repositoryId) => put({ ...grant, repositoryId }),
      keep: () => {
        this.#busy.delete(grant.id);
      },
      undo: async (asking) => {
        try {
          await this.revoke(grant, asking);
          return undefined;
        } catch (error) {
          this.#parts.log.warn({ error, what: describeGrant(grant) }, 'fail to revoke what was made at a forge');
          return byHand(grant, error);
        } finally {
          this.#busy.delete(grant.id);
        }
      },
    };
  }

  async #forget(grant: Grant): Promise<void> {
    const { tokenId } = grant;
    const sealed = [tokenId, grant.what === 'hook' ? grant.secretId : undefined].filter((id) => id !== undefined);
    await this.#parts.store.transact({
      writes: [
        { kind: 'deploy-key', key: grant.id, delete: true },
        ...sealed.map((key) => ({ kind: 'sealed', key, delete: true }) as const),
      ],
    });
  }

  /** 12 hex digits that say nothing, made once a site. */
  async #gateId(): Promise<string> {
    const { gateId, store, clock } = this.#parts;
    if (gateId !== undefined) return gateId;
    const fresh = clock.randomBytes(6).toString('hex');
    const key = { kind: 'meta', key: 'gate-id' } as const;
    const done = await store.transact({ checks: [{ ...key, version: 0 }], writes: [{ ...key, put: { id: fresh } }] });
    if (done.kind === 'committed') return fresh;
    const value = done.found?.value;
    if (typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'string') return value.id;
    throw new Fault('corrupt', 'gate id is malformed');
  }
}

function put(grant: Grant): Write {
  return { kind: 'deploy-key', key: grant.id, put: writeGrant(grant) };
}

/** Makes the key; where nobody knows whether that was done, the forge is asked for it. */
async function createdKey(forge: Forge, grant: KeyGrant, asking: Asking): Promise<ForgeKey> {
  try {
    return await forge.createKey(grant, asking);
  } catch (error) {
    if (!(error instanceof Fault) || error.context['isUnsure'] !== true) throw error;
    const found = await sameKey(forge, grant, asking);
    if (found === undefined) throw error;
    return found;
  }
}

async function createdHook(
  forge: Forge,
  hook: { readonly url: string; readonly secret: string },
  asking: Asking,
): Promise<string> {
  try {
    return (await forge.createHook(hook, asking)).id;
  } catch (error) {
    if (!(error instanceof Fault) || error.context['isUnsure'] !== true) throw error;
    const found = (await forge.listHooks(asking)).find(({ url }) => url === hook.url);
    if (found === undefined) throw error;
    return found.id;
  }
}

async function sameKey(forge: Forge, { publicKey }: KeyGrant, asking: Asking): Promise<ForgeKey | undefined> {
  return (await forge.listKeys(asking)).find((key) => key.publicKey === publicKey);
}

/** @throws Fault where the forge does not have the key, or lets it do more or less than was asked. */
async function assertKey(forge: Forge, grant: KeyGrant, asking: Asking): Promise<void> {
  const key = await sameKey(forge, grant, asking);
  const wrong = ((): string | undefined => {
    if (key === undefined || key.id !== grant.forgeId) return 'is not there';
    if (key.mayWrite === grant.mayWrite) return undefined;
    return key.mayWrite ? 'may write, which was not asked for' : 'may only read';
  })();
  if (wrong === undefined) return;
  throw new Fault('upstream', 'deploy key is not as it was asked for', {
    context: { isUnsure: true },
    publicMessage: `the ${describeGrant(grant)} ${wrong}`,
  });
}

/** A key that is not as it was asked for does not stay. */
async function assertKeyOrUndo(forge: Forge, grant: KeyGrant, asking: Asking): Promise<void> {
  try {
    await assertKey(forge, grant, asking);
  } catch (error) {
    await forge.deleteKey(grant.forgeId ?? '', asking);
    throw error;
  }
}

/** By its number; where that never came, by what it is. */
async function deletedAt(forge: Forge, grant: Grant, asking: Asking): Promise<boolean> {
  const { forgeId } = grant;
  if (grant.what === 'hook') {
    if (forgeId !== undefined && (await forge.deleteHook(forgeId, asking))) return true;
    const hooks = await forge.listHooks(asking).catch(noneWhereGone);
    const hook = hooks?.find(({ url }) => url === grant.url);
    if (hook === undefined) return false;
    if (await forge.deleteHook(hook.id, asking)) return true;
    throw new Fault('upstream', 'webhook is still listed', {
      publicMessage: 'the forge lists it and does not delete it',
    });
  }
  if (forgeId !== undefined && (await forge.deleteKey(forgeId, asking))) return true;
  // 404 is also what a forge says to a token that may not: if it still lists the key, that is no "gone".
  const key = await sameKey(forge, grant, asking).catch(noneWhereGone);
  if (key === undefined) return false;
  if (await forge.deleteKey(key.id, asking)) return true;
  throw new Fault('upstream', 'deploy key is still listed', {
    publicMessage: 'the forge lists it and does not delete it',
  });
}

/** A project that is gone took its keys along. */
function noneWhereGone(error: unknown): undefined {
  if (error instanceof Fault && error.context['status'] === 404) return undefined;
  throw error;
}

function byHand(grant: Grant, error: unknown): string {
  const where = grant.what === 'key' ? 'deploy keys' : 'webhooks';
  return `the ${describeGrant(grant)} was not revoked: ${publicMessageOf(error, 'local')}; take it away by hand, under ${where} of the project's settings`;
}
