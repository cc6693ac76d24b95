/** The conf of the policy repository as a policy: its settings read, its files compiled, what the gate cannot check refused. */
import { ADMIN_REPOSITORY } from '../../repository/lifecycle.ts';
import { fileProblem, type Problem } from '../problem.ts';
import { compileConf, type CompiledConf } from './compile-conf.ts';
import { CONF_ENTRY } from './conf-lines.ts';
import { CONF_FOLDER, ConfPolicy } from './conf-policy.ts';
import type { ConfPlace } from './conf.ts';
import { readConfSettings } from './settings-file.ts';

export type SiteConf =
  | { readonly kind: 'ok'; readonly policy: ConfPolicy; readonly warnings: readonly Problem[] }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[] };

const SETTINGS = `${CONF_FOLDER}gitolite.toml`;

/** @param sources of the whole policy. Undefined: the site has no conf. */
export function compileSiteConf(sources: ReadonlyMap<string, string>): SiteConf | undefined {
  const files = new Map(
    [...sources]
      .filter(([path]) => path.startsWith(CONF_FOLDER) && path.endsWith('.conf'))
      .map(([path, text]) => [path.slice(CONF_FOLDER.length), text]),
  );
  if (files.size === 0 && !sources.has(SETTINGS)) return undefined;
  const read = readConfSettings(SETTINGS, sources.get(SETTINGS));
  if (read.kind === 'wrong') return read;
  const { settings } = read;
  if (!files.has(CONF_ENTRY))
    return {
      kind: 'wrong',
      problems: [fileProblem(`${CONF_FOLDER}${CONF_ENTRY}`, 'the entry of the conf is missing')],
    };
  const result = compileConf({ files, settings, folder: CONF_FOLDER });
  if (result.kind === 'wrong') return result;
  const problems = unchecked(result.compiled);
  if (problems.length > 0) return { kind: 'wrong', problems };
  const warnings = [...result.warnings, ...misplaced(result.compiled)];
  return { kind: 'ok', policy: new ConfPolicy(result.compiled, settings.roles), warnings };
}

/** Built in (gitolite/vref/all.ts). Programs belong to a site of gitolite's, whose administrators may run them. */
const CHECKED = new Set([
  'NAME',
  'COUNT',
  'EMAIL-CHECK',
  'FILETYPE',
  'MAX_NEWBIN_SIZE',
  'MERGE-CHECK',
  'NAME_NC',
  'VOTES',
  'refex-expr',
]);

/** A rule that nothing checks would let through what it is there to stop. */
function unchecked({ conf, texts }: CompiledConf): readonly Problem[] {
  const problems = new Map<string, Problem>();
  for (const stanzas of conf.stanzas.values()) {
    for (const rule of stanzas.flatMap(({ rules }) => [...rules.values()].flat())) {
      const name = /^VREF\/([^/]*)/.exec(rule.refex)?.[1];
      if (name === undefined || CHECKED.has(name)) continue;
      const message = `${rule.refex} cannot be checked here: of the VREFs there are ${[...CHECKED].sort().join(', ')}`;
      problems.set(`${rule.file}:${rule.line}:${rule.refex}`, problemAt(rule, message, texts));
    }
  }
  return [...problems.values()].slice(0, PROBLEMS_MAX);
}

const PROBLEMS_MAX = 100;

function misplaced({ conf, texts }: CompiledConf): readonly Problem[] {
  const rule = conf.stanzas.get(ADMIN_REPOSITORY)?.flatMap(({ rules }) => [...rules.values()].flat())[0];
  if (rule === undefined) return [];
  return [problemAt(rule, `${ADMIN_REPOSITORY} is governed by rules/, whatever stands here`, texts)];
}

function problemAt({ file, line }: ConfPlace, message: string, texts: CompiledConf['texts']): Problem {
  return { ...fileProblem(`${CONF_FOLDER}${file}`, message), line, text: texts.get(file)?.[line - 1]?.trim() ?? '' };
}
