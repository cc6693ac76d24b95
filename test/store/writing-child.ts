/**
 * Writes transactions of two objects until it is killed, several at once, and prints the number of each
 * when it was acknowledged. Arguments: the store file, the first number.
 */
import { writeSync } from 'node:fs';
import { openSqliteStore } from '../../src/store/sqlite.ts';

const [path = '', first = '0'] = process.argv.slice(2);
const store = await openSqliteStore({ path });
let next = Number(first);

async function write(): Promise<never> {
  for (;;) {
    const number = next;
    next += 1;
    await store.transact({
      writes: [
        { kind: 'user', key: `n${number}`, put: number },
        { kind: 'group', key: `n${number}`, put: number },
      ],
    });
    writeSync(1, `${number}\n`);
  }
}

await Promise.all(Array.from({ length: 6 }, write));
