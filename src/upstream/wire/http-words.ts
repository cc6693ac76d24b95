/** What an http upstream answers instead of Git's protocol, in words. */
import type { IncomingMessage } from 'node:http';
import type { Fault } from '../../base/fault.ts';
import { readChunk } from '../../git/stream.ts';
import type { UpstreamCredential } from '../upstream.ts';
import type { Call } from './call.ts';

/** An error page is read this far. */
const PAGE_BYTES_MAX = 8 * 1024;

/** Of a page of plain text; of HTML nothing. */
export async function firstLine(response: IncomingMessage, call: Call): Promise<string> {
  const type = response.headers['content-type'] ?? '';
  if (!type.startsWith('text/plain') || response.headers['content-encoding'] !== undefined) return '';
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    while (bytes < PAGE_BYTES_MAX) {
      const chunk = await call.within(call.limits.silenceMs, readChunk(response, call.signal));
      if (chunk === undefined) break;
      chunks.push(chunk);
      bytes += chunk.length;
    }
  } catch {
    // The status says enough.
  }
  const text = Buffer.concat(chunks).toString('utf8', 0, PAGE_BYTES_MAX);
  return call.words.reason(text.split('\n').find((line) => line.trim() !== '') ?? '');
}

/** A 200 of something else. */
export function notGit(call: Call, type: string): Fault {
  const { words } = call;
  const publicMessage = `what answers at ${words.label} is no Git server (it sends ${words.reason(type) || 'nothing'})`;
  return words.fault('upstream is no git server', publicMessage);
}

interface Failed {
  readonly status: number;
  readonly response: IncomingMessage;
  readonly page: string;
  readonly call: Call;
  readonly credential: UpstreamCredential | undefined;
}

/** What a status other than 200 means to the operator. */
export function statusFault({ status, response, page, call, credential }: Failed): Fault {
  const { words } = call;
  const said = page === '' ? '' : `: ${page}`;
  const answer = (text: string): Fault => words.fault('upstream refused', `the upstream ${words.label} ${text}${said}`);
  if (status >= 300 && status < 400) {
    const to = words.reason(
      withoutQuery(response.headers.location ?? 'nowhere').replace(/\/(?:info\/refs|git-(?:upload|receive)-pack)$/, ''),
    );
    return answer(
      `answers that it is elsewhere, at ${to}: no redirect is followed with a credential; declare that address instead`,
    );
  }
  switch (status) {
    case 401:
      return answer(
        credential === undefined ? 'asks for a credential, and has none (401)' : 'does not take the credential (401)',
      );
    case 403:
      return answer('does not let the credential do this (403)');
    case 404:
      return answer('has no such repository, or does not show it to this credential (404)');
    case 407:
      return answer('stands behind a proxy that asks for a login (407)');
    case 413:
      return answer('does not take so large a push (413)');
    case 429:
      return answer('takes no more requests for now (429)');
    default:
      return answer(status >= 500 ? `has a fault of its own (${status})` : `answers with status ${status}`);
  }
}

/** A secret may stand in the query of where a redirect leads. */
function withoutQuery(location: string): string {
  return location.replace(/[?#].*$/s, '').replace(/\/\/[^/@]*@/, '//');
}
