/** A repository's git configuration, read without git, and written without it where the sections are new to the file. */
import { appendFileSync, closeSync, openSync, readFileSync, unlinkSync } from 'node:fs';
import { statOf } from './disk.ts';

const FILE_BYTES_MAX = 1024 * 1024;

/**
 * Key -> its values, in order. Section and name in lower case, as git has them. Undefined: there is none, or it is not as
 * simple as what git writes; then git must be asked.
 */
export function valuesIn(config: string): ReadonlyMap<string, readonly string[]> | undefined {
  const values = new Map<string, string[]>();
  let section = '';
  for (const line of config.split('\n')) {
    const text = line.trim();
    if (text === '' || text.startsWith('#') || text.startsWith(';')) continue;
    const [, header, sub] = /^\[([-.\w]+)(?: "((?:[^"\\]|\\.)*)")?\]$/.exec(text) ?? [];
    if (header !== undefined) {
      section = header.toLowerCase() + (sub === undefined ? '' : `.${sub.replaceAll(/\\(.)/g, '$1')}`);
      continue;
    }
    const [, name, written] = /^([a-zA-Z][-\w]*)(?:\s*=\s*(.*))?$/.exec(text) ?? [];
    const value = valueOf(written ?? 'true');
    if (name === undefined || value === undefined || section === '') return undefined;
    const key = `${section}.${name.toLowerCase()}`;
    const list = values.get(key);
    if (list === undefined) values.set(key, [value]);
    else list.push(value);
  }
  return values;
}

/** Undefined: there is none, or it is too large to be one. */
export function gitConfigText(path: string): string | undefined {
  const stat = statOf(path);
  return stat?.isFile() !== true || stat.size > FILE_BYTES_MAX ? undefined : readFileSync(path, 'utf8');
}

/** Undefined: a continued line, or a comment behind it. */
function valueOf(written: string): string | undefined {
  let value = '';
  let isQuoted = false;
  for (let at = 0; at < written.length; at += 1) {
    const c = written.charAt(at);
    if (c === '"') isQuoted = !isQuoted;
    else if (c === '\\') {
      at += 1;
      const escaped = ESCAPES[written.charAt(at)];
      if (escaped === undefined) return undefined;
      value += escaped;
    } else if ((c === '#' || c === ';') && !isQuoted) return undefined;
    else value += c;
  }
  return isQuoted ? undefined : value;
}

const ESCAPES: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', n: '\n', t: '\t', b: '\b' };

export interface Setting {
  readonly key: string;
  readonly value: string;
}

/** A value that git would write as it is. */
const PLAIN_VALUE = /^[\w/@.:+-](?:[\w/@.:+, -]*[\w/@.:+-])?$/;

/**
 * Adds settings as git would, sections of the same name together. False: nothing was done, since a section is there
 * already, a value needs quotes, or somebody else is writing the file.
 * @param text what the file holds, where that is known.
 */
export function appendSettings(
  path: string,
  settings: readonly Setting[],
  text: string | undefined = gitConfigText(path),
): boolean {
  if (text === undefined) return false;
  const present = new Set([...text.matchAll(/^\s*\[\s*([-.\w]+)/gm)].map(([, section = '']) => section.toLowerCase()));
  const sections = new Map<string, string[]>();
  const keys = new Set<string>();
  for (const { key, value } of settings) {
    const [, section = '', sub, name = ''] =
      /^([a-zA-Z][-a-zA-Z0-9]*)\.(?:(.+)\.)?([a-zA-Z][-a-zA-Z0-9]*)$/.exec(key) ?? [];
    if (section === '' || present.has(section.toLowerCase()) || !PLAIN_VALUE.test(value)) return false;
    if (sub !== undefined && !/^[-\w/@.]+$/.test(sub)) return false;
    if (keys.has(key.toLowerCase())) return false;
    keys.add(key.toLowerCase());
    const header = sub === undefined ? `[${section}]` : `[${section} "${sub}"]`;
    const lines = sections.get(header) ?? [];
    sections.set(header, lines);
    lines.push(`\t${name} = ${value}\n`);
  }
  const added = [...sections].map(([header, lines]) => `${header}\n${lines.join('')}`).join('');
  return appendLocked(path, text.endsWith('\n') || text === '' ? added : `\n${added}`);
}

/**
 * Under git's own lock, in one write: who reads meanwhile sees all of it or nothing. To rename a new file over the old one
 * would make some file systems write it to the disk at once, which for ten thousand repositories takes seconds.
 */
function appendLocked(path: string, text: string): boolean {
  const lock = `${path}.lock`;
  try {
    closeSync(openSync(lock, 'wx', 0o600));
  } catch {
    return false;
  }
  try {
    appendFileSync(path, text);
  } finally {
    unlinkSync(lock);
  }
  return true;
}
