/** GitLab's REST API, v4: deploy keys and webhooks of a project. */
import type { Json } from '../../base/json.ts';
import { answerFields, bareKey } from './fields.ts';
import type { ForgeClient } from './forge-client.ts';
import type { Forge, ForgeHook, ForgeKey, ForgePlace } from './forge.ts';

export const GITLAB_NEEDS = 'the scope api, of a maintainer of the project';

export function gitlabHeaders(token: string): Readonly<Record<string, string>> {
  return { 'private-token': token };
}

export function createGitlab({ project }: ForgePlace, client: ForgeClient): Forge {
  const root = `/projects/${encodeURIComponent(project)}`;
  const [keys, hooks] = [`${root}/deploy_keys`, `${root}/hooks`];
  return {
    async createKey({ title, publicKey, mayWrite }, asking) {
      return readKey(await client.create(keys, { title, key: publicKey, can_push: mayWrite }, asking));
    },
    listKeys: async (asking) => (await client.list(keys, asking)).map(readKey),
    deleteKey: (id, asking) => client.delete(`${keys}/${id}`, asking),
    async createHook({ url, secret }, asking) {
      // Both: a GitLab that signs (Standard Webhooks, a key of 32 bytes) signs, an older one sends the token as it is.
      const signing = `whsec_${Buffer.from(secret, 'base64url').toString('base64')}`;
      const events = { push_events: true, tag_push_events: true, enable_ssl_verification: true };
      return readHook(await client.create(hooks, { url, token: secret, signing_token: signing, ...events }, asking));
    },
    listHooks: async (asking) => (await client.list(hooks, asking)).map(readHook),
    deleteHook: (id, asking) => client.delete(`${hooks}/${id}`, asking),
  };
}

function readKey(json: Json): ForgeKey {
  const fields = answerFields(json);
  const publicKey = bareKey(fields.text('key'));
  return { id: fields.id('id'), title: fields.text('title'), publicKey, mayWrite: fields.flag('can_push') };
}

function readHook(json: Json): ForgeHook {
  const fields = answerFields(json);
  return { id: fields.id('id'), url: fields.text('url') };
}
