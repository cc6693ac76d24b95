/** What the parts of one upload conversation share: whose it is, on which repository, and the means to answer. */
import { BOUNDS } from '../base/bounds.ts';
import type { Oid } from '../git/oid.ts';
import type { GitProcesses, GitSpec } from '../git/processes.ts';
import type { RefCache } from '../git/ref-cache.ts';
import type { Repository } from '../repository/repository.ts';
import type { Admission, AdmissionContext } from './admission.ts';
import { inPieces, line } from './advertisement.ts';
import type { PackCache } from './pack-cache.ts';
import type { RecentTips } from './recent-tips.ts';
import { type MayRead, type View, hasView, shows, viewOf } from './view.ts';
import type { Wire } from './wire.ts';

export interface SessionOptions {
  readonly wire: Wire;
  readonly repository: Repository;
  readonly mayRead: MayRead;
  /** Makes the refs of a mirror those of its upstream. */
  readonly freshen: (() => Promise<void>) | undefined;
  readonly processes: GitProcesses;
  readonly refs: Pick<RefCache, 'snapshot'>;
  readonly admission: Admission;
  readonly recentTips: RecentTips;
  /** Undefined: each fetch is made for itself. */
  readonly packs: PackCache | undefined;
  /** Told of each look at the refs whether the view was at hand. */
  readonly onView: (isKnown: boolean) => void;
}

export class Session {
  readonly wire: Wire;
  readonly repository: Repository;
  readonly processes: GitProcesses;
  readonly admission: Admission;
  readonly packs: PackCache | undefined;
  readonly #options: SessionOptions;

  constructor(options: SessionOptions) {
    this.wire = options.wire;
    this.repository = options.repository;
    this.processes = options.processes;
    this.admission = options.admission;
    this.packs = options.packs;
    this.#options = options;
  }

  /** Whether `freshView` asks somebody. */
  get isMirror(): boolean {
    return this.#options.freshen !== undefined;
  }

  /** What the principal sees of the repository now. */
  async view(): Promise<View> {
    const { refs, repository, recentTips, mayRead, onView } = this.#options;
    const snapshot = await refs.snapshot(repository);
    onView(hasView(snapshot, mayRead));
    recentTips.note(repository.id, snapshot);
    return await viewOf(snapshot, mayRead);
  }

  /** The view once its refs are what the upstream has now, where there is an upstream. */
  async freshView(): Promise<View> {
    await this.#options.freshen?.();
    return this.view();
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

function* asPkts(lines: Iterable<string>): Generator<string> {
  for (const text of lines) yield line(text);
}
