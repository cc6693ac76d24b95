/** Rotates the vault's key until it is killed at the step that it was told. Started by `vault.test.ts`. */
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { openSqliteStore } from '../../src/store/sqlite.ts';
import { keyFile } from '../../src/upstream/vault-keys.ts';
import { Vault } from '../../src/upstream/vault.ts';

const [data = '', step = ''] = process.argv.slice(2);
const store = await openSqliteStore({ path: join(data, 'gatehouse.db') });
const vault = await Vault.open({
  store,
  clock: systemClock,
  keys: keyFile(join(data, 'vault.key')),
  onRekeyStep: (reached) => {
    if (reached === step) process.kill(process.pid, 'SIGKILL');
  },
});
await vault.rekey();
process.stdout.write('rotated\n');
