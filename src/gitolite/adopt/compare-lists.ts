/** The lists that `gitolite list-*` prints, old and new. */
import { runGitolite } from '../gitolite.ts';
import type { Run } from '../run.ts';
import type { Differences } from './compare.ts';
import { askOld, type OldGitolite } from './old-gitolite.ts';
import type { Universe } from './questions.ts';

/** Names of each kind whose memberships are asked for: each is a process of the old gitolite. */
const NAMES_MAX = 20;

interface ListParts {
  readonly old: OldGitolite;
  readonly universe: Universe;
  readonly differences: Differences;
}

/** How many lists were compared. */
export async function compareLists(run: Run, { old, universe, differences }: ListParts): Promise<number> {
  const { compiled, users, repositories } = universe;
  const lists = [
    ['list-groups'],
    ['list-users'],
    ['list-repos'],
    ['list-phy-repos'],
    ...users.slice(0, NAMES_MAX).map((user) => ['list-memberships', '-u', user]),
    ...repositories.slice(0, NAMES_MAX).map(({ name }) => ['list-memberships', '-r', name]),
    ...[...compiled.conf.groups.keys()].slice(0, NAMES_MAX).map((group) => ['list-members', group]),
  ];
  for (const args of lists) {
    run.signal.throwIfAborted();
    const told = (await askOld(run, old, { args })).stdout;
    const ours = await said(run, args);
    if (told !== ours) differences.add({ what: 'list', question: `gitolite ${args.join(' ')}`, ...onlyIn(told, ours) });
  }
  return lists.length;
}

async function said(run: Run, args: readonly string[]): Promise<string> {
  let stdout = '';
  const collecting: Run = {
    ...run,
    print: async (text) => {
      stdout += Buffer.from(text).toString();
    },
    warn: async () => {},
  };
  await runGitolite(collecting, args);
  return stdout;
}

/** What each has that the other has not; where that is nothing, the order differs. */
function onlyIn(old: string, ours: string): { readonly old: string; readonly ours: string } {
  const [before, after] = [old.split('\n'), ours.split('\n')];
  const gone = before.filter((line) => !after.includes(line));
  const come = after.filter((line) => !before.includes(line));
  if (gone.length === 0 && come.length === 0)
    return { old: 'the same in another order', ours: 'the same in another order' };
  return { old: `only here: ${gone.slice(0, 10).join(' ')}`, ours: `only here: ${come.slice(0, 10).join(' ')}` };
}
