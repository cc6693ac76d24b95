/**
 * The conf as it was last put in force, kept beside the files: those may be changed, or be wrong, while nobody compiles them,
 * and a gate that starts meanwhile must not put them in force by itself.
 */
import { SUGARS } from '../access/gitolite/conf-settings.ts';
import { settingsOf, readSources, type SiteSources } from './conf-sources.ts';
import { statOf, writeText } from './disk.ts';
import type { Rc } from './rc.ts';
import { readFileSync } from 'node:fs';

/** Ends in nothing that an include finds. */
export const IN_FORCE_FILE = 'conf/gitolite.conf-in-force';

export function keepInForce(rc: Rc, { files, settings }: SiteSources): void {
  const kept = {
    files: Object.fromEntries(files),
    hostname: settings.hostname,
    configKeys: settings.configKeys,
    safeConfig: Object.fromEntries(settings.safeConfig),
    unsafeValue: settings.unsafeValue,
    roles: [...settings.roles],
    sugar: settings.sugar,
    keyGroups: Object.fromEntries(settings.keyGroups),
    hasOuterGroups: settings.hasOuterGroups,
  };
  writeText(`${rc.adminBase}/${IN_FORCE_FILE}`, JSON.stringify(kept), rc);
}

/** What was kept; where nothing was, the files as they are. Undefined: there is no conf. */
export function readInForce(rc: Rc): SiteSources | undefined {
  const path = `${rc.adminBase}/${IN_FORCE_FILE}`;
  try {
    if (statOf(path) !== undefined) return parseKept(JSON.parse(readFileSync(path, 'utf8')));
    return readSources(rc);
  } catch {
    return readFilesAsTheyAre(rc);
  }
}

function readFilesAsTheyAre(rc: Rc): SiteSources | undefined {
  try {
    return { ...readSources(rc), settings: settingsOf(rc) };
  } catch {
    return undefined;
  }
}

/** @throws TypeError where it is not what `keepInForce` writes. */
function parseKept(value: unknown): SiteSources {
  const kept = tableOf(value);
  const { hostname, unsafeValue } = kept;
  const sugar = listOf(kept['sugar']);
  return {
    files: textTable(kept['files']),
    settings: {
      ...(typeof hostname === 'string' ? { hostname } : {}),
      configKeys: listOf(kept['configKeys']),
      safeConfig: textTable(kept['safeConfig']),
      ...(typeof unsafeValue === 'string' ? { unsafeValue } : {}),
      roles: new Set(listOf(kept['roles'])),
      sugar: SUGARS.filter((one) => sugar.includes(one)),
      keyGroups: new Map(Object.entries(tableOf(kept['keyGroups'])).map(([group, users]) => [group, listOf(users)])),
      hasOuterGroups: kept['hasOuterGroups'] === true,
    },
  };
}

function tableOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError('no table');
  return Object.fromEntries(Object.entries(value));
}

function textTable(value: unknown): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(tableOf(value)).map(([key, text]) => {
      if (typeof text !== 'string') throw new TypeError('no text');
      return [key, text];
    }),
  );
}

function listOf(value: unknown): readonly string[] {
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string')) throw new TypeError('no list of texts');
  return value;
}
