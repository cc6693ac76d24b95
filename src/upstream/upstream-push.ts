/**
 * One push on its way upstream: asked for as a whole, in the strictest form that the upstream can do and the mirror allows,
 * and followed until it is known what became of it, or that nobody can tell.
 */
import type { Clock } from '../base/clock.ts';
import { Fault } from '../base/fault.ts';
import type { GitProcesses } from '../git/processes.ts';
import { isZeroOid, type Oid } from '../git/oid.ts';
import type { Push } from '../receive/step.ts';
import type { IntendedUpdate } from './forward-intent.ts';
import {
  compareRefs,
  isAt,
  readReport,
  refuseEach,
  refuseFor,
  SILENT,
  type ForwardOutcome,
} from './forward-outcome.ts';
import { forwardPack } from './forward-pack.ts';
import { readUpstream } from './reconcile.ts';
import type { Upstream } from './upstream.ts';
import type { PackForm, Remote, RemotePush } from './wire/remote.ts';

export interface UpstreamPushLimits {
  /** From the last byte sent to the upstream's report. */
  readonly reportMs: number;
  /** One question for the upstream's refs after it fell silent, and how often it is asked. */
  readonly askMs: number;
  readonly asksMax: number;
  /** The wait before the second question; each further one is twice as long. */
  readonly askAgainMs: number;
  /** The pack is made, and sent, within this. */
  readonly packMs: number;
}

export interface UpstreamPushOptions {
  readonly push: Push;
  readonly upstream: Upstream;
  readonly remote: Pick<Remote, 'push' | 'lsRefs'>;
  /** Tips whose whole history is in the mirror. */
  readonly here: ReadonlySet<Oid>;
  readonly processes: Pick<GitProcesses, 'start'>;
  readonly clock: Clock;
  readonly limits: UpstreamPushLimits;
  /** Everything is about to be sent: from here on only the upstream can tell. */
  readonly onSent: () => void | Promise<void>;
}

/** How strictly it is asked. Weaker forms are tried where the upstream says that it cannot do the stronger. */
interface Form {
  readonly atomic: boolean;
  readonly options: readonly string[];
}

interface Unable {
  readonly kind: 'unable';
  readonly reason: string;
  /** The ref that it is about; undefined: the push as a whole. */
  readonly refname: string | undefined;
}

type Sent = { readonly kind: 'outcome'; readonly outcome: ForwardOutcome } | Unable;

type RemoteRefusal = Extract<RemotePush, { readonly kind: 'refused' }>;

/** Options that are for the gate: how long to wait for an approval. */
const GATES_OWN = /^wait(?:=|$)/;
/**
 * What goes upstream of a push's options. None of a pass's: a forge does with an option what the credential of the gate may
 * do (open, and even merge, a merge request; set variables of CI), and a pass is for the refs that it names.
 */
export function optionsFor(push: Pick<Push, 'options' | 'principal'>): readonly string[] {
  return isByPass(push) ? [] : push.options.filter((option) => !GATES_OWN.test(option));
}

function isByPass({ principal }: Pick<Push, 'principal'>): boolean {
  return principal.kind === 'user' && principal.credential.kind === 'pass';
}

const BROKEN_OFF = 'the connection to the upstream broke off before everything was sent: nothing was changed';

export class UpstreamPush {
  readonly #options: UpstreamPushOptions;

  constructor(options: UpstreamPushOptions) {
    this.#options = options;
  }

  /** @throws Fault only where nothing was changed upstream. */
  async run(): Promise<ForwardOutcome> {
    const { push: asked } = this.#options;
    if (isByPass(asked) && asked.options.some((option) => !GATES_OWN.test(option))) {
      asked.tell('gatehouse: the push options of a pass do not go upstream\n');
    }
    let unable: Unable | undefined;
    for (const form of this.#forms()) {
      const sent = await this.#send(form);
      if (sent.kind === 'outcome') return sent.outcome;
      unable = sent;
    }
    const { push, upstream } = this.#options;
    const isSeveral = push.updates.length > 1 && !upstream.allowsPartialPushes && unable?.refname === undefined;
    const hint = isSeveral ? ': push one ref at a time, or let the mirror take partial pushes' : '';
    return refuseEach(push.updates, () => `nothing was sent: ${unable?.reason}${hint}`);
  }

