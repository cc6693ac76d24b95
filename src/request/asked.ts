/** A request as its questions see it, and what a token or a pass keeps out before anything is looked for. */
import type { Conversation } from '../git/service.ts';
import type { Principal } from '../identity/principal.ts';
import { parseRequestedName } from '../repository/name.ts';
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

export function wireOf(request: GitRequest): Omit<Conversation, 'signal'> {
  const { protocol, mode, input, output, id } = request;
  const notice = noticeOf(request);
  return { protocol, mode, input, output, requestId: id, ...(notice === undefined ? {} : { notice }) };
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
