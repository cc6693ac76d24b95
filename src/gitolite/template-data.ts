/** Rule templates: blocks of the conf that say which groups a repository is in and whom it lets in, written to its files. */
import { insaneRepository } from '../access/gitolite/words.ts';
import { readTemplateFiles } from './conf-sources.ts';
import { createWild } from './create-repository.ts';
import { GROUPS_FILE, isDiskName, PERMISSIONS_FILE, repositoryPath, statOf, textOf, writeText } from './disk.ts';
import { glWarn } from './gl-log.ts';
import { ADMIN_REPOSITORY } from './hooks.ts';
import type { Run } from './run.ts';
import { REPOSITORY_WORD } from './words.ts';

/** What one `repo` line of a block and the lines below it say. */
interface Template {
  /** Names, and groups of names. */
  readonly repositories: readonly string[];
  readonly groups: string;
  readonly permissions: string;
}

/**
 * Repositories that are not there yet are made, with gitolite-admin for their creator. Resolves to the names of those whose
 * files are other than before.
 */
export async function applyTemplates(run: Run): Promise<ReadonlySet<string>> {
  const changed = new Set<string>();
  const { templates, badLines } = readTemplates(readTemplateFiles(run.rc));
  for (const line of badLines) await glWarn(run, `bad line: ${line}`);
  for (const template of templates) {
    for (const name of await namesOf(run, template)) {
      if (!isDiskName(name)) await warnOf(run, name);
      else if (await apply(run, name, template)) changed.add(name);
    }
  }
  return changed;
}

/** Gitolite dies of such a name, and what follows a compile is not done: keys that are gone would go on. Patterns it skips. */
async function warnOf(run: Run, name: string): Promise<void> {
  const wrong = REPOSITORY_WORD.test(name) ? insaneRepository(name) : undefined;
  if (wrong !== undefined) await glWarn(run, `${wrong}; its template data is ignored`);
}

/** Whether that changed something. */
async function apply(run: Run, name: string, { groups, permissions }: Template): Promise<boolean> {
  const path = repositoryPath(run.rc, name);
  const isNew = statOf(path)?.isDirectory() !== true;
  if (isNew) await createWild(run, name, ADMIN_REPOSITORY, 'template-data');
  const outdated = (
    [
      [GROUPS_FILE, groups],
      [PERMISSIONS_FILE, permissions],
    ] as const
  ).filter(([file, text]) => textOf(`${path}/${file}`) !== text);
  for (const [file, text] of outdated) writeText(`${path}/${file}`, text, run.rc);
  return isNew || outdated.length > 0;
}

async function namesOf(run: Run, { repositories }: Template): Promise<readonly string[]> {
  const { compiled } = await run.site.conf(run.rc);
  const names: string[] = [];
  for (const name of repositories) {
    if (!name.startsWith('@')) {
      names.push(name);
      continue;
    }
    const members = [...(compiled.conf.groups.get(name) ?? [])].sort();
    if (members.length === 0) await glWarn(run, `undefined group '${name}'`);
    names.push(...members);
  }
  return names;
}

/** Exported for its tests. @param text of all the conf's files, one after another. */
export function readTemplates(text: string): {
  readonly templates: readonly Template[];
  readonly badLines: readonly string[];
} {
  const templates: Template[] = [];
  const badLines: string[] = [];
  let [repositories, groups, permissions] = ['', '', ''];
  const flush = (): void => {
    const names = repositories.split(' ').filter((name) => name !== '');
    if (names.length > 0 && groups !== '' && permissions !== '')
      templates.push({ repositories: names, groups: groups.replaceAll(/\s+/g, ' '), permissions });
  };
  for (const line of blockLines(text)) {
    if (/[^ \w.@/=-]/.test(line)) {
      badLines.push(line);
      continue;
    }
    const [, names, list] = /^ *repo +([^ ].*)= *([^ ].*)$/.exec(line) ?? [];
    const [, role, members] = /^ *([^ ]+) *= *([^ ].*)$/.exec(line) ?? [];
    if (names !== undefined && list !== undefined) {
      flush();
      [repositories, groups, permissions] = [names, list, ''];
    } else if (role !== undefined && members !== undefined) permissions += `${role} = ${members}\n`;
  }
  flush();
  return { templates, badLines };
}

/** Lines inside the blocks, continued ones joined, without comments. */
function blockLines(text: string): readonly string[] {
  const lines: string[] = [];
  let isInside = false;
  let begun = '';
  for (const raw of text.split('\n')) {
    if (!isInside) {
      isInside = raw === '=begin template-data';
      continue;
    }
    if (raw === '=end') isInside = false;
    if (/^=(?:begin|end)/.test(raw) || raw.trim() === '' || /^\s*#/.test(raw)) continue;
    const line = raw.replaceAll('\t', ' ');
    if (line.endsWith('\\')) begun += line.slice(0, -1);
    else {
      lines.push(begun + line);
      begun = '';
    }
  }
  return lines;
}