  /** Several refs go all or nothing, asked for or not, unless the mirror allows otherwise and the client does not mind. */
  *#forms(): Generator<Form> {
    const { push, upstream } = this.#options;
    const options = optionsFor(push);
    const atomic = push.updates.length > 1;
    const choices = [...(options.length > 0 ? [options] : []), []];
    for (const choice of choices) yield { atomic, options: choice };
    if (!atomic || push.atomic || !upstream.allowsPartialPushes) return;
    for (const choice of choices) yield { atomic: false, options: choice };
  }

  async #send(form: Form): Promise<Sent> {
    const { remote, push } = this.#options;
    const updates: readonly IntendedUpdate[] = push.updates;
    using passage = new Passage(this.#options, updates);
    const result = await remote.push({
      updates,
      ...form,
      pack: async (known, form) => passage.pack(known, form),
      tell: (line) => push.tell(`upstream: ${line}`),
      requestId: push.requestId,
      signal: passage.signal,
    });
    switch (result.kind) {
      case 'refused':
        if (result.why === 'lease') return { kind: 'outcome', outcome: moved(updates, result) };
        return { kind: 'unable', reason: result.reason, refname: result.refname };
      case 'reported':
        return {
          kind: 'outcome',
          outcome: readReport(updates, result, form.atomic) ?? (await this.#ask(updates, form)),
        };
      case 'unknown':
        if (!passage.isComplete) return { kind: 'outcome', outcome: refuseEach(updates, () => BROKEN_OFF) };
        return { kind: 'outcome', outcome: await this.#ask(updates, form) };
      default:
        throw new Fault('internal', 'unknown answer of a remote', { context: { result: result satisfies never } });
    }
  }

  /**
   * The upstream has everything and did not say what it did. Its refs tell where they are as they should be; where they
   * are not it may still be at work, and nobody can promise anything.
   */
  async #ask(updates: readonly IntendedUpdate[], form: Form): Promise<ForwardOutcome> {
    const { clock, limits } = this.#options;
    let refs: ReadonlyMap<string, Oid> | undefined;
    for (let asks = 0; asks < limits.asksMax; asks += 1) {
      if (asks > 0) await elapsed(clock, limits.askAgainMs * 2 ** (asks - 1));
      refs = await this.#refsOf(updates);
      if (refs !== undefined && compareRefs(updates, refs) === 'taken')
        return { taken: updates, verdicts: [], isKnown: true };
    }
    const unknown = { ...refuseEach(updates, () => SILENT), isKnown: false };
    if (form.atomic || refs === undefined) return unknown;
    const seen = refs;
    const taken = updates.filter(({ refname, newOid }) => isAt(seen, refname, newOid));
    const done = new Set<string>(taken.map(({ refname }) => refname));
    const verdicts = unknown.verdicts.filter(({ refname }) => !done.has(refname));
    return { taken, verdicts, isKnown: false };
  }

  /** Undefined: the upstream cannot be asked. */
  async #refsOf(updates: readonly IntendedUpdate[]): Promise<ReadonlyMap<string, Oid> | undefined> {
    const { remote, push, clock, limits } = this.#options;
    const overdue = new AbortController();
    const cancel = clock.after(limits.askMs, () => {
      overdue.abort(new Fault('timeout', 'upstream is silent'));
    });
    try {
      return await readUpstream(remote, updates, { requestId: push.requestId, signal: overdue.signal });
    } catch {
      return undefined;
    } finally {
      cancel();
    }
  }
}

/**
 * One try over the wire. A client that goes away, or a deadline, ends it as long as that surely changes nothing upstream;
 * from then on only the upstream's own time counts.
 */
class Passage implements Disposable {
  readonly #options: UpstreamPushOptions;
  readonly #tips: readonly Oid[];
  readonly #stop = new AbortController();
  readonly #onGone: () => void;
  #cancelReport: (() => void) | undefined;
  /** The upstream may have everything that it needs. */
  isComplete = false;

  constructor(options: UpstreamPushOptions, updates: readonly IntendedUpdate[]) {
    this.#options = options;
    this.#tips = updates.map(({ newOid }) => newOid).filter((oid) => !isZeroOid(oid));
    const { signal } = options.push;
    this.#onGone = () => {
      if (!this.isComplete) this.#stop.abort(signal.reason);
    };
    if (signal.aborted) this.#onGone();
    else signal.addEventListener('abort', this.#onGone, { once: true });
    // Deletions are complete with the commands.
    if (this.#tips.length === 0) this.#complete();
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  pack(known: readonly Oid[], form: PackForm): AsyncIterable<Uint8Array> {
    const { push, processes, here, limits } = this.#options;
    return forwardPack(
      {
        processes,
        gitDir: push.repository.path,
        objectDirectory: push.objectDirectory,
        tips: this.#tips,
        here,
        form,
        deadlineMs: limits.packMs,
        signal: this.#stop.signal,
        requestId: push.requestId,
        onComplete: async () => {
          this.#complete();
          await this.#options.onSent();
        },
      },
      known,
    );
  }

  [Symbol.dispose](): void {
    this.#options.push.signal.removeEventListener('abort', this.#onGone);
    this.#cancelReport?.();
  }

  #complete(): void {
    const { clock, limits } = this.#options;
    this.isComplete = true;
    this.#cancelReport = clock.after(limits.reportMs, () => {
      this.#stop.abort(new Fault('timeout', 'upstream does not report'));
    });
  }
}

/** Whatever the form: what moved may be what the others were made on. */
function moved(updates: readonly IntendedUpdate[], { refname, reason }: RemoteRefusal): ForwardOutcome {
  if (refname === undefined) return refuseEach(updates, () => `fetch first: ${reason}`);
  return refuseFor(updates, { refname, reason: `fetch first: the upstream's ${refname} moved` });
}

function elapsed(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve);
  });
}
