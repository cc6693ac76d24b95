/**
 * The token that `destroy`, `user del` and `group del` print before they act. It is good once, for ten minutes,
 * for the one who asked, for this action, and for its subject as it was then: whatever changed meanwhile is
 * looked at again. Only its hash is stored.
 */
import { createHash } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import { readFields } from '../base/fields.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import type { Clock } from '../base/clock.ts';
import type { Store, Stored, Write } from '../store/store.ts';
import { principalLabel, type Principal } from './principal.ts';

export interface Confirmable {
  /** `destroy`, `user del`, `group del`, ... */
  readonly action: string;
  readonly subject: {
    /** What a person reads: `team/api`. */
    readonly name: string;
    /** What it is over renames; the name where it has no other. */
    readonly id: string;
    /** The store's version of it: another one later means that it changed. */
    readonly version: number;
  };
  readonly principal: Principal;
}

const TOKEN_BYTES = 16;

export class Confirmations {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(options: { readonly store: Store; readonly clock: Clock }) {
    this.#store = options.store;
    this.#clock = options.clock;
  }

  /** A token of 32 hex digits, good until `BOUNDS.confirmationMs` from now. */
  async issue(about: Confirmable): Promise<string> {
    const token = this.#clock.randomBytes(TOKEN_BYTES).toString('hex');
    const { action, subject } = about;
    const put = {
      action,
      subject: { id: subject.id, version: subject.version },
      expiresAt: this.#clock.now() + BOUNDS.confirmationMs,
    };
    const writes = await this.#outdated(about.principal);
    writes.push({ kind: 'confirmation', key: keyOf(about.principal, token), put });
    await this.#store.transact({ writes });
    return token;
  }

  /** Uses the token up; a refusal says what to do. One for another command or subject stays good for that. */
  async accept(about: Confirmable & { readonly token: string }): Promise<Parsed<void>> {
    const { action, subject, principal, token } = about;
    const unknown = refuse(`that token is not one for ${action} ${subject.name}, or it is used or too old: ${AGAIN}`);
    const stored = await this.#store.get('confirmation', keyOf(principal, token));
    if (stored === undefined) return unknown;
    const fields = readFields(stored.value, 'confirmation');
    const bound = readFields(fields.raw('subject') ?? null, 'confirmation subject');
    if (fields.text('action') !== action || bound.text('id') !== subject.id) return unknown;
    if (isOutdated(stored, this.#clock.now())) return unknown;
    const { kind, key, version } = stored;
    const used = await this.#store.transact({
      checks: [{ kind, key, version }],
      writes: [{ kind, key, delete: true }],
    });
    if (used.kind === 'conflict') return unknown;
    if (bound.number('version') !== subject.version) {
      return refuse(`${subject.name} changed since the token was given: ${AGAIN}`);
    }
    return ok(undefined);
  }

  /** Deletions of everybody's expired ones, and of the oldest of this principal's where there are too many. */
  async #outdated(principal: Principal): Promise<Write[]> {
    const now = this.#clock.now();
    const all = await this.#store.list('confirmation', { limit: 1_000 });
    const own = await this.#store.list('confirmation', { prefix: ownPrefix(principal) });
    const surplus = own.toSorted((a, b) => b.version - a.version).slice(BOUNDS.confirmationsPerPrincipalMax - 1);
    const gone = new Set([...all.filter((stored) => isOutdated(stored, now)), ...surplus].map(({ key }) => key));
    return [...gone].map((key) => ({ kind: 'confirmation', key, delete: true }));
  }
}

const AGAIN = 'give the command without a token to get a new one';

function isOutdated(stored: Stored, now: number): boolean {
  const expiresAt = readFields(stored.value, 'confirmation').number('expiresAt');
  // A clock that was set back must not lengthen a life either.
  return expiresAt <= now || expiresAt > now + BOUNDS.confirmationMs;
}

function ownPrefix(principal: Principal): string {
  const asking = principal.kind === 'user' ? principal.asking?.name : undefined;
  return `${asking ?? ''}>${principalLabel(principal)}/`;
}

function keyOf(principal: Principal, token: string): string {
  return ownPrefix(principal) + createHash('sha256').update(token).digest('hex');
}
