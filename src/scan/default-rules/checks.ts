/**
 * What a regex cannot say about a secret: its checksum, what it decodes to, that it is no placeholder. A rule of ours names
 * one check (`verify = "NAME"` beside gitleaks' own keys); workers find it here by that name, since functions do not travel.
 */
import { secretId } from '../../identity/secret.ts';
import {
  isPlaceholder,
  looksLikeAwsSecret,
  looksLikePassword,
  looksLikeUrlPassword,
  looksRandom,
} from './placeholders.ts';
import { hasAgeChecksum, hasGrafanaChecksum, hasPrefixedChecksum } from './checksums.ts';
import {
  isBasicCredential,
  isDiscordToken,
  isEncodedSecret,
  isJsonToken,
  isMapboxToken,
  isPrivateKey,
  isPypiToken,
  isSentryToken,
} from './structures.ts';

/** Whether what the rule's regex caught is a secret. Pure, quick, never throws. */
export type SecretCheck = (secret: string) => boolean;

const CHECKS: ReadonlyMap<string, SecretCheck> = new Map<string, SecretCheck>([
  ['real', (secret) => !isPlaceholder(secret)],
  ['random', looksRandom],
  ['password', looksLikePassword],
  ['url-password', looksLikeUrlPassword],
  ['aws-secret', looksLikeAwsSecret],
  ['crc32-base62', hasPrefixedChecksum],
  ['grafana', hasGrafanaChecksum],
  ['age', hasAgeChecksum],
  ['gatehouse', (secret) => secretId(secret, 'token') !== undefined || secretId(secret, 'pass') !== undefined],
  ['jwt', isJsonToken],
  ['private-key', isPrivateKey],
  ['pypi', isPypiToken],
  ['sentry', isSentryToken],
  ['mapbox', isMapboxToken],
  ['discord', isDiscordToken],
  ['basic', isBasicCredential],
  ['encoded', isEncodedSecret],
]);

export const CHECK_NAMES: readonly string[] = [...CHECKS.keys()];

/** undefined: there is no check of that name, and the rule does not load. */
export function findCheck(name: string): SecretCheck | undefined {
  return CHECKS.get(name);
}
