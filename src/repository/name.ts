/** Repository names as clients write them and as the catalogue holds them. */
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';

declare const nameBrand: unique symbol;
/** `team/api`: nested, without leading slash and without `.git`. */
export type RepositoryName = string & { readonly [nameBrand]: true };

const COMPONENT = /^[A-Za-z0-9][A-Za-z0-9._+-]*$/;

/** The name in `text` exactly as it stands: no slash in front, no `.git` behind. */
export function parseRepositoryName(text: string): Parsed<RepositoryName> {
  if (text.length > BOUNDS.repositoryNameBytesMax) {
    return refuse(`a repository name has at most ${BOUNDS.repositoryNameBytesMax} characters`);
  }
  for (const part of text.split('/')) {
    if (!COMPONENT.test(part))
      return refuse(
        'each part of a repository name starts with a letter or digit and holds only letters, digits and . _ + -',
      );
    if (part.includes('..')) return refuse('a repository name holds no ".."');
    if (/\.(git|lock)$/i.test(part)) return refuse('no part of a repository name ends in .git or .lock');
  }
  return ok(text as RepositoryName);
}

/** The name that a client's path means: a leading `/` or `~/`, a trailing `/` and one `.git` are taken off first. */
export function parseRequestedName(path: string): Parsed<RepositoryName> {
  return parseRepositoryName(
    path
      .replace(/^\/(?:~\/)?/, '')
      .replace(/\/$/, '')
      .replace(/\.git$/, ''),
  );
}

/** Two names with the same fold may not both exist. */
export function foldName(name: RepositoryName): string {
  return name.toLowerCase();
}
