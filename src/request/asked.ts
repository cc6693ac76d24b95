/** A request as its questions see it, and what a token or a pass keeps out before anything is looked for. */
import type { Parsed } from '../base/fault.ts';
import type { Conversation, StillAllowed, WorkGate } from '../git/service.ts';
import type { Principal } from '../identity/principal.ts';
import { parseRequestedName } from '../repository/name.ts';
import type { Place } from './admission.ts';
import type { Findings } from './line.ts';
import { isOutsidePass, missingReason, nameInPath, scopeRefusal } from './refusal.ts';
import type { GitRequest, Outcome, RequestOrigin } from './request.ts';

/** What is asked of a repository, whatever is asked with it. */
export interface Asked extends RequestOrigin {
  readonly requestedPath: string;
  readonly operation: 'read' | 'write';
}

/** What the token or the pass does not reach: that is not looked for. Undefined: it may. */
export function outOfReach(
  { requestedPath, operation }: Asked,
  principal: Principal,
  findings: Findings,
): Extract<Outcome, { readonly kind: 'missing' | 'refused' }> | undefined {
  const named = nameInPath(requestedPath);
  if (isOutsidePass(principal, named)) {
    const name = parseRequestedName(requestedPath);
    if (name.kind === 'ok') findings.repository = name.value;
    return { kind: 'missing', reason: missingReason(requestedPath, name, false) };
  }
  const reason = scopeRefusal(principal, operation, named);
  return reason === undefined ? undefined : { kind: 'refused', reason };
}

export function askedOf(request: GitRequest): Asked {
  return { ...originOf(request), requestedPath: request.requestedPath, operation: operationOf(request) };
}

export function operationOf({ service }: GitRequest): 'read' | 'write' {
  return service === 'receive-pack' ? 'write' : 'read';
}

export interface Wired {
  readonly work: WorkGate | undefined;
  readonly confirm: () => Promise<Parsed<StillAllowed>>;
}

/** The wire of an admitted request. A transport makes streams and signals when they are first asked for, so they are not copied. */
export class Wiring implements Conversation {
  readonly protocol: 0 | 1 | 2;
  readonly mode: Conversation['mode'];
  readonly requestId: string;
  readonly notice?: (text: string) => void;
  readonly work?: WorkGate;
  readonly confirm: () => Promise<Parsed<StillAllowed>>;
  readonly #request: GitRequest;
  readonly #place: Pick<Place, 'signal'>;

  constructor(request: GitRequest, place: Pick<Place, 'signal'>, { work, confirm }: Wired) {
    this.confirm = confirm;
    this.protocol = request.protocol;
    this.mode = request.mode;
    this.requestId = request.id;
    const notice = noticeOf(request);
    if (notice !== undefined) this.notice = notice;
    if (work !== undefined) this.work = work;
    this.#request = request;
    this.#place = place;
  }

  get input(): Conversation['input'] {
    return this.#request.input;
  }

  get output(): Conversation['output'] {
    return this.#request.output;
  }

  get signal(): AbortSignal {
    return this.#place.signal;
  }

  get brief(): Conversation['brief'] {
    return this.#request.brief;
  }
}

/** A way to the person behind the client that every moment of a conversation has; undefined: there is none. */
export function noticeOf({ stderr }: GitRequest): ((text: string) => void) | undefined {
  if (stderr === undefined) return undefined;
  return (text) => {
    // Who does not read it gets no more of it.
    if (stderr.writable && !stderr.writableNeedDrain) stderr.write(`gatehouse: ${text}`);
  };
}

export function originOf({ id, transport, address, principal }: RequestOrigin): RequestOrigin {
  return { id, transport, address, principal };
}
