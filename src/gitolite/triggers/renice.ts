/**
 * `renice`: the client's own process is made nicer, as gitolite does. What the gate's processes cost is the same for
 * every request, so that nobody's request can hold up another's.
 */
import { constants, setPriority } from 'node:os';
import type { BuiltInTrigger } from './trigger.ts';

const NICE_BY_DEFAULT = 10;

export const RENICE: BuiltInTrigger = {
  name: 'renice',
  async run(run, { own: [nice] }) {
    const pid = Number(run.env['GL_TID']);
    const priority = nice === undefined ? NICE_BY_DEFAULT : Number(nice);
    if (!Number.isInteger(pid) || pid <= 1 || pid === process.pid || !Number.isInteger(priority)) return;
    try {
      setPriority(pid, Math.max(0, Math.min(priority, constants.priority.PRIORITY_LOW)));
    } catch {
      // The process is not there any more, or not ours: nothing hangs on it.
    }
  },
};
