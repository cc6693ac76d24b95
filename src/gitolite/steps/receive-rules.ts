/** The step that keeps what the git configuration of a site's repository forbids: receive.denyDeletes and its like. */
import { isOn, type GitConfig, type GitConfigs } from './git-configs.ts';
import type { Push, RefUpdate, Step, Verdict } from '../../receive/step.ts';
import type { ReceiveConfig } from '../../receive/limits.ts';
import type { Repository } from '../../repository/repository.ts';
import type { Runs } from '../runs.ts';

export interface ReceiveRulesOptions {
  readonly runs: Pick<Runs, 'of'>;
  readonly configs: GitConfigs;
}

export function createReceiveRulesStep({ runs, configs }: ReceiveRulesOptions): Step {
  return {
    name: 'receive-rules',
    async before(push) {
      const run = push.repository.conf === undefined ? undefined : runs.of(push.requestId);
      if (run === undefined) return [];
      const config = await configs.of(run, push.repository.path);
      return push.updates.flatMap((update) => verdictOf(push, update, config) ?? []);
    },
    check: () => Promise.resolve([]),
  };
}

/** What else of it counts: for the part that takes the pack in. */
export function receiveConfigOf({ runs, configs }: ReceiveRulesOptions) {
  return async (repository: Repository, requestId: string): Promise<ReceiveConfig | undefined> => {
    const run = repository.conf === undefined ? undefined : runs.of(requestId);
    if (run === undefined) return undefined;
    const config = await configs.of(run, repository.path);
    const bytes = bytesOf(config.get('receive.maxinputsize'));
    return {
      ...(bytes === 0 ? {} : { packBytesMax: bytes }),
      isStrict: isOn(config, config.has('receive.fsckobjects') ? 'receive.fsckobjects' : 'transfer.fsckobjects'),
      fsck: new Map([...config].flatMap(([key, value]) => fsckEntry(key, value))),
      mayDeleteHead: /^(?:ignore|warn|false|no|off|0)$/i.test(config.get('receive.denydeletecurrent') ?? ''),
    };
  };
}

function fsckEntry(key: string, value: string): readonly (readonly [string, string])[] {
  const message = /^receive\.fsck\.([a-z0-9]+)$/i.exec(key)?.[1];
  return message === undefined ? [] : [[message.toLowerCase(), value.toLowerCase()]];
}

/** As git reads a size: `500k`, `1g`. Zero: none. */
function bytesOf(text = ''): number {
  const [, digits, unit = ''] = /^(\d{1,12})([kmg]?)$/i.exec(text) ?? [];
  return Number(digits ?? 0) * 1024 ** ' kmg'.indexOf(unit === '' ? ' ' : unit.toLowerCase());
}

/** In git's words, which its clients show. */
function verdictOf({ tell }: Push, { refname, kind }: RefUpdate, config: GitConfig): Verdict | undefined {
  if (!refname.startsWith('refs/heads/')) return undefined;
  if (kind === 'delete' && isOn(config, 'receive.denydeletes')) {
    tell(`error: denying ref deletion for ${refname}\n`);
    return { refname, reason: 'deletion prohibited', rule: 'receive.denyDeletes' };
  }
  if (kind === 'rewind' && isOn(config, 'receive.denynonfastforwards')) {
    tell(`error: denying non-fast-forward ${refname} (you should pull first)\n`);
    return { refname, reason: 'non-fast-forward', rule: 'receive.denyNonFastForwards' };
  }
  return undefined;
}
