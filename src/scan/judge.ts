/**
 * From a match to a finding: which group is the secret, whether it is one (entropy, checks, what allow-lists say of its
 * text), and what excuses it. What excuses by place or comment leaves the finding there, as a question: a pusher
 * chooses places and comments.
 */
import type { CompiledAllowlist, CompiledRule } from './compiled-rules.ts';
import { entropyOf } from './entropy.ts';
import type { Match } from './regex/search.ts';
import type { ScanItem } from './scanner.ts';

export interface Secret {
  readonly text: string;
  /** In the text that was searched. */
  readonly start: number;
  readonly end: number;
}

/** What a rule needs to know of a match. */
export interface Matched {
  readonly rule: CompiledRule;
  /** The text that was searched, and where in it. */
  readonly text: string;
  readonly match: Match;
  /** The lines that the match touches; asked for only where something depends on it. */
  readonly lines: () => string;
}

export type ItemFacts = Pick<ScanItem, 'kind' | 'path' | 'oid' | 'commit'>;

const NO_SECRET = 'no-secret';
const ALLOW_COMMENT = /\b(?:gitleaks|gatehouse):allow\b/;

/** The group that holds the secret: the one named, else the first that took part and is not empty, else the match. */
export function secretOf({ rule, text, match }: Matched): Secret {
  const { secretGroup } = rule.rule;
  const group =
    secretGroup > 0
      ? match.groups[secretGroup - 1]
      : match.groups.find((span) => span !== undefined && span.end > span.start);
  const { start, end } = group ?? match;
  return { text: text.slice(start, end), start, end };
}

/** @returns undefined: no secret. `excused`: a finding all the same, with that question. */
export function judge(matched: Matched, secret: Secret, facts: ItemFacts): { readonly excused?: string } | undefined {
  const { rule } = matched;
  if (secret.text === '') return undefined;
  if (rule.rule.entropy > 0 && entropyOf(secret.text) <= rule.rule.entropy) return undefined;
  if (rule.verify !== undefined && !rule.verify(secret.text)) return undefined;
  let excused: string | undefined;
  for (const allowlist of rule.allowlists) {
    const answer = consult(allowlist, { matched, secret, facts });
    if (answer === NO_SECRET) return undefined;
    if (answer !== undefined) excused ??= answer;
  }
  if (ALLOW_COMMENT.test(matched.lines())) excused ??= 'a comment on the line says that it is allowed';
  return excused === undefined ? {} : { excused };
}

/** Whether an allow-list names the item itself: for rules about paths, which have no secret. */
export function excuseOfItem(rule: CompiledRule, facts: ItemFacts): string | undefined {
  for (const { list, paths } of rule.allowlists) {
    if (list.condition === 'all' && (list.regexes.length > 0 || list.stopwords.length > 0)) continue;
    const answer = placeAnswer({ list, paths, regexes: [] }, facts);
    if (answer !== undefined) return answer;
  }
  return undefined;
}

/**
 * Whether a secret as caught by the groups of a match could be one, by its text alone: says no only where `judge` would.
 * @param groups as a RegExp gives them, the whole match first.
 */
export function couldBeSecret(rule: CompiledRule, groups: readonly (string | undefined)[]): boolean {
  const { secretGroup, entropy } = rule.rule;
  const text =
    secretGroup > 0
      ? groups[secretGroup]
      : groups.find((group, index) => index > 0 && group !== undefined && group !== '');
  // Without a group the secret is the whole match, of which a part may be missing here.
  if (text === undefined || text === '') return true;
  if (entropy > 0 && entropyOf(text) <= entropy) return false;
  if (rule.verify !== undefined && !rule.verify(text)) return false;
  return !rule.allowlists.some(
    ({ list, regexes }) =>
      list.condition === 'any' && list.regexTarget === 'secret' && regexes.some((search) => search.test(text)),
  );
}

interface Question {
  readonly matched: Matched;
  readonly secret: Secret;
  readonly facts: ItemFacts;
}

function consult(allowlist: CompiledAllowlist, question: Question): string | undefined {
  const { list } = allowlist;
  const byText = list.regexes.length > 0 || list.stopwords.length > 0;
  const byPlace = list.paths.length > 0 || list.commits.length > 0;
  const text = byText ? textAnswer(allowlist, question) : undefined;
  const place = byPlace ? placeAnswer(allowlist, question.facts) : undefined;
  if (list.condition === 'any') return text === NO_SECRET ? text : (place ?? text);
  if (byText && text === undefined) return undefined;
  return byPlace ? place : text;
}

/** What an allow-list says of the item's path and commit, in words; undefined: nothing. */
function placeAnswer({ list, paths }: CompiledAllowlist, facts: ItemFacts): string | undefined {
  const path = paths.length > 0 && facts.path !== '' && paths.some((search) => search.test(facts.path));
  const commit = list.commits.some((oid) => oid === facts.commit?.toLowerCase() || oid === facts.oid.toLowerCase());
  const both = list.condition === 'all' && paths.length > 0 && list.commits.length > 0;
  if (both ? !(path && commit) : !(path || commit)) return undefined;
  return path ? `${nameOf(list)} names this path` : `${nameOf(list)} names this commit`;
}

/**
 * Regexes and stopwords: one of them, or with `all` one of each that is given. What stands around a secret is written by
 * whoever writes the secret: it is a question only.
 */
function textAnswer({ list, regexes }: CompiledAllowlist, { matched, secret }: Question): string | undefined {
  const around = (): string =>
    list.regexTarget === 'line' ? matched.lines() : matched.text.slice(matched.match.start, matched.match.end);
  const lower = secret.text.toLowerCase();
  const isStopped = list.stopwords.some((word) => lower.includes(word));
  if (list.condition === 'any' && isStopped) return NO_SECRET;
  if (list.condition === 'all' && list.stopwords.length > 0 && !isStopped) return undefined;
  if (regexes.length === 0) return list.condition === 'all' ? NO_SECRET : undefined;
  if (regexes.some((search) => search.test(secret.text))) return NO_SECRET;
  if (list.regexTarget === 'secret' || !regexes.some((search) => search.test(around()))) return undefined;
  return `${nameOf(list)} allows what stands around it`;
}

function nameOf({ description }: CompiledAllowlist['list']): string {
  return description === '' ? 'an allow-list' : `the allow-list "${description}"`;
}
