/** Rules as data: what a rule file says, checked, with patterns as text so that they travel to the workers. */

/** What makes a match no finding, or a finding with a question. Fields that the file does not give are empty. */
export interface Allowlist {
  readonly description: string;
  /** `all`: every kind of criterion given must hold; `any`: one is enough. */
  readonly condition: 'any' | 'all';
  /** RE2 patterns on the item's path. */
  readonly paths: readonly string[];
  /** RE2 patterns on what `regexTarget` names. */
  readonly regexes: readonly string[];
  readonly regexTarget: 'secret' | 'match' | 'line';
  /** Lower-cased; the secret contains one of them. */
  readonly stopwords: readonly string[];
  /** Oids, lower-cased, of commits (or of the object itself). */
  readonly commits: readonly string[];
}

/** A second rule that must match near by, or the first one's match counts for nothing. */
export interface RequiredRule {
  readonly id: string;
  /** Lines apart at most; absent: anywhere in the same text. */
  readonly withinLines?: number;
  /** Columns apart at most. */
  readonly withinColumns?: number;
}

export interface Rule {
  readonly id: string;
  readonly description: string;
  /** RE2 pattern on the text; absent: the rule is about paths alone. */
  readonly regex?: string;
  /** RE2 pattern on the path: the rule looks only at items whose path it matches. */
  readonly path?: string;
  /** Group that holds the secret; 0: the first group that took part in the match, else the whole match. */
  readonly secretGroup: number;
  /** Shannon entropy in bits a character that the secret must exceed; 0: any. */
  readonly entropy: number;
  /** Lower-cased; one of them must be in the text. Empty: no such condition. */
  readonly keywords: readonly string[];
  readonly tags: readonly string[];
  readonly allowlists: readonly Allowlist[];
  readonly required: readonly RequiredRule[];
  /** Only there for other rules' `required`. */
  readonly skipReport: boolean;
  /** Name of a check of `default-rules/checks.ts` that the secret must pass. */
  readonly verify?: string;
}

/** An allow-list for all rules, or for those named. */
export interface GlobalAllowlist extends Allowlist {
  /** Rule ids; empty: all. */
  readonly targetRules: readonly string[];
}

export interface RuleSet {
  readonly title: string;
  /** Where it came from, for people: `gatehouse-admin:scan/rules.toml`, `default`. */
  readonly source: string;
  readonly rules: readonly Rule[];
  readonly allowlists: readonly GlobalAllowlist[];
  /** What was accepted but deserves a look: unknown keys, rules without a keyword. */
  readonly warnings: readonly string[];
}
