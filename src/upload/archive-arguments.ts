/**
 * The command line that `git archive --remote` sends, read against a list of what is harmless. git's own
 * upload-archive looks at hidden refs too, so the tree-ish is taken apart here and resolved by us.
 */
import { type Parsed, ok, refuse } from '../base/fault.ts';
import { quoteLine } from './wire.ts';

const FORMATS: readonly string[] = ['tar', 'zip', 'tgz', 'tar.gz'];

export interface ArchiveArguments {
  readonly list: boolean;
  readonly verbose: boolean;
  /** One of `FORMATS`; undefined: git's default, tar. */
  readonly format: string | undefined;
  readonly prefix: string | undefined;
  /** 0 to 9. */
  readonly compression: number | undefined;
  /** `main`, `refs/tags/v1`, an oid; undefined only with `list`. */
  readonly revision: string | undefined;
  /** What follows the colon of `main:path`. */
  readonly subtree: string | undefined;
  readonly paths: readonly string[];
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** The arguments, or why git gets none of them. */
export function parseArchiveArguments(words: readonly string[]): Parsed<ArchiveArguments> {
  const found: Mutable<ArchiveArguments> = {
    list: false,
    verbose: false,
    format: undefined,
    prefix: undefined,
    compression: undefined,
    revision: undefined,
    subtree: undefined,
    paths: [],
  };
  const operands: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (/[\0\n]/.test(word)) return refuse('an archive argument holds a NUL or a newline');
    if (word === '--') {
      operands.push(...words.slice(at + 1));
      break;
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(word);
      continue;
    }
    // `--format zip` is two words.
    const isSplit = word === '--format' || word === '--prefix';
    if (isSplit) at += 1;
    const problem = takeOption(found, isSplit ? `${word}=${words[at] ?? ''}` : word);
    if (problem !== undefined) return refuse(problem);
  }
  return takeOperands(found, operands);
}

function takeOption(found: Mutable<ArchiveArguments>, word: string): string | undefined {
  if (word === '-l' || word === '--list') found.list = true;
  else if (word === '-v' || word === '--verbose') found.verbose = true;
  else if (/^-[0-9]$/.test(word)) found.compression = Number(word.slice(1));
  else if (word.startsWith('--prefix=')) found.prefix = word.slice('--prefix='.length);
  else if (word.startsWith('--format=')) {
    found.format = word.slice('--format='.length);
    if (!FORMATS.includes(found.format)) return `unknown archive format ${quoteLine(found.format)}`;
  } else return `archive option ${quoteLine(word)} is not served`;
  return undefined;
}

function takeOperands(found: Mutable<ArchiveArguments>, operands: readonly string[]): Parsed<ArchiveArguments> {
  const [treeish, ...paths] = operands;
  if (operands.some((word) => /[\0\n]/.test(word))) return refuse('an archive argument holds a NUL or a newline');
  if (treeish === undefined) return found.list ? ok(found) : refuse('must specify tree-ish');
  const colon = treeish.indexOf(':');
  found.revision = colon === -1 ? treeish : treeish.slice(0, colon);
  found.subtree = colon === -1 ? undefined : treeish.slice(colon + 1);
  found.paths = paths;
  // Nothing of git's revision language: names and oids only.
  if (!/^[^\0-\x20~^:?*[\\@{]+(?:@[^{\0-\x20~^:?*[\\]*)*$/.test(found.revision)) {
    return refuse(`not a ref name: ${quoteLine(found.revision)}`);
  }
  return ok(found);
}

/** The command line that git gets instead, with `object` (an oid) in the place of what the client named. */
export function archiveWords(asked: ArchiveArguments, object: string | undefined): readonly string[] {
  const words: string[] = [];
  if (asked.list) words.push('--list');
  if (asked.verbose) words.push('--verbose');
  if (asked.format !== undefined) words.push(`--format=${asked.format}`);
  if (asked.prefix !== undefined) words.push(`--prefix=${asked.prefix}`);
  if (asked.compression !== undefined) words.push(`-${asked.compression}`);
  if (object === undefined) return words;
  return [...words, '--', asked.subtree === undefined ? object : `${object}:${asked.subtree}`, ...asked.paths];
}
