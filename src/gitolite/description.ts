/** What a repository of a site says it is for. */
import { repositoryPath } from './disk.ts';
import { configOf } from './options.ts';
import type { Run } from './run.ts';
import { readSiteFile } from './site-file.ts';

/** What the conf says, else what the repository's own file does; one character a byte. */
export async function descriptionOf(run: Run, name: string): Promise<string> {
  const config = await configOf(run, name);
  const configured = config.get('gitweb.description');
  if (configured !== undefined) return Buffer.from(configured).toString('latin1');
  const text = await readSiteFile(`${repositoryPath(run.rc, name)}/description`);
  return (text?.toString('latin1') ?? '').replace(/\n$/, '');
}
