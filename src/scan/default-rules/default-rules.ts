/** The rules that ship: `rules/*.toml`, in gitleaks' format with `verify` beside it. */
import { readdirSync, readFileSync } from 'node:fs';

const RULES = new URL('rules/', import.meta.url);

/** What a problem in them would name as its file. */
export const DEFAULT_RULES_SOURCE = 'default rules';

/** All of them as one rule file, read from disk at each call, in the order of the files' names. */
export function defaultRuleText(): string {
  const names = readdirSync(RULES).filter((name) => name.endsWith('.toml'));
  return names
    .toSorted()
    .map((name) => readFileSync(new URL(name, RULES), 'utf8'))
    .join('\n');
}
