/** A command line as Perl's Getopt::Long reads it: options anywhere, one or two dashes, in any case, shortened while one fits. */
import { glWarn } from './gl-log.ts';
import type { Run } from './run.ts';

export interface OptionSpec {
  /** What it is called; the first stands for it in what was given. */
  readonly names: readonly [string, ...string[]];
  readonly takesValue?: boolean;
}

export interface GivenOptions {
  /** By first name; empty where it takes no value. The last one given counts. */
  readonly options: ReadonlyMap<string, string>;
  readonly operands: readonly string[];
}

/** Undefined: something was wrong, of which the caller was told. */
export async function getOptions(
  run: Run,
  args: readonly string[],
  specs: readonly OptionSpec[],
): Promise<GivenOptions | undefined> {
  const options = new Map<string, string>();
  const operands: string[] = [];
  const complaints: string[] = [];
  const waiting = args.toReversed();
  for (let arg = waiting.pop(); arg !== undefined; arg = waiting.pop()) {
    if (arg === '--') {
      operands.push(...waiting.toReversed());
      break;
    }
    const [, word, written] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    if (word === undefined) {
      operands.push(arg);
      continue;
    }
    const [spec, ...others] = fitting(word.toLowerCase(), specs);
    if (spec === undefined) complaints.push(`Unknown option: ${word}`);
    else if (others.length > 0) complaints.push(`Option ${word} is ambiguous`);
    else if (spec.takesValue !== true) {
      if (written === undefined) options.set(spec.names[0], '');
      else complaints.push(`Option ${word} does not take an argument`);
    } else {
      const value = written ?? waiting.pop();
      if (value === undefined) complaints.push(`Option ${word} requires an argument`);
      else options.set(spec.names[0], value);
    }
  }
  for (const complaint of complaints) await glWarn(run, `${complaint}\n`);
  return complaints.length === 0 ? { options, operands } : undefined;
}

function fitting(word: string, specs: readonly OptionSpec[]): readonly OptionSpec[] {
  const exact = specs.filter(({ names }) => names.includes(word));
  return exact.length > 0 ? exact : specs.filter(({ names }) => names.some((name) => name.startsWith(word)));
}
