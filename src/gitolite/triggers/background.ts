/** `bg TRIGGER`: nobody waits for what the trigger behind it does. What that says goes to a file beside the log. */
import { appendFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { findProgram, runProgram } from '../programs.ts';
import type { TriggerPoint } from '../rc.ts';
import type { Run } from '../run.ts';
import type { BuiltInTrigger } from './trigger.ts';

interface About {
  readonly point: TriggerPoint | undefined;
  readonly own: readonly string[];
  readonly args: readonly string[];
}

/** @param find the built-in of that name. */
export function backgroundTrigger(find: (name: string) => BuiltInTrigger | undefined): BuiltInTrigger {
  return {
    name: 'bg',
    async run(run, about) {
      const [name] = about.own;
      if (name === undefined) return;
      const said = quietly(run);
      await said.warn(
        `${new Date(run.clock.now()).toString()} ${run.env['GL_TID'] ?? ''} bg: ${[...about.own, about.point ?? '', ...about.args].join(' ')}\n`,
      );
      void follow(said, find(name), about).catch((error: unknown) => said.warn(`bg ${name}: ${String(error)}\n`));
    },
  };
}

async function follow(run: Run, builtIn: BuiltInTrigger | undefined, { point, own, args }: About): Promise<void> {
  const [name = '', ...rest] = own;
  if (builtIn !== undefined) {
    await builtIn.run(run, { point, own: rest, args });
    return;
  }
  const file = await findProgram(run.rc, 'triggers', name);
  if (file === undefined) {
    await run.warn(`bg: ${name} was not found, or cannot be run\n`);
    return;
  }
  await runProgram(run, { file, args: [...rest, ...(point === undefined ? [] : [point]), ...args] });
}

/** The same run without its client: it outlives the request, and nothing it says reaches anybody. */
function quietly(run: Run): Run {
  const file = `${run.env['GL_LOGFILE'] ?? ''}.bg`;
  const write = async (text: string | Uint8Array): Promise<void> => {
    try {
      await appendFile(file, text);
    } catch {
      // Where the log's directory is not there, nobody looks for it.
    }
  };
  return { ...run, stdin: Readable.from([]), print: write, warn: write, signal: new AbortController().signal };
}
