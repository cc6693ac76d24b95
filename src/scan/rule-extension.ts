/** `[extend]`: a file's rules on top of the default ones. */
import type { Rule, RuleSet } from './rule-set.ts';

export interface Extension {
  readonly useDefault: boolean;
  readonly disabledRules: readonly string[];
}

export interface ExtensionParts {
  readonly extension: Extension;
  readonly defaults: RuleSet | undefined;
  readonly problem: (line: string) => void;
}

/** The file's own set where it does not extend. A rule of a known id changes the default rule, as in gitleaks. */
export function applyDefaults(own: RuleSet, parts: ExtensionParts): RuleSet {
  const { extension, defaults, problem } = parts;
  if (!extension.useDefault) {
    if (extension.disabledRules.length > 0) problem('extend.disabledRules means nothing without useDefault');
    return own;
  }
  if (defaults === undefined) {
    problem('extend.useDefault: there are no default rules here');
    return own;
  }
  const rules = new Map(defaults.rules.map((rule) => [rule.id, rule]));
  for (const id of extension.disabledRules) {
    if (!rules.delete(id)) problem(`extend.disabledRules: no default rule ${id}`);
  }
  const seen = new Set<string>();
  for (const rule of own.rules) {
    const base = seen.has(rule.id) ? undefined : rules.get(rule.id);
    if (seen.has(rule.id)) problem(`rule ${rule.id}: the id is there twice`);
    seen.add(rule.id);
    rules.set(rule.id, base === undefined ? rule : overlay(base, rule));
  }
  return { ...own, rules: [...rules.values()], allowlists: [...defaults.allowlists, ...own.allowlists] };
}

/** What the file gives replaces; lists grow. */
function overlay(base: Rule, over: Rule): Rule {
  return {
    ...base,
    ...over,
    description: over.description === '' ? base.description : over.description,
    secretGroup: over.secretGroup === 0 ? base.secretGroup : over.secretGroup,
    entropy: over.entropy === 0 ? base.entropy : over.entropy,
    keywords: [...new Set([...base.keywords, ...over.keywords])],
    tags: [...new Set([...base.tags, ...over.tags])],
    allowlists: [...base.allowlists, ...over.allowlists],
    required: over.required.length === 0 ? base.required : over.required,
    skipReport: base.skipReport || over.skipReport,
  };
}
