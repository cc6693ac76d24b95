/** `gc`, `fsck`, `count-objects`: a repository's upkeep, by its owner or an administrator. */
import { BOUNDS } from '../base/bounds.ts';
import type { Upkeep } from '../repository/upkeep.ts';
import type { Repository } from '../repository/repository.ts';
import { done, type Answer, type Call, type RepositoryCommand } from './command.ts';

export const UPKEEP_COMMANDS: readonly RepositoryCommand[] = [
  {
    form: 'gc REPO',
    summary: 'Pack a repository, and drop what nothing has reached for two weeks',
    examples: ['gc hello'],
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'gc' },
    async run(call, repository) {
      const { upkeep } = listen(call, repository, { progress: true });
      const ended = await call.parts.catalogue.gc(upkeep);
      if (ended.kind === 'refused') return ended;
      call.parts.refs.forget(repository.id);
      return done({ repository: repository.name, collected: true }, `collected garbage in ${repository.name}\n`);
    },
  },
  {
    form: 'fsck REPO',
    summary: 'Check every object and link of a repository',
    details: ['Exit 1 where something is damaged, with what git says about it.'],
    examples: ['fsck hello'],
    isReadOnly: true,
    scope: 'admin',
    permission: { kind: 'repository', operation: 'configure', action: 'fsck' },
    run: fsck,
  },
  {
    form: 'count-objects REPO',
    summary: 'Say how many objects a repository has and what they take on disk',
    examples: ['count-objects hello'],
    isReadOnly: true,
    scope: 'read',
    permission: { kind: 'repository', operation: 'configure', action: 'count_objects' },
    async run(call, repository) {
      const { upkeep, lines } = listen(call, repository, { progress: false });
      const ended = await call.parts.catalogue.countObjects(upkeep);
      if (ended.kind === 'refused') return ended;
      const pairs = lines.flatMap((line) => {
        const match = /^([a-z-]+): (\d+)$/.exec(line);
        return match === null ? [] : [[match[1] ?? '', Number(match[2])] as const];
      });
      return done(Object.fromEntries(pairs), `${lines.join('\n')}\n`);
    },
  },
];

/** Collects git's lines, a bounded number of them; as progress they go to standard error at once. */
function listen(
  call: Call,
  repository: Repository,
  { progress }: { readonly progress: boolean },
): { readonly upkeep: Upkeep; readonly lines: readonly string[] } {
  const lines: string[] = [];
  const tell = async (line: string): Promise<void> => {
    if (lines.length < BOUNDS.upkeepLinesMax) lines.push(line);
    if (progress) await call.warn(`${line}\n`);
  };
  return { upkeep: { repository, tell, signal: call.signal }, lines };
}

async function fsck(call: Call, repository: Repository): Promise<Answer> {
  const { upkeep, lines } = listen(call, repository, { progress: true });
  const ended = await call.parts.catalogue.fsck(upkeep);
  const sound = ended.kind === 'ok';
  const json = { repository: repository.name, sound, problems: sound ? [] : lines };
  const text = sound ? `${repository.name} is sound\n` : `${repository.name} is damaged: ${ended.reason}\n`;
  return { kind: 'done', json, text, exit: sound ? 0 : 1 };
}
