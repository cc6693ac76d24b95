/** One identity token of an issuer (a JWT), proved: signature, issuer, audience, times. RFC 7519, RFC 8725. */
import { createHash } from 'node:crypto';
import { createLocalJWKSet, decodeJwt, errors, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose';
import { BOUNDS } from '../../base/bounds.ts';
import type { Clock } from '../../base/clock.ts';
import { ok, refuse, type Parsed } from '../../base/fault.ts';
import type { KeySets } from './key-sets.ts';
import type { KeySet, KeySource, Signature } from './key-source.ts';

export interface Expected {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly keys: KeySource;
  readonly signatures: readonly Signature[];
}

export interface Identity {
  readonly subject: string;
  readonly claims: JWTPayload;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** The same for the same token, however its signature is written. */
  readonly fingerprint: string;
}

/** Who claims to have issued it, before anything is proved; undefined: this is no JWT. */
export function claimedIssuer(token: string): string | undefined {
  if (token.length > BOUNDS.idTokenBytesMax) return undefined;
  try {
    // Nothing of it is proved: it may be anything that JSON can be.
    const issuer: unknown = decodeJwt(token).iss;
    return typeof issuer === 'string' ? issuer : undefined;
  } catch {
    return undefined;
  }
}

/** @throws Fault `upstream` where the issuer's keys cannot be had. */
export async function proveIdentity(
  token: string,
  expected: Expected,
  parts: { readonly keySets: Pick<KeySets, 'get'>; readonly clock: Pick<Clock, 'now'> },
): Promise<Parsed<Identity>> {
  const first = await verified(token, expected, { ...parts, set: await parts.keySets.get(expected.keys) });
  const proved =
    first === 'unknown key'
      ? await verified(token, expected, { ...parts, set: await parts.keySets.get(expected.keys, { fresh: true }) })
      : first;
  if (proved === 'unknown key') return refuse('none of the issuer’s keys signed this token');
  if (proved.kind === 'refused') return proved;
  const claims = proved.value;
  const expiresAt = (claims.exp ?? 0) * 1000;
  if (expiresAt > parts.clock.now() + BOUNDS.idTokenLifeMsMax) return refuse('the token lives longer than a day');
  const { sub: subject = '' }: { readonly sub?: unknown } = claims;
  if (typeof subject !== 'string') return refuse('the claim sub of the token is no text');
  return ok({ subject, claims, expiresAt, fingerprint: fingerprintOf(token, claims) });
}

type Verified = Parsed<JWTPayload> | 'unknown key';

async function verified(
  token: string,
  { issuer, audiences, signatures }: Expected,
  { set, clock }: { readonly set: KeySet; readonly clock: Pick<Clock, 'now'> },
): Promise<Verified> {
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(asJose(set)), {
      issuer,
      audience: [...audiences],
      // The newer name of the same signature (RFC 9864) is the same.
      algorithms: signatures.flatMap((one) => (one === 'EdDSA' ? [one, 'Ed25519'] : [one])),
      requiredClaims: ['exp'],
      clockTolerance: BOUNDS.idTokenSkewMs / 1000,
      currentDate: new Date(clock.now()),
    });
    return ok(payload);
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return 'unknown key';
    return refuse(wordsOf(error));
  }
}

/** What is wrong, without words of the library that may change. */
function wordsOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired';
  if (error instanceof errors.JWTClaimValidationFailed)
    return `the claim ${error.claim} of the token is not as it has to be`;
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'the signature of the token is wrong';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'the token is signed with an algorithm that is not accepted';
  if (error instanceof errors.JWKSMultipleMatchingKeys) return 'the token does not say which key signed it';
  return 'this is no token that can be read';
}

/** `jti` where there is one; else what was signed: of a signature there may be several spellings. */
function fingerprintOf(token: string, { iss, jti }: JWTPayload): string {
  const said = jti === undefined ? ['signed', token.slice(0, token.lastIndexOf('.'))] : ['jti', jti];
  return createHash('sha256')
    .update(JSON.stringify([iss, ...said]))
    .digest('hex');
}

function asJose({ keys }: KeySet): JSONWebKeySet {
  // Looked at by `parseKeySet`; jose reads each key strictly before it uses it.
  return { keys: keys.map((key) => ({ ...key })) };
}
