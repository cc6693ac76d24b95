/** Paths as `git diff --name-only` writes them, which is what NAME rules were written against: unusual bytes in quotes. */
import { Buffer } from 'node:buffer';

const LETTERS: Readonly<Record<string, string>> = {
  '\x07': 'a',
  '\b': 'b',
  '\t': 't',
  '\n': 'n',
  '\v': 'v',
  '\f': 'f',
  '\r': 'r',
  '"': '"',
  '\\': '\\',
};

export function quotePath(path: string): string {
  if (/^[\x20-\x7e]*$/.test(path) && !/["\\]/.test(path)) return path;
  const bytes = Buffer.from(path, 'utf8').toString('latin1');
  const quoted = bytes.replaceAll(/[^\x20-\x7e]|["\\]/g, (c) => {
    const letter = LETTERS[c];
    return `\\${letter ?? c.charCodeAt(0).toString(8).padStart(3, '0')}`;
  });
  return `"${quoted}"`;
}

/** As rules may speak of a path: a rule about its folder is to find it whatever it is called. */
export function spellings(path: string): readonly string[] {
  const quoted = quotePath(path);
  return quoted === path ? [path] : [quoted, path];
}
