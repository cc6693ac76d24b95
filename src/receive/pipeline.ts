/**
 * The judgement of one push, from its pack to the last step: every update ends alive or refused with a reason. Nothing
 * here changes the repository; `commit.ts` does, with what is still alive.
 */
import type { Clock } from '../base/clock.ts';
import { Fault, publicMessageOf } from '../base/fault.ts';
import type { GitProcesses } from '../git/processes.ts';
import type { ObjectPlace } from '../git/objects.ts';
import { isZeroOid, type Oid } from '../git/oid.ts';
import type { RefSnapshot } from '../git/ref-cache.ts';
import type { Principal } from '../identity/principal.ts';
import type { Signed } from '../identity/signatures.ts';
import type { Repository } from '../repository/repository.ts';
import { classifyUpdates } from './classify.ts';
import type { ReceiveLog, RefSource } from './commit.ts';
import { checkConnectivity, type Connected, type ConnectivityOptions } from './connectivity.ts';
import { OwnJudge, type FallbackReason, type OdbSource } from './connectivity-own.ts';
import { decideUpdates, type ReceivePolicy } from './decide.ts';
import { ingestPack, type Ingested } from './ingest.ts';
import type { Origin } from './journal-line.ts';
import type { ReceiveConfig, ReceiveLimits } from './limits.ts';
import { inspectPack, inspectSmall, NO_CONTENTS, sentOids } from './pack-contents.ts';
import type { PackInput } from './pack-input.ts';
import type { PushPlace } from './push-place.ts';
import type { PushRequest } from './push-request.ts';
import type { Quarantine } from './quarantine.ts';
import type { Standing } from './receive.ts';
import type { SmallPackDesk } from './small-pack-desk.ts';
import type { Push, PushContents, RefUpdate, Step, Verdict } from './step.ts';
import {
  applyVerdicts,
  failTogether,
  openRefUpdates,
  refUpdate,
  refUpdates,
  refuseAll,
  type Update,
} from './update.ts';

export interface PipelineParts {
  readonly processes: GitProcesses;
  readonly refs: RefSource;
  readonly policy: ReceivePolicy;
  readonly steps: readonly Step[];
  readonly clock: Clock;
  readonly log: ReceiveLog;
  readonly limits: ReceiveLimits;
  readonly config?: ReceiveConfig | undefined;
  /** The gate's own reading of repositories; absent: git is asked everything. */
  readonly odb?: OdbSource | undefined;
  /** With it, small packs are taken in without git as well. */
  readonly small?: SmallPackDesk | undefined;
  readonly metrics?: PipelineMetrics;
}

export interface PipelineMetrics {
  /** A push that changes more than names was judged without a git process, or why not. */
  pushInProcess?(answer: 'taken' | 'fallback', why: FallbackReason | ''): void;
}

export interface Candidate {
  readonly repository: Repository;
  readonly principal: Principal;
  readonly mayRead: ((refname: string) => boolean) | undefined;
  readonly origin: Origin;
  readonly request: PushRequest;
  /** What became of the request's push certificate; undefined: it has none. */
  readonly certificate?: Signed | undefined;
  readonly updates: readonly Update[];
  readonly requestId: string;
  readonly signal: AbortSignal;
  readonly tell: (text: string) => void;
  /** Held while git takes the pack in, and while the push is judged. Absent: nobody has to wait. */
  readonly place?: PushPlace | undefined;
}

export interface Judged {
  /** 'ok', or why the pack could not be taken in. */
  readonly unpack: string;
  /** Where the new objects are; undefined where the push brings none. */
  readonly objectDirectory: string | undefined;
  /** What came over the wire; undefined likewise. */
  readonly pack?: { readonly name: string; readonly sent: number; readonly bytes: number } | undefined;
}

export class Pipeline {
  readonly #parts: PipelineParts;
  readonly #candidate: Candidate;
  #packBytes = 0;
  #objectDirectory: string | undefined;
  #pack: { readonly name: string; readonly sent: number } | undefined;
  /** What the decisions were made on. */
  #decidedOn = '';
  #forwardedTo: string | undefined;
  #contents: PushContents = NO_CONTENTS;
  /** Undefined: git is asked. */
  #own: OwnJudge | undefined;
  /** The push as each step saw it: `committed` gets the same object. */
  readonly #pushes = new Map<Step, Push>();

