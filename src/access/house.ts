/** What a new `gatehouse-admin` is filled with: the house ruleset and its scenarios, from `house/`. */
import { readdirSync, readFileSync } from 'node:fs';
import type { PolicySources } from './compile.ts';

const HOUSE = new URL('house/', import.meta.url);

/** Path in the policy repository -> text, read from disk at each call; sorted by path. */
export function houseFiles(): PolicySources {
  const files = new Map<string, string>();
  for (const [directory, extension] of [
    ['rules', '.lace'],
    ['scenarios', '.yarn'],
  ] as const) {
    for (const name of readdirSync(new URL(`${directory}/`, HOUSE)).toSorted()) {
      if (!name.endsWith(extension)) continue;
      files.set(`${directory}/${name}`, readFileSync(new URL(`${directory}/${name}`, HOUSE), 'utf8'));
    }
  }
  return files;
}
