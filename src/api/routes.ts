/** The routes of the API: one table from which they are checked, served and described (`/api/openapi.json`). */
import { BOUNDS } from '../base/bounds.ts';

export interface ApiRoute {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** `operationId` of the description. */
  readonly id: string;
  readonly summary: string;
  /** Without a token the answer is 401. */
  readonly needsToken: boolean;
  /** Of the path, as OpenAPI writes them. */
  readonly parameters?: readonly JsonSchema[];
  readonly body?: JsonSchema;
  /** Of the body; default: application/json. */
  readonly bodyType?: string;
  /** Of every answer that is not the wanted one; default: `ERROR_SCHEMA`. */
  readonly failure?: JsonSchema;
  readonly answer: JsonSchema;
}

export interface JsonSchema {
  readonly [key: string]: unknown;
}

const text = { type: 'string' } as const;

export const COMMAND_ROUTE: ApiRoute = {
  method: 'POST',
  path: '/api/v1/commands',
  id: 'runCommand',
  summary: 'Run one command, as over SSH. Refusals are an exit code and words, not an HTTP status.',
  needsToken: true,
  body: {
    type: 'object',
    additionalProperties: false,
    required: ['argv'],
    properties: {
      argv: {
        type: 'array',
        items: { type: 'string', maxLength: BOUNDS.commandLineBytesMax },
        minItems: 1,
        maxItems: BOUNDS.commandWordsMax,
        description: 'The words of the command.',
      },
      stdin: { type: 'string', maxLength: BOUNDS.commandInputBytesMax, description: 'Its standard input.' },
    },
  },
  answer: {
    type: 'object',
    additionalProperties: false,
    required: ['exit', 'stdout', 'stderr'],
    properties: {
      exit: { type: 'integer', description: '0 done, 1 refused or failed, 2 usage.' },
      stdout: text,
      stderr: text,
    },
  },
};

const PASS_SCHEMA: JsonSchema = {
  type: 'object',
  description: 'Where a pass was shown: what it may do.',
  required: ['id', 'name', 'purpose', 'expiresAt', 'repositories', 'read', 'push', 'from'],
  properties: {
    id: text,
    name: text,
    purpose: text,
    expiresAt: { type: 'string', description: 'ISO 8601, UTC.' },
    repositories: { type: 'array', items: text },
    read: { type: 'boolean' },
    push: { type: 'array', items: text },
    createOnly: { type: 'boolean' },
    rewind: { type: 'boolean' },
    delete: { type: 'boolean' },
    from: { type: 'array', items: text },
    pushesMax: { type: 'integer' },
  },
};

export const WHOAMI_ROUTE: ApiRoute = {
  method: 'GET',
  path: '/api/v1/whoami',
  id: 'whoami',
  summary: 'Whose token or pass this is, and how far it reaches.',
  needsToken: true,
  answer: {
    type: 'object',
    additionalProperties: false,
    required: ['name', 'account', 'email', 'realName', 'groups', 'token', 'scopes'],
    properties: {
      name: text,
      account: { type: 'string', enum: ['person', 'ci'] },
      email: text,
      realName: text,
      groups: { type: 'array', items: text, description: 'With those reached through nesting.' },
      token: { type: 'string', description: 'The name of the token or pass.' },
      scopes: { type: 'array', items: text, description: 'Of a token; a pass has none.' },
      pass: PASS_SCHEMA,
    },
  },
};

