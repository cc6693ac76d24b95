/**
 * Findings that somebody answers for, and findings of late with who pushed them: nobody waives their own. Both lie in the
 * store; neither holds a secret.
 */
import type { Clock } from '../base/clock.ts';
import { Fault, ok, refuse, type Parsed } from '../base/fault.ts';
import { readFields } from '../base/fields.ts';
import type { Json } from '../base/json.ts';
import type { Store, Stored } from '../store/store.ts';
import type { Finding } from './finding.ts';

/** Every repository. */
export const ALL_REPOSITORIES = '*';

export interface Waiver {
  readonly fingerprint: string;
  /** Id of a repository, or `ALL_REPOSITORIES`. */
  readonly scope: string;
  /** As it was called when it was waived; empty for all. */
  readonly repositoryName: string;
  readonly reason: string;
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly expiresAt: number;
  /** What was found; empty where no push is known that brought it. */
  readonly rule: string;
  readonly redacted: string;
}

/** A finding that was refused of late. */
export interface RecentFinding {
  readonly fingerprint: string;
  readonly rule: string;
  readonly redacted: string;
  readonly place: string;
  /** Names of those who pushed it, whoever they acted as. */
  readonly pushers: readonly string[];
  readonly at: number;
}

/** A finding and where it lay, in words. */
export interface Noted {
  readonly finding: Pick<Finding, 'fingerprint' | 'rule' | 'redacted'>;
  readonly place: string;
}

const FINGERPRINT = /^[0-9a-f]{64}$/;
const ABBREVIATED = /^[0-9a-f]{12,64}$/;
const RECENT_MS = 30 * 86_400_000;
const SWEEP_MS = 3_600_000;
const PUSHERS_MAX = 32;
const NOTED_MAX = 100;
const RECENT_MAX = 9_000;
const WAIVERS_MAX = 9_000;
const TRIES_MAX = 8;

export class Waivers {
  readonly #store: Pick<Store, 'get' | 'list' | 'transact'>;
  readonly #clock: Pick<Clock, 'now'>;
  #sweptAt = 0;

  constructor(options: {
    readonly store: Pick<Store, 'get' | 'list' | 'transact'>;
    readonly clock: Pick<Clock, 'now'>;
  }) {
    this.#store = options.store;
    this.#clock = options.clock;
  }

