/**
 * Deploy keys and webhooks under `/repos/{owner}/{repo}`, as GitHub has them and Gitea and Forgejo in the same shapes; only
 * what a new webhook is described with differs.
 */
import type { Json } from '../../base/json.ts';
import { answerFields, bareKey } from './fields.ts';
import type { ForgeClient } from './forge-client.ts';
import type { Forge, ForgeHook, ForgeKey, ForgePlace } from './forge.ts';

/** A webhook to be: its kind, and what stands in its `config` beside address and secret. */
export interface HookShape {
  readonly kind: Readonly<Record<string, string>>;
  readonly config?: Readonly<Record<string, string>>;
}

export function createReposApi({ project }: ForgePlace, client: ForgeClient, shape: HookShape): Forge {
  const [keys, hooks] = [`/repos/${project}/keys`, `/repos/${project}/hooks`];
  return {
    async createKey({ title, publicKey, mayWrite }, asking) {
      return readKey(await client.create(keys, { title, key: publicKey, read_only: !mayWrite }, asking));
    },
    listKeys: async (asking) => (await client.list(keys, asking)).map(readKey),
    deleteKey: (id, asking) => client.delete(`${keys}/${id}`, asking),
    async createHook({ url, secret }, asking) {
      const config = { url, content_type: 'json', secret, ...shape.config };
      const body = { ...shape.kind, active: true, events: ['push', 'create', 'delete'], config };
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
