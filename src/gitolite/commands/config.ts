/** `config`: lets owners of a repository set git configuration that the site has opened to them. */
import { matchesWord } from '../allowed-words.ts';
import { repositoryPath } from '../disk.ts';
import { optionOf } from '../options.ts';
import { runProgram } from '../programs.ts';
import { isTrue } from '../rc-value.ts';
import { may } from '../rights.ts';
import { mayKeepTexts } from '../text-file.ts';
import { showUsage } from '../usage.ts';
import { dies } from '../words.ts';
import type { SiteCommand } from './command.ts';

/** Words behind `git config`, the operation counted. */
const WORDS: ReadonlyMap<string, number> = new Map([
  ['--add', 3],
  ['--get-all', 2],
  ['--unset-all', 2],
  ['--list', 1],
]);

export const config: SiteCommand = {
  name: 'config',
  summary: 'show or set git configuration of a repository',
  usage: `
Usage:  ssh git@host config REPO --add NAME VALUE
        ssh git@host config REPO --get-all NAME
        ssh git@host config REPO --unset-all NAME
        ssh git@host config REPO --list

Runs 'git config' in the repository. Which names are allowed is up to the site ('option user-configs').

`,
  async run(run, [name = '', op = '', ...words]) {
    const count = WORDS.get(op);
    if (name === '-h' || count === undefined) return showUsage(run, config);
    const isReading = op === '--get-all' || op === '--list';
    const isAllowed = (await mayKeepTexts(run, name)) || (isReading && (await may(run, name, 'R')));
    if (!isAllowed) throw dies('sorry, you are not authorised\n');
    const operands = op === '--list' ? words : operandsOf(words);
    if (op !== '--list') {
      const [key = ''] = operands;
      if (!matchesWord(await optionOf(run, name, 'user-configs'), key)) throw dies(`config '${key}' not allowed\n`);
    }
    if (operands.length + 1 !== count) return showUsage(run, config);
    const { code } = await runProgram(run, {
      file: 'git',
      // Of the repository alone: the account's own may hold what nobody else is to see.
      args: ['config', '--local', op, ...operands],
      cwd: repositoryPath(run.rc, name),
    });
    return code;
  },
};

/** Over SSH a value comes in as many words as it has. */
function operandsOf([key = '', ...words]: readonly string[]): readonly string[] {
  const value = words.join(' ');
  return isTrue(value) ? [key, value] : [key];
}
