/** Set-up, then Node with the arguments as given: `node scripts/run.mjs FILE.ts ...`, `... --test FILE`. */
import { runChild } from './child.mjs';
import { ROOT, setUpOrExit } from './setup.mjs';

const { node } = setUpOrExit({ tests: true });
process.exitCode = await runChild({ program: node, args: process.argv.slice(2), cwd: ROOT });
