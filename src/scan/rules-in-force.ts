/** The rules in force: those that ship, and the files `secrets/*.toml` of the policy repository on top of them. */
import { parse } from 'smol-toml';
import { ok, refuse, type Parsed } from '../base/fault.ts';
import { isJsonObject } from '../base/json.ts';
import { DEFAULT_RULES_SOURCE, defaultRuleText } from './default-rules/default-rules.ts';
import { loadRules } from './rule-file.ts';
import type { Rule, RuleSet } from './rule-set.ts';

/** Whether a file of the policy repository holds rules of the secret scan. */
export function isSecretRulePath(path: string): boolean {
  return /^secrets\/[^/]+\.toml$/.test(path);
}

/** @throws Fault `internal` where what ships does not load. */
export function loadDefaultRules(): Parsed<RuleSet> {
  return loadRules(defaultRuleText(), { source: DEFAULT_RULES_SOURCE, isShipped: true });
}

/**
 * The default rules and those of each file, in the order of names. A file's rule takes the place of one with the same id;
 * a file with `[extend] useDefault = true` changes what is in force before it, and may switch rules off. Every file that does
 * not load is named.
 */
export function combineRules(defaults: RuleSet, sources: ReadonlyMap<string, string>): Parsed<RuleSet> {
  let set = defaults;
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const path of [...sources.keys()].filter(isSecretRulePath).sort()) {
    const text = sources.get(path) ?? '';
    const loaded = loadRules(text, { source: path, defaults: set });
    if (loaded.kind === 'refused') {
      problems.push(loaded.reason);
      continue;
    }
    warnings.push(...loaded.value.warnings);
    set = extendsDefaults(text) ? { ...set, ...loaded.value } : union(set, loaded.value);
  }
  if (problems.length > 0) return refuse(problems.join('\n'));
  return ok({ ...set, source: defaults.source, warnings });
}

function union(base: RuleSet, added: RuleSet): RuleSet {
  const rules = new Map<string, Rule>(base.rules.map((rule) => [rule.id, rule]));
  for (const rule of added.rules) rules.set(rule.id, rule);
  return { ...base, rules: [...rules.values()], allowlists: [...base.allowlists, ...added.allowlists] };
}

/** The text was read once already and is TOML. */
function extendsDefaults(text: string): boolean {
  const extend: unknown = parse(text)['extend'];
  return isJsonObject(extend) && extend['useDefault'] === true;
}
