/**
 * The declaration of a gate for one job (`gatehouse gate --upstreams FILE`), read strictly: an unknown field is an error that
 * names the nearest known one. Secrets are not in it, only where they come from.
 */
import { parse, TomlError } from 'smol-toml';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { isJsonObject } from '../base/json.ts';
import { didYouMean } from '../base/nearest.ts';
import { parseDuration } from '../base/units.ts';
import { parseUserName, type UserName } from '../identity/principal.ts';
import { parseScope } from '../identity/pass-request.ts';
import type { PassScope } from '../identity/pass-scope.ts';
import { parseRepositoryName, type RepositoryName } from '../repository/name.ts';
import { declaredProblem } from '../upstream/declare.ts';
import { parseHostKey } from '../upstream/host-key.ts';
import type { CredentialKind } from '../upstream/mirror-record.ts';
import { parseRefPatterns } from '../upstream/ref-plan.ts';
import { parseUpstreamUrl } from '../upstream/upstream-url.ts';
import type { UpstreamUrl } from '../upstream/upstream.ts';

/** Where a secret comes from. */
export type SecretSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'env'; readonly name: string };

export interface DeclaredForge {
  readonly kind: string;
  readonly url: string | undefined;
  readonly project: string | undefined;
  readonly caFile: string | undefined;
  readonly token: SecretSource;
}

export interface DeclaredUpstream {
  readonly name: RepositoryName;
  readonly url: UpstreamUrl;
  readonly hostKeys: readonly string[];
  readonly caFile: string | undefined;
  readonly credential: (SecretSource & { readonly credential: CredentialKind }) | undefined;
  readonly username: string | undefined;
  readonly bearer: boolean;
  readonly forge: DeclaredForge | undefined;
  readonly deployKey: boolean;
  readonly webhook: boolean;
  readonly freshMs: number;
  readonly refs: readonly string[];
  readonly allowsPartialPushes: boolean;
  /** What the agent may do here. */
  readonly scope: PassScope;
  readonly pushesMax: number | undefined;
}

export interface Declaration {
  /** What marks what is made at forges; undefined: made from where the declaration lies. */
  readonly name: string | undefined;
  readonly agent: {
    readonly name: UserName;
    /** Milliseconds; undefined: as long as a pass may live, 24 hours at most. */
    readonly lifeMs: number | undefined;
    /** Of a public key; undefined: the agent gets tokens. */
    readonly publicKeyFile: string | undefined;
    readonly scan: boolean;
  };
  readonly upstreams: readonly DeclaredUpstream[];
}

/** What may stand in each table. */
export const FIELDS = {
  top: ['gate', 'agent', 'upstream'],
  gate: ['name'],
  agent: ['name', 'life', 'public-key', 'scan'],
  upstream: [
    'name',
    'url',
    'host-key',
    'ca-file',
    'key-file',
    'key-env',
    'token-file',
    'token-env',
    'certificate-file',
    'user',
    'bearer',
    'forge',
    'deploy-key',
    'webhook',
    'fresh',
    'refs',
    'push',
    'create-only',
    'rewind',
    'delete',
    'max-pushes',
    'allow-partial',
  ],
  forge: ['kind', 'url', 'project', 'ca-file', 'token-file', 'token-env'],
} as const;

const UPSTREAMS_MAX = 100;
export const FORGE_TOKEN_ENV = 'GATEHOUSE_FORGE_TOKEN';

/** The declaration in `text`, or the first thing that is wrong with it. */
export function parseDeclaration(text: string): Parsed<Declaration> {
  const document = parseToml(text);
  if (document.kind === 'refused') return document;
  const top = Table.open(document.value, { what: 'the declaration', known: FIELDS.top });
  if (top.kind === 'refused') return top;
  try {
    return ok(readDeclaration(top.value));
  } catch (error) {
    if (error instanceof Misfit) return refuse(error.message);
    throw error;
  }
}

function parseToml(text: string): Parsed<unknown> {
  try {
    return ok(parse(text));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [first = ''] = error.message.split('\n');
    return refuse(`line ${error.line}: ${first.replace(/^Invalid TOML document: /, '')}`);
  }
}

/** Something that does not fit, on its way to the one place that makes a refusal of it. */
class Misfit extends Error {}

function must<T>(parsed: Parsed<T>, where: string): T {
  if (parsed.kind === 'refused') throw new Misfit(`${where}: ${parsed.reason}`);
  return parsed.value;
}

/** A table of the file whose fields are known. */
class Table {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly what: string;

