/** The secrets that a declaration names, fetched once: variables are taken out of the environment, files must be plain. */
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { parseCredential } from '../upstream/credential.ts';
import { parseForgePlace, type ForgePlace } from '../upstream/forges/forge.ts';
import { parseForgeToken } from '../upstream/forges/forge-tokens.ts';
import type { UpstreamCredential } from '../upstream/upstream.ts';
import type { Declaration, DeclaredUpstream, SecretSource } from './gate-declaration.ts';

/** An upstream with everything that it needs. */
export interface ReadyUpstream extends DeclaredUpstream {
  readonly secret: UpstreamCredential | undefined;
  readonly authorities: string | undefined;
  readonly place: ForgePlace | undefined;
  readonly forgeToken: string | undefined;
}

export interface SecretGround {
  readonly env: NodeJS.ProcessEnv;
  /** Where the declaration lies: names of files are from there. */
  readonly directory: string;
}

/** Everything, or the first thing that cannot be had; no secret is in the words. Variables are gone from `env` afterwards. */
export async function fetchSecrets(
  { upstreams }: Declaration,
  { env, directory }: SecretGround,
): Promise<Parsed<readonly ReadyUpstream[]>> {
  const names = new Set<string>();
  const values = new Map<string, string>();
  const read = async (source: SecretSource): Promise<Parsed<string>> => {
    if (source.kind === 'file') return readSecretFile(resolve(directory, source.path), source.path);
    names.add(source.name);
    const value = values.get(source.name) ?? env[source.name];
    if (value === undefined || value === '') return refuse(`the environment has no ${shownName(source.name)}`);
    values.set(source.name, value);
    return ok(value);
  };
  const ready: ReadyUpstream[] = [];
  try {
    for (const upstream of upstreams) {
      const one = await readyOf(upstream, read);
      if (one.kind === 'refused') return refuse(`upstream ${upstream.name}: ${one.reason}`);
      ready.push(one.value);
    }
    return ok(ready);
  } finally {
    for (const name of names) delete env[name];
  }
}

async function readyOf(
  upstream: DeclaredUpstream,
  read: (source: SecretSource) => Promise<Parsed<string>>,
): Promise<Parsed<ReadyUpstream>> {
  const secret = await credentialOf(upstream, read);
  if (secret.kind === 'refused') return secret;
  const authorities = await certificatesOf(upstream.caFile, read);
  if (authorities.kind === 'refused') return authorities;
  const base = { ...upstream, secret: secret.value, authorities: authorities.value };
  const { forge } = upstream;
  if (forge === undefined) return ok({ ...base, place: undefined, forgeToken: undefined });
  const forgeAuthorities = await certificatesOf(forge.caFile, read);
  if (forgeAuthorities.kind === 'refused') return forgeAuthorities;
  const place = parseForgePlace({ ...forge, authorities: forgeAuthorities.value }, upstream.url);
  if (place.kind === 'refused') return refuse(`forge: ${place.reason}`);
  const text = await read(forge.token);
  if (text.kind === 'refused') return refuse(`forge: ${text.reason}`);
  const token = parseForgeToken(text.value);
  if (token.kind === 'refused') return refuse(`forge: ${token.reason}`);
  return ok({ ...base, place: place.value, forgeToken: token.value });
}

async function credentialOf(
  { credential, username, bearer, url }: DeclaredUpstream,
  read: (source: SecretSource) => Promise<Parsed<string>>,
): Promise<Parsed<UpstreamCredential | undefined>> {
  if (credential === undefined) return ok(undefined);
  const text = await read(credential);
  if (text.kind === 'refused') return text;
  return parseCredential({ kind: credential.credential, text: text.value, username, bearer }, url.scheme);
}

async function certificatesOf(
  path: string | undefined,
  read: (source: SecretSource) => Promise<Parsed<string>>,
): Promise<Parsed<string | undefined>> {
  if (path === undefined) return ok(undefined);
  const text = await read({ kind: 'file', path });
  if (text.kind === 'refused') return text;
  return text.value.includes('-----BEGIN CERTIFICATE-----') ? text : refuse(`${path} holds no certificate in PEM`);
}

/** A plain file of bounded size. `shown` is its name as the declaration has it. */
export async function readSecretFile(path: string, shown: string): Promise<Parsed<string>> {
  try {
    await using file = await open(path, 'r');
    const stat = await file.stat();
    if (!stat.isFile()) return refuse(`${shown} is no file`);
    if (stat.size > BOUNDS.upstreamFileBytesMax) return refuse(`${shown} is too large`);
    return ok(await file.readFile('utf8'));
  } catch (error) {
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'an error';
    return refuse(`${shown} cannot be read (${code})`);
  }
}

/** What does not look like a variable's name may be the secret itself, in the wrong place. */
function shownName(name: string): string {
  return /^[A-Z_][A-Z0-9_]{0,60}$/.test(name) ? name : 'variable of that name';
}
