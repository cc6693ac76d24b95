/** `authorized_keys` as gitolite generates it: which `gitolite-shell` its lines start, and how to have them start another. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAbsent } from '../small-file.ts';

export interface KeyLines {
  /** Path of a `gitolite-shell` -> lines between gitolite's marks that start it. */
  readonly shells: ReadonlyMap<string, number>;
  /** Lines outside of the marks that start one: somebody wrote them by hand. */
  readonly byHand: number;
  /** Other keys. */
  readonly others: number;
}

const START = /^# gito.*start/;
const END = /^# gito.*end/;
const SHELL = /command="([^" ]*\/gitolite-shell)(?=[" ])/;

export function readKeyLines(text: string): KeyLines {
  const shells = new Map<string, number>();
  let byHand = 0;
  let others = 0;
  for (const { line, isGenerated } of markedLines(text)) {
    const shell = SHELL.exec(line)?.[1];
    if (shell !== undefined && isGenerated) shells.set(shell, (shells.get(shell) ?? 0) + 1);
    else if (shell !== undefined) byHand += 1;
    else if (line.trim() !== '' && !line.startsWith('#')) others += 1;
  }
  return { shells, byHand, others };
}

/** Every generated line starts `shell`; all else stays byte for byte. */
export function pointKeysTo(text: string, shell: string): string {
  return markedLines(text)
    .map(({ line, isGenerated }) => (isGenerated ? line.replace(SHELL, () => `command="${shell}`) : line))
    .join('\n');
}

function* linesWithMarks(text: string): Iterable<{ readonly line: string; readonly isGenerated: boolean }> {
  let isGenerated = false;
  for (const line of text.split('\n')) {
    if (START.test(line)) isGenerated = true;
    yield { line, isGenerated };
    if (END.test(line)) isGenerated = false;
  }
}

function markedLines(text: string): readonly { readonly line: string; readonly isGenerated: boolean }[] {
  return [...linesWithMarks(text)];
}

/** Empty where there is none. @throws Fault where it cannot be read. */
export function readKeysFile(home: string): string {
  try {
    return readFileSync(join(home, '.ssh/authorized_keys'), 'utf8');
  } catch (error) {
    if (isAbsent(error)) return '';
    throw error;
  }
}
