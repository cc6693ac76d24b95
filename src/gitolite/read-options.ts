/** Options of a site's commands, as Perl's Getopt::Long reads them: anywhere, one or two dashes, shortened while one word fits. */
import { glWarn } from './gl-log.ts';
import type { Run } from './run.ts';

export interface Options<Name extends string> {
  readonly given: ReadonlySet<Name>;
  readonly operands: readonly string[];
}

/** @param names each option's long name and its letter. Undefined: one was unknown, of which the caller was told. */
export async function readOptions<Name extends string>(
  run: Run,
  args: readonly string[],
  names: Readonly<Record<Name, string>>,
): Promise<Options<Name> | undefined> {
  const given = new Set<Name>();
  const operands: string[] = [];
  let isKnown = true;
  for (const [index, arg] of args.entries()) {
    if (arg === '--') {
      operands.push(...args.slice(index + 1));
      break;
    }
    if (!/^-./.test(arg)) {
      operands.push(arg);
      continue;
    }
    const word = arg.replace(/^--?/, '');
    const found = fitting(word, names);
    if (found.length === 1 && found[0] !== undefined) given.add(found[0]);
    else {
      isKnown = false;
      const among =
        found.length === 0 ? `Unknown option: ${word}` : `Option ${word} is ambiguous (${found.join(', ')})`;
      await glWarn(run, `${among}\n`);
    }
  }
  return isKnown ? { given, operands } : undefined;
}

function fitting<Name extends string>(word: string, names: Readonly<Record<Name, string>>): readonly Name[] {
  const all = Object.entries<string>(names) as [Name, string][];
  const exact = all.filter(([name, letter]) => name === word || letter === word);
  const fits = exact.length > 0 ? exact : all.filter(([name]) => name.startsWith(word.toLowerCase()));
  return fits.map(([name]) => name);
}
