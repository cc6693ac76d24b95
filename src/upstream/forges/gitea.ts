/** Gitea's API, which Forgejo shares: /repos/{owner}/{repo}/keys and /hooks of its OpenAPI description. */
import type { ForgeClient } from './forge-client.ts';
import type { Forge, ForgePlace } from './forge.ts';
import { createReposApi } from './repos-api.ts';

export const GITEA_NEEDS = 'the scope write:repository, of somebody who administers the repository';

export function giteaHeaders(token: string): Readonly<Record<string, string>> {
  return { authorization: `token ${token}` };
}

export function createGitea(place: ForgePlace, client: ForgeClient): Forge {
  return createReposApi(place, client, { kind: { type: 'gitea' } });
}
