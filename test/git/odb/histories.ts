/** Random histories, the same for one seed: trees with moves, links and submodules, merges, dates that tie. */
import { git } from '../ground.ts';

/** Whole numbers from 0 to below `below`. */
export type Dice = (below: number) => number;

export function diceOf(seed: number): Dice {
  let state = seed * 2_654_435_761 + 1;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b_3c6d) + 0x297a_2d39) | 0;
    return ((state >>> 8) & 0xffff) % below;
  };
}

const DIRECTORIES = ['', 'a/', 'a/b/', 'a.b/', 'z/', 'ä/'];

/** `path` may become another directory's, a link, or go. */
function changes(dice: Dice, lines: string[]): void {
  const file = (): string => `${DIRECTORIES[dice(DIRECTORIES.length)] ?? ''}f${dice(6)}`;
  for (let count = dice(4); count >= 0; count -= 1) {
    const roll = dice(12);
    if (roll === 0) lines.push(`D ${file()}`);
    else if (roll === 1) lines.push(`M 160000 ${'1'.repeat(lines[0]?.length === 64 ? 64 : 40)} ${file()}-sub`);
    else {
      const mode = ['100644', '100644', '100755', '120000'][dice(4)] ?? '100644';
      const text = roll === 2 ? '' : `text ${dice(9)}\n`.repeat(1 + dice(3));
      lines.push(`M ${mode} inline ${file()}`, `data ${Buffer.byteLength(text)}`, text);
    }
  }
}

export interface History {
  /** Of refs/heads/b0 and on. */
  readonly branches: number;
  readonly commits: number;
}

/** Adds `commits` to random branches; a branch that is not there yet begins a history, or leaves another. */
export async function grow(gitDir: string, dice: Dice, { branches, commits }: History): Promise<void> {
  const there = new Set((await git(gitDir, ['for-each-ref', '--format=%(refname)', 'refs/heads/'])).split('\n'));
  const first = (await git(gitDir, ['rev-list', '--all', '--count']).catch(() => '0')) || '0';
  const isLong = (await git(gitDir, ['rev-parse', '--show-object-format'])) === 'sha256';
  let date = 1_700_000_000 + Number(first);
  const lines: string[] = [];
  for (let n = 0; n < commits; n += 1) {
    date += dice(2);
    const name = `refs/heads/b${dice(branches)}`;
    const others = [...there].filter((other) => other !== name && other.startsWith('refs/heads/'));
    const other = others[dice(Math.max(1, others.length))];
    lines.push(`commit ${name}`, `committer C <c@example.org> ${date} +0000`, 'data 2', `${n % 10}\n`);
    if (there.has(name)) {
      if (lines.length === 4 || !lines.includes(`commit ${name}`)) lines.push(`from ${name}^0`);
      if (other !== undefined && dice(4) === 0) lines.push(`merge ${other}`);
    } else if (other !== undefined && dice(3) > 0) lines.push(`from ${other}`);
    const own: string[] = [isLong ? ''.padEnd(64) : ''];
    changes(dice, own);
    lines.push(...own.slice(1));
    there.add(name);
  }
  await git(gitDir, ['fast-import', '--quiet', '--force', '--date-format=raw'], `${lines.join('\n')}\n`);
}
