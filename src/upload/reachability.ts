/**
 * Which objects may a principal have? Those that a ref of its view leads to. Tips are looked up in memory; commits
 * are proven by a walk from what is asked towards the tips; trees, blobs and inner tags by a walk of objects from
 * the tips, newest commit first, which ends as soon as everything was met.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BOUNDS } from '../base/bounds.ts';
import { Fault } from '../base/fault.ts';
import type { Oid } from '../git/oid.ts';
import type { GitProcesses, GitSpec, Subcommand } from '../git/processes.ts';
import type { Repository } from '../repository/repository.ts';
import { askLines } from './git-lines.ts';
import { type View, tipsAmong } from './view.ts';
import { WalkCache, type Walked } from './walk-cache.ts';
import { WalkPlace, type WalkPlaces } from './walk-place.ts';

export interface ReachabilityQuestion extends WalkPlaces {
  readonly repository: Repository;
  readonly view: View;
  readonly oids: Iterable<Oid>;
  readonly signal: AbortSignal;
  readonly requestId: string;
}

type Context = Omit<ReachabilityQuestion, 'oids'>;

export class Reachability {
  readonly #processes: GitProcesses;
  readonly #cache = new WalkCache();

  constructor(processes: GitProcesses) {
    this.#processes = processes;
  }

  /** Those of `oids` that no ref of the view leads to, missing objects among them. @throws Fault */
  async unreachable({ oids, ...context }: ReachabilityQuestion): Promise<ReadonlySet<Oid>> {
    const open = withoutTips(context.view, oids);
    if (open.size === 0) return open;
    const walked = this.#walkedOf(context);
    if (isAnswered(walked, open)) return open;
    using place = new WalkPlace(context);
    await place.take();
    return await this.#outsideOf(context, open, place);
  }

  async #outsideOf(context: Context, open: ReadonlySet<Oid>, place: WalkPlace): Promise<ReadonlySet<Oid>> {
    const types = await this.#typesOf(context, open);
    const commits = new Set([...open].filter((oid) => types.get(oid) === 'commit'));
    const others = new Set([...open].filter((oid) => types.has(oid) && !commits.has(oid)));
    const outside = new Set([...open].filter((oid) => !types.has(oid)));
    for (const oid of await this.#commitsOutside(context, commits)) outside.add(oid);
    // A refusal is certain already: the dearest walk is spared.
    if (outside.size > 0) return outside;
    return await this.#othersOutside(context, others, place);
  }

  /** Those of `oids` that are commits which some ref of the view leads to. For what a client says that it has. */
  async commitsInside({ oids, ...context }: ReachabilityQuestion): Promise<ReadonlySet<Oid>> {
    const all = new Set(oids);
    const open = withoutTips(context.view, all);
    const inside = new Set([...all].filter((oid) => !open.has(oid)));
    if (open.size === 0) return inside;
    using place = new WalkPlace(context);
    await place.take();
    const types = await this.#typesOf(context, open);
    const commits = new Set([...open].filter((oid) => types.get(oid) === 'commit'));
    const outside = await this.#commitsOutside(context, commits);
    for (const oid of commits) if (!outside.has(oid)) inside.add(oid);
    return inside;
  }

  #walkedOf({ repository, view }: Context): Walked {
    return this.#cache.of(`${repository.id} ${view.snapshot.fingerprint} ${view.key}`, repository.objectFormat);
  }

  /** Types of those that exist. */
  async #typesOf(context: Context, oids: ReadonlySet<Oid>): Promise<ReadonlyMap<string, string>> {
    const types = new Map<string, string>();
    await askLines({
      processes: this.#processes,
      spec: specOf(context, 'cat-file', ['--batch-check', '--buffer']),
      input: eachLine('', oids),
      take: (lines) => {
        for (const line of lines) {
          const [oid = '', type = ''] = line.split(' ');
          if (type !== 'missing') types.set(oid, type);
        }
        return false;
      },
    });
    return types;
  }

  async #commitsOutside(context: Context, commits: ReadonlySet<Oid>): Promise<ReadonlySet<Oid>> {
    const outside = new Set<Oid>();
    if (commits.size === 0) return outside;
    await askLines({
      processes: this.#processes,
      spec: specOf(context, 'rev-list', ['--stdin', '--ignore-missing']),
      input: concat(eachLine('', commits), eachLine('^', tipsOf(context.view))),
      take: (lines) => {
        for (const line of lines as readonly Oid[]) if (commits.has(line)) outside.add(line);
        return outside.size === commits.size;
      },
    });
    return outside;
  }

  async #othersOutside(context: Context, others: ReadonlySet<Oid>, place: WalkPlace): Promise<ReadonlySet<Oid>> {
    const open = new Set(others);
    const walked = this.#walkedOf(context);
    // One walk at a time for one view: the next one finds what it proved, and leaves its place to others until then.
    while (walked.running !== undefined) {
      place.giveBack();
      await ended(walked.running, context.signal);
      if (isAnswered(walked, open)) return open;
      await place.take();
    }
    if (isAnswered(walked, open)) return open;
    if (await this.#bitmapProves(context, open)) return new Set();
    const walk = this.#walk(context, walked, open);
    walked.running = walk.catch(() => {});
    try {
      await walk;
    } finally {
      walked.running = undefined;
      this.#cache.shrink();
    }
    return open;
  }

  /**
   * With a bitmap git knows at once what the tips do not lead to. Only "nothing is left" counts: without a usable
   * bitmap git answers the same question too pessimistically, and the walk has the last word.
   */
  async #bitmapProves(context: Context, open: ReadonlySet<Oid>): Promise<boolean> {
    if (!(await hasBitmap(context.repository.path))) return false;
    let proven = true;
    await askLines({
      processes: this.#processes,
      spec: specOf(context, 'rev-list', ['--stdin', '--ignore-missing', '--objects', '--use-bitmap-index']),
      input: concat(eachLine('', open), eachLine('^', tipsOf(context.view))),
      take: () => {
        proven = false;
        return true;
      },
    });
    return proven;
  }

  /** Takes out of `open` what is met. The second walk of a view goes to the end: more questions will come. */
  async #walk(context: Context, walked: Walked, open: Set<Oid>): Promise<void> {
    walked.walks += 1;
    const toTheEnd = walked.walks > 1;
    let isWhole = true;
    const end = await askLines({
      processes: this.#processes,
      spec: specOf(context, 'rev-list', [
        '--stdin',
        '--ignore-missing',
        '--objects',
        '--in-commit-order',
        '--no-object-names',
      ]),
      input: eachLine('', tipsOf(context.view)),
      take: (lines) => {
        for (const line of lines as readonly Oid[]) {
          open.delete(line);
          if (walked.seen.size < BOUNDS.walkObjectsMax) walked.seen.add(line);
          else isWhole = false;
        }
        return open.size === 0 && !toTheEnd;
      },
    });
    walked.complete ||= end === 'end' && isWhole;
  }
}

