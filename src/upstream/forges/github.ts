/** GitHub's REST API, version 2022-11-28: deploy keys and repository webhooks. */
import type { Json } from '../../base/json.ts';
import { answerFields, bareKey } from './fields.ts';
import type { ForgeClient } from './forge-client.ts';
import type { Forge, ForgeHook, ForgeKey, ForgePlace } from './forge.ts';

export const GITHUB_NEEDS =
  'write access to "Administration" (deploy keys) and "Webhooks" of the repository, or the scope repo of a classic token';

export function githubHeaders(token: string): Readonly<Record<string, string>> {
  return {
    authorization: `Bearer ${token}`,
    accept: 'application/vnd.github+json',
    'x-github-api-version': '2022-11-28',
  };
}

export function createGithub({ project }: ForgePlace, client: ForgeClient): Forge {
  const [keys, hooks] = [`/repos/${project}/keys`, `/repos/${project}/hooks`];
  return {
    async createKey({ title, publicKey, mayWrite }, asking) {
      return readKey(await client.create(keys, { title, key: publicKey, read_only: !mayWrite }, asking));
    },
    listKeys: async (asking) => (await client.list(keys, asking)).map(readKey),
    deleteKey: (id, asking) => client.delete(`${keys}/${id}`, asking),
    async createHook({ url, secret }, asking) {
      const config = { url, content_type: 'json', secret, insecure_ssl: '0' };
      const body = { name: 'web', active: true, events: ['push', 'create', 'delete'], config };
      return readHook(await client.create(hooks, body, asking));
    },
    listHooks: async (asking) => (await client.list(hooks, asking)).map(readHook),
    deleteHook: (id, asking) => client.delete(`${hooks}/${id}`, asking),
  };
}

function readKey(json: Json): ForgeKey {
  const fields = answerFields(json);
  const publicKey = bareKey(fields.text('key'));
  return { id: fields.id('id'), title: fields.text('title'), publicKey, mayWrite: !fields.flag('read_only') };
}

function readHook(json: Json): ForgeHook {
  const fields = answerFields(json);
  return { id: fields.id('id'), url: fields.object('config').optionalText('url') };
}
