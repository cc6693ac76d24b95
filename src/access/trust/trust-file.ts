/** `oidc/*.toml`: which CI identities get a pass, and what it may do. Read strictly: what is not understood is refused. */
import { BOUNDS } from '../../base/bounds.ts';
import { ok, refuse, type Parsed } from '../../base/fault.ts';
import { didYouMean } from '../../base/nearest.ts';
import {
  parseInlineKeys,
  parseKeysUrl,
  SIGNATURES,
  type KeySource,
  type Signature,
} from '../../identity/oidc/key-source.ts';
import { parseLife, parsePushesMax, parseScope } from '../../identity/pass-request.ts';
import type { PassScope } from '../../identity/pass-scope.ts';
import { parseUserName, type UserName } from '../../identity/principal.ts';
import { fileProblem, type Problem } from '../problem.ts';
import { readToml } from '../toml-file.ts';

export interface TrustRule {
  /** `oidc/ci.toml, rule 2`. */
  readonly place: string;
  readonly file: string;
  /** As the token's `iss` says it, to the letter. */
  readonly issuer: string;
  /** One of these stands in the token's `aud`. */
  readonly audiences: readonly string[];
  readonly keys: KeySource;
  readonly signatures: readonly Signature[];
  /** Claim -> patterns with `*`, of which one fits the whole value. */
  readonly claims: ReadonlyMap<string, readonly string[]>;
  readonly user: UserName;
  readonly scope: PassScope;
  readonly lifeMs: number;
  readonly pushesMax?: number;
}

export type TrustFile =
  | { readonly kind: 'ok'; readonly rules: readonly TrustRule[] }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[] };

const KEYS = [
  'issuer',
  'audience',
  'jwks-url',
  'jwks',
  'algorithms',
  'claims',
  'for',
  'repos',
  'read',
  'push',
  'create-only',
  'rewind',
  'delete',
  'from',
  'max-life',
  'max-pushes',
] as const;
type Key = (typeof KEYS)[number];

const LIFE_DEFAULT = '1h';

/** @param lifeMsMax as `pass.life-max` says. */
export function readTrustFile(file: string, text: string, lifeMsMax: number): TrustFile {
  const read = readToml(file, text);
  if (read.kind === 'wrong') return read;
  const { values } = read;
  const other = Object.keys(values).find((key) => key !== 'trust');
  if (other !== undefined) return wrong(file, `unknown key ${other}: rules stand under [[trust]]`);
  const tables = values['trust'] ?? [];
  if (!Array.isArray(tables) || !tables.every(isTable)) return wrong(file, 'trust is a list of tables: [[trust]]');
  if (tables.length > BOUNDS.trustRulesMax) return wrong(file, `there are at most ${BOUNDS.trustRulesMax} rules`);
  const rules: TrustRule[] = [];
  const problems: Problem[] = [];
  for (const [index, table] of tables.entries()) {
    const place = `${file}, rule ${index + 1}`;
    const rule = readRule(table, { file, place, lifeMsMax });
    if (rule.kind === 'ok') rules.push(rule.value);
    else problems.push(fileProblem(file, `rule ${index + 1}: ${rule.reason}`));
  }
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'ok', rules };
}

interface Surroundings {
  readonly file: string;
  readonly place: string;
  readonly lifeMsMax: number;
}

type Table = Readonly<Record<string, unknown>>;

function readRule(table: Table, { file, place, lifeMsMax }: Surroundings): Parsed<TrustRule> {
  const unknown = Object.keys(table).find((key) => !KEYS.some((known) => known === key));
  if (unknown !== undefined) return refuse(`unknown key ${unknown}${didYouMean(unknown, KEYS)}`);
  const who = readIdentity(table);
  if (who.kind === 'refused') return who;
  const what = readGrant(table, lifeMsMax);
  return what.kind === 'refused' ? what : ok({ file, place, ...who.value, ...what.value });
}

/** Whom the rule is about. */
function readIdentity(
  table: Table,
): Parsed<Pick<TrustRule, 'issuer' | 'audiences' | 'keys' | 'signatures' | 'claims'>> {
  const issuer = text(table, 'issuer');
  if (issuer === undefined || issuer === '') return refuse('issuer is the text that tokens have in iss');
  const audiences = texts(table, 'audience');
  if (audiences === undefined || audiences.length === 0)
    return refuse('audience is a text, or a list of texts, of aud');
  const keys = readKeys(table);
  if (keys.kind === 'refused') return keys;
  const named = table['algorithms'] === undefined ? SIGNATURES : texts(table, 'algorithms');
  const signatures = SIGNATURES.filter((signature) => named?.includes(signature) === true);
  if (named === undefined || named.length === 0 || signatures.length < named.length)
    return refuse(`algorithms is a list of ${SIGNATURES.join(', ')}`);
  const claims = readClaims(table['claims']);
  if (claims.kind === 'refused') return claims;
  return ok({ issuer, audiences, keys: keys.value, signatures, claims: claims.value });
}

