/** A conf from its files: `gitolite.conf` and what it includes. All or nothing; what is wrong comes back with file and line. */
import { BOUNDS } from '../../base/bounds.ts';
import type { Problem } from '../problem.ts';
import { ConfAccess } from './conf-access.ts';
import { ConfPatterns } from './conf-patterns.ts';
import { CONF_ENTRY, readConfLines } from './conf-lines.ts';
import { parseConf } from './conf-parser.ts';
import { ConfProblems } from './conf-problem.ts';
import type { ConfSettings } from './conf-settings.ts';
import type { Conf } from './conf.ts';
import { writeOut } from './plain-rules.ts';
import { Refexes } from './refex.ts';
import { RuleIndex } from './rule-index.ts';
import { addSiteSugar } from './site-sugar.ts';

export interface CompiledConf {
  readonly conf: Conf;
  readonly index: RuleIndex;
  readonly access: ConfAccess;
  /** The lines of each file, to show a rule as written. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
}

export type ConfCompilation =
  | { readonly kind: 'ok'; readonly compiled: CompiledConf; readonly warnings: readonly Problem[] }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] };

export interface ConfSources {
  /** Path, relative to the conf's directory -> text; `gitolite.conf` is the entry. */
  readonly files: ReadonlyMap<string, string>;
  readonly settings: ConfSettings;
  /** In front of the files' names where people read them: `conf/`. */
  readonly folder?: string;
}

export function compileConf({ files, settings, folder = '' }: ConfSources): ConfCompilation {
  const texts = new Map([...files].map(([path, text]) => [path, text.split('\n')]));
  const problems = new ConfProblems(folder, texts);
  const wrong = (): ConfCompilation => ({ kind: 'wrong', problems: problems.fatal, warnings: problems.warnings });
  if (!texts.has(CONF_ENTRY)) problems.die({ file: CONF_ENTRY, line: 0 }, 'the conf is missing');
  const bytes = [...files.values()].reduce((sum, text) => sum + text.length, 0);
  if (bytes > BOUNDS.policyBytesMax)
    problems.die({ file: CONF_ENTRY, line: 0 }, `a conf has at most ${BOUNDS.policyBytesMax} bytes`);
  if (problems.fatal.length > 0) return wrong();
  const read = readConfLines({ texts, hostname: settings.hostname, problems });
  const sweet = addSiteSugar(read, settings, problems);
  const patterns = new ConfPatterns();
  const conf = parseConf(writeOut(sweet, settings.roles, problems), { settings, patterns, problems });
  if (problems.fatal.length > 0) return wrong();
  const index = new RuleIndex(conf, { roles: settings.roles, patterns, refexes: new Refexes(conf.refexes) });
  const access = new ConfAccess(index);
  return { kind: 'ok', compiled: { conf, index, access, texts }, warnings: problems.warnings };
}