  constructor(parts: PipelineParts, candidate: Candidate) {
    this.#parts = parts;
    this.#candidate = candidate;
    const isShallow = candidate.request.shallow.length > 0;
    this.#own = parts.odb === undefined || isShallow ? undefined : OwnJudge.of(parts.odb, candidate.repository);
  }

  /** @throws Fault where a question could not be answered: nothing of the push may be committed. */
  async judge(input: PackInput, quarantine: Quarantine | undefined): Promise<Judged> {
    if (quarantine === undefined) await this.#candidate.place?.take();
    else {
      const refused = await this.#takeIn(input, quarantine);
      if (refused !== undefined) return { unpack: refused, objectDirectory: undefined };
    }
    this.#packBytes = input.bytes;
    return this.#judgeObjects();
  }

  /** The same of a push that was held: its objects were taken in then, and everything else is asked once more. */
  async judgeHeld(objectDirectory: string | undefined, pack: Judged['pack']): Promise<Judged> {
    const ingested: Ingested =
      pack === undefined ? { kind: 'empty' } : { kind: 'indexed', pack: pack.name, sent: pack.sent };
    if (objectDirectory !== undefined) await this.#see(objectDirectory, ingested);
    this.#packBytes = pack?.bytes ?? 0;
    await this.#connect(ingested);
    return this.#judgeObjects();
  }

