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
  readonly body?: JsonSchema;
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

/** Every answer that is not the wanted one. */
export const ERROR_SCHEMA: JsonSchema = {
  type: 'object',
  required: ['error'],
  properties: { error: { type: 'string', description: 'What is wrong, for a person.' } },
};

export const ROUTES: readonly ApiRoute[] = [COMMAND_ROUTE, WHOAMI_ROUTE];

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
  const json = (schema: JsonSchema): JsonSchema => ({ content: { 'application/json': { schema } } });
  const failure = (description: string): JsonSchema => ({ description, ...json(ERROR_SCHEMA) });
  return {
    operationId: route.id,
    summary: route.summary,
    security: route.needsToken ? [{ bearer: [] }, { basic: [] }] : [],
    ...(route.body === undefined ? {} : { requestBody: { required: true, ...json(route.body) } }),
    responses: {
      200: { description: 'The answer.', ...json(route.answer) },
      ...(route.body === undefined ? {} : { 400: failure('The body is not as described.') }),
      ...(route.needsToken ? { 401: failure('No token, or one that is wrong, expired or revoked.') } : {}),
      503: failure('The gate is closing or has no room.'),
    },
  };
}