export const EXCHANGE_ROUTE: ApiRoute = {
  method: 'POST',
  path: '/api/v1/token-exchange',
  id: 'exchangeToken',
  summary: 'An identity token of a CI system for a pass (RFC 8693), where a rule of the policy trusts it.',
  needsToken: false,
  bodyType: 'application/x-www-form-urlencoded',
  body: {
    type: 'object',
    required: ['grant_type', 'subject_token', 'subject_token_type'],
    properties: {
      grant_type: { const: 'urn:ietf:params:oauth:grant-type:token-exchange' },
      subject_token: { type: 'string', maxLength: BOUNDS.idTokenBytesMax, description: 'The JWT.' },
      subject_token_type: {
        enum: ['urn:ietf:params:oauth:token-type:jwt', 'urn:ietf:params:oauth:token-type:id_token'],
      },
      requested_token_type: { const: 'urn:ietf:params:oauth:token-type:access_token' },
      scope: { type: 'string', description: 'Less than the rule grants: read, push:REF, repo:NAME, life:DURATION.' },
      resource: { type: 'string', description: "A repository's name or URL; may be repeated." },
    },
  },
  answer: {
    type: 'object',
    required: ['access_token', 'issued_token_type', 'token_type', 'expires_in', 'scope'],
    properties: {
      access_token: { type: 'string', description: 'The token of the pass.' },
      issued_token_type: text,
      token_type: { const: 'Bearer' },
      expires_in: { type: 'integer', description: 'Seconds.' },
      scope: text,
    },
  },
  failure: {
    type: 'object',
    required: ['error', 'error_description'],
    properties: { error: { type: 'string', description: 'RFC 6749, 5.2.' }, error_description: text },
  },
};

export const HOOK_ROUTE: ApiRoute = {
  method: 'POST',
  path: '/api/v1/hooks/{id}',
  id: 'receiveHook',
  summary: 'A forge says that a mirrored project changed. Any body; its signature is the credential.',
  needsToken: false,
  parameters: [
    { name: 'id', in: 'path', required: true, schema: { type: 'string', pattern: '^[0-9a-f]{32}$' } },
    ...['X-Hub-Signature-256', 'X-Gitea-Signature', 'X-Forgejo-Signature', 'webhook-signature', 'X-Gitlab-Token'].map(
      (name) => ({ name, in: 'header', required: false, schema: { type: 'string' } }),
    ),
  ],
  answer: { type: 'object', required: ['taken'], properties: { taken: { const: true } } },
};

/** Every answer that is not the wanted one. */
export const ERROR_SCHEMA: JsonSchema = {
  type: 'object',
  required: ['error'],
  properties: { error: { type: 'string', description: 'What is wrong, for a person.' } },
};

export const ROUTES: readonly ApiRoute[] = [COMMAND_ROUTE, WHOAMI_ROUTE, EXCHANGE_ROUTE, HOOK_ROUTE];

/** The OpenAPI 3.1 description of the table above. */
export function describeApi(version: string): JsonSchema {
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const route of ROUTES) {
    const operations = (paths[route.path] ??= {});
    operations[route.method.toLowerCase()] = describeRoute(route);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Gatehouse', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A token made with `token create`.' },
        basic: { type: 'http', scheme: 'basic', description: 'Any user name, the token as password.' },
      },
    },
  };
}

function describeRoute(route: ApiRoute): JsonSchema {
  const json = (schema: JsonSchema, type = 'application/json'): JsonSchema => ({ content: { [type]: { schema } } });
  const failure = (description: string): JsonSchema => ({ description, ...json(route.failure ?? ERROR_SCHEMA) });
  return {
    operationId: route.id,
    summary: route.summary,
    security: route.needsToken ? [{ bearer: [] }, { basic: [] }] : [],
    ...(route.parameters === undefined ? {} : { parameters: route.parameters }),
    ...(route.body === undefined ? {} : { requestBody: { required: true, ...json(route.body, route.bodyType) } }),
    responses: {
      200: { description: 'The answer.', ...json(route.answer) },
      ...(route.body === undefined ? {} : { 400: failure('The body is not as described.') }),
      ...(route.needsToken ? { 401: failure('No token, or one that is wrong, expired or revoked.') } : {}),
      ...(route === HOOK_ROUTE ? { 401: failure('No such webhook, or a wrong signature.') } : {}),
      503: failure('The gate is closing or has no room.'),
    },
  };
}
