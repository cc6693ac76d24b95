/**
 * A conf from its files: `gitolite.conf` and what it includes. All or nothing; what is wrong comes back with file and line.
 * With the conf before it, what stayed the same is taken over, and the answer says what is different.
 */
import { isDeepStrictEqual } from 'node:util';
import { BOUNDS } from '../../base/bounds.ts';
import type { Problem } from '../problem.ts';
import { CleanLines } from './clean-lines.ts';
import { ConfAccess } from './conf-access.ts';
import { parseBlocks, type KnownBlocks } from './conf-blocks.ts';
import { confChange, EVERYTHING_CHANGED, type ConfChange } from './conf-change.ts';
import { CONF_ENTRY, readConfLines } from './conf-lines.ts';
import { ConfParser } from './conf-parser.ts';
import { ConfPatterns } from './conf-patterns.ts';
import { ConfProblems } from './conf-problem.ts';
import type { ConfSettings } from './conf-settings.ts';
import type { Conf } from './conf.ts';
import { Refexes } from './refex.ts';
import { RuleIndex } from './rule-index.ts';
import { addSiteSugar } from './site-sugar.ts';

export interface CompiledConf {
  readonly conf: Conf;
  readonly index: RuleIndex;
  readonly access: ConfAccess;
  /** The lines of each file, to show a rule as written. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
  /** For the compile after this one. */
  readonly reuse: Reuse;
}

export interface Reuse {
  readonly files: ReadonlyMap<string, string>;
  readonly settings: ConfSettings;
  readonly clean: CleanLines;
  readonly blocks: KnownBlocks;
  readonly patterns: ConfPatterns;
  readonly refexes: Refexes;
}

export type ConfCompilation =
  | {
      readonly kind: 'ok';
      readonly compiled: CompiledConf;
      readonly warnings: readonly Problem[];
      readonly changed: ConfChange;
    }
  | { readonly kind: 'wrong'; readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] };

export interface ConfSources {
  /** Path, relative to the conf's directory -> text; `gitolite.conf` is the entry. */
  readonly files: ReadonlyMap<string, string>;
  /** Paths of what else lies there: an include may name it, and is wrong then. */
  readonly others?: ReadonlySet<string>;
  readonly settings: ConfSettings;
  /** In front of the files' names where people read them: `conf/`. */
  readonly folder?: string;
  /** The conf before this one. */
  readonly previous?: CompiledConf | undefined;
}

const NONE: ReadonlySet<string> = new Set();

export function compileConf({ files, others = NONE, settings, folder = '', previous }: ConfSources): ConfCompilation {
  // Settings reach into every line.
  const known = previous !== undefined && isDeepStrictEqual(previous.reuse.settings, settings) ? previous : undefined;
  const texts = new Map([...files].map(([path, text]) => [path, linesOf(path, text, known)]));
  const problems = new ConfProblems(folder, texts);
  const wrong = (): ConfCompilation => ({ kind: 'wrong', problems: problems.fatal, warnings: problems.warnings });
  if (!texts.has(CONF_ENTRY)) problems.die({ file: CONF_ENTRY, line: 0 }, 'the conf is missing');
  const bytes = [...files.values()].reduce((sum, text) => sum + text.length, 0);
  if (bytes > BOUNDS.policyBytesMax)
    problems.die({ file: CONF_ENTRY, line: 0 }, `a conf has at most ${BOUNDS.policyBytesMax} bytes`);
  if (problems.fatal.length > 0) return wrong();
  const clean = new CleanLines(known?.reuse.clean);
  const read = readConfLines({ texts, others, hostname: settings.hostname, clean, problems });
  const sweet = addSiteSugar(read, settings, problems);
  const patterns = new ConfPatterns(known?.reuse.patterns);
  const parser = new ConfParser({ settings, patterns, problems });
  const blocks = parseBlocks(sweet, { roles: settings.roles, problems, parser, previous: known?.reuse.blocks });
  const conf = parser.done();
  if (problems.fatal.length > 0) return wrong();
  const refexes = new Refexes(conf.refexes, known?.reuse.refexes);
  const index = new RuleIndex(conf, { roles: settings.roles, patterns, refexes });
  clean.settle();
  patterns.settle();
  const reuse = { files, settings, clean, blocks, patterns, refexes };
  return {
    kind: 'ok',
    compiled: { conf, index, access: new ConfAccess(index), texts, reuse },
    warnings: problems.warnings,
    changed: known === undefined ? EVERYTHING_CHANGED : confChange(known.conf, conf),
  };
}

function linesOf(path: string, text: string, known: CompiledConf | undefined): readonly string[] {
  const lines = known?.reuse.files.get(path) === text ? known.texts.get(path) : undefined;
  return lines ?? text.split('\n');
}
