/**
 * SSH host keys made once for all gates of tests: a new RSA key is half of what a first start costs the processor. A
 * gate finds them as a first start that was cut off behind its keys left them.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LAYOUT_VERSION } from '../../src/store/data-directory.ts';

const CACHE = join(import.meta.dirname, '../../node_modules/.cache');
/** Removed by `npm ci` with the rest of the folder. */
const KEPT = join(CACHE, 'gatehouse-test-host-keys');

/** Puts them into a data directory that is not there yet. A gate makes its own in one that is, and where this cannot be. */
export async function placeHostKeys(data: string): Promise<void> {
  if (existsSync(data)) return;
  try {
    if (!existsSync(KEPT)) await keep();
    mkdirSync(data, { recursive: true, mode: 0o700 });
    cpSync(KEPT, join(data, 'host-keys'), { recursive: true });
    writeFileSync(join(data, 'initialising'), `gatehouse ${LAYOUT_VERSION}\n`, { mode: 0o600 });
  } catch {
    rmSync(data, { recursive: true, force: true });
  }
}

/** Whole or not at all, whoever else is about it at the same time. */
async function keep(): Promise<void> {
  mkdirSync(CACHE, { recursive: true });
  const { loadHostKeys } = await import('../../src/transport/host-keys.ts');
  const made = mkdtempSync(join(CACHE, 'host-keys-'));
  try {
    await loadHostKeys(made);
    renameSync(made, KEPT);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    if (!existsSync(KEPT)) throw error;
  }
}
