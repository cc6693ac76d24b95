/**
 * A CI identity for a pass (RFC 8693): the token of an issuer that a rule trusts is proved, held against the rule's claims,
 * taken once, and answered with a pass of the rule's user that is no wider than the rule.
 */
import type { JournalEntry } from '../../audit/entry.ts';
import type { Clock } from '../../base/clock.ts';
import { matchesGlob } from '../../base/glob.ts';
import { claimedIssuer, proveIdentity, type Identity } from '../../identity/oidc/id-token.ts';
import type { KeySets } from '../../identity/oidc/key-sets.ts';
import type { Replays } from '../../identity/oidc/replays.ts';
import { describeScope } from '../../identity/pass-scope.ts';
import type { IssuedPass, Passes } from '../../identity/passes.ts';
import { printable } from '../problem.ts';
import { grantedOf, parseAsked, type AskedError } from './asked-scope.ts';
import type { TrustRule } from './trust-file.ts';

export interface ExchangeAsked {
  /** The request's id, and the client's address. */
  readonly id: string;
  readonly address: string;
  readonly subjectToken: string;
  readonly scope: string;
  readonly resources: readonly string[];
}

export type Exchanged =
  | { readonly kind: 'ok'; readonly secret: string; readonly expiresInMs: number; readonly scope: string }
  | {
      readonly kind: 'refused';
      readonly error: 'invalid_grant' | AskedError['error'];
      /** For whoever asks: nothing of the rules. */
      readonly reason: string;
      /** For the journal. */
      readonly detail: string;
    };

export interface ExchangeParts {
  readonly trusts: { readonly rules: readonly TrustRule[] };
  readonly keySets: Pick<KeySets, 'get'>;
  readonly replays: Pick<Replays, 'take'>;
  readonly passes: Pick<Passes, 'issue' | 'revoke'>;
  readonly journal: { append(entry: JournalEntry): Promise<void> };
  readonly clock: Pick<Clock, 'now'>;
}

const NOT_TRUSTED = 'no rule of this gate accepts this identity';
const SUBJECT_SHOWN_MAX = 120;

