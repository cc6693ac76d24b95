/** Whose signature it is, and whether it is good: SSH and OpenPGP signatures against the keys that users registered. */
import type { Clock } from '../base/clock.ts';
import type { Keys } from './keys.ts';
import { openPgpIssuer, openPgpProblem } from './openpgp.ts';
import type { UserName } from './principal.ts';
import type { SignatureFormat, SigningKeys } from './signing-keys.ts';
import { isSshSignatureOf, parseSshSignature } from './ssh-signature.ts';
import type { User } from './user-record.ts';

export type Signed =
  | {
      readonly kind: 'good';
      readonly format: SignatureFormat;
      readonly user: UserName;
      readonly email: string;
      readonly fingerprint: string;
    }
  /** `reason` follows the words "a signature that ...". */
  | { readonly kind: 'bad'; readonly reason: string };

export interface SignedText {
  /** Exactly the bytes that were signed. */
  readonly payload: Uint8Array;
  /** The armored signature. */
  readonly signature: string;
}

/** Git's own name for what it signs with SSH keys (git-config, "gpg.format"). */
const NAMESPACE = 'git';

export interface SignatureParts {
  readonly signingKeys: Pick<SigningKeys, 'find' | 'byKeyId'>;
  readonly keys: Pick<Keys, 'holder'>;
  readonly user: (name: string) => Promise<User | undefined>;
  readonly clock: Pick<Clock, 'now'>;
}

export class Signatures {
  readonly #parts: SignatureParts;

  constructor(parts: SignatureParts) {
    this.#parts = parts;
  }

  /** Never throws for what a client made up. Keys of suspended users do not count. */
  async verify(text: SignedText): Promise<Signed> {
    if (text.signature.startsWith('-----BEGIN SSH SIGNATURE-----')) return this.#ssh(text);
    if (/^-----BEGIN PGP (?:SIGNATURE|MESSAGE)-----/.test(text.signature)) return this.#openPgp(text);
    return bad('is neither of SSH nor of OpenPGP');
  }

  async #ssh({ payload, signature }: SignedText): Promise<Signed> {
    const read = parseSshSignature(signature, NAMESPACE);
    if (read.kind === 'refused') return bad(`is not good: ${read.reason}`);
    const { fingerprint } = read.value;
    if (!isSshSignatureOf(read.value, { payload, namespace: NAMESPACE })) {
      return bad(`is not good: ${fingerprint} did not sign this`);
    }
    // A login key is as good: whoever has it may push in the user's name.
    const known = await this.#parts.signingKeys.find(fingerprint);
    const holder = known?.user ?? (await this.#parts.keys.holder(fingerprint));
    return holder === undefined ? unknownKey(fingerprint) : this.#good(holder, { format: 'ssh', fingerprint });
  }

  async #openPgp({ payload, signature }: SignedText): Promise<Signed> {
    const issuer = await openPgpIssuer(signature);
    if (issuer.kind === 'refused') return bad(`is not good: ${issuer.reason}`);
    const key = await this.#parts.signingKeys.byKeyId(issuer.value);
    if (key === undefined) return unknownKey(`OpenPGP ${issuer.value.toUpperCase()}`);
    const now = this.#parts.clock.now();
    const problem = await openPgpProblem({ key: key.text, signature, payload, now });
    if (problem !== undefined) return bad(`is not good: ${problem}`);
    return this.#good(key.user, { format: 'openpgp', fingerprint: key.fingerprint });
  }

  async #good(
    holder: UserName,
    about: { readonly format: SignatureFormat; readonly fingerprint: string },
  ): Promise<Signed> {
    const user = await this.#parts.user(holder);
    if (user === undefined) return unknownKey(about.fingerprint);
    if (user.suspended) return bad(`is of ${user.name}, who is suspended`);
    return { kind: 'good', ...about, user: user.name, email: user.email };
  }
}

function unknownKey(fingerprint: string): Signed {
  return bad(`is by a key that nobody registered here: ${fingerprint}`);
}

function bad(reason: string): Signed {
  return { kind: 'bad', reason };
}
