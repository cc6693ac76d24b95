/**
 * Reads a rule file in gitleaks' format (TOML; github.com/gitleaks/gitleaks, README "Configuration"). What gitleaks
 * would refuse is refused with the rule's id; a key nobody knows is a warning, since newer files have newer keys.
 */
import { parse, TomlError } from 'smol-toml';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { applyDefaults, type Extension } from './rule-extension.ts';
import { readAllowlist, readRule } from './rule-reader.ts';
import { checkRuleSet } from './rule-check.ts';
import type { GlobalAllowlist, RuleSet } from './rule-set.ts';
import { openTable, type Table } from './rule-table.ts';

/** Rules in one file, and characters of one file. */
const RULES_MAX = 5_000;
const FILE_CHARS_MAX = 4 * 1024 * 1024;

export interface RuleFileOptions {
  /** Where the text came from, for messages. */
  readonly source: string;
  /** What `[extend] useDefault = true` means; absent: such a file is refused. */
  readonly defaults?: RuleSet;
  /** Its patterns are not tried: what ships was tried by a test, and trying takes a tenth of a second of everybody's time. */
  readonly isShipped?: boolean;
}

/** Every problem in one refusal, a line each; warnings are in the set. */
export function loadRules(text: string, options: RuleFileOptions): Parsed<RuleSet> {
  if (text.length > FILE_CHARS_MAX) return refuse(`${options.source}: more than 4 Mi characters`);
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    return refuse(`${options.source}:${error.line}:${error.column}: ${error.message.split('\n')[0] ?? ''}`);
  }
  const problems: string[] = [];
  const warnings: string[] = [];
  const set = readDocument(openTable(document, { about: '', problems, warnings }), options);
  if (options.isShipped !== true) checkRuleSet(set, { problems, warnings, known: options.defaults });
  if (problems.length > 0) return refuse(problems.map((line) => `${options.source}: ${line}`).join('\n'));
  return ok({ ...set, warnings: warnings.map((line) => `${options.source}: ${line}`) });
}

function readDocument(top: Table, options: RuleFileOptions): RuleSet {
  const title = top.text('title') ?? top.text('description') ?? '';
  top.ignore('minVersion');
  const extension = readExtension(top.table('extend'), top);
  const single = top.table('allowlist');
  const many = top.tables('allowlists');
  if (single !== undefined && many.length > 0) top.problem('[allowlist] and [[allowlists]] exclude each other');
  const allowlists: GlobalAllowlist[] = [...(single === undefined ? [] : [single]), ...many].map((table) => {
    const targetRules = table.texts('targetRules');
    return { ...readAllowlist(table), targetRules };
  });
  const tables = top.tables('rules');
  if (tables.length > RULES_MAX) top.problem(`more than ${RULES_MAX} rules`);
  const rules = tables.slice(0, RULES_MAX).map((table, index) => readRule(table, index + 1));
  top.finish();
  const set: RuleSet = { title, source: options.source, rules, allowlists, warnings: [] };
  return applyDefaults(set, { extension, defaults: options.defaults, problem: (line) => top.problem(line) });
}

function readExtension(table: Table | undefined, top: Table): Extension {
  if (table === undefined) return { useDefault: false, disabledRules: [] };
  for (const key of ['path', 'url']) {
    if (table.text(key) !== undefined)
      top.problem(`extend.${key}: a rule file stands alone here; put its rules into this file`);
  }
  const extension = { useDefault: table.flag('useDefault'), disabledRules: table.texts('disabledRules') };
  table.finish();
  return extension;
}
