/** `lock`: keeps a file, in all branches, for one user; the virtual ref `lock` refuses pushes of others that change it. */
import { repositoryPath } from '../disk.ts';
import { ctime } from '../local-time.ts';
import { readLocks, writeLocks, type Lock, type Locks } from '../locks.ts';
import { runProgram } from '../programs.ts';
import { isTrue } from '../rc-value.ts';
import { assertAsker, may } from '../rights.ts';
import type { Run } from '../run.ts';
import { inTurn } from '../turns.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

/** How long a git may take that looks into branches. */
const GIT_MS = 60_000;

export const lock: SiteCommand = {
  name: 'lock',
  summary: 'lock a file against changes by others',
  usage: `
Usage:  ssh git@host lock -l REPO FILE          # lock
        ssh git@host lock -u REPO FILE          # unlock
        ssh git@host lock --break REPO FILE     # take away somebody else's lock; needs the right to rewind
        ssh git@host lock -ls REPO              # list

`,
  async run(run, [op = '', name = '', file = '']) {
    if (op === '' || op === '-h') return showUsage(run, lock);
    const user = assertAsker(run);
    const change = CHANGES.get(op);
    if (change === undefined && op !== '-ls') return showUsage(run, lock);
    if (!(await may(run, name, 'W'))) throw dies('You are not authorised');
    if (op === '--break' && !(await may(run, name, '+'))) throw dies('You are not authorised');
    if (op !== '-ls' && !isTrue(file)) return showUsage(run, lock);
    const path = repositoryPath(run.rc, name);
    if (isTrue(file) && !(await isInSomeBranch(run, path, file)))
      throw dies(`aborting, file '${file}' not found in any branch`);
    if (change === undefined) await run.print(listed(await readLocks(path)));
    else
      await inTurn(run, path, async () =>
        writeLocks(path, change(await readLocks(path), { user, file, seconds: Math.floor(run.clock.now() / 1000) })),
      );
    return 0;
  },
};

interface Wish {
  readonly user: string;
  readonly file: string;
  readonly seconds: number;
}

const CHANGES: ReadonlyMap<string, (locks: Locks, wish: Wish) => Locks> = new Map([
  ['-l', locked],
  ['-u', unlocked],
  ['--break', broken],
]);

function locked({ locks, breaks }: Locks, { user, file, seconds }: Wish): Locks {
  const held = locks.get(file);
  if (held !== undefined) throw dies(`'${file}' locked by '${held.user}' since ${ctime(held.time * 1000)}`);
  return { locks: new Map([...locks, [file, { user, time: seconds }]]), breaks };
}

function unlocked({ locks, breaks }: Locks, { user, file }: Wish): Locks {
  if (locks.get(file)?.user !== user) throw dies(`'${file}' not locked by '${user}'`);
  return { locks: without(locks, file), breaks };
}

function broken({ locks, breaks }: Locks, { user, file, seconds }: Wish): Locks {
  const held = locks.get(file);
  if (held === undefined) throw dies(`'${file}' was not locked`);
  const line = `${seconds} ${user} ${held.user} ${held.time} ${file}`;
  return { locks: without(locks, file), breaks: [...breaks, line] };
}

function without(locks: ReadonlyMap<string, Lock>, file: string): ReadonlyMap<string, Lock> {
  return new Map([...locks].filter(([path]) => path !== file));
}

function listed({ locks, breaks }: Locks): string {
  const held = [...locks]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, { user, time }]) => `${user}\t${file}\t(${ctime(time * 1000)})\n`);
  const lost = breaks.map((line) => {
    const [when = '', who = '', whose = '', since = '', what = ''] = line.split(' ');
    return `${who}\t${what}\t(${timeOf(when)})\t(locked by ${whose} at ${timeOf(since)})\n`;
  });
  return `\n# locks held:\n\n${held.join('')}\n# locks broken:\n\n${lost.join('')}`;
}

function timeOf(seconds: string): string {
  return ctime(Number(seconds) * 1000);
}

/** What is nowhere is not locked: it was mistyped. */
async function isInSomeBranch(run: Run, path: string, file: string): Promise<boolean> {
  if (/[\n\0]/.test(file)) return false;
  const git = { file: 'git', cwd: path, stdout: 'collect', timeoutMs: GIT_MS } as const;
  const branches = await runProgram(run, { ...git, args: ['for-each-ref', 'refs/heads', '--format=%(refname)'] });
  const names = branches.stdout.split('\n').filter((name) => name !== '');
  const stdin = Buffer.from(names.map((name) => `${name}:${file}\n`).join(''));
  const found = await runProgram(run, { ...git, args: ['cat-file', '--batch-check=found'], stdin });
  return /^found$/m.test(found.stdout);
}
