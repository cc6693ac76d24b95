/** What a person reads who connects without a command: who they are, what they may read, where help is. */
import { principalLabel } from '../identity/principal.ts';
import type { RequestOrigin } from '../request/request.ts';
import { readableRepositories } from './listing.ts';
import type { CommandParts } from './parts.ts';
import { count, table } from './table.ts';

const SHOWN_MAX = 20;

export async function greeting(parts: CommandParts, origin: RequestOrigin, signal: AbortSignal): Promise<string> {
  const lines = [
    `Hello ${principalLabel(origin.principal)}, this is Gatehouse ${parts.version}: Git behind a gate, no shell.\n`,
  ];
  const rows: [string, string][] = [];
  let more = false;
  const { principal, transport } = origin;
  for await (const { repository, rights } of readableRepositories(parts, { principal, transport, signal })) {
    if (rows.length === SHOWN_MAX) {
      more = true;
      break;
    }
    rows.push([rights, repository.name]);
  }
  if (rows.length === 0) lines.push('There is no repository that you may read yet.\n');
  else
    lines.push(
      `You may read ${more ? 'these and more' : count(rows.length, 'repository', 'repositories')}:\n`,
      table(rows),
    );
  lines.push('Commands: help, ls, whoami. `COMMAND --help` explains one.\n');
  return lines.join('\n');
}
