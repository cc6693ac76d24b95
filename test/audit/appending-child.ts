/**
 * Appends and records until it is killed, and prints each acknowledged request. Arguments: the journal
 * directory, a prefix for the requests.
 */
import { writeSync } from 'node:fs';
import { openJournal } from '../../src/audit/journal.ts';
import { SILENT_LOG } from '../../src/audit/log.ts';
import { systemClock } from '../../src/base/clock.ts';
import { entry } from './desk.ts';

const [directory = '', prefix = ''] = process.argv.slice(2);
const journal = await openJournal({
  directory,
  clock: systemClock,
  log: SILENT_LOG,
  rotateBytes: 20_000,
  expected: true,
});
let next = 0;

async function append(): Promise<never> {
  for (;;) {
    const request = `${prefix}/${next}`;
    next += 1;
    journal.record(entry({ request: `${request}/read`, reason: 'x'.repeat(next % 500) }));
    await journal.append(entry({ request }));
    writeSync(1, `${request}\n`);
  }
}

await Promise.all(Array.from({ length: 4 }, append));