  async #judgeObjects(): Promise<Judged> {
    const { updates, request } = this.#candidate;
    await classifyUpdates(updates, this.#place());
    await this.#runSteps((step, push) => step.before?.(push));
    this.#decidedOn = this.#groundsOf(this.#candidate);
    await this.#decide(this.#candidate);
    await this.#runSteps((step, push) => {
      this.#pushes.set(step, push);
      return step.check(push);
    });
    // Held ones do not refuse the others: what becomes of all of them is decided together.
    if (request.abilities.atomic && !updates.every(({ isOpen }) => isOpen)) failTogether(updates);
    const pack = this.#pack === undefined ? undefined : { ...this.#pack, bytes: this.#packBytes };
    return { unpack: 'ok', objectDirectory: this.#objectDirectory, pack };
  }

  /**
   * Decides about what is alive once more, where anything changed that decisions stand on: time passes between a
   * decision and the commit point. Refuses only.
   */
  async decideAgain(standing: Standing): Promise<void> {
    if (this.#groundsOf(standing) === this.#decidedOn) return;
    await this.#decide(standing);
  }

  /** Asks the policy about what is alive; the client hears at once what a gitolite conf refuses, in gitolite's words. */
  async #decide(standing: Standing): Promise<void> {
    const { updates, tell } = this.#candidate;
    const asked = updates.filter((update) => update.isOpen);
    await decideUpdates(updates, { ...this.#parts, ...this.#candidate, ...standing, place: this.#place() });
    for (const update of asked) {
      const seen = update.isOpen ? undefined : refUpdate(update);
      if (seen?.native === undefined) continue;
      const push = this.#pushOf([]);
      for (const step of this.#parts.steps) await step.refused?.(push, { ...seen, native: seen.native });
      tell(`FATAL: ${seen.native.text}\nerror: hook declined to update ${seen.refname}\n`);
    }
  }

  #groundsOf({ principal, repository }: Standing): string {
    const asking = principal.kind === 'user' ? principal.asking : undefined;
    const groups = [principal, asking].map((who) => (who && 'groups' in who ? [...who.groups].sort() : []));
    return JSON.stringify([principal, asking, groups, repository.version, this.#parts.policy.revision]);
  }

  /** Everything about the objects. Returns why the pack as a whole cannot be taken. */
  async #takeIn(input: PackInput, quarantine: Quarantine): Promise<string | undefined> {
    const { updates, repository, mayRead, requestId, signal, tell, place } = this.#candidate;
    const mayComplete = mayRead === undefined;
    const asked = { repository, quarantine, input, mayComplete, requestId, signal, tell, place };
    const ingested = await ingestPack({ ...this.#parts, ...asked });
    if (ingested.kind === 'refused') {
      refuseAll(updates, this.#candidate.request.shallow.length > 0 ? SHALLOW : 'unpacker error');
      return ingested.reason;
    }
    await this.#candidate.place?.take();
    await this.#see(quarantine.objectDirectory, ingested);
    await this.#connect(ingested);
    return undefined;
  }

  /** From here on the new objects are seen, and their sizes known. */
  async #see(objectDirectory: string, ingested: Ingested): Promise<void> {
    this.#own?.see(ingested);
    if (ingested.kind === 'empty') return;
    const { pack, sent, small } = ingested;
    this.#objectDirectory = objectDirectory;
    this.#pack = { name: pack, sent };
    const sizes =
      small === undefined ? await inspectPack({ ...this.#question(), pack, objectDirectory }) : inspectSmall(small);
    this.#contents = { ...NO_CONTENTS, ...sizes };
  }

  /** Refuses the updates whose history is not complete. */
  async #connect(ingested: Ingested): Promise<void> {
    const bringing = this.#candidate.updates.filter(({ isAlive, newOid }) => isAlive && !isZeroOid(newOid));
    const tips = [...new Set(bringing.map(({ newOid }) => newOid))];
    if (tips.length === 0) return;
    const own = await this.#proveConnected(bringing, tips);
    const horizon = own === undefined ? await this.#horizon(ingested) : undefined;
    const ask = (asked: readonly Oid[]): ReturnType<typeof checkConnectivity> =>
      checkConnectivity({ ...this.#question(), tips: asked, horizon });
    const all = own ?? (await ask(tips));
    if (all.kind === 'connected') {
      this.#contents = { ...this.#contents, longestPath: all.longestPath, longestName: all.longestName };
      return;
    }
    const reason = this.#candidate.request.shallow.length > 0 ? SHALLOW : 'the push lacks objects that it needs';
    // One bad tip among several: the others need not suffer, unless there are too many to ask one by one.
    for (const update of bringing) {
      const isConnected =
        tips.length > 1 && tips.length <= TIPS_ALONE_MAX && (await ask([update.newOid])).kind === 'connected';
      if (!isConnected) update.refuse(reason);
    }
  }

  /** Undefined where it is not proved in memory: git decides. */
  async #proveConnected(bringing: readonly Update[], tips: readonly Oid[]): Promise<Connected | undefined> {
    const { metrics, odb, refs } = this.#parts;
    const { repository, mayRead, signal } = this.#candidate;
    if (odb === undefined) return undefined;
    const olds = bringing.map(({ oldOid }) => oldOid);
    const snapshot = await refs.snapshot(repository);
    const answer = await this.#own?.connect({ snapshot, mayRead, olds, tips, signal });
    if (answer?.kind === 'connected') {
      metrics?.pushInProcess?.('taken', '');
      return answer;
    }
    metrics?.pushInProcess?.('fallback', answer?.kind === 'unproven' ? answer.why : 'shallow');
    return undefined;
  }

  async #horizon(ingested: Ingested): Promise<ConnectivityOptions['horizon']> {
    const { mayRead, repository } = this.#candidate;
    if (mayRead === undefined) return undefined;
    const snapshot = await this.#parts.refs.snapshot(repository);
    const sent =
      ingested.kind === 'empty' || this.#objectDirectory === undefined
        ? { sent: new Set<string>(), bases: new Set<string>() }
        : await sentOids({ ...ingested, objectDirectory: this.#objectDirectory, format: repository.objectFormat });
    return { readable: readableTips(snapshot, mayRead), ...sent };
  }

  async #runSteps(ask: (step: Step, push: Push) => Promise<readonly Verdict[]> | undefined): Promise<void> {
    const { steps, log } = this.#parts;
    const { updates, requestId } = this.#candidate;
    for (const step of steps) {
      const alive = openRefUpdates(updates);
      if (alive.length === 0) return;
      const verdicts = (await ask(step, this.#pushOf(alive))) ?? [];
      applyVerdicts(updates, verdicts);
      if (verdicts.length > 0)
        log.info({ request: requestId, step: step.name, refused: verdicts.length }, 'refuse updates');
    }
  }

  #pushOf(updates: readonly RefUpdate[]): Push {
    const { repository, principal, origin, request, certificate, requestId, signal, tell, place } = this.#candidate;
    return {
      requestId,
      origin,
      principal,
      repository,
      updates,
      options: request.options,
      ...(certificate === undefined ? {} : { certificate }),
      atomic: request.abilities.atomic,
      objectDirectory: this.#objectDirectory,
      ...this.#inMemory(),
      packBytes: this.#packBytes,
      contents: this.#contents,
      tell,
      ...(place === undefined ? {} : { beside: (work) => place.beside(work) }),
      signal,
    };
  }

  /**
   * What is about to be committed, to the first step that takes it elsewhere before. In the repository's turn; what it
   * returns is disposed at the end of that.
   */
  async forward(): Promise<AsyncDisposable | undefined> {
    const { updates, request } = this.#candidate;
    for (const step of this.#parts.steps) {
      const alive = refUpdates(updates);
      if (step.forward === undefined || alive.length === 0) continue;
      const seen = this.#pushes.get(step);
      const push = seen === undefined ? this.#pushOf(alive) : { ...seen, updates: alive };
      const forwarded = await step.forward(push);
      if (forwarded === undefined) continue;
      this.#forwardedTo = forwarded.to;
      applyVerdicts(updates, forwarded.verdicts);
      for (const update of updates) if (update.isAlive) update.forwardedTo = forwarded.to;
      if (request.abilities.atomic) failTogether(updates);
      return forwarded;
    }
    return undefined;
  }

  /** Whether no step needs the repository's turn for this push alone. Of a site each has hooks and a umask of its own. */
  get sharesTurn(): boolean {
    const { repository } = this.#candidate;
    const mayShare = (step: Step): boolean =>
      (step.forward === undefined && step.committed === undefined) || step.sharesTurn?.(repository) === true;
    return repository.conf === undefined && this.#parts.steps.every(mayShare);
  }

  /** Where the push was taken, or should have been, before its commit; undefined: nowhere else. */
  get forwardedTo(): string | undefined {
    return this.#forwardedTo;
  }

  /** What to tell the client where the commit failed: what happened elsewhere is not undone by it. */
  faultOf(error: unknown): unknown {
    if (!this.#candidate.updates.some(({ isAlive, forwardedTo }) => isAlive && forwardedTo !== undefined)) return error;
    const why = publicMessageOf(error, this.#candidate.requestId);
    const publicMessage = `${this.#forwardedTo} took the push, but the gate could not finish it (${why}): fetch and look`;
    const code = error instanceof Fault && error.code !== 'aborted' ? error.code : 'internal';
    return new Fault(code, 'forwarded push was not committed', { cause: error, publicMessage });
  }

  /** Tells every step that saw the push what of it was committed. */
  async follow(committed: ReadonlySet<string>): Promise<void> {
    for (const [step, push] of this.#pushes) {
      const updates = push.updates.filter(({ refname }) => committed.has(refname));
      if (updates.length > 0) await step.committed?.(push, updates);
    }
  }

  /** Tells them once more, when nobody else waits for this push. Never throws. */
  async finish(committed: ReadonlySet<string>): Promise<void> {
    for (const [step, push] of this.#pushes) {
      const updates = push.updates.filter(({ refname }) => committed.has(refname));
      try {
        if (updates.length > 0) await step.done?.({ ...push, objectDirectory: undefined }, updates);
      } catch (error) {
        this.#parts.log.error({ request: push.requestId, step: step.name, error }, 'fail to follow up a push');
      }
    }
  }

  /** Lets go of the objects in memory: who pushed may wait for people yet, for hours. */
  release(): void {
    this.#own = undefined;
    this.#pushes.clear();
  }

  /** Where the push's objects are seen. */
  #place(): ObjectPlace {
    const { requestId, signal, repository } = this.#candidate;
    const objectDirectory = this.#objectDirectory === undefined ? {} : { objectDirectory: this.#objectDirectory };
    const { processes } = this.#parts;
    return { processes, gitDir: repository.path, ...objectDirectory, ...this.#inMemory(), requestId, signal };
  }

  #inMemory(): Pick<Push, 'odb' | 'brought'> {
    const { odb, brought } = this.#own ?? {};
    return { ...(odb === undefined ? {} : { odb }), ...(brought === undefined ? {} : { brought }) };
  }

  #question() {
    const { processes, limits } = this.#parts;
    const { repository, requestId, signal } = this.#candidate;
    return {
      processes,
      repository,
      requestId,
      signal,
      deadlineMs: limits.deadlineMs,
      objectDirectory: this.#objectDirectory,
    };
  }
}

const SHALLOW = 'the push comes from a shallow clone and lacks history: git fetch --unshallow first';
const TIPS_ALONE_MAX = 64;

function readableTips({ refs }: RefSnapshot, mayRead: (refname: string) => boolean): readonly Oid[] {
  return [...new Set(refs.filter(({ refname }) => mayRead(refname)).map(({ oid }) => oid))];
}
