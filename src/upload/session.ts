/** What the parts of one upload conversation share: whose it is, on which repository, and the means to answer. */
import { BOUNDS } from '../base/bounds.ts';
import type { Oid } from '../git/oid.ts';
import type { GitProcesses, GitSpec } from '../git/processes.ts';
import type { RefCache } from '../git/ref-cache.ts';
import type { Repository } from '../repository/repository.ts';
import type { Admission, AdmissionContext } from './admission.ts';
import { inPieces, line } from './advertisement.ts';
import type { Bundles } from './bundles.ts';
import type { Encodable, EncodedLists } from './encoded.ts';
import type { PackCache } from './pack-cache.ts';
import type { RecentTips } from './recent-tips.ts';
import { stillReadable, untilStill } from './still.ts';
import { type MayRead, type View, hasView, shows, viewOf } from './view.ts';
import type { Wire } from './wire.ts';

/** What is needed to see what a principal may see. */
export interface Sight {
  readonly repository: Repository;
  readonly mayRead: MayRead;
  /** Makes the refs of a mirror those of its upstream. */
  readonly freshen: (() => Promise<void>) | undefined;
  readonly refs: Pick<RefCache, 'snapshot' | 'moment'>;
  readonly recentTips: RecentTips;
  /** Told of each look at the refs whether the view was at hand. */
  readonly onView: (isKnown: boolean) => void;
}

export interface SessionOptions extends Sight {
  readonly wire: Wire;
  readonly processes: GitProcesses;
  readonly admission: Admission;
  /** Undefined: each fetch is made for itself. */
  readonly packs: PackCache | undefined;
  readonly encoded: EncodedLists;
  /** Where the repository's bundle is, as the client is to hear it; undefined: none is offered. */
  readonly bundleUrl: string | undefined;
  readonly bundles: Bundles | undefined;
}

export class Session {
  readonly wire: Wire;
  readonly repository: Repository;
  readonly processes: GitProcesses;
  readonly admission: Admission;
  readonly packs: PackCache | undefined;
  readonly bundleUrl: string | undefined;
  readonly bundles: Bundles | undefined;
  #options: SessionOptions;

  constructor(options: SessionOptions) {
    this.wire = options.wire;
    this.repository = options.repository;
    this.processes = options.processes;
    this.admission = options.admission;
    this.packs = options.packs;
    this.bundleUrl = options.bundleUrl;
    this.bundles = options.bundles;
    this.#options = options;
  }

  /** Whether `freshView` asks somebody. */
  get isMirror(): boolean {
    return this.#options.freshen !== undefined;
  }

  /** What the principal sees of the repository now. */
  view(): Promise<View> {
    return viewNow(this.#options);
  }

  /** The view once its refs are what the upstream has now, where there is an upstream. */
  freshView(): Promise<View> {
    return freshViewOf(this.#options);
  }

  /** Asks whether all this is still allowed. @returns whether other refs may be read than before. @throws Fault `missing` */
  async hasChanged(): Promise<boolean> {
    const { mayRead } = this.#options;
    const now = await stillReadable(this.wire.conversation, mayRead);
    if (now !== mayRead) this.#options = { ...this.#options, mayRead: now };
    return now !== mayRead;
  }

  /** The same snapshot as it may be read by what was answered last. */
  seenNow({ snapshot }: View): Promise<View> {
    return viewOf(snapshot, this.#options.mayRead);
  }

  /** `view` as it may be shown after a wait. @throws Fault `missing` */
  async stillOf(view: View): Promise<View> {
    let seen = view;
    await untilStill(
      () => this.hasChanged(),
      async () => {
        seen = await this.seenNow(view);
      },
    );
    return seen;
  }

  /** Writes what shows a view: from memory where it is kept. */
  async show(view: View, list: Encodable): Promise<void> {
    using lent = await this.#options.encoded.lend(view, list);
    if (lent !== undefined) await this.wire.write(lent.bytes);
    else for (const piece of list.encode()) await this.wire.write(piece);
  }

  /** @param wasShownHere whether this very conversation showed a tip. */
  admissionContext(view: View, wasShownHere: (oid: Oid) => boolean = () => false): AdmissionContext {
    const { repository, recentTips, wire } = this.#options;
    const isShown = (refname: string): boolean => shows(view, refname);
    return {
      repository,
      view,
      wasShown: (oid) => wasShownHere(oid) || recentTips.holds({ repositoryId: repository.id, oid, isShown }),
      signal: wire.signal,
      requestId: wire.conversation.requestId,
      work: wire.conversation.work,
      tell: wire.conversation.notice,
    };
  }

  /** A git on this repository with the bounds that every one has. */
  gitSpec(spec: Pick<GitSpec, 'subcommand' | 'options' | 'config' | 'protocol'>): GitSpec {
    const { repository, wire } = this.#options;
    return {
      ...spec,
      operands: [repository.path],
      gitDir: repository.path,
      deadlineMs: BOUNDS.packMs,
      requestId: wire.conversation.requestId,
    };
  }

  /** Lines as pkts, many in one buffer. */
  *pieces(lines: Iterable<string>): Generator<Buffer> {
    yield* inPieces(asPkts(lines));
  }
}

async function viewNow({ refs, repository, recentTips, mayRead, onView }: Sight, since?: number): Promise<View> {
  const snapshot = await refs.snapshot(repository, since);
  onView(hasView(snapshot, mayRead));
  recentTips.note(repository.id, snapshot);
  return await viewOf(snapshot, mayRead);
}

/** As `Session.freshView`, where there is no session. @param since as for `RefCache.snapshot` */
export async function freshViewOf(sight: Sight, since?: number): Promise<View> {
  if (sight.freshen === undefined) return viewNow(sight, since);
  await sight.freshen();
  return viewNow(sight);
}

function* asPkts(lines: Iterable<string>): Generator<string> {
  for (const text of lines) yield line(text);
}