  /** The waiver that counts for this finding in this repository now. */
  async covering(fingerprint: string, repositoryId: string): Promise<Waiver | undefined> {
    for (const scope of [repositoryId, ALL_REPOSITORIES]) {
      const stored = await this.#store.get('waiver', waiverKey(fingerprint, scope));
      const waiver = stored && readWaiver(stored);
      if (waiver !== undefined && waiver.expiresAt > this.#clock.now()) return waiver;
    }
    return undefined;
  }

  /** Every waiver, expired ones included. */
  async list(): Promise<readonly Waiver[]> {
    return (await this.#store.list('waiver', { prefix: 'waiver/', limit: 10_000 })).map(readWaiver);
  }

  /** Takes the place of an older one of the same scope. */
  async grant(waiver: Omit<Waiver, 'at'>): Promise<Parsed<Waiver>> {
    if (!FINGERPRINT.test(waiver.fingerprint)) return refuse('a fingerprint has 64 hexadecimal digits');
    const there = await this.list();
    if (there.length >= WAIVERS_MAX) return refuse('there are too many waivers: take old ones away with scan unwaive');
    const value = { ...waiver, at: this.#clock.now() };
    await this.#store.transact({
      writes: [{ kind: 'waiver', key: waiverKey(waiver.fingerprint, waiver.scope), put: value }],
    });
    return ok(value);
  }

  /** Whether there was one. */
  async revoke(fingerprint: string, scope: string): Promise<boolean> {
    const key = waiverKey(fingerprint, scope);
    const result = await this.#store.transact({
      checks: [{ kind: 'waiver', key, version: 'any' }],
      writes: [{ kind: 'waiver', key, delete: true }],
    });
    return result.kind === 'committed';
  }

  /** Remembers who pushed what was refused. Of a push, the first hundred. */
  async note(noted: readonly Noted[], pushers: readonly string[]): Promise<void> {
    const byFingerprint = new Map(noted.map((each) => [each.finding.fingerprint, each]));
    for (const each of [...byFingerprint.values()].slice(0, NOTED_MAX)) await this.#noteOne(each, pushers);
    await this.#sweep();
  }

  async recent(fingerprint: string): Promise<RecentFinding | undefined> {
    const stored = await this.#store.get('waiver', findingKey(fingerprint));
    const found = stored && readRecent(stored);
    return found === undefined || found.at + RECENT_MS < this.#clock.now() ? undefined : found;
  }

  /** A whole fingerprint from its first digits, twelve at least, where a finding of late or a waiver has it. */
  async resolve(text: string): Promise<Parsed<string>> {
    const lower = text.toLowerCase();
    if (FINGERPRINT.test(lower)) return ok(lower);
    if (!ABBREVIATED.test(lower)) return refuse('a fingerprint has 64 hexadecimal digits, or its first 12 or more');
    const found = new Set<string>();
    for (const prefix of ['finding/', 'waiver/']) {
      const stored = await this.#store.list('waiver', { prefix: `${prefix}${lower}`, limit: 10 });
      for (const { key } of stored) found.add(key.slice(prefix.length, prefix.length + 64));
    }
    const [only, ...more] = found;
    if (only === undefined) return refuse('no finding of late has that fingerprint: give all 64 digits of it');
    return more.length === 0 ? ok(only) : refuse('several findings have a fingerprint that starts so');
  }

  async #noteOne({ finding, place }: Noted, pushers: readonly string[]): Promise<void> {
    const { fingerprint, rule, redacted } = finding;
    const key = findingKey(fingerprint);
    for (let tries = 0; tries < TRIES_MAX; tries += 1) {
      const stored = await this.#store.get('waiver', key);
      const known = stored === undefined ? [] : readRecent(stored).pushers;
      const put: Json = {
        fingerprint,
        rule,
        redacted,
        place,
        pushers: withPushers(known, pushers),
        at: this.#clock.now(),
      };
      const done = await this.#store.transact({
        checks: [{ kind: 'waiver', key, version: stored?.version ?? 0 }],
        writes: [{ kind: 'waiver', key, put }],
      });
      if (done.kind === 'committed') return;
    }
    throw new Fault('conflict', 'finding could not be noted', { context: { fingerprint } });
  }

  /** Takes old findings away, once an hour at most; the oldest too, where there are too many. */
  async #sweep(): Promise<void> {
    const now = this.#clock.now();
    if (now - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = now;
    const stored = await this.#store.list('waiver', { prefix: 'finding/', limit: 10_000 });
    const aged = stored.map((each) => ({ key: each.key, at: readRecent(each).at })).sort((a, b) => b.at - a.at);
    const gone = aged.filter(({ at }, index) => index >= RECENT_MAX || at + RECENT_MS < now);
    for (let start = 0; start < gone.length; start += 500) {
      const writes = gone
        .slice(start, start + 500)
        .map(({ key }) => ({ kind: 'waiver' as const, key, delete: true as const }));
      await this.#store.transact({ writes });
    }
  }
}

/** Nobody who pushed it is forgotten: beyond the bound none is added, and only administrators waive it from then on. */
function withPushers(known: readonly string[], added: readonly string[]): readonly string[] {
  if (known.includes(ALL_REPOSITORIES)) return known;
  const all = [...new Set([...known, ...added])];
  return all.length <= PUSHERS_MAX ? all : [...known, ALL_REPOSITORIES];
}

/** Whether anybody but an administrator may answer for it: it is known who pushed it, and this one did not. */
export function isOthersFinding(finding: RecentFinding | undefined, names: readonly string[]): boolean {
  if (finding === undefined || finding.pushers.includes(ALL_REPOSITORIES)) return false;
  return !names.some((name) => finding.pushers.includes(name));
}

function waiverKey(fingerprint: string, scope: string): string {
  return `waiver/${fingerprint}/${scope}`;
}

function findingKey(fingerprint: string): string {
  return `finding/${fingerprint}`;
}

function readWaiver({ key, value }: Stored): Waiver {
  const fields = readFields(value, key);
  return {
    fingerprint: fields.text('fingerprint'),
    scope: fields.text('scope'),
    repositoryName: fields.text('repositoryName'),
    reason: fields.text('reason'),
    by: fields.text('by'),
    at: fields.number('at'),
    expiresAt: fields.number('expiresAt'),
    rule: fields.text('rule'),
    redacted: fields.text('redacted'),
  };
}

function readRecent({ key, value }: Stored): RecentFinding {
  const fields = readFields(value, key);
  return {
    fingerprint: fields.text('fingerprint'),
    rule: fields.text('rule'),
    redacted: fields.text('redacted'),
    place: fields.text('place'),
    pushers: fields.texts('pushers'),
    at: fields.number('at'),
  };
}
