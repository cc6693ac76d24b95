/**
 * Whole repositories as bundles (gitformat-bundle): what a clone downloads first, over plain HTTP and in as many pieces as it
 * likes, and fetches the rest of. A bundle is a pack of the pack cache behind a head of its own. It is made of the branches
 * that one view shows, and given to whoever may have all of them now: the same question that a fetch of its tips gets.
 */
import { createHash } from 'node:crypto';
import { BOUNDS } from '../base/bounds.ts';
import type { Clock } from '../base/clock.ts';
import { zeroOid, type Oid } from '../git/oid.ts';
import type { WorkGate } from '../git/service.ts';
import type { Repository } from '../repository/repository.ts';
import type { HeldPack, PackCache } from './pack-cache.ts';
import type { Reachability } from './reachability.ts';
import type { View } from './view.ts';

/** Full clones within `HOT_MS` that make a repository one whose bundle is offered. */
const HOT_CLONES = 3;
const HOT_MS = 3_600_000;
/** A bundle this old is made anew where the branches have moved: what it lacks is fetched by every clone. */
const STALE_MS = 3_600_000;
/** So long no bundle is made of a repository whose last one did not fit: trying drops what is kept of others. */
const NO_ROOM_MS = 600_000;
const REPOSITORIES_MAX = 1_024;
/** Bundles of one repository: readers who see different branches have different ones. */
const VIEWS_MAX = 4;
/** A repository with more branches than that has no bundle: its head would be most of it. */
const TIPS_MAX = 5_000;

interface Tip {
  readonly refname: string;
  readonly oid: Oid;
}

interface Made {
  readonly name: string;
  readonly tips: readonly Tip[];
  readonly madeMs: number;
}

interface Known {
  clones: number;
  sinceMs: number;
  /** Until then none is made. */
  noRoomUntilMs?: number;
  /** The least recently used first. */
  made: Made[];
}

export type BundleEvent = 'offered' | 'served' | 'refused';

export interface BundlesOptions {
  readonly packs: PackCache;
  readonly reachability: Pick<Reachability, 'unreachable'>;
  readonly clock: Pick<Clock, 'monotonicMs' | 'randomBytes'>;
  readonly onEvent?: (event: BundleEvent) => void;
}

export interface BundleQuestion {
  readonly repository: Repository;
  readonly view: View;
  readonly requestId: string;
  readonly signal: AbortSignal;
  readonly work?: WorkGate | undefined;
}

/** A bundle to be read from; dispose it when that is over. */
export interface OpenBundle extends Disposable {
  /** Equal for equal bytes: a bundle that is made anew has other ones. */
  readonly etag: string;
  readonly size: number;
  /** Bytes from `start` up to `end`, exclusive. A chunk is overwritten once the next one is asked for: see `declareExact`. */
  read(range: { readonly start: number; readonly end: number }, signal: AbortSignal): AsyncGenerator<Buffer>;
}

export class Bundles {
  readonly #options: BundlesOptions;
  /** By repository id, the least recently used first. */
  readonly #known = new Map<string, Known>();

  constructor(options: BundlesOptions) {
    this.#options = options;
  }

