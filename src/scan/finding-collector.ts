/**
 * What one item's rules found: judged, located, bounded, each secret of a rule once. Secrets stay in here; what comes out
 * of `report` shows none.
 */
import type { CompiledRule, CompiledRules } from './compiled-rules.ts';
import type { Finding } from './finding.ts';
import { excuseOfItem, judge, secretOf, type ItemFacts } from './judge.ts';
import { fingerprintOf, redact } from './redact.ts';
import type { RequiredRule } from './rule-set.ts';
import type { Candidate } from './text-scan.ts';

/** Places of one item held for rules that need one another. */
const PLACES_MAX = 10_000;

interface Place {
  readonly rule: string;
  readonly inner: string;
  readonly line: number;
  readonly column: number;
}

interface Held extends Place {
  readonly compiled: CompiledRule;
  readonly secret: string;
  readonly fingerprint: string;
  readonly excused: string | undefined;
}

export interface CollectorParts {
  readonly rules: CompiledRules;
  readonly facts: ItemFacts;
  readonly findingsMax: number;
}

export interface Collected {
  readonly findings: readonly Finding[];
  /** Beyond the bound. */
  readonly dropped: number;
  /** Matches could not all be compared with one another: the item does not count as looked at. */
  readonly overflow: boolean;
}

export class FindingCollector {
  readonly #parts: CollectorParts;
  readonly #required: ReadonlySet<string>;
  readonly #held = new Map<string, Held>();
  readonly #places: Place[] = [];
  readonly #composite: Held[] = [];
  readonly #droppedPrints = new Set<string>();
  #dropped = 0;
  #overflow = false;

  constructor(parts: CollectorParts) {
    this.#parts = parts;
    this.#required = new Set(parts.rules.rules.flatMap(({ rule }) => rule.required.map(({ id }) => id)));
  }

  /** @param inner where in an archive; @param line fixed, where the text is not the file's own. */
  take({ rule, window, match, text }: Candidate, at: { readonly inner: string; readonly line?: number }): void {
    const secret = secretOf({ rule, text: window.text, match, lines: () => '' });
    const fingerprint = fingerprintOf(rule.rule.id, secret.text);
    const known = this.#held.get(fingerprint);
    const needed = rule.rule.required.length > 0 || this.#required.has(rule.rule.id);
    if (!needed && known !== undefined && known.excused === undefined && (known.inner !== '' || at.inner === ''))
      return;
    let place: ReturnType<typeof text.place> | undefined;
    const locate = (): ReturnType<typeof text.place> =>
      (place ??= text.place(window.offsetAt(match.start), window.offsetAt(match.end)));
    const verdict = judge({ rule, text: window.text, match, lines: () => locate().lines }, secret, this.#parts.facts);
    if (verdict === undefined) return;
    const where = text.place(window.offsetAt(secret.start), window.offsetAt(secret.end));
    this.#add({
      compiled: rule,
      rule: rule.rule.id,
      inner: at.inner,
      line: at.line ?? where.line,
      column: at.line === undefined ? where.column : 1,
      secret: secret.text,
      fingerprint,
      excused: verdict.excused,
    });
  }

  /** A rule about paths alone that this path matches. */
  takePath(rule: CompiledRule, path: string, inner: string): void {
    this.#add({
      compiled: rule,
      rule: rule.rule.id,
      inner,
      line: 0,
      column: 0,
      secret: path,
      fingerprint: fingerprintOf(rule.rule.id, path),
      excused: excuseOfItem(rule, this.#parts.facts),
    });
  }

  report(): Collected {
    for (const held of this.#composite) {
      if (held.compiled.rule.required.every((required) => this.#isNear(held, required))) this.#keep(held);
    }
    const held = [...this.#held.values()].filter((one) => !one.compiled.rule.skipReport && !this.#isShadowed(one));
    const mask = masking(held);
    const findings = held.map((one): Finding => {
      const { kind, path, oid } = this.#parts.facts;
      const { rule, line, column, inner, fingerprint, excused } = one;
      const { description } = one.compiled.rule;
      const redacted = one.compiled.search === undefined ? one.secret : redact(one.secret);
      const place = { path: mask(path), inner: mask(inner) };
      const finding = { rule, description, kind, ...place, oid, line, column, redacted, fingerprint };
      return excused === undefined ? finding : { ...finding, excused };
    });
    return { findings, dropped: this.#dropped, overflow: this.#overflow };
  }

  #add(held: Held): void {
    if (this.#required.has(held.rule)) this.#bounded(this.#places, held);
    if (held.compiled.rule.required.length > 0) this.#bounded(this.#composite, held);
    else if (!held.compiled.rule.skipReport) this.#keep(held);
  }

  #bounded<T>(list: T[], entry: T): void {
    if (list.length < PLACES_MAX) list.push(entry);
    else this.#overflow = true;
  }

  /** Of two places of one secret: the one without an excuse, then the one that says more of where. */
  #keep(held: Held): void {
    const known = this.#held.get(held.fingerprint);
    if (known === undefined && this.#held.size >= this.#parts.findingsMax) {
      if (this.#droppedPrints.size < PLACES_MAX && this.#droppedPrints.has(held.fingerprint)) return;
      if (this.#droppedPrints.size < PLACES_MAX) this.#droppedPrints.add(held.fingerprint);
      this.#dropped += 1;
      return;
    }
    const better =
      known === undefined ||
      (known.excused !== undefined && held.excused === undefined) ||
      ((known.excused === undefined) === (held.excused === undefined) && known.inner === '' && held.inner !== '');
    if (better) this.#held.set(held.fingerprint, held);
  }

  #isNear(held: Held, required: RequiredRule): boolean {
    return this.#places.some(
      (place) =>
        place.rule === required.id &&
        place.inner === held.inner &&
        Math.abs(place.line - held.line) <= (required.withinLines ?? Infinity) &&
        Math.abs(place.column - held.column) <= (required.withinColumns ?? Infinity),
    );
  }

  /** A generic rule's finding that a rule for that very kind of secret has as well, as gitleaks does. */
  #isShadowed(one: Held): boolean {
    if (!one.rule.startsWith('generic')) return false;
    return [...this.#held.values()].some(
      (other) =>
        !other.rule.startsWith('generic') &&
        other.line === one.line &&
        other.inner === one.inner &&
        other.excused === undefined &&
        other.compiled.search !== undefined &&
        (other.secret.includes(one.secret) || one.secret.includes(other.secret)),
    );
  }
}

/** Secrets in names: a path is shown and written to the journal, so it must not show them either. */
function masking(held: readonly Held[]): (name: string) => string {
  const secrets = held.flatMap(({ compiled, secret }) =>
    compiled.search === undefined || secret.length < 6 ? [] : [secret],
  );
  return (name) => secrets.reduce((text, secret) => text.replaceAll(secret, () => redact(secret)), name);
}