  private constructor(fields: Readonly<Record<string, unknown>>, what: string) {
    this.#fields = fields;
    this.what = what;
  }

  static open(value: unknown, about: { readonly what: string; readonly known: readonly string[] }): Parsed<Table> {
    const { what, known } = about;
    if (!isJsonObject(value)) return refuse(`${what} is no table`);
    const stray = Object.keys(value).find((key) => !known.includes(key));
    if (stray !== undefined)
      return refuse(`${what}: unknown field ${JSON.stringify(stray.slice(0, 40))}${didYouMean(stray, known)}`);
    return ok(new Table(value, what));
  }

  table(key: string, known: readonly string[]): Table | undefined {
    const value = this.#fields[key];
    return value === undefined
      ? undefined
      : must(Table.open(value, { what: `${this.what}, ${key}`, known }), 'declaration');
  }

  tables(key: string, known: readonly string[]): readonly Table[] {
    const value = this.#fields[key] ?? [];
    if (!Array.isArray(value)) throw new Misfit(`${key} is a list of tables: [[${key}]]`);
    return value.map((each: unknown, index) =>
      must(Table.open(each, { what: `${key} ${nameIn(each) ?? index + 1}`, known }), 'declaration'),
    );
  }

  text(key: string): string | undefined {
    const value = this.#fields[key];
    if (value === undefined || (typeof value === 'string' && value !== '')) return value;
    throw new Misfit(`${this.what}: ${key} is a text in quotation marks`);
  }

  required(key: string): string {
    const value = this.text(key);
    if (value === undefined) throw new Misfit(`${this.what}: ${key} is missing`);
    return value;
  }

  flag(key: string, otherwise: boolean): boolean {
    const value = this.#fields[key] ?? otherwise;
    if (typeof value === 'boolean') return value;
    throw new Misfit(`${this.what}: ${key} is true or false`);
  }

  texts(key: string): readonly string[] {
    const value = this.#fields[key] ?? [];
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    return list.map((each) => {
      if (typeof each === 'string') return each;
      throw new Misfit(`${this.what}: ${key} is a text or a list of texts`);
    });
  }

  count(key: string): number | undefined {
    const value = this.#fields[key];
    if (value === undefined || (typeof value === 'number' && Number.isSafeInteger(value) && value > 0)) return value;
    throw new Misfit(`${this.what}: ${key} is a whole number`);
  }
}

function nameIn(value: unknown): string | undefined {
  return isJsonObject(value) && typeof value['name'] === 'string' ? value['name'].slice(0, 60) : undefined;
}

function readDeclaration(top: Table): Declaration {
  const gate = top.table('gate', FIELDS.gate);
  const agent = top.table('agent', FIELDS.agent);
  const upstreams = top.tables('upstream', FIELDS.upstream).map(readUpstream);
  if (upstreams.length === 0) throw new Misfit('there is no [[upstream]]');
  if (upstreams.length > UPSTREAMS_MAX) throw new Misfit(`there are at most ${UPSTREAMS_MAX} upstreams`);
  const names = new Set<string>();
  for (const { name } of upstreams) {
    if (names.has(name.toLowerCase())) throw new Misfit(`two upstreams are named ${name}`);
    names.add(name.toLowerCase());
  }
  const life = agent?.text('life');
  const publicKeyFile = agent?.text('public-key');
  if (
    publicKeyFile !== undefined &&
    new Set(upstreams.map(({ scope, pushesMax }) => sameFor(scope, pushesMax))).size > 1
  )
    throw new Misfit('agent: one key is one pass: with public-key every upstream allows the same pushes');
  return {
    name: parseGateName(gate?.text('name')),
    agent: {
      name: must(parseUserName(agent?.text('name') ?? 'agent'), 'agent: name'),
      lifeMs: life === undefined ? undefined : must(parseDuration(life), 'agent: life'),
      publicKeyFile,
      scan: agent?.flag('scan', true) ?? true,
    },
    upstreams,
  };
}

function sameFor(scope: PassScope, pushesMax: number | undefined): string {
  return JSON.stringify([{ ...scope, repositories: [] }, pushesMax]);
}

function parseGateName(text: string | undefined): string | undefined {
  if (text === undefined || /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text)) return text;
  throw new Misfit('gate: name has letters, digits, ".", "_" and "-", 63 at most, and starts with a letter or digit');
}