/** Takes out of `open` what is proven; true where what is left is known to be unreachable, or nothing is left. */
function isAnswered(walked: Walked, open: Set<Oid>): boolean {
  for (const oid of open) if (walked.seen.has(oid)) open.delete(oid);
  return open.size === 0 || walked.complete;
}

/** Waits for `work`, which never rejects. @throws Fault `aborted` where the signal comes first. */
async function ended(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const giveUp = (): void => {
    reject(new Fault('aborted', 'wait was aborted', { cause: signal.reason }));
  };
  signal.addEventListener('abort', giveUp, { once: true });
  if (signal.aborted) giveUp();
  void work.then(resolve);
  try {
    await promise;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

function withoutTips(view: View, oids: Iterable<Oid>): Set<Oid> {
  const open = new Set(oids);
  for (const oid of tipsAmong(view, open)) open.delete(oid as Oid);
  return open;
}

function tipsOf(view: View): ReadonlySet<string> {
  const tips = new Set(view.refs.map((ref): string => ref.oid));
  if (view.head?.oid !== undefined) tips.add(view.head.oid);
  return tips;
}

function specOf(context: Context, subcommand: Subcommand, options: readonly string[]): GitSpec {
  return {
    subcommand,
    options,
    gitDir: context.repository.path,
    // Else git looks for a ref of the same name behind each of many thousand oids.
    config: { 'core.warnAmbiguousRefs': 'false' },
    deadlineMs: BOUNDS.reachabilityMs,
    signal: context.signal,
    requestId: context.requestId,
  };
}

async function hasBitmap(gitDir: string): Promise<boolean> {
  const names = await readdir(join(gitDir, 'objects', 'pack')).catch(() => []);
  return names.some((name) => name.endsWith('.bitmap'));
}

function* eachLine(prefix: string, oids: Iterable<string>): Generator<string> {
  for (const oid of oids) yield `${prefix}${oid}\n`;
}

function* concat(...parts: readonly Iterable<string>[]): Generator<string> {
  for (const part of parts) yield* part;
}
