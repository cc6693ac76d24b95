/** The files that an `include` or `subconf` line means, as the shell's globs would find them, out of a list of names. */

/** Words and alternatives of one glob, more than any conf needs: hostile braces multiply. */
const ALTERNATIVES_MAX = 1_000;

/**
 * In the order in which they are read. A name without wildcards comes back whether it is there or not, and so does what
 * leads elsewhere (`isElsewhere`). Undefined: too many alternatives.
 */
export function globFiles(glob: string, files: readonly string[]): readonly string[] | undefined {
  const found: string[] = [];
  for (const word of glob.split(/[ \t\n\r\f\v]+/).filter((part) => part !== '')) {
    const alternatives = expandBraces(word);
    if (alternatives === undefined) return undefined;
    for (const alternative of alternatives) {
      const matched = files.filter((file) => isGlobMatch(alternative, file)).toSorted(byAlphabet);
      if (matched.length > 0) found.push(...matched);
      else if (!/[*?[]/.test(alternative) || isElsewhere(alternative)) found.push(alternative);
    }
  }
  return found;
}

/** `./a/../b.conf` is `b.conf`; undefined: outside. */
export function normalPath(path: string): string | undefined {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      if (parts.pop() === undefined) return undefined;
    } else parts.push(part);
  }
  return path.startsWith('/') ? undefined : parts.join('/');
}

/** Out of the conf's directory: absolute, above it, or below somebody's home. */
export function isElsewhere(path: string): boolean {
  return path.startsWith('~') || normalPath(path) === undefined;
}

function byAlphabet(a: string, b: string): number {
  const [one, other] = [a.toLowerCase(), b.toLowerCase()];
  if (one !== other) return one < other ? -1 : 1;
  return a < b ? -1 : Number(a > b);
}

function expandBraces(word: string): readonly string[] | undefined {
  let words = [word];
  for (;;) {
    const at = words.findIndex((one) => bracesOf(one) !== undefined);
    const one = words[at];
    const braces = one === undefined ? undefined : bracesOf(one);
    if (one === undefined || braces === undefined) return words;
    const { start, end, parts } = braces;
    words = words.toSpliced(at, 1, ...parts.map((part) => one.slice(0, start) + part + one.slice(end)));
    if (words.length > ALTERNATIVES_MAX) return undefined;
  }
}

/** The first `{...}` that ends, its parts split at its own commas. */
function bracesOf(
  text: string,
): { readonly start: number; readonly end: number; readonly parts: readonly string[] } | undefined {
  const start = text.search(/\{(?!\})/);
  if (start === -1) return undefined;
  const parts: string[] = [];
  let from = start + 1;
  for (let at = start + 1, depth = 1; at < text.length; at += 1) {
    const c = text.charAt(at);
    if (c === '{') depth += 1;
    if (c === '}') depth -= 1;
    if (depth === 0 || (c === ',' && depth === 1)) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
    if (depth === 0) return { start, end: at + 1, parts };
  }
  return undefined;
}

/** `*`, `?` and `[...]`, none of them over a slash; a leading dot is matched by a dot only. */
function isGlobMatch(glob: string, file: string): boolean {
  const ends = glob.split('/');
  const parts = file.split('/');
  const prefix = ends.filter((end) => end === '.' || end === '').length;
  if (ends.length - prefix !== parts.length || prefix > 0) return prefix === 0 ? false : isDotted(ends, file);
  return ends.every((end, i) => isPartMatch(end, parts[i] ?? ''));
}

/** `./x*.conf` finds what `x*.conf` finds. */
function isDotted(ends: readonly string[], file: string): boolean {
  if (ends[0] === '') return false;
  return isGlobMatch(ends.filter((end) => end !== '.' && end !== '').join('/'), file);
}

function isPartMatch(glob: string, part: string): boolean {
  if (part.startsWith('.') && !glob.startsWith('.')) return false;
  // One star is remembered: with several, going back to the last one is enough.
  let [at, g, star, starAt] = [0, 0, -1, 0];
  while (at < part.length) {
    const one = globOne(glob, g, part.charAt(at));
    if (glob.charAt(g) === '*') {
      star = g;
      starAt = at;
      g += 1;
    } else if (one > 0) {
      g += one;
      at += 1;
    } else if (star >= 0) {
      g = star + 1;
      starAt += 1;
      at = starAt;
    } else return false;
  }
  while (glob.charAt(g) === '*') g += 1;
  return g === glob.length;
}

/** How many characters of the glob match `c`; 0: none. */
function globOne(glob: string, g: number, c: string): number {
  const first = glob.charAt(g);
  if (first === '?') return 1;
  const set = first === '[' ? /^\[(!?)(\]?[^\]]*)\]/.exec(glob.slice(g)) : null;
  if (set === null) return first === c ? 1 : 0;
  const [all, not, members = ''] = set;
  let isIn = false;
  for (let i = 0; i < members.length; i += 1) {
    const isRange = members.charAt(i + 1) === '-' && i + 2 < members.length;
    if (isRange) isIn ||= c >= members.charAt(i) && c <= members.charAt(i + 2);
    else isIn ||= members.charAt(i) === c;
    if (isRange) i += 2;
  }
  return isIn === (not === '') ? all.length : 0;
}
