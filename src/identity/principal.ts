/** Who asks: a user (a person or a CI account), or nobody in particular. */
import { ok, refuse, type Parsed } from '../base/fault.ts';
import type { PassScope } from './pass-scope.ts';

declare const userBrand: unique symbol;
export type UserName = string & { readonly [userBrand]: true };
declare const groupBrand: unique symbol;
export type GroupName = string & { readonly [groupBrand]: true };

export const TOKEN_SCOPES = ['read', 'write', 'admin'] as const;
export type TokenScope = (typeof TOKEN_SCOPES)[number];

/** What the user showed. Goes to the journal; holds no secret. */
export type Credential =
  | { readonly kind: 'key'; readonly fingerprint: string; readonly tag: string }
  | { readonly kind: 'token'; readonly id: string; readonly name: string; readonly scopes: readonly TokenScope[] }
  | {
      readonly kind: 'pass';
      readonly id: string;
      readonly name: string;
      /** One line; empty where none was given. */
      readonly purpose: string;
      readonly scope: PassScope;
      /** Milliseconds since 1970. */
      readonly expiresAt: number;
      /** Who issued it, where that is another user than its owner: they have seen its token. */
      readonly issuedBy?: UserName;
      /** Of that user, whose name may be another by now; absent for passes of older versions. */
      readonly issuerId?: string;
      /** Pushes that it may make in all; undefined: any number. */
      readonly pushesMax?: number;
      /** The client's, where the door that accepted the pass told it. */
      readonly address?: string;
    }
  | { readonly kind: 'local' }
  /** Vouched for by whoever called: an sshd or a web server; or, with a fingerprint, a key of a gitolite site's keydir. */
  | { readonly kind: 'shell'; readonly fingerprint?: string };

export type Principal =
  | { readonly kind: 'anonymous' }
  | {
      readonly kind: 'user';
      readonly name: UserName;
      readonly account: 'person' | 'ci';
      readonly email: string;
      readonly realName: string;
      /** Every group the user is in, through nesting too. */
      readonly groups: ReadonlySet<GroupName>;
      readonly credential: Credential;
      /** Set while `as USER COMMAND` runs: who really asks. */
      readonly asking?: { readonly name: UserName; readonly groups: ReadonlySet<GroupName> };
    };

export const ANONYMOUS: Principal = { kind: 'anonymous' };

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const RESERVED = new Set(['anonymous', 'gitano', 'gatehouse']);

/** A name safe in a refname, a path, a log line and a rule. */
export function parseUserName(text: string): Parsed<UserName> {
  if (!NAME.test(text) || text.includes('..') || /\.(lock|git)$/i.test(text) || text.endsWith('.')) {
    return refuse('a user name starts with a letter or digit and holds up to 64 letters, digits and . _ -');
  }
  if (RESERVED.has(text.toLowerCase())) return refuse(`the user name ${text} is reserved`);
  return ok(text as UserName);
}

export function parseGroupName(text: string): Parsed<GroupName> {
  return NAME.test(text)
    ? ok(text as GroupName)
    : refuse('a group name starts with a letter or digit and holds up to 64 letters, digits and . _ -');
}

/** What the journal and a person read. */
export function principalLabel(principal: Principal): string {
  return principal.kind === 'anonymous' ? 'anonymous' : principal.name;
}

/** `key SHA256:... (laptop)`, `token ci-1`, `pass 4fG... (agent-7): fix the build`, `local`. */
export function describeCredential(credential: Credential): string {
  switch (credential.kind) {
    case 'key':
      return `key ${credential.fingerprint} (${credential.tag})`;
    case 'token':
      return `token ${credential.name}`;
    case 'pass':
      return describePass(credential);
    case 'local':
      return 'local';
    case 'shell':
      return credential.fingerprint === undefined ? 'shell' : `keydir ${credential.fingerprint}`;
    default:
      return credential satisfies never;
  }
}

function describePass({ id, name, issuedBy, purpose }: Extract<Credential, { readonly kind: 'pass' }>): string {
  const issuer = issuedBy === undefined ? '' : `, issued by ${issuedBy}`;
  return `pass ${id} (${name})${issuer}${purpose === '' ? '' : `: ${purpose}`}`;
}

/** What every journal line says of the credential: which one, and of a pass its id and what it is for. */
export function credentialFields(principal: Principal): {
  readonly credential?: string;
  readonly asking?: string;
  readonly pass?: string;
  readonly purpose?: string;
} {
  if (principal.kind === 'anonymous') return {};
  const { credential, asking } = principal;
  return {
    credential: describeCredential(credential),
    ...(credential.kind === 'pass' ? { pass: credential.id } : {}),
    ...(credential.kind === 'pass' && credential.purpose !== '' ? { purpose: credential.purpose } : {}),
    ...(asking === undefined ? {} : { asking: asking.name }),
  };
}
