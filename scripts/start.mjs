/** `npm start`: all set-up, then the gate, with the arguments after `--`. */
import { join } from 'node:path';
import { runChild } from './child.mjs';
import { ROOT, setUpOrExit } from './setup.mjs';

const { node } = setUpOrExit();
process.exitCode = await runChild({
  program: node,
  args: [join(ROOT, 'src', 'main.ts'), 'serve', ...process.argv.slice(2)],
  // A terminal's Ctrl-C reaches the gate directly, through npm and through this process: `signals.ts` counts
  // such a burst as one signal when it knows that it was started here.
  env: { ...process.env, GATEHOUSE_STARTED_BY: String(process.pid) },
});
