/** What a mirror's upstream is: where, how the gate gets in, which refs are taken, and how fresh they have to be. */
import type { Oid } from '../git/oid.ts';
import type { RepositoryName } from '../repository/name.ts';

export const UPSTREAM_SCHEMES = ['ssh', 'https', 'http', 'git'] as const;
export type UpstreamScheme = (typeof UPSTREAM_SCHEMES)[number];

/** Parsed once, where it is declared; nothing else reads the text. Holds no secret. */
export interface UpstreamUrl {
  readonly scheme: UpstreamScheme;
  /** Of ssh; `git` where none was given. */
  readonly user: string | undefined;
  readonly host: string;
  /** The scheme's own where none was given. */
  readonly port: number;
  /** As the upstream's server is asked for it: `/team/api.git`, `~user/api`, or (scp form) `team/api.git`. */
  readonly path: string;
  /** As it was written, without a password: for people and for `insteadOf`. */
  readonly text: string;
}

/** Opened by `upstream/vault.ts` for one connection, never logged, journaled or put into an error. */
export type UpstreamCredential =
  /** OpenSSH or PEM private key, unencrypted. */
  | { readonly kind: 'key'; readonly privateKey: string }
  /** Basic, with `username` (default `git`), over https; or Bearer, where `bearer` says so. */
  | { readonly kind: 'token'; readonly username: string; readonly secret: string; readonly bearer: boolean }
  /** PEM. */
  | { readonly kind: 'certificate'; readonly certificate: string; readonly privateKey: string };

export interface Upstream {
  /** Of the repository that mirrors it. */
  readonly repositoryId: string;
  readonly url: UpstreamUrl;
  /** `ssh-ed25519 AAAA...`: the only keys that its ssh server may show. At least one where the scheme is ssh. */
  readonly hostKeys: readonly string[];
  /** PEM: the only authorities whose certificates are taken over https. Undefined: the system's. */
  readonly authorities: string | undefined;
  /** Of the sealed credential; undefined: none is shown. */
  readonly credentialId: string | undefined;
  /** Milliseconds for which what was fetched counts as fresh; 0: every fetch asks the upstream. */
  readonly freshMs: number;
  /** Patterns of full refnames with at most one `*`; default `refs/heads/*` and `refs/tags/*`. */
  readonly refs: readonly string[];
  /** Whether pushes go upstream; else the mirror takes none. */
  readonly takesPushes: boolean;
  /** Whether a push of several refs goes to an upstream that cannot take them atomically. */
  readonly allowsPartialPushes: boolean;
  /** The store's version of the record. */
  readonly version: number;
}

/** A mirror as people see it. */
export interface Mirror {
  readonly name: RepositoryName;
  readonly upstream: Upstream;
  readonly state: MirrorState;
}

export interface MirrorState {
  /** Milliseconds since 1970; undefined: never. */
  readonly refreshedAt: number | undefined;
  /** Why the last refresh failed; undefined: it did not. */
  readonly failure: string | undefined;
}

/** One ref to be changed upstream: `oldOid` is the lease. */
export interface ForwardedUpdate {
  readonly refname: string;
  readonly oldOid: Oid;
  readonly newOid: Oid;
}
