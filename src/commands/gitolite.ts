/** `gatehouse gitolite COMMAND ARG…`: the site's own commands, for who sits at the machine. */
import { refuse } from '../base/fault.ts';
import type { CommandRun } from '../request/request.ts';
import type { CommandEnd } from '../request/walk.ts';
import type { Answer, Command } from './command.ts';
import type { CommandParts } from './parts.ts';

export const GITOLITE_COMMANDS: readonly Command[] = [
  {
    form: 'gitolite COMMAND [ARG…]',
    summary: 'run a command of the gitolite site that this gate serves',
    details: [
      'Everything behind `gitolite` is the site command’s own: flags, help (`-h`) and exit code are as gitolite has them. `gitolite help` lists the commands.',
      'It acts as the account that the site lies in, so it runs at the local command line only.',
    ],
    examples: ['gitolite compile', 'gitolite access -q testing alice W main', 'gitolite list-repos'],
    scope: 'admin',
    permission: { kind: 'open' },
    // The runner hands the words on as they are: their flags are not the gate's.
    run: async (): Promise<Answer> => ({ kind: 'usage', reason: 'COMMAND is missing' }),
  },
  {
    form: 'gitolite adopt [HOME]',
    summary: 'take a gitolite site over, where it lies; --help there has its flags',
    details: ['Works on the files of the account whose home is HOME, without a gate.'],
    examples: ['gitolite adopt --dry-run', 'gitolite adopt /home/git', 'gitolite adopt --undo'],
    scope: 'admin',
    permission: { kind: 'open' },
    run: async (): Promise<Answer> => refuse('a site is taken over at the local command line of its account'),
  },
];

/** Whether the words are for the site, not a question about this command. */
export function isForSite([first, second]: readonly string[]): boolean {
  return first === 'gitolite' && second !== undefined && !['adopt', '--help', '-h'].includes(second);
}

/** Takes the walk as every command does; its words and its exit code are the site's. */
export function runSiteCommand(run: CommandRun, parts: CommandParts): Promise<CommandEnd> {
  const { origin, argv, signal, stdin, stdout, stderr } = run;
  return parts.walk.command(origin, { argv, signal }, async (ending, current) => {
    const refusal = current.kind === 'refused' ? current : refusalOf(current.value.principal, parts);
    if (refusal !== undefined) {
      const tell = async (): Promise<void> => void stderr.write(`gatehouse: ${refusal.reason}\n`);
      return { exit: 1, outcome: 'refused', reason: refusal.reason, tell };
    }
    const exit = (await parts.gitolite?.({ argv: argv.slice(1), stdin, stdout, stderr, signal: ending })) ?? 1;
    return { exit, outcome: exit === 0 ? 'served' : 'refused', ...(exit === 0 ? {} : { reason: `exit code ${exit}` }) };
  });
}

function refusalOf(
  principal: CommandRun['origin']['principal'],
  { gitolite }: Pick<CommandParts, 'gitolite'>,
): ReturnType<typeof refuse> | undefined {
  if (principal.kind !== 'user' || principal.credential.kind !== 'local' || principal.asking !== undefined)
    return refuse('commands of the gitolite site run at the local command line only');
  if (gitolite === undefined) return refuse('this gate serves no gitolite site: start it with --gitolite HOME');
  return undefined;
}
