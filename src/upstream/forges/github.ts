/** GitHub's REST API, version 2022-11-28: deploy keys and repository webhooks. */
import type { ForgeClient } from './forge-client.ts';
import type { Forge, ForgePlace } from './forge.ts';
import { createReposApi } from './repos-api.ts';

export const GITHUB_NEEDS =
  'write access to "Administration" (deploy keys) and "Webhooks" of the repository, or the scope repo of a classic token';

export function githubHeaders(token: string): Readonly<Record<string, string>> {
  return {
    authorization: `Bearer ${token}`,
    accept: 'application/vnd.github+json',
    'x-github-api-version': '2022-11-28',
  };
}

export function createGithub(place: ForgePlace, client: ForgeClient): Forge {
  return createReposApi(place, client, { kind: { name: 'web' }, config: { insecure_ssl: '0' } });
}
