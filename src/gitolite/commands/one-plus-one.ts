/** `1plus1`: runs a command of which one run at a time is enough, and one that waits for it. */
import { runInstalled } from '../installed.ts';
import type { Site } from '../site.ts';
import { showUsage } from '../usage.ts';
import type { SiteCommand } from './command.ts';

/** By what they lock: when the one that runs ends, and whether another waits for that. */
const RUNNING = new WeakMap<Site, Map<string, { readonly end: Promise<unknown>; hasNext: boolean }>>();

export const onePlusOne: SiteCommand = {
  name: '1plus1',
  summary: 'run a command, unless it runs and another run waits already',
  usage: `
Usage:  gitolite 1plus1 LOCK COMMAND ARGUMENTS

While a command with the same LOCK runs, one more waits; what comes after that goes home: the one that waits does its work.

`,
  async run(run, [lock = '', file = '', ...args]) {
    if (lock === '' || file === '') return showUsage(run, onePlusOne);
    const running = RUNNING.get(run.site) ?? new Map();
    RUNNING.set(run.site, running);
    const before = running.get(lock);
    if (before?.hasNext === true) {
      await run.warn(`INFO: nothing to do/queue; '${lock}' already running and 1 in queue\n`);
      return 0;
    }
    if (before !== undefined) {
      before.hasNext = true;
      await before.end;
    }
    const end = runInstalled(run, { file, args, stdin: 'inherit' });
    const entry = { end: end.catch(() => {}), hasNext: false };
    running.set(lock, entry);
    try {
      await end;
    } finally {
      if (running.get(lock) === entry && !entry.hasNext) running.delete(lock);
    }
    return 0;
  },
};
