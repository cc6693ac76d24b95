/** `option`: lets owners of a repository set options of the conf that the site has opened to them, in a file of its own. */
import { join } from 'node:path';
import { matchesWord } from '../allowed-words.ts';
import { optionOf } from '../options.ts';
import { isTrue } from '../rc-value.ts';
import { owns } from '../rights.ts';
import type { Run } from '../run.ts';
import { readSiteFile, writeSiteFile } from '../site-file.ts';
import { inTurn } from '../turns.ts';
import { showUsage } from '../usage.ts';
import { dies, fatalText, REMOTE_COMMAND } from '../words.ts';
import type { SiteCommand } from './command.ts';

export const option: SiteCommand = {
  name: 'option',
  summary: 'show or set options of a repository of yours',
  usage: `
Usage:  ssh git@host option REPO add KEY VALUE
        ssh git@host option REPO del KEY
        ssh git@host option REPO list

For repositories that you made, or own. Which keys are allowed is up to the site ('option user-options'). What was set
before is replaced.

`,
  async run(run, [name = '', op = '', key = '', value = '']) {
    if (name === '' || name === '-h') return showUsage(run, option);
    if (!(await owns(run, name))) throw dies('sorry, you are not authorised\n');
    if (op !== 'list' && op !== 'add' && op !== 'del') return showUsage(run, option);
    if (op !== 'list' && (!isTrue(key) || (op === 'add' && !isTrue(value)))) return showUsage(run, option);
    const path = join(run.rc.home, '.gitolite/conf/options.conf');
    const text = (await readSiteFile(path))?.toString();
    // The conf includes it: it is to be there from the first look on.
    if (text === undefined) await writeSiteFile(run, path, { data: '' });
    const lines = (text ?? '').split(/(?<=\n)/);
    if (op === 'list') {
      await run.print(listed(lines, name));
      return 0;
    }
    if (!matchesWord(await optionOf(run, name, 'user-options'), key)) throw dies(`option '${key}' not allowed\n`);
    if (!REMOTE_COMMAND.test(key + value)) throw dies(`invalid characters in option '${key}'`);
    await inTurn(run, path, async () => {
      const now = ((await readSiteFile(path))?.toString() ?? '').split(/(?<=\n)/);
      const added = op === 'add' ? `repo ${name}\n    option ${key} = ${value}\n` : '';
      await writeSiteFile(run, path, { data: without(now, name, key).join('') + added });
    });
    await compile(run);
    return 0;
  },
};

function listed(lines: readonly string[], name: string): string {
  const options = lines.filter((_line, at) => lines[at - 1] === `repo ${name}\n`);
  return options
    .map((line) => / {4}option (\S+) = (.*)/.exec(line))
    .map((option) => (option === null ? '' : `${option[1] ?? ''}\t${option[2] ?? ''}\n`))
    .join('');
}

/** The first such entry, which is two lines, taken out; what somebody else wrote stays. */
function without(lines: readonly string[], name: string, key: string): readonly string[] {
  const at = lines.findIndex(
    (line, i) => line === `repo ${name}\n` && lines[i + 1]?.startsWith(`    option ${key} = `) === true,
  );
  return at === -1 ? lines : [...lines.slice(0, at), ...lines.slice(at + 2)];
}

/** The option is set, whether the conf compiles or not: what is wrong there is said, and what was in force stays. */
async function compile(run: Run): Promise<void> {
  try {
    await run.site.compile(run);
  } catch (error) {
    run.signal.throwIfAborted();
    await run.warn(fatalText(error));
  }
}
