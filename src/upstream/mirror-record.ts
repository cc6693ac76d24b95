/** A mirror as it lies in the store: what its upstream is (by repository id), and what is known of its refreshes. */
import { readFields, type Fields } from '../base/fields.ts';
import type { Json } from '../base/json.ts';
import type { Stored } from '../store/store.ts';
import { UPSTREAM_SCHEMES, type MirrorState, type Upstream, type UpstreamCredential } from './upstream.ts';

export const CREDENTIAL_KINDS = [
  'key',
  'token',
  'certificate',
] as const satisfies readonly UpstreamCredential['kind'][];
export type CredentialKind = (typeof CREDENTIAL_KINDS)[number];

/** An upstream, and what sort of credential is sealed for it, which nothing needs to be opened for. */
export interface MirrorRecord extends Upstream {
  readonly credentialKind: CredentialKind | undefined;
}

/** What is known of the refreshes of a mirror. */
export interface RefreshState extends MirrorState {
  /** Milliseconds since 1970 of the last try; undefined: none. */
  readonly triedAt: number | undefined;
  /** Milliseconds that it took. */
  readonly tookMs: number | undefined;
  /** Refs of the upstream that are mirrored, and those that cannot be here: their names are none, or the gate's own. */
  readonly refs: number | undefined;
  readonly skippedRefs: number | undefined;
  /** Refs that the last refresh with any change changed. */
  readonly changedRefs: number | undefined;
}

export const NEVER_REFRESHED: RefreshState = {
  refreshedAt: undefined,
  failure: undefined,
  triedAt: undefined,
  tookMs: undefined,
  refs: undefined,
  skippedRefs: undefined,
  changedRefs: undefined,
};

const STATE_SUFFIX = '/state';

/** Where the state of a mirror lies: beside it, so that writing it does not make the mirror another version. */
export function stateKey(repositoryId: string): string {
  return `${repositoryId}${STATE_SUFFIX}`;
}

export function isStateKey(key: string): boolean {
  return key.endsWith(STATE_SUFFIX);
}

/** @throws Fault 'corrupt' */
export function readMirrorRecord(stored: Stored): MirrorRecord {
  const fields = readFields(stored.value, `mirror ${stored.key}`);
  const [url] = fields.objects('url').map(readUrl);
  const [credential] = fields.objects('credential').map(readCredential);
  return {
    repositoryId: stored.key,
    url: url ?? readUrl(fields), // which says that it lacks a scheme
    hostKeys: fields.texts('hostKeys'),
    authorities: fields.optionalText('authorities'),
    credentialId: credential?.id,
    credentialKind: credential?.kind,
    freshMs: fields.number('freshMs'),
    refs: fields.texts('refs'),
    takesPushes: fields.flag('takesPushes'),
    allowsPartialPushes: fields.flag('allowsPartialPushes'),
    version: stored.version,
  };
}

export function writeMirrorRecord(record: MirrorRecord): Json {
  const { url, credentialId: id, credentialKind: kind, authorities } = record;
  const { scheme, user, host, port, path, text } = url;
  return {
    url: [{ scheme, host, port, path, text, ...(user === undefined ? {} : { user }) }],
    credential: id === undefined || kind === undefined ? [] : [{ id, kind }],
    hostKeys: record.hostKeys,
    ...(authorities === undefined ? {} : { authorities }),
    freshMs: record.freshMs,
    refs: record.refs,
    takesPushes: record.takesPushes,
    allowsPartialPushes: record.allowsPartialPushes,
  };
}

/** @throws Fault 'corrupt' */
export function readRefreshState(stored: Stored): RefreshState {
  const fields = readFields(stored.value, `state of mirror ${stored.key}`);
  return {
    refreshedAt: fields.optionalNumber('refreshedAt'),
    failure: fields.optionalText('failure'),
    triedAt: fields.optionalNumber('triedAt'),
    tookMs: fields.optionalNumber('tookMs'),
    refs: fields.optionalNumber('refs'),
    skippedRefs: fields.optionalNumber('skippedRefs'),
    changedRefs: fields.optionalNumber('changedRefs'),
  };
}

export function writeRefreshState(state: RefreshState): Json {
  return Object.fromEntries(
    Object.entries(state).filter((entry): entry is [string, string | number] => entry[1] !== undefined),
  );
}

function readUrl(fields: Fields): Upstream['url'] {
  return {
    scheme: fields.word('scheme', UPSTREAM_SCHEMES),
    user: fields.optionalText('user'),
    host: fields.text('host'),
    port: fields.number('port'),
    path: fields.text('path'),
    text: fields.text('text'),
  };
}

function readCredential(fields: Fields): { readonly id: string; readonly kind: CredentialKind } {
  return { id: fields.text('id'), kind: fields.word('kind', CREDENTIAL_KINDS) };
}
