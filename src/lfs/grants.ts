/**
 * What lets a client in for LFS after it asked over SSH, or in a batch: a secret for one credential, one repository and one
 * operation, for minutes. It carries no rights of its own: each use is decided as for the credential that it stands for.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import type { Principal } from '../identity/principal.ts';

export const LFS_OPERATIONS = ['download', 'upload'] as const;
export type LfsOperation = (typeof LFS_OPERATIONS)[number];

export interface GrantFor {
  /** As the door recognised it; it is looked at anew at each use. */
  readonly principal: Principal;
  readonly repositoryId: string;
  readonly operation: LfsOperation;
}

export interface Grant extends GrantFor {
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export interface IssuedGrant {
  /** Shown to the client; only kept as something to derive it from. */
  readonly secret: string;
  readonly expiresAt: number;
}

const SHAPE = /^glfs_([0-9a-f]{32})_([0-9a-f]{64})$/;

/** In memory: a gate that starts anew knows none of the old ones, and clients ask again. */
export class LfsGrants {
  readonly #clock: Clock;
  readonly #key: Buffer;
  readonly #limits: { readonly lifeMs: number; readonly max: number; readonly perCredentialMax: number };
  readonly #byId = new Map<string, Grant & { readonly subject: string }>();
  /** Ids of one credential, oldest first. */
  readonly #bySubject = new Map<string, Map<string, string>>();

  constructor(clock: Clock, limits: Partial<{ lifeMs: number; max: number; perCredentialMax: number }> = {}) {
    this.#clock = clock;
    this.#key = clock.randomBytes(32);
    this.#limits = {
      lifeMs: BOUNDS.lfsGrantMs,
      max: BOUNDS.lfsGrantsMax,
      perCredentialMax: BOUNDS.lfsGrantsPerCredentialMax,
      ...limits,
    };
  }

  get size(): number {
    return this.#byId.size;
  }

  /** The same one again while most of its life is left. */
  issue(about: GrantFor): IssuedGrant {
    const { lifeMs, max, perCredentialMax } = this.#limits;
    const now = this.#clock.now();
    const subject = subjectOf(about.principal);
    const own = this.#bySubject.get(subject) ?? new Map<string, string>();
    this.#bySubject.set(subject, own);
    const purpose = `${about.repositoryId}/${about.operation}`;
    const there = own.get(purpose);
    const kept = there === undefined ? undefined : this.#byId.get(there);
    if (there !== undefined && kept !== undefined && kept.expiresAt - now > lifeMs / 2) {
      return { secret: this.#secretOf(there), expiresAt: kept.expiresAt };
    }
    if (there !== undefined) own.delete(purpose);
    const [oldest] = own;
    if (own.size >= perCredentialMax && oldest !== undefined) this.#drop(oldest[1]);
    for (const id of this.#byId.keys()) {
      if (this.#byId.size < max && !this.#isOver(id, now)) break;
      this.#drop(id);
    }
    const id = this.#clock.randomBytes(16).toString('hex');
    const expiresAt = Math.min(now + lifeMs, endOf(about.principal));
    this.#byId.set(id, { ...about, expiresAt, subject });
    own.set(purpose, id);
    this.#bySubject.set(subject, own);
    return { secret: this.#secretOf(id), expiresAt };
  }

  /** What this secret was given for; undefined: it is wrong or expired. */
  find(secret: string): Grant | undefined {
    const [, id = '', proof = ''] = SHAPE.exec(secret) ?? [];
    if (id === '' || !timingSafeEqual(Buffer.from(proof), Buffer.from(this.#proofOf(id)))) return undefined;
    const grant = this.#byId.get(id);
    return grant === undefined || this.#isOver(id, this.#clock.now()) ? undefined : grant;
  }

  #isOver(id: string, now: number): boolean {
    return (this.#byId.get(id)?.expiresAt ?? 0) <= now;
  }

  #drop(id: string): void {
    const grant = this.#byId.get(id);
    this.#byId.delete(id);
    if (grant === undefined) return;
    const own = this.#bySubject.get(grant.subject);
    const purpose = `${grant.repositoryId}/${grant.operation}`;
    if (own?.get(purpose) === id) own.delete(purpose);
    if (own?.size === 0) this.#bySubject.delete(grant.subject);
  }

  #secretOf(id: string): string {
    return `glfs_${id}_${this.#proofOf(id)}`;
  }

  #proofOf(id: string): string {
    return createHmac('sha256', this.#key).update(id).digest('hex');
  }
}

/** Whether what somebody showed has the shape of a grant, right or wrong. */
export function isGrantSecret(text: string): boolean {
  return text.startsWith('glfs_');
}

/** The principal of a grant as whoever shows it stands there: a pass is asked about the address that it comes from. */
export function heldFrom(principal: Principal, address: string): Principal {
  if (principal.kind !== 'user' || principal.credential.kind !== 'pass') return principal;
  return { ...principal, credential: { ...principal.credential, address } };
}

/** One budget for each credential, so that nobody uses up another's. */
function subjectOf(principal: Principal): string {
  if (principal.kind === 'anonymous') return 'anonymous';
  const { name, credential, asking } = principal;
  const which = 'id' in credential ? credential.id : 'fingerprint' in credential ? credential.fingerprint : '';
  return JSON.stringify([name, asking?.name ?? '', credential.kind, which ?? '']);
}

/** Nothing outlives the pass that it comes from. */
function endOf(principal: Principal): number {
  if (principal.kind !== 'user' || principal.credential.kind !== 'pass') return Number.MAX_SAFE_INTEGER;
  return principal.credential.expiresAt;
}
