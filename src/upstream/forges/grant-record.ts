/**
 * What the gate made at a forge (a deploy key, a webhook), as it lies in the store. Written before the forge is asked, and
 * completed with the forge's number behind it: whatever a crash leaves there, a record here tells of it.
 */
import { readFields } from '../../base/fields.ts';
import type { Json } from '../../base/json.ts';
import type { Stored } from '../../store/store.ts';
import { FORGE_KINDS, type ForgePlace } from './forge.ts';

interface GrantBase {
  /** Key of the record; of a webhook also the end of its address here. */
  readonly id: string;
  readonly place: ForgePlace;
  /** The mirror's name when it was made. */
  readonly mirror: string;
  /** Of the mirror; undefined: it was not there yet. */
  readonly repositoryId: string | undefined;
  /** The forge's; undefined: nobody knows whether it was made. */
  readonly forgeId: string | undefined;
  /** Of the sealed token that made it and can revoke it; undefined: it came with the environment. */
  readonly tokenId: string | undefined;
  /** Milliseconds since 1970. */
  readonly madeAt: number;
}

export interface KeyGrant extends GrantBase {
  readonly what: 'key';
  readonly title: string;
  readonly publicKey: string;
  readonly mayWrite: boolean;
}

export interface HookGrant extends GrantBase {
  readonly what: 'hook';
  /** The address here that the forge calls. */
  readonly url: string;
  /** Of the sealed secret. */
  readonly secretId: string;
}

export type Grant = KeyGrant | HookGrant;

const WHATS = ['key', 'hook'] as const;

/** @throws Fault 'corrupt' */
export function readGrant(stored: Stored): Grant {
  const fields = readFields(stored.value, `deploy key ${stored.key}`);
  const base = {
    id: stored.key,
    place: {
      kind: fields.word('forge', FORGE_KINDS),
      apiUrl: fields.text('apiUrl'),
      project: fields.text('project'),
      authorities: fields.optionalText('authorities'),
    },
    mirror: fields.text('mirror'),
    repositoryId: fields.optionalText('repositoryId'),
    forgeId: fields.optionalText('forgeId'),
    tokenId: fields.optionalText('tokenId'),
    madeAt: fields.number('madeAt'),
  };
  const what = fields.word('what', WHATS);
  if (what === 'hook') return { ...base, what, url: fields.text('url'), secretId: fields.text('secretId') };
  const [title, publicKey] = [fields.text('title'), fields.text('publicKey')];
  return { ...base, what, title, publicKey, mayWrite: fields.flag('mayWrite') };
}

export function writeGrant(grant: Grant): Json {
  const { id: _, place, ...rest } = grant;
  const { kind, apiUrl, project, authorities } = place;
  const entries = Object.entries({ ...rest, forge: kind, apiUrl, project, authorities });
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string | number | boolean] => entry[1] !== undefined),
  );
}

/** In words, for people: `deploy key "gatehouse 1f.. team/api" (7) of org/repo at git.example`. */
export function describeGrant(grant: Grant): string {
  const { place, forgeId } = grant;
  const what = grant.what === 'key' ? `deploy key "${grant.title}"` : `webhook ${grant.url}`;
  const number = forgeId === undefined ? '' : ` (${forgeId})`;
  return `${what}${number} of ${place.project} at ${new URL(place.apiUrl).host}`;
}
