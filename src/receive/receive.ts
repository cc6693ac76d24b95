/**
 * receive-pack, spoken by the gate itself: git indexes, walks and locks, everything else is decided here. Read
 * `push-session.ts` for the conversation, `pipeline.ts` for the judgement, `commit.ts` for the commit protocol.
 */
import type { JournalEntry, JournalOutcome, JournalRef } from '../audit/entry.ts';
import type { Clock } from '../base/clock.ts';
import { refuse, type Parsed, type Refusal } from '../base/fault.ts';
import type { Oid } from '../git/oid.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { Refname } from '../git/refname.ts';
import type { Conversation } from '../git/service.ts';
import type { PushTickets } from '../identity/pass-pushes.ts';
import { principalLabel, type Principal } from '../identity/principal.ts';
import type { Repository } from '../repository/repository.ts';
import type { Store } from '../store/store.ts';
import type { ApplyParts } from './apply-held.ts';
import { Committer, type CommitParts, type CommitStep, type ReceiveLog, type RefSource } from './commit.ts';
import type { ReceivePolicy } from './decide.ts';
import { realDurable, type Durable } from './durable.ts';
import { GATE_LABEL, journalLine, type Origin } from './journal-line.ts';
import { HoldDesk } from './hold-desk.ts';
import type { HoldLimits } from './hold-bounds.ts';
import type { AccountId } from './hold-behind.ts';
import { Holding, type HoldMetrics } from './holding.ts';
import type { Leftover } from './leftovers.ts';
import { DEFAULT_RECEIVE_LIMITS, limitsFor, type ReceiveConfig, type ReceiveLimits } from './limits.ts';
import type { LoggedUpdate } from './log-entry.ts';
import type { CertificateDesk } from './push-certificate.ts';
import type { OdbSource } from './connectivity-own.ts';
import type { PipelineMetrics } from './pipeline.ts';
import { advertiseBriefly } from './push-client.ts';
import { PushSession } from './push-session.ts';
import { recover, type RecoveryReport, type RepositorySource } from './recovery.ts';
import type { FileWriterParts } from './ref-writer-files.ts';
import { createRefWriter, type RefWriter } from './ref-writer.ts';
import { SmallPackDesk } from './small-pack-desk.ts';
import type { Step } from './step.ts';
import { sweep, type SweepReport } from './sweep.ts';
import { mainRefusal, Update } from './update.ts';

export interface ReceiveParts {
  readonly processes: GitProcesses;
  /** The ref cache. */
  readonly refs: RefSource;
  /** The gate's own reading of repositories; absent: git is asked everything. */
  readonly odb?: OdbSource | undefined;
  /** Takes small packs in where `odb` is given; default: one of this pipeline's own. */
  readonly small?: SmallPackDesk | undefined;
  readonly store: Store;
  readonly policy: ReceivePolicy;
  /** In this order, after the policy. */
  readonly steps: readonly Step[];
  readonly journal: { append(entry: JournalEntry): Promise<void> };
  readonly log: ReceiveLog;
  readonly metrics: ReceiveMetrics;
  readonly clock: Clock;
  readonly catalogue: RepositorySource;
  /** Passes that may push so many times; absent: nothing is counted. */
  readonly passes?: PushTickets;
  /** Signed pushes; absent: they are not offered. */
  readonly certificates?: CertificateDesk;
  readonly limits?: Partial<ReceiveLimits>;
  /** What the git configuration of a repository asks for; undefined where the house's settings say it all. */
  readonly configOf?: (repository: Repository, requestId: string) => Promise<ReceiveConfig | undefined>;
  /** Where held pushes wait; absent: what would be held is refused. */
  readonly holding?: {
    readonly limits: HoldLimits;
    readonly standing: ApplyParts['standing'];
    readonly accountId: AccountId;
  };
  /** The `agent` capability; default `gatehouse`. */
  readonly agent?: string;
  /** Called after the refs and the journal are on disk, before the client hears. Cannot refuse; what it throws is logged. */
  readonly onCommitted?: (event: CommittedEvent) => void | Promise<void>;
  /** A push that failed behind its commit point was applied before the next one. What it throws is logged. */
  readonly onSettled?: (repository: Repository) => Promise<void>;
  /** Told of each commit, the gate's own among them, by the repository's id. */
  readonly onChanged?: (id: string) => void;
  /** For tests: another way to sync, to write refs, and a call at each border of the commit protocol. */
  readonly durable?: Durable;
  readonly refWriter?: RefWriter;
  readonly onCommitStep?: (step: CommitStep) => void | Promise<void>;
}