function readUpstream(table: Table): DeclaredUpstream {
  const name = table.required('name');
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw new Misfit(`${table.what}: name has letters, digits, ".", "_" and "-"`);
  const url = must(parseUpstreamUrl(table.required('url')), `${table.what}: url`);
  const keys = table.texts('host-key');
  if (keys.length > BOUNDS.mirrorHostKeysMax)
    throw new Misfit(`${table.what}: there are at most ${BOUNDS.mirrorHostKeysMax} host keys`);
  const push = table.texts('push');
  const [caFile, forge, credential] = [table.text('ca-file'), readForge(table), readCredential(table)];
  const upstream: DeclaredUpstream = {
    name: must(parseRepositoryName(name), `${table.what}: name`),
    url,
    hostKeys: keys.map((text) => must(parseHostKey(text, url), `${table.what}: host-key`)),
    caFile,
    credential,
    username: table.text('user'),
    bearer: table.flag('bearer', false),
    forge,
    deployKey: table.flag('deploy-key', false),
    webhook: table.flag('webhook', false),
    freshMs: readFresh(table),
    refs: must(parseRefPatterns(table.texts('refs')), `${table.what}: refs`),
    allowsPartialPushes: table.flag('allow-partial', false),
    scope: must(
      parseScope({
        repositories: [name],
        read: true,
        push,
        createOnly: table.flag('create-only', false),
        rewind: table.flag('rewind', false),
        delete: table.flag('delete', false),
      }),
      table.what,
    ),
    pushesMax: table.count('max-pushes'),
  };
  const wrong = problemOf(upstream);
  if (wrong !== undefined) throw new Misfit(`${table.what}: ${wrong}`);
  return upstream;
}

function readFresh(table: Table): number {
  const text = table.text('fresh');
  if (text === undefined) return 0;
  const freshMs = must(parseDuration(text), `${table.what}: fresh`);
  if (freshMs <= BOUNDS.mirrorFreshMsMax) return freshMs;
  throw new Misfit(`${table.what}: fresh is at most 24h`);
}

function readForge(table: Table): DeclaredForge | undefined {
  const forge = table.table('forge', FIELDS.forge);
  if (forge === undefined) return undefined;
  const [file, env] = [forge.text('token-file'), forge.text('token-env')];
  if (file !== undefined && env !== undefined) throw new Misfit(`${forge.what}: either token-file or token-env`);
  return {
    kind: forge.required('kind'),
    url: forge.text('url'),
    project: forge.text('project'),
    caFile: forge.text('ca-file'),
    token: file === undefined ? envSource(env ?? FORGE_TOKEN_ENV, forge.what) : { kind: 'file', path: file },
  };
}

function readCredential(table: Table): DeclaredUpstream['credential'] {
  const given = (['key-file', 'key-env', 'token-file', 'token-env', 'certificate-file'] as const).flatMap((field) => {
    const text = table.text(field);
    return text === undefined ? [] : [{ field, text }];
  });
  const [first, second] = given;
  if (second !== undefined) throw new Misfit(`${table.what}: either ${first?.field ?? ''} or ${second.field}`);
  if (first === undefined) return undefined;
  const credential = first.field.startsWith('key') ? 'key' : first.field.startsWith('token') ? 'token' : 'certificate';
  const source: SecretSource = first.field.endsWith('-env')
    ? envSource(first.text, table.what)
    : { kind: 'file', path: first.text };
  return { ...source, credential };
}

function envSource(name: string, where: string): SecretSource {
  if (/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) return { kind: 'env', name };
  // The text is not repeated: somebody may have put the secret itself there.
  throw new Misfit(`${where}: an environment variable is named, and the name has letters, digits and "_"`);
}

function problemOf(upstream: DeclaredUpstream): string | undefined {
  const { url, forge, deployKey, webhook, credential, caFile, hostKeys, pushesMax, scope, username, bearer } = upstream;
  if (deployKey && credential !== undefined) return 'either deploy-key or a credential of its own';
  if (deployKey && url.scheme !== 'ssh') return 'a deploy key is for an upstream over ssh';
  if ((deployKey || webhook) && forge === undefined) return 'deploy-key and webhook go with forge = { kind = "..." }';
  if (forge !== undefined && !deployKey && !webhook)
    return 'forge goes with deploy-key = true, webhook = true, or both';
  if (pushesMax !== undefined && scope.push.length === 0) return 'max-pushes goes with push';
  if ((username !== undefined || bearer) && credential?.credential !== 'token')
    return 'user and bearer go with a token';
  return declaredProblem({
    url,
    hostKeys,
    authorities: caFile,
    credential: deployKey ? { kind: 'key' } : credential && { kind: credential.credential },
  })
    ?.replace('--key FILE', 'key-file, key-env, or deploy-key = true')
    .replace('--host-key ', 'host-key = ');
}
