/**
 * The first start in an empty data directory: the administrator with keys and a token, and `gatehouse-admin` with
 * the house ruleset as its first commit. Each part asks whether it is there already, so that a start after a
 * crash anywhere in between goes on where the last one stopped.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { Fault } from '../base/fault.ts';
import type { Config } from '../base/config.ts';
import { writeFileDurably } from '../base/durable.ts';
import type { Directory } from '../identity/directory.ts';
import { parseUserName, type UserName } from '../identity/principal.ts';
import { parsePublicKey } from '../identity/public-key.ts';

export interface FirstStart {
  readonly administrator: UserName;
  /** This start made the administrator. */
  readonly made: boolean;
}

/** @throws Fault 'usage' where the name or a key cannot be used. */
export async function ensureAdministrator(
  directory: Directory,
  options: Pick<Config, 'settings' | 'dataDirectory' | 'administratorKeys'>,
): Promise<FirstStart> {
  const { settings, dataDirectory } = options;
  const there = await directory.administrator();
  const name = settings.admin === '' ? loginName() : settings.admin;
  const given = options.administratorKeys;
  const keys = there === undefined ? (given ?? administratorKeys(settings.adminKeys)) : [];
  const ensured = await directory.ensureAdministrator({ name, keys });
  if (ensured.kind === 'refused') {
    throw new Fault('usage', 'administrator cannot be made', { publicMessage: ensured.reason });
  }
  if (ensured.value.kind === 'present') return { administrator: ensured.value.name, made: false };
  // Only when the secret is on disk is the administrator settled: a crash in between issues another.
  await writeFileDurably(join(dataDirectory, 'admin-token'), `${ensured.value.secret}\n`, { mode: 0o600 });
  await ensured.value.settle();
  return { administrator: ensured.value.name, made: true };
}

function loginName(): string {
  const { username, uid } = userInfo();
  const parsed = parseUserName(username);
  return uid === 0 || parsed.kind === 'refused' ? 'admin' : parsed.value;
}

/** The named files must be readable; of the caller's own `~/.ssh/id_*.pub`, those that are. */
function administratorKeys(files: readonly string[]): readonly string[] {
  if (files.length > 0) return files.map(readKeyFile);
  const directory = join(homedir(), '.ssh');
  let names: readonly string[];
  try {
    names = readdirSync(directory).filter((name) => /^id_[\w.-]+\.pub$/.test(name));
  } catch {
    return [];
  }
  return names.toSorted().flatMap((name) => {
    try {
      return usableKeys(readFileSync(join(directory, name), 'utf8'));
    } catch {
      return [];
    }
  });
}

/** Keys of kinds that this gate does not take (security tokens, DSA) are passed over where nobody named them. */
function usableKeys(text: string): readonly string[] {
  return parsePublicKey(text).kind === 'ok' ? [text.trim()] : [];
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    const publicMessage = `--admin-key ${path} cannot be read`;
    throw new Fault('usage', 'administrator key cannot be read', { cause, context: { path }, publicMessage });
  }
}