export interface ReceiveMetrics extends HoldMetrics, PipelineMetrics {
  push(outcome: string, ms: number): void;
}

/** What later announcements start from. */
export interface CommittedEvent {
  readonly repository: Repository;
  readonly principal: string;
  readonly requestId: string;
  readonly generation: number;
  readonly txid: string;
  readonly updates: readonly LoggedUpdate[];
  readonly options: readonly string[];
}

export interface PushAbout {
  readonly repository: Repository;
  readonly principal: Principal;
  readonly origin: Origin;
  /** Undefined: every ref but the gate's own. */
  readonly mayRead: ((refname: string) => boolean) | undefined;
  /**
   * Asked in the repository's turn, before the commit point: who pushes, and the repository, as they are by then. A push
   * may take hours, in which a user is suspended, a group or a setting changed, another policy put in force.
   */
  readonly confirm: () => Promise<Parsed<Standing>>;
  /** Of a mirror: makes its refs those of its upstream, before they are advertised. @throws Fault `upstream`. */
  readonly freshen?: (() => Promise<void>) | undefined;
}

export interface Standing {
  readonly principal: Principal;
  readonly repository: Repository;
  /** Which refs may be read; undefined: every ref. */
  readonly mayRead?: ((refname: string) => boolean) | undefined;
}

export interface ReceiveReport {
  readonly refs: readonly JournalRef[];
  /** `served` where any ref was updated, or nothing was asked. */
  readonly outcome: JournalOutcome;
  readonly bytesIn: number;
  readonly rule?: string;
  readonly reason?: string;
  /** The push has its line: it was on disk before the client heard of success. */
  readonly journaled: boolean;
}

export interface OwnCommit {
  readonly repository: Repository;
  /** Undefined: nobody asked for it, the gate does it by itself. */
  readonly principal?: Principal;
  /** What the journal calls it; default `push`. */
  readonly event?: 'push' | 'refresh';
  readonly updates: readonly { readonly refname: Refname; readonly oldOid: Oid; readonly newOid: Oid }[];
  /** Objects to move in first; their connectivity is the caller's word. */
  readonly objectDirectory?: string;
  readonly requestId?: string;
  /** The branch that HEAD points at may go, too. */
  readonly mayDeleteHead?: boolean;
  /** Runs in the repository's turn before anything is prepared. What it throws ends the commit. */
  readonly confirm?: () => Promise<void>;
}

