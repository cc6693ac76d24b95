/** Claims the directory given, prints the state or what it was told, and holds it until standard input ends. */
import { writeSync } from 'node:fs';
import { Fault } from '../../src/base/fault.ts';
import { claimDataDirectory } from '../../src/store/data-directory.ts';

try {
  const claimed = await claimDataDirectory(process.argv[2] ?? '');
  writeSync(1, `${claimed.state}\n`);
  // The claim lives as long as the process: a dropped reference must not end it.
  process.stdin.resume();
} catch (error) {
  writeSync(1, `${error instanceof Fault ? (error.publicMessage ?? error.message) : String(error)}\n`);
}
