/**
 * OpenPGP public keys and detached signatures, by the `openpgp` library, which is loaded when the first one comes. Whether
 * a key had expired or was revoked is asked for the time of the signature; a key revoked as compromised never counts.
 */
import { BOUNDS } from '../base/bounds.ts';
import { ok, refuse, type Parsed } from '../base/fault.ts';

export interface OpenPgpKey {
  /** `OPENPGP:` and hex digits in capitals. */
  readonly fingerprint: string;
  /** Of the primary key and of each subkey: 16 hex digits. */
  readonly keyIds: readonly string[];
  readonly type: string;
  readonly comment: string;
  readonly armored: string;
}

const PUBLIC_BEGIN = '-----BEGIN PGP PUBLIC KEY BLOCK-----';
const PUBLIC_END = '-----END PGP PUBLIC KEY BLOCK-----';
const SUBKEYS_MAX = 32;
const SIGNATURE_CHARS_MAX = 16 * 1024;
const COMMENT_CHARS_MAX = 200;
/** Clocks of people go a little before the gate's. */
const AHEAD_MS = 10 * 60_000;

/** One public key, armored; the refusal says what it is instead. */
export async function parseOpenPgpKey(text: string): Promise<Parsed<OpenPgpKey>> {
  const armored = text.trim();
  if (/BEGIN PGP PRIVATE KEY/.test(armored)) {
    return refuse('that is a PRIVATE key: keep it to yourself; the public one is what gpg --armor --export prints');
  }
  if (!armored.startsWith(PUBLIC_BEGIN) || armored.indexOf(PUBLIC_END) !== armored.length - PUBLIC_END.length) {
    return refuse('that is not one public key in armor: gpg --armor --export KEY prints it');
  }
  if (armored.length > BOUNDS.openPgpKeyBytesMax) {
    return refuse(
      `an OpenPGP key has at most ${BOUNDS.openPgpKeyBytesMax} bytes: gpg --export-options export-minimal leaves out what others signed`,
    );
  }
  const { readKeys } = await import('openpgp');
  try {
    const [key, more] = await readKeys({ armoredKeys: armored });
    if (key === undefined || more !== undefined) return refuse('send one OpenPGP key at a time');
    if (key.isPrivate()) return refuse('that is a PRIVATE key: keep it to yourself');
    if (key.getSubkeys().length > SUBKEYS_MAX) return refuse(`an OpenPGP key has at most ${SUBKEYS_MAX} subkeys`);
    const [userId = ''] = key.getUserIDs();
    return ok({
      fingerprint: `OPENPGP:${key.getFingerprint().toUpperCase()}`,
      keyIds: [...new Set(key.getKeyIDs().map((id) => id.toHex()))],
      type: key.getAlgorithmInfo().algorithm,
      comment: userId.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?').slice(0, COMMENT_CHARS_MAX),
      armored,
    });
  } catch (error) {
    return refuse(`the OpenPGP key cannot be read: ${wordsOf(error)}`);
  }
}

/** Whose signature it says it is: the 16 hex digits of a key; what is wrong with it otherwise. */
export async function openPgpIssuer(armored: string): Promise<Parsed<string>> {
  if (armored.length > SIGNATURE_CHARS_MAX) return refuse('the OpenPGP signature is too long');
  if ((armored.match(/-----BEGIN /g)?.length ?? 0) !== 1) return refuse('there is more than one OpenPGP signature');
  const { readSignature } = await import('openpgp');
  try {
    const { packets } = await readSignature({ armoredSignature: armored });
    const [packet, more] = [...packets];
    if (packet === undefined) return refuse('the OpenPGP signature is empty');
    if (more !== undefined) return refuse('there is more than one OpenPGP signature');
    return ok(packet.issuerKeyID.toHex());
  } catch (error) {
    return refuse(`the OpenPGP signature cannot be read: ${wordsOf(error)}`);
  }
}

/** Undefined: `key` made it, of exactly these bytes, when it could. Otherwise what is wrong. Never throws. */
export async function openPgpProblem(options: {
  readonly key: string;
  readonly signature: string;
  readonly payload: Uint8Array;
  /** Milliseconds since 1970. */
  readonly now: number;
}): Promise<string | undefined> {
  const { createMessage, readKey, readSignature, verify } = await import('openpgp');
  try {
    // The library keeps in a key what it once found out about it, whatever the time that was asked for: read it anew.
    const verified = await verify({
      message: await createMessage({ binary: Uint8Array.from(options.payload) }),
      signature: await readSignature({ armoredSignature: options.signature }),
      verificationKeys: await readKey({ armoredKey: options.key }),
      date: new Date(options.now + AHEAD_MS),
      format: 'binary',
    });
    const [only, more] = verified.signatures;
    if (only === undefined || more !== undefined) return 'it is no signature of one document';
    await only.verified;
    return undefined;
  } catch (error) {
    return wordsOf(error);
  }
}

/** The library's words, in one line. */
function wordsOf(error: unknown): string {
  const text = error instanceof Error ? error.message : 'unknown failure';
  return text.replaceAll(/[\x00-\x1f\x7f]+/g, ' ').slice(0, 200);
}
