/** What the doors need to serve Git LFS. */
import type { LfsGrants } from '../lfs/grants.ts';
import type { LfsService } from '../lfs/service.ts';
import type { Walk } from '../request/walk.ts';
import type { Principal } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';
import { isGrantSecret } from '../lfs/grants.ts';
import type { LinkBase } from '../lfs/batch.ts';
import type { LfsOperation } from '../lfs/grants.ts';

export interface LfsDoorParts {
  readonly service: Pick<LfsService, 'batch' | 'upload' | 'verify' | 'download'>;
  readonly grants: LfsGrants;
  readonly walk: Pick<Walk, 'visit'>;
  /** Where the site says that it is reached over HTTP: `https://git.example`; undefined: clients know where they came to. */
  readonly publicUrl: () => string | undefined;
  /** The same or, where nothing is said, where the HTTP door is; undefined: there is none. For those who came over SSH. */
  readonly doorUrl: () => string | undefined;
}

export interface LinkFor {
  readonly principal: Principal;
  readonly repository: Repository;
  readonly operation: LfsOperation;
}

/** `NAME.git/info/lfs` below `origin`, and what lets in there. */
export function linkBase({ grants }: Pick<LfsDoorParts, 'grants'>, origin: string, about: LinkFor): LinkBase {
  const url = `${origin}/${about.repository.name}.git/info/lfs`;
  if (about.principal.kind === 'anonymous') return { url, authorization: undefined, expiresAt: undefined };
  const { principal, repository, operation } = about;
  const { secret, expiresAt } = grants.issue({ principal, repositoryId: repository.id, operation });
  return { url, authorization: `RemoteAuth ${secret}`, expiresAt };
}

/** The secret of a grant in an Authorization header: `RemoteAuth` is ours; git-lfs shows it as it was given. */
export function grantSecretIn(header: string | undefined): string | undefined {
  const secret = /^remoteauth +([\x21-\x7e]+) *$/i.exec(header ?? '')?.[1];
  return secret !== undefined && isGrantSecret(secret) ? secret : undefined;
}
