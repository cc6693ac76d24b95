/** Tokens that provision at forges: given with a command, sealed with what they made, or from the gate's environment. */
import { BOUNDS } from '../../base/bounds.ts';
import { Fault, ok, refuse, type Parsed } from '../../base/fault.ts';
import type { Vault } from '../vault.ts';
import type { ForgePlace } from './forge.ts';
import { describeGrant, type Grant } from './grant-record.ts';

/** A token of the environment goes to this origin and to no other, whatever address a command names. */
export interface EnvironmentToken {
  readonly token: string;
  /** `https://git.example`. */
  readonly origin: string;
}

const NAMES = { token: 'GATEHOUSE_FORGE_TOKEN', url: 'GATEHOUSE_FORGE_URL' } as const;

/** Takes the token out of an environment, so that nothing that is started later sees it. */
export function takeForgeTokenFrom(env: NodeJS.ProcessEnv): Parsed<EnvironmentToken | undefined> {
  const [text, url] = [env[NAMES.token], env[NAMES.url]];
  delete env[NAMES.token];
  if (text === undefined || text === '') return ok(undefined);
  const token = parseForgeToken(text);
  if (token.kind === 'refused') return refuse(`${NAMES.token}: ${token.reason}`);
  const parsed = URL.parse(url ?? '');
  if (parsed === null || parsed.origin === 'null')
    return refuse(`${NAMES.token} needs ${NAMES.url}: the token goes to that forge and to no other`);
  return ok({ token: token.value, origin: originOf(parsed) });
}

export function parseForgeToken(text: string): Parsed<string> {
  const token = text.trim();
  if (token === '') return refuse('there is no token');
  if (token.length > BOUNDS.upstreamTokenBytesMax) return refuse('that is too long for a token');
  return /^[\x21-\x7e]+$/.test(token) ? ok(token) : refuse('a token is one word of printable ASCII');
}

/** GitHub's pages and its API have two names. */
function originOf({ origin, hostname }: URL): string {
  return hostname === 'github.com' || hostname === 'www.github.com' ? 'https://api.github.com' : origin;
}

export interface TokenSources {
  readonly vault: Pick<Vault, 'open'>;
  readonly environment: EnvironmentToken | undefined;
}

/** Undefined: there is none for this place. */
export function environmentTokenFor({ environment }: TokenSources, { apiUrl }: ForgePlace): string | undefined {
  return environment !== undefined && new URL(apiUrl).origin === environment.origin ? environment.token : undefined;
}

/** @throws Fault `usage` where there is none, with what to do; or where the sealed one does not open. */
export async function tokenFor(sources: TokenSources, grant: Grant, given: string | undefined): Promise<string> {
  if (given !== undefined) return given;
  if (grant.tokenId !== undefined) return sources.vault.open({ id: grant.tokenId, purpose: 'forge-token' });
  const token = environmentTokenFor(sources, grant.place);
  if (token !== undefined) return token;
  throw noToken(grant.place, `to revoke the ${describeGrant(grant)}`);
}

export function noToken({ apiUrl }: ForgePlace, why: string): Fault {
  return new Fault('usage', 'there is no token for a forge', {
    publicMessage: `there is no token for ${new URL(apiUrl).host} ${why}: --forge-token -, or start the gate with ${NAMES.token} and ${NAMES.url}`,
  });
}