function readKeys(table: Table): Parsed<KeySource> {
  const [url, inline] = [text(table, 'jwks-url'), text(table, 'jwks')];
  if ((url === undefined) === (inline === undefined))
    return refuse('jwks-url or jwks says which keys sign: one of them, a text');
  if (url !== undefined) return parseKeysUrl(url);
  return parseInlineKeys(inline ?? '');
}

/** Without a claim, everybody whom the issuer knows would be let in. */
function readClaims(value: unknown): Parsed<ReadonlyMap<string, readonly string[]>> {
  const missing = refuse('[trust.claims] names one claim or more, each with a pattern: repository = "org/*"');
  if (!isTable(value)) return missing;
  const claims = new Map<string, readonly string[]>();
  for (const name of Object.keys(value)) {
    const patterns = texts(value, name);
    if (patterns === undefined || patterns.length === 0)
      return refuse(`the claim ${name} has a pattern or a list of them`);
    const odd = patterns.find((pattern) => pattern === '' || pattern.includes('?'));
    if (odd !== undefined)
      return refuse(`the claim ${name} has an empty pattern or a ? in it: only * stands for something`);
    if (name === 'iss' || name === 'aud')
      return refuse(`${name} is no claim to give a pattern for: issuer and audience say it`);
    claims.set(name, patterns);
  }
  const isOpen = [...claims.values()].every((patterns) => patterns.some((pattern) => /^\*+$/.test(pattern)));
  return claims.size === 0 || isOpen ? missing : ok(claims);
}

/** What they get. */
function readGrant(
  table: Table,
  lifeMsMax: number,
): Parsed<Pick<TrustRule, 'user' | 'scope' | 'lifeMs' | 'pushesMax'>> {
  const user = parseUserName(text(table, 'for') ?? '');
  if (user.kind === 'refused') return refuse(`for: ${user.reason}`);
  const lists: Partial<Record<'repos' | 'push' | 'from', readonly string[]>> = {};
  for (const key of ['repos', 'push', 'from'] as const) {
    const list = table[key] === undefined ? [] : texts(table, key);
    if (list === undefined) return refuse(`${key} is a list of texts`);
    lists[key] = list;
  }
  for (const key of ['read', 'create-only', 'rewind', 'delete'] as const)
    if (table[key] !== undefined && typeof table[key] !== 'boolean') return refuse(`${key} is true or false`);
  const scope = parseScope({
    repositories: lists.repos ?? [],
    read: table['read'] === true,
    push: lists.push ?? [],
    createOnly: table['create-only'] === true,
    rewind: table['rewind'] === true,
    delete: table['delete'] === true,
    from: lists.from ?? [],
  });
  if (scope.kind === 'refused') return refuse(scope.reason.replace(': --repo NAME', ': repos = ["NAME"]'));
  const life = text(table, 'max-life') ?? (table['max-life'] === undefined ? LIFE_DEFAULT : '');
  const lifeMs = parseLife(life, lifeMsMax);
  if (lifeMs.kind === 'refused') return refuse(`max-life: ${lifeMs.reason}`);
  const count = table['max-pushes'];
  if (count === undefined) return ok({ user: user.value, scope: scope.value, lifeMs: lifeMs.value });
  const pushesMax = parsePushesMax(typeof count === 'number' ? count : 0);
  if (pushesMax.kind === 'refused') return refuse(`max-pushes: ${pushesMax.reason}`);
  return ok({ user: user.value, scope: scope.value, lifeMs: lifeMs.value, pushesMax: pushesMax.value });
}

function wrong(file: string, message: string): TrustFile {
  return { kind: 'wrong', problems: [fileProblem(file, message)] };
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function text(table: Table, key: Key): string | undefined {
  const value = table[key];
  return typeof value === 'string' ? value : undefined;
}

/** A text counts as a list of one. */
function texts(table: Table, key: string): readonly string[] | undefined {
  const value = table[key];
  if (typeof value === 'string') return [value];
  return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value : undefined;
}
