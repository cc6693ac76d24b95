/** `post-compile/update-git-configs`: what the conf's `config` lines set, in each repository's own git configuration. */
import { Stint } from '../../base/stint.ts';
import { configOf } from '../options.ts';
import { changedOf } from '../changed.ts';
import { isDiskName, repositoryPath, statOf } from '../disk.ts';
import { appendSettings, gitConfigText, valuesIn } from '../git-config-file.ts';
import { runProgram } from '../programs.ts';
import { isTrue } from '../rc-value.ts';
import type { Run } from '../run.ts';
import type { BuiltInTrigger } from './trigger.ts';

export const GIT_CONFIGS: BuiltInTrigger = {
  name: 'post-compile/update-git-configs',
  async run(run, { point, args: [repository = ''] }) {
    if (point === 'POST_CREATE') return update(run, repository);
    const stint = new Stint();
    for (const name of changedNames(run) ?? (await run.site.physical(run.rc))) {
      if (isDiskName(name) && statOf(repositoryPath(run.rc, name)) !== undefined) await update(run, name);
      if (stint.isOver) await stint.rest();
    }
    return undefined;
  },
};

/** Where values name groups, another member of some group may change any. */
function changedNames(run: Run): readonly string[] | undefined {
  const users = run.changed?.users;
  const isMoved = users === 'all' || (users?.size ?? 0) > 0;
  return isMoved && isTrue(run.rc.values['EXPAND_GROUPS_IN_CONFIG']) ? undefined : changedOf(run, []);
}

/** Git writes what is not plainly new; nothing is written, and no git is started, where all is as it should be. */
async function update(run: Run, name: string): Promise<void> {
  const wanted = [...(await configOf(run, name, { isEmptyToo: true }))].filter(
    ([key]) => !key.startsWith('gitolite-options.'),
  );
  if (wanted.length === 0) return;
  const path = `${repositoryPath(run.rc, name)}/config`;
  const groups = isTrue(run.rc.values['EXPAND_GROUPS_IN_CONFIG']) ? await groupsOf(run) : undefined;
  let text = gitConfigText(path);
  const present = text === undefined ? undefined : valuesIn(text);
  const settings: { readonly key: string; readonly value: string }[] = [];
  for (const [key, written] of wanted) {
    const value = groups === undefined ? written : written.replaceAll(/@\w+/g, (group) => groups(group));
    const found = present?.get(key.toLowerCase());
    if (found?.includes(value) === true) continue;
    if (value !== '') settings.push({ key, value });
    else if (found !== undefined) {
      await git(run, path, '--unset-all', key);
      text = undefined;
    }
  }
  if (settings.length === 0 || appendSettings(path, settings, text)) return;
  for (const { key, value } of settings) await git(run, path, key, value);
}

async function git(run: Run, file: string, ...args: readonly string[]): Promise<void> {
  await runProgram(run, { file: 'git', args: ['config', '--file', file, ...args] });
}

async function groupsOf(run: Run): Promise<(group: string) => string> {
  const { groups } = (await run.site.conf(run.rc)).compiled.conf;
  return (group) => {
    const members = [...(groups.get(group) ?? [])].sort();
    return members.length === 0 ? group : members.join(' ');
  };
}
