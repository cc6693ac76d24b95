/** Where a gate's repositories lie. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The bare repository whose configuration says that it is `name`. */
export function findRepository(data: string, name: string): string | undefined {
  // Not below the repositories: the gate is clearing up there.
  for (const path of globSync(join(data, 'repositories', '*/*/*.git'))) {
    const config = readFileSync(join(path, 'config'), 'utf8');
    if (new RegExp(`^\\s*name = ${name}$`, 'm').test(config)) return path;
  }
  return undefined;
}
