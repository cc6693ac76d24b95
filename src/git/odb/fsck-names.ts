/**
 * Names in trees that are nothing special to git, on no file system: what `fsck` would look at twice is left to it. Names
 * look like `.git` and its relatives also in other cases, with code points that HFS+ ignores, and in NTFS's short forms.
 */

export type NameKind =
  | 'plain'
  /** Its content has to be looked at. */
  | 'modules'
  | 'attributes'
  /** For git to judge. */
  | 'odd';

const NAME_CHARS_MAX = 1_000;
const DOT_GIT = '.git';
/** Files that programs other than git read: `.gitignore`, `.github`, `.gitlab-ci.yml`, `.git-blame-ignore-revs`. */
const HARMLESS = /^\.git[a-z_-][\w.-]*[a-z0-9]$/i;

/** `name` is one character for each byte (latin1). */
export function kindOfName(name: string): NameKind {
  if (name === '' || name === '.' || name === '..' || name.length > NAME_CHARS_MAX) return 'odd';
  const first = name.charCodeAt(0);
  // Most names: no dot in front, only ASCII, nothing of Windows' own.
  if (first !== DOT && !UNUSUAL.test(name)) return 'plain';
  if (name.includes('/') || name.includes('\\')) return 'odd';
  const bare = name.replace(NOT_ASCII, '').toLowerCase();
  // Short names of NTFS: `git~1`, `gitmod~2`, `gi7eba~1`, `mailma~1`; where many are taken, `g~123456` and `~1234567`.
  if (bare.includes('~') && /^(?:\.|~|g[i~]|m[a~])/.test(bare)) return 'odd';
  if (bare.startsWith('.mailmap')) return name === '.mailmap' ? 'plain' : 'odd';
  if (!bare.startsWith(DOT_GIT)) return 'plain';
  if (name === '.gitmodules') return 'modules';
  if (name === '.gitattributes') return 'attributes';
  if (name === '.gitignore') return 'plain';
  const isRelative = /^\.git(?:modules|attributes|ignore)/.test(bare);
  return !isRelative && HARMLESS.test(name) ? 'plain' : 'odd';
}

const DOT = 0x2e;
const NOT_ASCII = /[\x80-\xff]+/g;
const UNUSUAL = /[/\\~:\x80-\xff]/;
