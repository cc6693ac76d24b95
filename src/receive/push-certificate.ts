/**
 * Push certificates (gitprotocol-pack, "Push Certificate"): the client signs the list of its ref updates with a nonce of
 * ours, so that whoever reads the journal later need not believe the gate that this person pushed this.
 */
import { isUtf8 } from 'node:buffer';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { badInput } from '../base/fault.ts';
import type { Principal } from '../identity/principal.ts';
import type { Signed, SignedText } from '../identity/signatures.ts';
import type { Repository } from '../repository/repository.ts';

/** As it came; nothing is verified yet but its form. */
export interface PushCertificate {
  /** What was signed. */
  readonly payload: Buffer;
  readonly signature: string;
  readonly nonce: string;
  readonly options: readonly string[];
  /** Its ref updates, one line each. */
  readonly commands: readonly Buffer[];
}

const LF = 0x0a;
const BEGIN = /^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE)-----$/;

/** The lines between `push-cert` and `push-cert-end`, each with its LF. @throws Fault `bad-input` where they are no certificate. */
export function parsePushCertificate(lines: readonly Buffer[]): PushCertificate {
  const wrong = lines.find((line) => line.indexOf(LF) !== line.length - 1);
  if (wrong !== undefined)
    throw badInput('protocol error: a line of the push certificate has no end, or is more than one');
  // It is kept as text, which has to be what was signed.
  if (!lines.every((line) => isUtf8(line))) throw badInput('the push certificate is not UTF-8: git config user.name');
  const texts = lines.map((line) => line.toString('utf8', 0, line.length - 1));
  const signedTo = texts.findIndex((text) => BEGIN.test(text));
  if (signedTo < 0) throw badInput('protocol error: the push certificate has no signature');
  const blank = texts.indexOf('');
  if (texts[0] !== 'certificate version 0.1' || blank < 0 || blank > signedTo) {
    throw badInput('protocol error: the push certificate is not of version 0.1');
  }
  const headers = texts.slice(1, blank).map(headerOf);
  const only = (key: string): string => {
    const found = headers.filter((header) => header.key === key);
    if (found.length !== 1) throw badInput(`protocol error: the push certificate has not one ${key}`);
    return found[0]?.value ?? '';
  };
  only('pusher');
  return {
    payload: Buffer.concat(lines.slice(0, signedTo)),
    signature: Buffer.concat(lines.slice(signedTo)).toString('latin1'),
    nonce: only('nonce'),
    options: headers.filter(({ key }) => key === 'push-option').map(({ value }) => value),
    commands: lines.slice(blank + 1, signedTo),
  };
}

const HEADERS = ['pusher', 'pushee', 'nonce', 'push-option'];

function headerOf(text: string): { readonly key: string; readonly value: string } {
  const space = text.indexOf(' ');
  const key = text.slice(0, space);
  if (!HEADERS.includes(key)) throw badInput('protocol error: the push certificate has a header that is not known');
  return { key, value: text.slice(space + 1) };
}

/** Of a certificate, what is kept: enough to verify it again without the gate. */
export interface KeptCertificate {
  readonly payload: Buffer;
  readonly signature: string;
}

export function certificateText({ payload, signature }: KeptCertificate): string {
  return `${payload.toString('utf8')}${signature}`;
}

export interface CertificateParts {
  readonly clock: Pick<Clock, 'now' | 'randomBytes'>;
  readonly verify: (text: SignedText) => Promise<Signed>;
  /** Whether some check asks for certificates of pushes of this principal to this repository. */
  readonly isWanted: (repositoryName: string, principal: Principal) => boolean;
}

/**
 * Nonces and what came back with them. A nonce is `TIME-RANDOM-MAC`: good for one repository, for `BOUNDS.pushNonceMs`, and
 * once; the key of the MAC lives as long as this process. So stateless HTTP needs no memory of nonces given, only of those used.
 */
export class CertificateDesk {
  readonly #parts: CertificateParts;
  readonly #key: Buffer;
  /** Nonce -> when it is too old anyway; in the order of use. */
  readonly #used = new Map<string, number>();

  constructor(parts: CertificateParts) {
    this.#parts = parts;
    this.#key = parts.clock.randomBytes(32);
  }

  /** To be advertised; undefined: nobody asks for certificates here. */
  nonceFor(repository: Repository, principal: Principal): string | undefined {
    if (!this.#parts.isWanted(repository.name, principal)) return undefined;
    const about = `${this.#parts.clock.now()}-${this.#parts.clock.randomBytes(8).toString('hex')}`;
    return `${about}-${this.#mac(repository, about)}`;
  }

  /** Whose it is. @param issued the nonce of this conversation; undefined where it has none (stateless HTTP). */
  async check(
    certificate: PushCertificate,
    { repository, issued }: { readonly repository: Repository; readonly issued: string | undefined },
  ): Promise<Signed> {
    const problem = this.#nonceProblem(certificate.nonce, { repository, issued });
    if (problem !== undefined) return { kind: 'bad', reason: problem };
    return this.verify(certificate);
  }

  /** The signature once more: the key may have been taken away since. */
  async verify({ payload, signature }: KeptCertificate): Promise<Signed> {
    const signed = await this.#parts.verify({ payload, signature });
    return signed.kind === 'good' ? signed : { kind: 'bad', reason: `has a signature that ${signed.reason}` };
  }

  #nonceProblem(
    nonce: string,
    { repository, issued }: { readonly repository: Repository; readonly issued: string | undefined },
  ): string | undefined {
    const [, time = '', random = '', mac = ''] = /^(\d{1,15})-([0-9a-f]{16})-([0-9a-f]{64})$/.exec(nonce) ?? [];
    const expected = this.#mac(repository, `${time}-${random}`);
    if (mac.length !== expected.length || !timingSafeEqual(Buffer.from(mac), Buffer.from(expected))) {
      return 'has a nonce that was not given out for this repository since the gate started: push again';
    }
    if (issued !== undefined && issued !== nonce) return 'has the nonce of another push: push again';
    const now = this.#parts.clock.now();
    const ends = Number(time) + BOUNDS.pushNonceMs;
    if (now > ends || now < Number(time) - BOUNDS.pushNonceMs) return 'has a nonce that is too old: push again';
    for (const [used, end] of this.#used) {
      if (end >= now) break;
      this.#used.delete(used);
    }
    if (this.#used.has(nonce)) return 'was used before: push again';
    if (this.#used.size >= BOUNDS.pushNoncesMax) return 'cannot be taken now: too many signed pushes';
    this.#used.set(nonce, ends);
    return undefined;
  }

  #mac(repository: Repository, about: string): string {
    return createHmac('sha256', this.#key).update(`${repository.id}\n${about}`).digest('hex');
  }
}
