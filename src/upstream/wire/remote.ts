/**
 * Git's wire from the client's side, spoken in the gate itself: no git process ever has network or a credential. `ssh.ts`,
 * `http.ts` and `daemon.ts` connect, the rest of this folder speaks upload-pack (v2, and v0 where the server knows no
 * more, as sshd without `AcceptEnv GIT_PROTOCOL` gives it) and receive-pack.
 */
import type { ObjectFormat, Oid } from '../../git/oid.ts';
import type { ForwardedUpdate, Upstream, UpstreamCredential } from '../upstream.ts';

export interface RemoteRefs {
  /** By full refname; neither HEAD nor peeled values. */
  readonly refs: ReadonlyMap<string, Oid>;
  /** What HEAD points at; undefined: nothing, or the server does not tell. */
  readonly head: string | undefined;
  readonly objectFormat: ObjectFormat;
}

export interface RemoteCall {
  readonly signal: AbortSignal;
  /** For the log. */
  readonly requestId: string;
  /** What the upstream says over sideband 2: whole lines, one at a time, cleaned of control characters. */
  readonly tell?: (text: string) => void;
}

export interface PushAsked extends RemoteCall {
  /** At least one; each old value is what the upstream must have. */
  readonly updates: readonly ForwardedUpdate[];
  readonly atomic: boolean;
  readonly options: readonly string[];
  /** The pack of everything in `updates` that is not reachable from `known`, which the upstream has. Asked for once, where any update brings objects. */
  readonly pack: (known: readonly Oid[], form: PackForm) => Promise<AsyncIterable<Uint8Array>>;
}

/** What the upstream can read (gitprotocol-capabilities, "ofs-delta", "no-thin"). */
export interface PackForm {
  /** Deltas may name their base by its place in the pack. */
  readonly ofsDelta: boolean;
  /** Deltas may have bases that are not in the pack. */
  readonly thin: boolean;
}

export type RemotePush =
  /** The upstream's report: undefined for what it took, else its reason. With `unpack` not `ok` it took nothing. */
  | { readonly kind: 'reported'; readonly unpack: string; readonly refs: ReadonlyMap<string, string | undefined> }
  /** Nothing was sent that could change anything: a lease does not hold, or the upstream cannot do what is asked. */
  | { readonly kind: 'refused'; readonly reason: string; readonly refname?: string; readonly why: 'lease' | 'ability' }
  /** The connection broke after the commands were on their way: the upstream may have taken them or not. */
  | { readonly kind: 'unknown'; readonly reason: string };

/** One upstream. Connections are kept for a while and shared by calls; all methods may run at the same time. */
export interface Remote extends AsyncDisposable {
  /**
   * Refs that start with one of `prefixes` (all where there are none), and HEAD.
   * @throws Fault `upstream` with the upstream's own reason in public words; `aborted`; `timeout`.
   */
  lsRefs(call: RemoteCall & { readonly prefixes: readonly string[] }): Promise<RemoteRefs>;
  /** The pack that leads to `wants` from `haves` (thin), as it comes. Back-pressure is honoured. @throws as `lsRefs`, also while it is read. */
  fetch(
    call: RemoteCall & { readonly wants: readonly Oid[]; readonly haves: readonly Oid[] },
  ): Promise<AsyncIterable<Uint8Array>>;
  /** @throws Fault `upstream`, `aborted`, `timeout` only where nothing was changed for sure. */
  push(asked: PushAsked): Promise<RemotePush>;
  /**
   * What a command of the upstream's ssh server writes: only where that is how the upstream is reached. Bounded.
   * @throws as `lsRefs`, also where it writes nothing, with its standard error as the reason.
   */
  run?(asked: RemoteCall & { readonly words: readonly string[] }): Promise<string>;
}

export interface RemoteOptions {
  readonly upstream: Upstream;
  /** Asked for at each new connection. */
  readonly credential: () => Promise<UpstreamCredential | undefined>;
}
