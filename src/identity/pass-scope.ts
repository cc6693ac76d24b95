/**
 * What a pass lets through, before policy is asked: it narrows what its owner may do. Whatever is not named here is
 * refused, so a new operation or command is outside every pass until somebody says otherwise.
 */
import { isWithin } from '../base/cidr.ts';
import { matchesGlob } from '../base/glob.ts';
import { ADMIN_REPOSITORY } from '../repository/lifecycle.ts';
import type { Credential } from './principal.ts';

export interface PassScope {
  /** Names and patterns; `*` stands for any characters, slashes too. */
  readonly repositories: readonly string[];
  /** Clone and fetch. */
  readonly read: boolean;
  /** Full refnames and patterns; empty: it pushes nothing. */
  readonly push: readonly string[];
  /** Only refs that are not there yet. */
  readonly createOnly: boolean;
  readonly rewind: boolean;
  readonly delete: boolean;
  /** Ranges of client addresses; empty: any. */
  readonly from: readonly string[];
}

export type PassCredential = Extract<Credential, { readonly kind: 'pass' }>;

/** What a pass is asked: a question of `access/decision.ts`, as far as a scope looks at it. */
export interface ScopeQuestion {
  readonly operation: string;
  readonly action?: string | undefined;
  /** Name of the repository. */
  readonly repository?: string | undefined;
  readonly refname?: string | undefined;
  /** The read is asked for by a push: only whether the repository may be known to be there. */
  readonly forPush?: boolean | undefined;
}

/** What shows only the asker and the gate. */
const SHOWING: ReadonlySet<string> = new Set(['whoami', 'help', 'ls', 'info']);

/** Repositories that rule the site: a pattern does not reach them, their own name does. */
const RULING: ReadonlySet<string> = new Set([ADMIN_REPOSITORY, 'gitolite-admin']);

const SHOWN_MAX = 3;

/** Whether the pass is about this repository at all. */
export function coversRepository({ repositories }: Pick<PassScope, 'repositories'>, name: string): boolean {
  return repositories.some((pattern) => pattern === name || (!RULING.has(name) && matchesGlob(pattern, name)));
}

/** Why the pass does not let this through, in words that say what it does let through; undefined: it does. */
export function passRefusal(pass: PassCredential, question: ScopeQuestion): string | undefined {
  const { scope } = pass;
  const place = placeRefusal(pass);
  if (place !== undefined) return place;
  const { operation, action, repository, refname } = question;
  if (operation === 'administer' && repository === undefined && action !== undefined && SHOWING.has(action))
    return undefined;
  if (repository === undefined || !coversRepository(scope, repository)) return `${describePass(pass)}, nothing else`;
  switch (operation) {
    case 'read':
      if (scope.read || (question.forPush === true && scope.push.length > 0)) return undefined;
      return `${describePass(pass)}; it does not fetch`;
    case 'write':
      return scope.push.length > 0 ? undefined : `${describePass(pass)}; it does not push`;
    case 'create-ref':
    case 'update-ref':
    case 'rewind-ref':
    case 'delete-ref':
      return refRefusal(pass, operation, refname);
    default:
      return `${describePass(pass)}; that does not reach as far as ${action ?? operation}`;
  }
}

/** Why the pass is not good where the request comes from. */
export function placeRefusal({ scope, address }: PassCredential): string | undefined {
  if (scope.from.length === 0 || isWithin(scope.from, address)) return undefined;
  return `this pass is for requests from ${listed(scope.from)}, not from ${address ?? 'here'}`;
}

type RefOperation = 'create-ref' | 'update-ref' | 'rewind-ref' | 'delete-ref';

function refRefusal(pass: PassCredential, operation: RefOperation, refname: string | undefined): string | undefined {
  const { scope } = pass;
  if (refname === undefined || !scope.push.some((pattern) => matchesGlob(pattern, refname)))
    return `${describePass(pass)}; ${refname ?? 'that'} is not among them`;
  const may = {
    'create-ref': true,
    'update-ref': !scope.createOnly,
    'rewind-ref': scope.rewind,
    'delete-ref': scope.delete,
  };
  return may[operation] ? undefined : `${describePass(pass)}; it does not ${VERBS[operation]} ${refname}`;
}

const VERBS: Readonly<Record<RefOperation, string>> = {
  'create-ref': 'create',
  'update-ref': 'change',
  'rewind-ref': 'rewind',
  'delete-ref': 'delete',
};

/** `this pass may fetch, and push refs/heads/agent/* (create and fast-forward), of org/repo until 2026-01-31 14:00Z`. */
export function describePass({ scope, expiresAt }: Pick<PassCredential, 'scope' | 'expiresAt'>): string {
  return `this pass may ${describeScope(scope)} until ${endTime(expiresAt)}`;
}

/** `fetch, and push refs/heads/agent/* (create and fast-forward), of org/repo`. */
export function describeScope(scope: PassScope): string {
  const of = `of ${listed(scope.repositories)}`;
  if (scope.push.length === 0) return `fetch ${of}`;
  const push = `push ${listed(scope.push)} (${pushKinds(scope).join(' and ')})`;
  return scope.read ? `fetch, and ${push}, ${of}` : `${push} ${of}`;
}

function pushKinds(scope: PassScope): readonly string[] {
  return [
    'create',
    ...(scope.createOnly ? [] : ['fast-forward']),
    ...(scope.rewind ? ['rewind'] : []),
    ...(scope.delete ? ['delete'] : []),
  ];
}

/** `2026-01-31 14:00Z`. */
export function endTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')}Z`;
}

function listed(patterns: readonly string[]): string {
  const more = patterns.length - SHOWN_MAX;
  return `${patterns.slice(0, SHOWN_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
