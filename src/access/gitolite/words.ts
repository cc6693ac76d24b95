/** The alphabets of gitolite's names: what a user, a repository, a pattern, a ref and a setting may be made of. */

export const ALL = '@all';
export const DEFAULT_REFEX = 'refs/.*';

/** `-`, `C`, `R`, or `RW` with its suffixes; then refexes, if any, and users. */
export const RULE_LINE = /^(-|C|R|RW\+?(?:C?D?|D?C?)M?) (.* )?= (.+)/s;

export function isUserWord(text: string): boolean {
  return /^@?[0-9a-zA-Z][-0-9a-zA-Z._@+]*$/.test(text);
}

/** A literal name, or a group's. */
export function isPlainWord(text: string): boolean {
  return /^@?[0-9a-zA-Z][-0-9a-zA-Z._@/+]*$/.test(text);
}

/** A literal name or a pattern; a refex too. */
export function isPatternWord(text: string): boolean {
  return /^@?[[0-9a-zA-Z][-0-9a-zA-Z._@/+\\^$|()[\]*?{},]*$/.test(text);
}

/** Asked for each decision: a table is several times as fast as an expression. */
export function isRefWord(text: string): boolean {
  if ((REF_CODES[text.charCodeAt(0)] ?? 0) !== FIRST) return false;
  for (let index = 1; index < text.length; index += 1) {
    if ((REF_CODES[text.charCodeAt(index)] ?? 0) === 0) return false;
  }
  return true;
}

const FIRST = 2;
const REF_CODES = Uint8Array.from({ length: 128 }, (_none, code) => {
  const text = String.fromCharCode(code);
  if (/[0-9a-zA-Z]/.test(text)) return FIRST;
  return /[-._@/+ :,]/.test(text) ? 1 : 0;
});

/** What a config value must not hold, as Perl's pattern. */
export const UNSAFE_VALUE = '[`~#\\$&()|;<>]';

/** What `repository` must not be, in gitolite's words; undefined: it may be asked about. */
export function insaneRepository(name: string): string | undefined {
  const refused = refusedRepository(name);
  if (refused !== undefined) return refused;
  // Another spelling of a path would be asked about by other rules than the repository that lies there.
  const isOtherwiseSpelt = isPlainWord(name) && /\/\.?(?:\/|$)/.test(name);
  return isOtherwiseSpelt ? `'${name}' has an empty part, or one that is '.'` : undefined;
}

/** What gitolite itself does not hear of. */
export function refusedRepository(name: string): string | undefined {
  if (!isTrue(name) || !isPatternWord(name)) return `invalid repo '${name}'`;
  if (name.endsWith('/')) return `'${name}' ends with a '/'`;
  const isPlain = isPlainWord(name);
  if (isPlain && name.includes('..')) return `'${name}' contains '..'`;
  if (isPlain && name.includes('.git/')) return `'${name}' contains '.git/'`;
  if (name.endsWith('.git')) return `'${name}' ends with '.git'`;
  return undefined;
}

/** Perl's idea of a true string. */
export function isTrue(text: string): boolean {
  return text !== '' && text !== '0';
}

export function wordsOf(text: string): string[] {
  return text.split(' ').filter((word) => word !== '');
}
