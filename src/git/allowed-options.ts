/**
 * The options that git may be started with, by subcommand: exact words, and patterns for `prefix=value`. Nothing here
 * makes git run a program, read a file named by its caller, or write outside its repository.
 */
import type { Subcommand } from './processes.ts';

interface Allowed {
  readonly exact: readonly string[];
  readonly patterns?: readonly RegExp[];
  /** What stands before the operands; '' where the subcommand knows neither (then no operand may start with `-`). */
  readonly separator: '--end-of-options' | '--' | '';
  /** Allowed only where these stand beside it, which keep it from starting programs. */
  readonly needs?: Readonly<Record<string, readonly string[]>>;
  /** The first operand is one of these and is written before the options: `git commit-graph write`. */
  readonly actions?: readonly string[];
}

const NUMBER = String.raw`\d{1,12}`;
const FORMAT = /^--object-format=(?:sha1|sha256)$/;
const END = '--end-of-options';

/** The words of lists written with spaces. */
function words(...lists: readonly string[]): readonly string[] {
  return lists.flatMap((list) => list.split(' '));
}

/** `--name=DIGITS` for each name. */
function numbers(...names: readonly string[]): RegExp {
  return new RegExp(`^--(?:${names.join('|')})=${NUMBER}$`);
}

/** A date or age as `approxidate` reads it. */
function times(...names: readonly string[]): RegExp {
  return new RegExp(`^--(?:${names.join('|')})=[0-9a-z.:+ -]{1,64}$`);
}