export class Exchange {
  readonly #parts: ExchangeParts;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
  }

  /** @throws Fault `upstream` where an issuer's keys cannot be had, and the journal's where it cannot be written. */
  async exchange(asked: ExchangeAsked): Promise<Exchanged> {
    const wanted = parseAsked(asked.scope, asked.resources);
    if (wanted.kind === 'refused') return no(wanted.error, wanted.reason);
    const issuer = claimedIssuer(asked.subjectToken);
    if (issuer === undefined) return no('invalid_grant', 'the subject token is no JWT with an issuer');
    const rules = this.#parts.trusts.rules.filter((rule) => rule.issuer === issuer);
    if (rules.length === 0) return no('invalid_grant', NOT_TRUSTED, `no rule has the issuer ${shown(issuer)}`);
    const met = await this.#firstMet(asked.subjectToken, rules);
    if (met.kind === 'refused') return met;
    const { rule, identity } = met;
    const granted = grantedOf(wanted.value, rule);
    if (granted.kind === 'refused') return no(granted.error, granted.reason, `${rule.place}: ${granted.reason}`);
    if (!(await this.#parts.replays.take(identity))) {
      const again = 'this token was exchanged already: ask the issuer for another';
      return no('invalid_grant', again, `${rule.place}: ${again} (${shown(identity.subject)})`);
    }
    const made = await this.#parts.passes.issue({
      user: rule.user,
      name: 'oidc',
      purpose: purposeOf(identity.subject),
      scope: granted.value.scope,
      ...(rule.pushesMax === undefined || granted.value.scope.push.length === 0 ? {} : { pushesMax: rule.pushesMax }),
      lifeMs: granted.value.lifeMs,
      issuedBy: rule.file,
    });
    if (made.kind === 'refused') return no('invalid_grant', NOT_TRUSTED, `${rule.place}: ${made.reason}`);
    return this.#told(asked, { rule, identity, issued: made.value });
  }

  /** The first rule that the token proves, and whose claims fit. */
  async #firstMet(token: string, rules: readonly TrustRule[]): Promise<Met | Refused> {
    const unproved: string[] = [];
    const unfit: string[] = [];
    // Many rules may ask the same of a token: signatures are not checked for each.
    const proofs = new Map<string, Awaited<ReturnType<typeof proveIdentity>>>();
    for (const rule of rules) {
      const { audiences, keys, signatures } = rule;
      const key = JSON.stringify([audiences, keys, signatures]);
      const proved = proofs.get(key) ?? (await proveIdentity(token, rule, this.#parts));
      proofs.set(key, proved);
      if (proved.kind === 'refused') {
        unproved.push(`${rule.place}: ${proved.reason}`);
        continue;
      }
      const claim = claimThatDiffers(rule, proved.value);
      if (claim === undefined) return { kind: 'met', rule, identity: proved.value };
      unfit.push(`${rule.place}: the claim ${claim} does not fit (${shown(proved.value.subject)})`);
    }
    // What is wrong with the token itself may be told; which claims would do may not.
    const [first] = unproved;
    if (unfit.length === 0 && first !== undefined)
      return no('invalid_grant', first.slice(first.indexOf(': ') + 2), unproved.join('; '));
    return no('invalid_grant', NOT_TRUSTED, [...unfit, ...unproved].join('; '));
  }

  /** The line is on disk before the pass is given out; where it cannot be, the pass ends. */
  async #told({ id, address }: ExchangeAsked, { rule, identity, issued }: Issued): Promise<Exchanged> {
    const { pass, secret = '' } = issued;
    try {
      await this.#parts.journal.append({
        event: 'exchange',
        outcome: 'served',
        request: id,
        transport: 'http',
        address,
        principal: pass.user,
        credential: `oidc ${shown(rule.issuer)} ${shown(identity.subject)}`,
        pass: pass.id,
        ...(pass.purpose === '' ? {} : { purpose: pass.purpose }),
        reason: printable(describeScope(pass.scope)),
        rule: rule.place,
      });
    } catch (error) {
      await this.#parts.passes.revoke(pass.id);
      throw error;
    }
    return { kind: 'ok', secret, expiresInMs: pass.expiresAt - pass.createdAt, scope: scopeWords(issued) };
  }
}

type Refused = Extract<Exchanged, { readonly kind: 'refused' }>;

interface Met {
  readonly kind: 'met';
  readonly rule: TrustRule;
  readonly identity: Identity;
}

interface Issued {
  readonly rule: TrustRule;
  readonly identity: Identity;
  readonly issued: IssuedPass;
}

function no(error: Refused['error'], reason: string, detail = reason): Refused {
  return { kind: 'refused', error, reason, detail: printable(detail) };
}

/** The first claim that is absent or fits none of its patterns; undefined: all fit, each over its whole length. */
function claimThatDiffers({ claims }: TrustRule, identity: Identity): string | undefined {
  for (const [name, patterns] of claims) {
    const value = Object.hasOwn(identity.claims, name) ? identity.claims[name] : undefined;
    const fits = textsOf(value).some((text) => patterns.some((pattern) => matchesGlob(pattern, text)));
    if (!fits) return name;
  }
  return undefined;
}

/** Of a list any entry may fit; what is no plain value fits nothing. */
function textsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  if (typeof value === 'number' || typeof value === 'boolean') return [String(value)];
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}

function purposeOf(subject: string): string {
  return subject
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .trim()
    .slice(0, SUBJECT_SHOWN_MAX);
}

function shown(text: string): string {
  return printable(text.slice(0, SUBJECT_SHOWN_MAX));
}

/** In the words that a client may ask with. */
function scopeWords({ pass: { scope } }: IssuedPass): string {
  const { repositories, read, push } = scope;
  return [
    ...(read ? ['read'] : []),
    ...push.map((ref) => `push:${ref}`),
    ...repositories.map((name) => `repo:${name}`),
  ].join(' ');
}
