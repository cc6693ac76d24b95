/** A TCP connection to an upstream, and words for what keeps it from coming about. */
import { connect, type Socket } from 'node:net';
import type { UpstreamUrl } from '../upstream.ts';
import type { Words } from './words.ts';

const REASONS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'connection refused'],
  ['ECONNRESET', 'connection reset'],
  ['EPIPE', 'connection closed'],
  ['ETIMEDOUT', 'no answer'],
  ['EHOSTUNREACH', 'no route to the host'],
  ['ENETUNREACH', 'no route to the network'],
  ['ENOTFOUND', 'no such host'],
  ['EAI_AGAIN', 'its name cannot be looked up now'],
  ['EPROTO', 'it does not speak TLS as it should'],
  ['CERT_HAS_EXPIRED', 'its certificate has expired'],
  ['CERT_NOT_YET_VALID', 'its certificate is not valid yet'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'its certificate is for another name'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'its certificate is not signed by an authority that is trusted here'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'its certificate is not signed by an authority that is trusted here'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'its certificate is not signed by an authority that is trusted here'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'its certificate is not signed by an authority that is trusted here'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'its certificate is not signed by an authority that is trusted here'],
  ['CERT_SIGNATURE_FAILURE', 'its certificate is not signed by an authority that is trusted here'],
]);

/** Why a connection failed, in words; undefined: not known. */
export function connectionReason(error: unknown): string | undefined {
  const code = codeOf(error);
  if (code === undefined) return undefined;
  const known = REASONS.get(code);
  if (known !== undefined) return known;
  return code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') ? `TLS failed (${code})` : undefined;
}

/** Of a system, OpenSSL or Node error. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Connected, without delay. @throws Fault `upstream`; the signal's reason where it is aborted. */
export function openSocket(url: UpstreamUrl, words: Words, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const socket = connect({ host: url.host, port: url.port, noDelay: true });
    const settle = (): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('connect', onConnect);
    };
    const onAbort = (): void => {
      settle();
      socket.destroy();
      reject(signal.reason as Error);
    };
    const onConnect = (): void => {
      settle();
      resolve(socket);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('connect', onConnect);
    // Stays for the socket's life: an error without a listener would end the process.
    socket.on('error', (error) => {
      settle();
      reject(words.unreachable(connectionReason(error) ?? 'the connection failed', error));
    });
  });
}

/** What `work` gives, or the signal's reason where it is aborted before; `work` then goes on unobserved. */
export function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}
