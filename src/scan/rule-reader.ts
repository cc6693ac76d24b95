/** One `[[rules]]` table and one allow-list, as gitleaks reads them. */
import type { Allowlist, RequiredRule, Rule } from './rule-set.ts';
import type { Table } from './rule-table.ts';

const RULE_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/** @param position from 1, to name a rule that has no id. */
export function readRule(table: Table, position: number): Rule {
  const id = table.text('id') ?? '';
  table.name(id === '' ? `rule ${position}` : `rule ${id}`);
  if (id === '') table.problem('has no id');
  else if (!RULE_ID.test(id)) table.problem('the id is letters, digits and . _ : - only');
  const regex = table.text('regex') ?? '';
  const path = table.text('path') ?? '';
  const verify = table.text('verify');
  const rule: Rule = {
    id,
    description: table.text('description') ?? '',
    ...(regex === '' ? {} : { regex }),
    ...(path === '' ? {} : { path }),
    secretGroup: readCount(table, 'secretGroup'),
    entropy: table.number('entropy') ?? 0,
    keywords: table.texts('keywords').map((word) => word.toLowerCase()),
    tags: table.texts('tags'),
    allowlists: readRuleAllowlists(table),
    required: table.tables('required').map(readRequired),
    skipReport: table.flag('skipReport'),
    ...(verify === undefined ? {} : { verify }),
  };
  if (rule.entropy < 0 || rule.entropy > 8) table.problem('entropy is from 0 to 8 bits a character');
  if (rule.keywords.some((word) => word === '')) table.problem('a keyword is empty');
  table.finish();
  return rule;
}

export function readAllowlist(table: Table): Allowlist {
  const condition = (table.text('condition') ?? 'OR').toUpperCase();
  const target = (table.text('regexTarget') ?? 'secret').toLowerCase();
  const allowlist: Allowlist = {
    description: table.text('description') ?? '',
    condition: condition === 'AND' || condition === '&&' ? 'all' : 'any',
    paths: table.texts('paths'),
    regexes: table.texts('regexes'),
    regexTarget: target === 'match' || target === 'line' ? target : 'secret',
    stopwords: table.texts('stopwords').map((word) => word.toLowerCase()),
    commits: table.texts('commits').map((oid) => oid.toLowerCase()),
  };
  if (!['AND', '&&', 'OR', '||', ''].includes(condition)) table.problem('condition is AND or OR');
  if (!['match', 'line', 'secret', ''].includes(target)) table.problem('regexTarget is match, line or secret');
  if (allowlist.stopwords.some((word) => word === '')) table.problem('a stopword is empty: it would allow everything');
  const criteria = [allowlist.paths, allowlist.regexes, allowlist.stopwords, allowlist.commits];
  if (criteria.every((list) => list.length === 0))
    table.problem('says nothing: no paths, regexes, stopwords or commits');
  table.finish();
  return allowlist;
}

function readRuleAllowlists(table: Table): readonly Allowlist[] {
  const single = table.table('allowlist');
  const many = table.tables('allowlists');
  if (single !== undefined && many.length > 0) table.problem('allowlist and allowlists exclude each other');
  return [...(single === undefined ? [] : [single]), ...many].map(readAllowlist);
}

function readRequired(table: Table): RequiredRule {
  const id = table.text('id') ?? '';
  if (id === '') table.problem('has no id');
  const required: RequiredRule = {
    id,
    ...(table.has('withinLines') ? { withinLines: readCount(table, 'withinLines') } : {}),
    ...(table.has('withinColumns') ? { withinColumns: readCount(table, 'withinColumns') } : {}),
  };
  table.finish();
  return required;
}

function readCount(table: Table, key: string): number {
  const value = table.number(key) ?? 0;
  if (Number.isInteger(value) && value >= 0) return value;
  table.problem(`${key} is a whole number from 0`);
  return 0;
}
