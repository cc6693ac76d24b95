/** What must hold between the parts of a rule set: patterns compile, groups exist, ids are known. */
import { CHECK_NAMES } from './default-rules/checks.ts';
import { findProbes } from './regex/probes.ts';
import { compileSearch, type Search } from './regex/search.ts';
import type { Allowlist, Rule, RuleSet } from './rule-set.ts';

export interface Remarks {
  readonly problems: string[];
  readonly warnings: string[];
}

export function checkRuleSet(set: RuleSet, remarks: Remarks & { readonly known: RuleSet | undefined }): void {
  const known = new Set<Rule>(remarks.known?.rules);
  if (set.rules.length === 0) remarks.problems.push('there is no rule');
  const ids = new Set(set.rules.map((rule) => rule.id));
  const seen = new Set<string>();
  for (const rule of set.rules) {
    const say = (line: string): number => remarks.problems.push(`rule ${rule.id}: ${line}`);
    if (seen.has(rule.id)) say('the id is there twice');
    seen.add(rule.id);
    if (!known.has(rule)) checkRule(rule, { ...remarks, say });
    for (const { id } of rule.required) {
      if (!ids.has(id)) say(`required: there is no rule ${id}`);
      if (id === rule.id) say('required: a rule cannot require itself');
    }
  }
  for (const [index, list] of set.allowlists.entries()) {
    const about = `allowlist ${index + 1}`;
    checkAllowlist(list, (line) => remarks.problems.push(`${about}: ${line}`));
    for (const id of list.targetRules) {
      if (!ids.has(id)) remarks.warnings.push(`${about}: targetRules: there is no rule ${id}`);
    }
  }
}

type Say = (line: string) => void;

function checkRule(rule: Rule, { warnings, say }: Remarks & { readonly say: Say }): void {
  if (rule.regex === undefined && rule.path === undefined) say('has neither regex nor path');
  if (rule.path !== undefined) compileOr(rule.path, (reason) => say(`path: ${reason}`));
  if (rule.verify !== undefined && !CHECK_NAMES.includes(rule.verify)) say(`verify: there is no check ${rule.verify}`);
  const search = rule.regex === undefined ? undefined : compileOr(rule.regex, (reason) => say(`regex: ${reason}`));
  if (search !== undefined) {
    if (rule.secretGroup > search.groups) say(`secretGroup is ${rule.secretGroup}, the regex has ${search.groups}`);
    if (rule.keywords.length === 0 && findProbes(search.pattern) === undefined) {
      warnings.push(
        `rule ${rule.id}: has no keyword and no literal to look for: it runs over every byte, which is slow`,
      );
    }
  }
  for (const [index, list] of rule.allowlists.entries()) {
    checkAllowlist(list, (line) => say(`allowlist ${index + 1}: ${line}`));
  }
}

function checkAllowlist(list: Allowlist, say: Say): void {
  for (const path of list.paths) compileOr(path, (reason) => say(`paths: ${reason}`));
  for (const regex of list.regexes) compileOr(regex, (reason) => say(`regexes: ${reason}`));
}

function compileOr(source: string, refused: (reason: string) => void): Search | undefined {
  const compiled = compileSearch(source);
  if (compiled.kind === 'ok') return compiled.value;
  refused(compiled.reason);
  return undefined;
}
