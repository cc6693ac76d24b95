/** The step that keeps what the git configuration of a site's repository forbids: receive.denyDeletes and its like. */
import { isOn, type GitConfig, type GitConfigs } from './git-configs.ts';
import type { Push, RefUpdate, Step, Verdict } from '../../receive/step.ts';
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
