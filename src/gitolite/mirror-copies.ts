/** Copies of repositories on other servers, as options of the conf name them: the master, and the copies. */
import { configMatching } from './options.ts';
import { wordsOf } from './rc-value.ts';
import type { Run } from './run.ts';
import { dies } from './words.ts';

/** Every server that some `mirror.copies` option of the repository names, sorted. */
export async function copiesOf(run: Run, name: string): Promise<readonly string[]> {
  const options = await configMatching(run, { name, pattern: String.raw`^gitolite-options\.mirror\.copies.*` });
  return [...new Set([...options.values()].flatMap(wordsOf))].sort();
}

/** Empty: none is named. @throws `dies` where there are several. */
export async function masterOf(run: Run, name: string): Promise<string> {
  const options = await configMatching(run, { name, pattern: String.raw`^gitolite-options\.mirror\.master$` });
  const masters = [...options.values()].flatMap(wordsOf);
  if (masters.length > 1) throw dies(`'${name}' seems to have more than one master`);
  return masters[0] ?? '';
}
