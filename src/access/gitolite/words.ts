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

export function isRefWord(text: string): boolean {
  return /^[0-9a-zA-Z][-0-9a-zA-Z._@/+ :,]*$/.test(text);
}

export function isUnsafeValue(text: string): boolean {
  return /[`~#$&()|;<>]/.test(text);
}

/** What `repository` must not be, in gitolite's words; undefined: it may be asked about. */
export function insaneRepository(name: string): string | undefined {
  if (!isTrue(name) || !isPatternWord(name)) return `invalid repo '${name}'`;
  if (name.endsWith('/')) return `'${name}' ends with a '/'`;
  const isPlain = isPlainWord(name);
  if (isPlain && name.includes('..')) return `'${name}' contains '..'`;
  if (isPlain && name.includes('.git/')) return `'${name}' contains '.git/'`;
  // Another spelling of a path would be asked about by other rules than the repository that lies there.
  if (isPlain && /\/\.?(?:\/|$)/.test(name)) return `'${name}' has an empty part, or one that is '.'`;
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
