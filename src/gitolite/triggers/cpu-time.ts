/**
 * `CpuTime`: how long a Git request took, in the log and, where the settings say so, for the client to see. The processor
 * time is the gate's own while the request ran, other requests among it; that of git's processes is not known here.
 */
import { glLog } from '../gl-log.ts';
import { scalarOf } from '../rc-value.ts';
import type { BuiltInTrigger } from './trigger.ts';

/** What the first half leaves in the environment for the second. */
const STARTED = 'GL_CPU_TIME_STARTED';

export const CPU_TIME: readonly BuiltInTrigger[] = [
  {
    name: 'CpuTime::input',
    async run({ clock }) {
      const { user, system } = process.cpuUsage();
      return { env: { [STARTED]: `${clock.monotonicMs()} ${user} ${system}` } };
    },
  },
  {
    name: 'CpuTime::post_git',
    async run(run, { args: [repository = '', , , , verb = ''] }) {
      const [startedMs = Number.NaN, user = 0, system = 0] = (run.env[STARTED] ?? '').split(' ').map(Number);
      if (Number.isNaN(startedMs)) return;
      const used = process.cpuUsage();
      const seconds = { user: (used.user - user) / 1e6, system: (used.system - system) / 1e6 };
      const elapsed = (run.clock.monotonicMs() - startedMs) / 1000;
      await glLog(run, 'times', ...[seconds.user, seconds.system, 0, 0, elapsed].map(String));
      const limit = scalarOf(run.rc.values['CPU_TIME_WARN_LIMIT']);
      const total = seconds.user + seconds.system;
      if (Number(limit) > 0 && total > Number(limit)) await run.warn(`limit = ${limit}, actual = ${total}\n`);
      const shown = scalarOf(run.rc.values['DISPLAY_CPU_TIME']);
      if (shown === '' || shown === '0') return;
      await run.warn(
        `perf stats for ${verb} on repo '${repository}':\n  user CPU time: ${seconds.user}\n` +
          `  sys  CPU time: ${seconds.system}\n   elapsed time: ${elapsed}\n`,
      );
    },
  },
];
