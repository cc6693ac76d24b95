/**
 * How strictly git checks pushed objects. Everything that fsck knows is an error, but for old defects that real histories
 * carry and that harm nobody; a repository may relax or tighten a message, never one that lets a tree escape a check-out.
 */
import type { RepositoryFacts } from '../repository/repository.ts';
import type { ReceiveConfig } from './limits.ts';

export const FSCK_SEVERITIES = ['error', 'warn', 'ignore'] as const;
export type FsckSeverity = (typeof FSCK_SEVERITIES)[number];

/**
 * Entries that would leave the work tree, replace `.git` (HFS+ and NTFS spellings included), or trick a client through
 * its own configuration files. Stated, because git's own defaults differ between versions.
 */
const FIXED_ERRORS = [
  'hasDot',
  'hasDotdot',
  'hasDotgit',
  'fullPathname',
  'emptyName',
  'duplicateEntries',
  'treeNotSorted',
  'gitmodulesName',
  'gitmodulesUrl',
  'gitmodulesPath',
  'gitmodulesUpdate',
  'gitmodulesSymlink',
  'gitmodulesBlob',
  'gitmodulesLarge',
  'gitmodulesMissing',
] as const;

/** Made by old tools in many real histories; git reads them all. */
export const OLD_DEFECTS = [
  'zeroPaddedFilemode',
  'badTimezone',
  'missingSpaceBeforeDate',
  'missingSpaceBeforeEmail',
  'badDateOverflow',
  'zeroPaddedDate',
] as const;

/** Messages that a repository may set with `fsck.MESSAGE` (in lower case, as settings are): the old defects, and others that are a matter of taste. */
const ADJUSTABLE = [
  ...OLD_DEFECTS,
  'badDate',
  'badEmail',
  'badName',
  'missingEmail',
  'missingNameBeforeEmail',
  'multipleAuthors',
  'missingTaggerEntry',
  'badTagName',
  'nulInCommit',
  'badFilemode',
  'gitmodulesParse',
] as const;

/** `--strict=MESSAGE=SEVERITY,...` for index-pack. A setting that is no known severity is as if it were not there. */
export function fsckOption(repository: RepositoryFacts, config?: Pick<ReceiveConfig, 'isStrict' | 'fsck'>): string {
  const isLenient = config?.isStrict === false;
  const severities = new Map<string, FsckSeverity>(
    isLenient ? ADJUSTABLE.map((message) => [message, 'ignore']) : OLD_DEFECTS.map((message) => [message, 'warn']),
  );
  for (const message of ADJUSTABLE) {
    const wanted = config?.fsck.get(message.toLowerCase()) ?? repository.settings[settingOf(message)];
    const severity = FSCK_SEVERITIES.find((known) => known === wanted);
    if (severity !== undefined) severities.set(message, severity);
  }
  for (const message of FIXED_ERRORS) severities.set(message, 'error');
  return `--strict=${[...severities].map(([message, severity]) => `${message}=${severity}`).join(',')}`;
}

function settingOf(message: string): string {
  return `fsck.${message.toLowerCase()}`;
}
