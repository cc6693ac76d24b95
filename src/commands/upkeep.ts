/** `gc`, `fsck`, `count-objects`: a repository's upkeep, by its owner or an administrator. */
import { BOUNDS } from '../base/bounds.ts';
import { formatBytes } from '../base/units.ts';
import { conditionOf } from '../repository/condition.ts';
import type { HousekeepingStatus, UpkeepRecord } from '../repository/housekeeper.ts';
import type { Upkeep } from '../repository/upkeep.ts';
import type { Repository } from '../repository/repository.ts';
import { findReadable } from './answer.ts';
import { done, type Answer, type Call, type Command } from './command.ts';
import { count, fields, shortTime } from './table.ts';

/** What these commands ask of the housekeeper. */
export interface Housekeeping {
  status(): Promise<HousekeepingStatus>;
  record(id: string): Promise<UpkeepRecord>;
}

export const UPKEEP_COMMANDS: readonly Command[] = [
  {
    form: 'gc [REPO]',
    summary: 'Pack a repository, and drop what nothing has reached for two weeks',
    details: [
      'The gate looks after repositories by itself: after pushes, and once a day after all of them. With --status it says how that goes, of one repository or of all.',
    ],
    flags: [{ name: '--status', meaning: 'do nothing; say what is untidy, what runs, and what failed' }],
    examples: ['gc hello', 'gc hello --status', 'gc --status'],
    scope: 'admin',
    permission: { kind: 'open' },
    run: gc,
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

async function gc(call: Call): Promise<Answer> {
  const { args, parts } = call;
  const name = args.optional('REPO');
  if (name === undefined) {
    if (!args.has('--status')) return { kind: 'usage', reason: 'gc REPO, or gc --status' };
    const decision = call.ask({ operation: 'administer', action: 'gc_status' });
    return decision.kind === 'refused' ? { kind: 'forbidden', decision } : siteStatus(call);
  }
  const found = await findReadable(call, name);
  if (found.kind !== 'found') return found;
  const { repository } = found;
  const decision = call.ask({ operation: 'configure', action: 'gc', repository });
  if (decision.kind === 'refused') return { kind: 'forbidden', decision };
  if (args.has('--status')) return repositoryStatus(call, repository);
  const { upkeep } = listen(call, repository, { progress: true });
  const ended = await parts.catalogue.gc(upkeep);
  if (ended.kind === 'refused') return ended;
  parts.refs.forget(repository.id);
  return done({ repository: repository.name, collected: true }, `collected garbage in ${repository.name}\n`);
}

async function repositoryStatus({ parts }: Call, repository: Repository): Promise<Answer> {
  const condition = await conditionOf(repository.path);
  const record = await parts.housekeeping.record(repository.id);
  const json = { repository: repository.name, ...condition, ...recordJson(record) };
  const text = fields([
    ['packs', String(condition.packs)],
    ['bytes', formatBytes(condition.packBytes)],
    ['loose objects', `about ${condition.looseObjects}`],
    ['loose refs', String(condition.looseRefs)],
    ['bitmap', condition.hasBitmap ? 'yes' : 'no'],
    ['packs rolled', timeOf(record.rolledAt)],
    ['garbage dropped', timeOf(record.collectedAt)],
    ...(record.failures === 0
      ? []
      : [
          [
            'failed',
            `${count(record.failures, 'time')}, last ${timeOf(record.failedAt)}: ${record.reason ?? ''}`,
          ] as const,
        ]),
  ]);
  return done(json, text);
}

/** Exit 1 where some repository cannot be tidied. */
async function siteStatus({ parts }: Call): Promise<Answer> {
  const { isOn, running, queued, noted, sweptAt, failing } = await parts.housekeeping.status();
  const nameOf = async (id: string): Promise<string> => (await parts.catalogue.byId(id))?.name ?? id;
  const runs = await Promise.all(running.map(async (run) => ({ ...run, repository: await nameOf(run.id) })));
  const fails = await Promise.all(failing.map(async (each) => ({ ...each, repository: await nameOf(each.id) })));
  const text = fields([
    ['housekeeping', isOn ? 'on' : 'off (housekeeping.tasks-max is 0)'],
    ...runs.map(
      ({ repository, kind, ms }) => ['running', `${kind} of ${repository}, ${Math.round(ms / 1000)} s`] as const,
    ),
    ['waiting', String(queued)],
    ['pushed to lately', String(noted)],
    ['all looked at', timeOf(sweptAt)],
    ...fails.map(
      ({ repository, failures, reason = '' }) =>
        ['failing', `${repository}: ${count(failures, 'time')}: ${reason}`] as const,
    ),
  ]);
  const json = {
    on: isOn,
    running: runs.map(({ repository, kind, ms }) => ({ repository, kind, ms: Math.round(ms) })),
    waiting: queued,
    pushedTo: noted,
    sweptAt: sweptAt === undefined ? null : new Date(sweptAt).toISOString(),
    failing: fails.map((each) => ({ repository: each.repository, ...recordJson(each) })),
  };
  return { kind: 'done', json, text, exit: fails.length === 0 ? 0 : 1 };
}

function recordJson({ rolledAt, collectedAt, failures, failedAt, reason }: UpkeepRecord) {
  const time = (at: number | undefined): string | null => (at === undefined ? null : new Date(at).toISOString());
  return {
    rolledAt: time(rolledAt),
    collectedAt: time(collectedAt),
    failures,
    failedAt: time(failedAt),
    reason: reason ?? null,
  };
}

function timeOf(at: number | undefined): string {
  return at === undefined ? 'never' : shortTime(at);
}

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