  /** Somebody fetched everything: the evidence that a bundle pays. */
  noteClone(repositoryId: string): void {
    const known = this.#of(repositoryId);
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - known.sinceMs > HOT_MS) Object.assign(known, { clones: 0, sinceMs: nowMs });
    known.clones += 1;
  }

  /** Whether clients should be told that there is a bundle. Says nothing about what a view shows. */
  isHot(repositoryId: string): boolean {
    const known = this.#known.get(repositoryId);
    if (known === undefined || known.clones < HOT_CLONES || this.#hasNoRoom(known)) return false;
    return this.#options.clock.monotonicMs() - known.sinceMs <= 2 * HOT_MS;
  }

  /** The answer to `bundle-uri`: one bundle, without a heuristic (docs/decisions/107). */
  list(url: string): readonly string[] {
    this.#options.onEvent?.('offered');
    return ['bundle.version=1', 'bundle.mode=all', `bundle.clone.uri=${url}`];
  }

  /** Undefined where the view shows no branches, or too many, and where the cache has no room for all of it. @throws Fault */
  async open(question: BundleQuestion): Promise<OpenBundle | undefined> {
    const known = this.#of(question.repository.id);
    const made = this.#hasNoRoom(known) ? undefined : await this.#madeFor(known, question);
    const pack = made && (await this.#packOf(made, question));
    if (made !== undefined && pack === undefined) known.noRoomUntilMs = this.#options.clock.monotonicMs() + NO_ROOM_MS;
    this.#options.onEvent?.(pack === undefined ? 'refused' : 'served');
    if (made === undefined || pack === undefined) return undefined;
    const head = headOf(question.repository, made);
    return {
      etag: createHash('sha256').update(`${made.name} ${pack.name}`).digest('hex').slice(0, 32),
      size: head.length + pack.bytes,
      read: (range, signal) => readFrom({ head, pack, ...range, signal }),
      [Symbol.dispose]: () => {
        pack[Symbol.dispose]();
      },
    };
  }

  /** One that is there already, where this view leads to all that it has; else a new one. */
  async #madeFor(known: Known, question: BundleQuestion): Promise<Made | undefined> {
    const { view } = question;
    const tips = tipsOf(view);
    // The one with most in it first; of equal ones the last that was used.
    for (const made of known.made.toReversed().toSorted((a, b) => b.tips.length - a.tips.length)) {
      if (!(await this.#mayHave(question, made)) || this.#isStale(made, tips)) continue;
      known.made = [...known.made.filter((other) => other !== made), made];
      return made;
    }
    if (tips.length === 0 || tips.length > TIPS_MAX) return undefined;
    const { clock } = this.#options;
    const made = { name: clock.randomBytes(16).toString('hex'), tips, madeMs: clock.monotonicMs() };
    known.made = [...known.made, made].slice(-VIEWS_MAX);
    return made;
  }

  /** The question that a fetch of the same tips gets, remembered as long as the view lives. */
  async #mayHave({ view, ...asked }: BundleQuestion, { name, tips }: Made): Promise<boolean> {
    const key = `upload/bundle ${name}`;
    const before = view.memo.get(key);
    if (typeof before === 'boolean') return before;
    const oids = tips.map(({ oid }) => oid);
    const unreachable = await this.#options.reachability.unreachable({ ...asked, view, oids });
    const mayHave = unreachable.size === 0;
    view.memo.set(key, mayHave);
    return mayHave;
  }

  #hasNoRoom({ noRoomUntilMs = 0 }: Known): boolean {
    return this.#options.clock.monotonicMs() < noRoomUntilMs;
  }

  #isStale(made: Made, tips: readonly Tip[]): boolean {
    if (this.#options.clock.monotonicMs() - made.madeMs <= STALE_MS) return false;
    return made.tips.length !== tips.length || tips.some(({ oid }, index) => made.tips[index]?.oid !== oid);
  }

  #packOf({ tips }: Made, { repository, requestId, signal, work }: BundleQuestion): Promise<HeldPack | undefined> {
    const oids = [...new Set(tips.map(({ oid }) => oid))].sort();
    return this.#options.packs.hold(
      {
        words: [repository.id, repository.path, 'bundle', ...oids],
        spec: {
          subcommand: 'pack-objects',
          options: ['--stdout', '--revs', '--delta-base-offset', '-q'],
          gitDir: repository.path,
          deadlineMs: BOUNDS.packMs,
          requestId,
        },
        feed: async (toGit) => {
          await toGit(Buffer.from(oids.map((oid) => `${oid}\n`).join('')));
        },
      },
      { work, signal },
    );
  }

  #of(repositoryId: string): Known {
    const known = this.#known.get(repositoryId) ?? { clones: 0, sinceMs: this.#options.clock.monotonicMs(), made: [] };
    this.#known.delete(repositoryId);
    this.#known.set(repositoryId, known);
    const oldest = this.#known.keys().next();
    if (this.#known.size > REPOSITORIES_MAX && oldest.done !== true) this.#known.delete(oldest.value);
    return known;
  }
}

/** Branches only: clients take nothing else from a bundle. */
function tipsOf({ refs }: View): readonly Tip[] {
  return refs.filter(({ refname }) => refname.startsWith('refs/heads/'));
}

function headOf({ objectFormat }: Repository, { tips }: Made): Buffer {
  const isSha1 = zeroOid(objectFormat).length === 40;
  const first = isSha1 ? '# v2 git bundle\n' : `# v3 git bundle\n@object-format=${objectFormat}\n`;
  return Buffer.from(`${first}${tips.map(({ oid, refname }) => `${oid} ${refname}\n`).join('')}\n`);
}

interface Reading {
  readonly head: Buffer;
  readonly pack: HeldPack;
  readonly start: number;
  readonly end: number;
  readonly signal: AbortSignal;
}

async function* readFrom({ head, pack, start, end, signal }: Reading): AsyncGenerator<Buffer> {
  if (start < head.length) yield head.subarray(start, end);
  let at = Math.max(start, head.length);
  if (at >= end) return;
  for await (const chunk of pack.read({ from: at - head.length, signal, isExact: true })) {
    yield chunk.subarray(0, end - at);
    at += chunk.length;
    if (at >= end) return;
  }
}
