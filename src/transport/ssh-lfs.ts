/** `git-lfs-authenticate NAME download|upload` over SSH: where Git LFS is served, and what lets in there for a while. */
import { LFS_OPERATIONS, type LfsOperation } from '../lfs/grants.ts';
import type { VisitTail } from '../request/visit.ts';
import { spoken } from './door.ts';
import { linkBase, type LfsDoorParts } from './lfs-parts.ts';
import type { Execution } from './ssh-exec.ts';

const EXIT_USAGE = 2;

/** The answer is JSON on standard output (git-lfs docs/api/server-discovery.md); the exit code. */
export async function authenticateLfs(
  { origin, stdout, stderr, signal }: Execution,
  words: readonly string[],
  { lfs, turnAway }: { readonly lfs: LfsDoorParts; readonly turnAway: (reason: string) => void },
): Promise<number> {
  const say = (reason: string, exit: number): number => {
    stderr.write(spoken(reason));
    return exit;
  };
  const [path = '', word] = words;
  const operation: LfsOperation | undefined = LFS_OPERATIONS.find((each) => each === word);
  if (path === '' || operation === undefined || words.length > 3) {
    const usage = 'usage: git-lfs-authenticate PATH download|upload';
    turnAway(usage);
    return say(usage, EXIT_USAGE);
  }
  const tail: VisitTail = async ({ repository, principal }) => {
    const door = lfs.doorUrl();
    if (door === undefined)
      return { outcome: 'refused', reason: 'there is no HTTP door here, where Git LFS is served' };
    const { url, authorization, expiresAt } = linkBase(lfs, door, { principal, repository, operation });
    const answer = {
      href: url,
      header: authorization === undefined ? {} : { Authorization: authorization },
      ...(expiresAt === undefined ? {} : { expires_at: new Date(expiresAt).toISOString() }),
    };
    return {
      outcome: 'served',
      async tell() {
        stdout.write(`${JSON.stringify(answer)}\n`);
      },
    };
  };
  const outcome = await lfs.walk.visit(
    {
      ...origin,
      event: 'lfs',
      argv: ['authenticate', operation],
      operation: operation === 'upload' ? 'write' : 'read',
      requestedPath: path,
      signal,
    },
    tail,
  );
  if (outcome.kind !== 'told') return say(outcome.reason, 1);
  const { end } = outcome;
  return end.outcome === 'served' ? 0 : say(end.reason ?? 'refused', 1);
}
