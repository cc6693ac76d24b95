/**
 * What people write where a secret would stand: examples, variables, templates, runs of one character. No random secret of
 * the length that providers give looks like one of these, so that refusing to see them hides nothing.
 */

/** Words that say so; case does not count. A random token of 40 letters holds one of them once in ten million. */
const WORDS = [
  'example',
  'changeme',
  'change_me',
  'change-me',
  'placeholder',
  'redacted',
  'replace_me',
  'replaceme',
  'dummy',
  'your_',
  'your-',
  'yourtoken',
  'yourkey',
  'insert_',
  'notasecret',
  'not_a_secret',
  'not-a-secret',
  '012345678',
  '123456789',
  'abcdefgh',
  'qwertyuiop',
  'deadbeef',
];

/** One character over and over: five times where it is no hexadecimal digit, else eight times, so that chance stays out. */
const RUN = /([g-zG-Z*#])\1{4}|([^-_=])\2{7}/;
const MASK = /\*{3}|\.{3}|…|•/;
const VARIABLE = /\$\{|\$\(|\{\{|<[\w .-]+>|^%\w+%$|#\{|^\$\w+$/;

export function isPlaceholder(secret: string): boolean {
  if (RUN.test(secret) || MASK.test(secret) || VARIABLE.test(secret)) return true;
  const lower = secret.toLowerCase();
  if (WORDS.some((word) => lower.includes(word))) return true;
  return secret.length >= 12 && new Set(lower).size <= 4;
}

/** For tokens without a prefix of their own: no placeholder, and no word or identifier either. */
export function looksRandom(secret: string): boolean {
  if (isPlaceholder(secret)) return false;
  return isMixed(secret) && new Set(secret.toLowerCase()).size >= 8;
}

/** Words that a password in code is compared, named or described with. */
const ORDINARY = [
  'password',
  'passwd',
  'passphrase',
  'secret',
  'token',
  'apikey',
  'api_key',
  'api-key',
  'credential',
  'undefined',
  'null',
  'true',
  'false',
  'required',
  'optional',
  'string',
  'test',
  'sample',
  'default',
  'foobar',
  'process.env',
  'config.',
  'xxxx',
];

const PASSWORD_CHARS_MIN = 8;

/** A value assigned to something called a password: no variable, no word of prose, no path, no call. */
export function looksLikePassword(secret: string): boolean {
  if (secret.length < PASSWORD_CHARS_MIN || isPlaceholder(secret)) return false;
  const lower = secret.toLowerCase();
  if (isOrdinary(lower)) return false;
  if (/\s|^[/.~@]|::|->|\(\)|^https?:|^[\w.]+\(/.test(secret)) return false;
  return kindsOf(secret) >= 3 || (kindsOf(secret) === 2 && isMixed(secret) && new Set(lower).size >= 8);
}

/** A word of four letters is in a long random text once in some thousand: there it has to be a third of it. */
function isOrdinary(lower: string): boolean {
  return ORDINARY.some((word) => (word.length > 4 || word.length * 3 > lower.length) && lower.includes(word));
}

/** How many of: small letters, capitals, digits, other characters. camelCase and file-names have two. */
function kindsOf(secret: string): number {
  return [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z\d_.-]/].filter((kind) => kind.test(secret)).length;
}

/** In front of an `@` a password needs less to be one: `user:secret@` and `postgres:postgres@` are none. */
export function looksLikeUrlPassword(secret: string): boolean {
  if (isPlaceholder(secret) || /[[\](),;*]|^[:.%]|^\d{1,5}$/.test(secret)) return false;
  const lower = secret.toLowerCase();
  return !isOrdinary(lower) && kindsOf(secret) >= 2;
}

/** Forty characters of base 64: neither the hex of a SHA-1 nor a path. */
export function looksLikeAwsSecret(secret: string): boolean {
  const hasBoth = /[a-z]/.test(secret) && /[A-Z]/.test(secret);
  return hasBoth && isMixed(secret) && !isPlaceholder(secret) && (secret.match(/\//g) ?? []).length < 6;
}

/** Digits among letters, or more capitals than the words of an identifier begin with. */
function isMixed(secret: string): boolean {
  const letters = (secret.match(/[A-Za-z]/g) ?? []).length;
  if (letters > 0 && /\d/.test(secret)) return true;
  const capitals = (secret.match(/[A-Z]/g) ?? []).length;
  return capitals < letters && capitals * LETTERS_A_CAPITAL >= letters;
}

/** Words of identifiers are longer than this; chance gives two. */
const LETTERS_A_CAPITAL = 4;