export const ALLOWED: Readonly<Record<Subcommand, Allowed>> = {
  'upload-pack': {
    exact: ['--stateless-rpc', '--http-backend-info-refs', '--advertise-refs', '--strict', '--no-strict'],
    patterns: [numbers('timeout')],
    separator: END,
  },
  'upload-archive': { exact: [], separator: '' },
  'index-pack': {
    exact: words(
      '--stdin --fix-thin --strict --fsck-objects --keep -v --verify --verify-stat',
      '--check-self-contained-and-connected --rev-index --no-rev-index --show-resolving-progress',
      '--report-end-of-input',
    ),
    patterns: [
      numbers('max-input-size', 'threads'),
      FORMAT,
      /^--(?:strict|fsck-objects)=[a-z]+=[a-z]+(?:,[a-z]+=[a-z]+)*$/i,
      /^--keep=[\w .-]{1,200}$/,
      /^--pack_header=\d+,\d+$/,
    ],
    separator: '',
  },
  'pack-objects': {
    exact: words('--stdout --revs --thin --delta-base-offset --quiet -q --all-progress --include-tag'),
    patterns: [numbers('threads', 'window', 'depth')],
    separator: '',
  },
  'rev-list': {
    exact: words(
      '--objects --objects-edge --objects-edge-aggressive --stdin --not --all --quiet --count --reverse',
      '--parents --children --no-walk --no-walk=unsorted --boundary --left-right --left-only --right-only',
      '--topo-order --date-order --author-date-order --first-parent --ancestry-path --timestamp',
      '--use-bitmap-index --disk-usage --no-object-names --branches --tags --ignore-missing',
      '--unsorted-input --verify-objects --in-commit-order --no-commit-header --merges --no-merges',
      '--exclude-hidden=receive --exclude-hidden=uploadpack --full-history --filter-print-omitted',
      '--filter-provided-objects --exclude-first-parent-only -z',
    ),
    patterns: [
      numbers('max-count', 'skip', 'max-parents', 'min-parents'),
      /^--missing=(?:error|allow-any|print|allow-promisor)$/,
      /^--filter=[\w:=.+%-]{1,1024}$/,
      /^--(?:glob|exclude)=[^\0\n]{1,1024}$/,
      /^--(?:since|until|before|after|max-age|min-age)=[0-9a-z.:+ -]{1,64}$/i,
      // No %G: it would start gpg.
      /^--(?:format|pretty)=(?!.*%G)[^\0]{1,1024}$/,
    ],
    separator: END,
  },
  'cat-file': {
    exact: words('--batch --batch-check --batch-command --buffer --batch-all-objects --unordered -t -s -e -p -z'),
    patterns: [/^--batch(?:-check|-command)?=[^\0\n]{1,1024}$/],
    separator: END,
  },
  'diff-tree': {
    exact: words(
      '--raw -p -z -r -t -m -s --root --no-commit-id --name-only --name-status --stdin --full-index',
      '--no-abbrev --no-ext-diff --no-textconv --numstat --shortstat --no-renames -M -C --find-renames',
      '--find-copies --always --quiet --no-rename-empty',
    ),
    patterns: [/^-[MC]\d{1,3}%?$/, /^--find-(?:renames|copies)=\d{1,3}%?$/, /^-l\d{1,6}$/, /^--diff-filter=[A-Za-z]+$/],
    needs: { '-p': ['--no-ext-diff', '--no-textconv'] },
    separator: END,
  },
  'ls-tree': {
    exact: words('-r -t -d -z -l --long --name-only --name-status --object-only --full-name --full-tree --no-abbrev'),
    patterns: [/^--format=[^\0\n]{1,1024}$/],
    separator: END,
  },
  'update-ref': { exact: ['--stdin', '-z', '--no-deref', '-d', '--create-reflog'], separator: END },
  'symbolic-ref': { exact: ['-q', '--quiet', '--short', '-d', '--delete', '--no-recurse'], separator: END },
  'pack-refs': { exact: ['--all', '--prune', '--no-prune', '--auto'], separator: END },
  'for-each-ref': {
    exact: ['--ignore-case', '--omit-empty', '--stdin'],
    patterns: [
      numbers('count'),
      /^--sort=-?[\w:*().-]{1,100}$/,
      /^--(?:points-at|contains|no-contains|merged|no-merged|exclude)=[^\0\n]{1,1100}$/,
      // No %(signature): it would start gpg.
      /^--format=(?!.*%\(signature)[^\0\n]{1,1024}$/,
    ],
    separator: END,
  },
  fsck: {
    exact: words(
      '--full --no-full --strict --connectivity-only --dangling --no-dangling --progress --no-progress',
      '--unreachable --root --tags --no-reflogs --cache --name-objects -v',
    ),
    separator: END,
  },
  gc: {
    exact: words(
      '--quiet -q --no-quiet --aggressive --no-prune --keep-largest-pack --cruft --no-cruft --force --auto',
      '--no-detach',
    ),
    patterns: [times('prune')],
    separator: END,
  },
  repack: {
    exact: words(
      '--quiet --write-bitmap-index --no-write-bitmap-index --write-midx --no-write-midx --cruft',
      '--pack-kept-objects --delta-islands --keep-unreachable',
    ),
    patterns: [
      /^-[aAdlqfFbkni]{1,10}$/,
      numbers('window', 'depth', 'threads', 'geometric', 'window-memory', 'max-pack-size'),
      times('unpack-unreachable', 'cruft-expiration'),
      /^--keep-pack=[\w.-]{1,200}$/,
    ],
    separator: END,
  },
  prune: {
    exact: ['-n', '-v', '--dry-run', '--verbose', '--progress', '--no-progress'],
    patterns: [times('expire')],
    separator: END,
  },
  'count-objects': { exact: ['-v', '-H', '-vH'], separator: END },
  init: {
    exact: ['--bare', '--quiet', '-q', '--template=', '--ref-format=files'],
    patterns: [FORMAT, /^--initial-branch=[^\0\n-][^\0\n]{0,1023}$/],
    separator: END,
  },
  'hash-object': {
    exact: ['-w', '--stdin', '--no-filters', '-tblob', '-ttree', '-tcommit', '-ttag'],
    separator: END,
  },
  mktree: { exact: ['-z', '--missing', '--batch'], separator: END },
  'commit-tree': {
    exact: ['--no-gpg-sign', '-F-'],
    patterns: [/^-p(?:[0-9a-f]{40}|[0-9a-f]{64})$/, /^-m[^\0]{1,65536}$/],
    separator: END,
  },
  'merge-base': { exact: ['--is-ancestor', '--all', '-a', '--octopus', '--independent'], separator: END },
  'commit-graph': {
    exact: words(
      '--reachable --changed-paths --no-changed-paths --split --split=replace --split=no-merge --append',
      '--no-progress --progress --stdin-commits --stdin-packs --shallow',
    ),
    patterns: [numbers('size-multiple', 'max-commits', 'max-new-filters'), times('expire-time')],
    separator: '',
    actions: ['write', 'verify'],
  },
  'multi-pack-index': {
    exact: ['--bitmap', '--no-bitmap', '--stdin-packs', '--no-progress', '--progress'],
    patterns: [numbers('batch-size'), /^--preferred-pack=[\w.-]{1,200}$/],
    separator: '',
    actions: ['write', 'verify', 'expire', 'repack'],
  },
  clone: {
    exact: words(
      '--bare --mirror --local -l --no-local --no-hardlinks --quiet -q --template= --no-tags',
      '--single-branch --no-single-branch --dissociate',
    ),
    separator: END,
  },
  'verify-pack': { exact: ['-v', '--verbose', '-s', '--stat-only'], patterns: [FORMAT], separator: END },
};
