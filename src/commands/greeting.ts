/** What a person reads who connects without a command: who they are, what they may read, where help is. */
import { principalLabel } from '../identity/principal.ts';
import type { RequestOrigin } from '../request/request.ts';
import { readableRepositories } from './listing.ts';
import type { CommandParts } from './parts.ts';
import { count, table } from './table.ts';

const SHOWN_MAX = 20;
/** Whoever only says hello does not have every repository of a large site decided about. */
const LOOKS_MAX = 2_000;

export async function greeting(parts: CommandParts, origin: RequestOrigin, signal: AbortSignal): Promise<string> {
  const lines = [
    `Hello ${principalLabel(origin.principal)}, this is Gatehouse ${parts.version}: Git behind a gate, no shell.\n`,
  ];
  const rows: [string, string][] = [];
  let more = false;
  const { principal, transport } = origin;
  const looks = { left: LOOKS_MAX };
  for await (const { repository, rights } of readableRepositories(parts, { principal, transport, signal, looks })) {
    if (rows.length === SHOWN_MAX) {
      more = true;
      break;
    }
    rows.push([rights, repository.name]);
  }
  more ||= looks.left === 0;
  if (rows.length === 0 && more) lines.push('`ls` lists the repositories that you may read.\n');
  else if (rows.length === 0) lines.push('There is no repository that you may read yet.\n');
  else
    lines.push(
      `You may read ${more ? 'these and more' : count(rows.length, 'repository', 'repositories')}:\n`,
      table(rows),
    );
  lines.push('Commands: help, ls, whoami. `COMMAND --help` explains one.\n');
  return lines.join('\n');
}