export interface Receive {
  /** @throws Fault after telling the client in-band: malformed input, a silent or vanished client, our own failure. */
  serve(conversation: Conversation, about: PushAbout): Promise<ReceiveReport>;
  /** The gate's own change of refs, all or nothing, by the same protocol; asks no policy and no step. */
  commit(
    own: OwnCommit,
  ): Promise<{ readonly kind: 'committed'; readonly generation: number; readonly txid: string } | Refusal>;
  /** What people do with held pushes; absent where nothing is held. */
  readonly holds: HoldDesk | undefined;
  /** At start, before anything is served: what was committed is in place. */
  recover(): Promise<RecoveryReport>;
  /** At start, behind the doors: what was not committed goes, everywhere. Resolves when it has, or at `close`. */
  sweep(): Promise<SweepReport>;
  /** The same of one repository, before something is done to its files. Quick where it was done. Never throws. */
  makeGood(repository: Repository): Promise<void>;
  /** Runs `task` while no push to this repository commits: for renaming, destroying, repacking. */
  exclusively<T>(repositoryId: string, task: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

const ADVERTISED: ReceiveReport = { refs: [], outcome: 'served', bytesIn: 0, journaled: false };

export function createReceive(parts: ReceiveParts): Receive {
  const limits = { ...DEFAULT_RECEIVE_LIMITS, ...parts.limits };
  const commitParts: CommitParts = {
    store: parts.store,
    refs: parts.refs,
    refWriter: parts.refWriter ?? createRefWriter(parts.processes, fileWriterOf(parts)),
    durable: parts.durable ?? realDurable,
    journal: parts.journal,
    log: parts.log,
    clock: parts.clock,
    logEntriesKept: limits.logEntriesKept,
    onStep: parts.onCommitStep,
    onSettled: parts.onSettled,
    onChanged: parts.onChanged,
  };
  const committer = new Committer(commitParts);
  const holding = holdingOf(parts);
  const small = parts.small ?? new SmallPackDesk();
  const sessionParts = { ...parts, limits, committer, holding, small, agent: parts.agent ?? 'gatehouse' };
  const holds = holding && parts.holding ? new HoldDesk({ ...parts.holding, ...sessionParts, holding }) : undefined;
  const closing = new AbortController();
  let sweeping: Promise<SweepReport> | undefined;
  return {
    holds,
    serve: async (conversation, about) => {
      const config = await parts.configOf?.(about.repository, conversation.requestId);
      const own = { ...sessionParts, limits: limitsFor(limits, about.repository, config), config };
      const told = await advertiseBriefly(own, conversation, about);
      return told === 'told' ? ADVERTISED : new PushSession(own, conversation, about).run();
    },
    commit: (own) => commitOwn(committer, parts.clock, own),
    async recover() {
      const report = await recover(commitParts, parts.catalogue);
      const records = (await holding?.recover()) ?? 0;
      if (records > 0) parts.log.info({ records }, 'end held pushes without objects');
      holds?.begin();
      return report;
    },
    sweep() {
      const makeGood = (repository: Repository): Promise<Leftover> => committer.makeGood(repository);
      const tidyAreas = async (repository: Repository): Promise<number> => (await holding?.tidy(repository)) ?? 0;
      sweeping = sweep({ ...parts, makeGood, tidyAreas }, closing.signal);
      return sweeping;
    },
    makeGood: async (repository) => {
      await committer.makeGood(repository);
    },
    exclusively: (id, task) => committer.inTurn(id, task),
    async close() {
      holds?.close();
      closing.abort();
      await sweeping?.catch(() => {});
      await committer.close();
    },
  };
}

/** Refs are written in process where objects are read in process. */
function fileWriterOf({ odb, clock, durable = realDurable }: ReceiveParts): FileWriterParts | undefined {
  return odb && { clock, durable, objects: ({ path, objectFormat }) => odb.of(path, objectFormat) };
}

function holdingOf(parts: ReceiveParts): Holding | undefined {
  if (parts.holding === undefined) return undefined;
  const { store, clock, log, metrics, catalogue, holding, durable = realDurable } = parts;
  const { limits, accountId } = holding;
  const repository = (id: string): Promise<Repository | undefined> => catalogue.byId(id);
  return new Holding({ store, clock, durable, log, metrics, limits, repository, accountId });
}

async function commitOwn(
  committer: Committer,
  clock: Clock,
  own: OwnCommit,
): Promise<{ readonly kind: 'committed'; readonly generation: number; readonly txid: string } | Refusal> {
  const { repository, principal, objectDirectory, event, confirm } = own;
  const requestId = own.requestId ?? clock.randomBytes(16).toString('hex');
  const updates = own.updates.map((update) => new Update({ name: update.refname, ...update }));
  const origin: Origin = { id: requestId, transport: 'local', address: 'local' };
  const committed = await committer.commit({
    repository,
    updates,
    atomic: true,
    objectDirectory,
    requestId,
    principal: principal === undefined ? GATE_LABEL : principalLabel(principal),
    ...(own.mayDeleteHead === true ? { config: { isStrict: true, fsck: new Map(), mayDeleteHead: true } } : {}),
    ...(confirm === undefined ? {} : { confirm }),
    entry: () => journalLine({ event, repository, principal, origin, updates, bytesIn: 0 }),
  });
  if (committed !== undefined) return { kind: 'committed', generation: committed.generation, txid: committed.txid };
  return refuse(mainRefusal(updates)?.reason ?? 'nothing to commit');
}
