/** Locks of files in a repository: `gl-locks`, as gitolite's command `lock` writes it, which is a Perl table. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileDurably } from '../base/durable.ts';
import { isAbsent } from './small-file.ts';
import { dies } from './words.ts';

export interface Lock {
  readonly user: string;
  /** Seconds since 1970. */
  readonly time: number;
}

export interface Locks {
  /** By path. */
  readonly locks: ReadonlyMap<string, Lock>;
  /** `WHEN WHO WHOSE SINCE PATH`, oldest first: locks that were broken. */
  readonly breaks: readonly string[];
}

const FILE = 'gl-locks';
const BYTES_MAX = 16 * 1024 * 1024;
const QUOTED = String.raw`'((?:[^'\\]|\\.)*)'`;
const ENTRY = new RegExp(String.raw`${QUOTED} *=> *\{([^}]*)\}`, 'gs');
const BREAKS = /'BREAKS' *=> *\[(.*?)\n? *\]/s;

/** None where there is no such file. @throws `dies` where it cannot be read. */
export async function readLocks(repositoryPath: string): Promise<Locks> {
  const path = join(repositoryPath, FILE);
  try {
    if ((await stat(path)).size > BYTES_MAX) throw dies(`'${path}' is too large, contact your administrator`);
    return parseLocks(await readFile(path, 'utf8'));
  } catch (error) {
    if (isAbsent(error)) return { locks: new Map(), breaks: [] };
    throw error;
  }
}

export async function writeLocks(repositoryPath: string, locks: Locks): Promise<void> {
  await writeFileDurably(join(repositoryPath, FILE), locksText(locks));
}

export function parseLocks(text: string): Locks {
  const locks = new Map<string, Lock>();
  for (const [, path = '', body = ''] of text.matchAll(ENTRY)) {
    const user = new RegExp(`'USER' *=> *${QUOTED}`, 's').exec(body)?.[1];
    const time = /'TIME' *=> *'?(\d+)/.exec(body)?.[1];
    if (user !== undefined) locks.set(plain(path), { user: plain(user), time: Number(time ?? 0) });
  }
  const breaks = [...(BREAKS.exec(text)?.[1] ?? '').matchAll(new RegExp(QUOTED, 'gs'))];
  return { locks, breaks: breaks.map(([, line = '']) => plain(line)) };
}

export function locksText({ locks, breaks }: Locks): string {
  const entries = [...locks].map(([path, { user, time }]): readonly [string, string] => [
    path,
    `{\n    'TIME' => ${time},\n    'USER' => ${quoted(user)}\n  }`,
  ]);
  if (breaks.length > 0) {
    entries.push(['BREAKS', `[\n${breaks.map((line) => `    ${quoted(line)}`).join(',\n')}\n  ]`]);
  }
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  const body = entries.map(([key, value]) => `  ${quoted(key)} => ${value}`).join(',\n');
  return `%locks = (${body === '' ? '' : `\n${body}\n`});\n`;
}

function quoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}

function plain(text: string): string {
  return text.replaceAll(/\\([\\'])/g, '$1');
}
