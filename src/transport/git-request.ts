/** The first pkt-line of git:// (gitprotocol-pack, "Git Transport"): service, path, host, extra parameters. */
import { badInput } from '../base/fault.ts';
import { parseGitService, type GitService } from '../git/service.ts';
import { parseProtocol } from './door.ts';

export interface GitDaemonRequest {
  readonly service: GitService;
  readonly path: string;
  readonly protocol: 0 | 1 | 2;
}

/** A service, a repository name and a host fit many times over. */
export const REQUEST_BYTES_MAX = 4_096;

/**
 * The request and what the client sent behind it, or undefined where more bytes are needed.
 * @throws Fault 'bad-input' for anything else, as soon as it can be told.
 */
export function parseGitRequest(
  bytes: Buffer,
): { readonly request: GitDaemonRequest; readonly rest: Buffer } | undefined {
  const digits = bytes.subarray(0, 4).toString('latin1');
  if (!/^[0-9a-fA-F]*$/.test(digits)) throw badInput('this is not a git:// request');
  if (bytes.length < 4) return undefined;
  const length = Number.parseInt(digits, 16);
  if (length <= 4 || length > REQUEST_BYTES_MAX) throw badInput('a git:// request has a length from 5 to 4096');
  if (bytes.length < length) return undefined;
  return { request: parsePayload(bytes.subarray(4, length)), rest: bytes.subarray(length) };
}

function parsePayload(payload: Buffer): GitDaemonRequest {
  // latin1 keeps every byte apart; what is no ASCII is in no repository's name.
  const [line = '', ...parameters] = payload.toString('latin1').replace(/\n$/, '').split('\0');
  const space = line.indexOf(' ');
  const command = line.slice(0, space);
  const service = space === -1 || !command.startsWith('git-') ? undefined : parseGitService(command);
  if (service === undefined) throw badInput('a git:// request names a service and a path');
  // `host=...`, an empty one, then the extra parameters; the host is not believed and not needed.
  const extra = parameters.indexOf('');
  const protocol = parseProtocol(extra === -1 ? undefined : parameters.slice(extra + 1).join(':'));
  return { service, path: line.slice(space + 1), protocol };
}
