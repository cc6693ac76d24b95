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
  const { complaints, ...given } = await getOptionsAnyhow(run, args, specs);
  return complaints.length === 0 ? given : undefined;
}

/** Whatever could be read, for commands that go on after they complained. */
export async function getOptionsAnyhow(
  run: Run,
  args: readonly string[],
  specs: readonly OptionSpec[],
): Promise<GivenOptions & { readonly complaints: readonly string[] }> {
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
    const [fit, ...others] = fitting(word.toLowerCase(), specs);
    if (fit === undefined) complaints.push(`Unknown option: ${word.toLowerCase()}`);
    else if (others.length > 0) complaints.push(ambiguous(word.toLowerCase(), [fit, ...others]));
    else if (fit.spec.takesValue !== true) {
      if (written === undefined) options.set(fit.spec.names[0], '');
      else complaints.push(`Option ${fit.name} does not take an argument`);
    } else {
      const value = written ?? waiting.pop();
      if (value === undefined) complaints.push(`Option ${fit.name} requires an argument`);
      else options.set(fit.spec.names[0], value);
    }
  }
  for (const complaint of complaints) await glWarn(run, `${complaint}\n`);
  return { options, operands, complaints };
}

interface Fit {
  readonly spec: OptionSpec;
  /** As it would be written out. */
  readonly name: string;
}

/** One where it is clear what is meant, with its first name where several of its names would fit. */
function fitting(word: string, specs: readonly OptionSpec[]): readonly Fit[] {
  const all = specs.flatMap((spec) => spec.names.map((name) => ({ spec, name })));
  const exact = all.filter(({ name }) => name === word);
  const found = exact.length > 0 ? exact : all.filter(({ name }) => name.startsWith(word));
  const [first] = found;
  if (first === undefined || found.length === 1) return found;
  return found.every(({ spec }) => spec === first.spec) ? [{ ...first, name: first.spec.names[0] }] : found;
}

function ambiguous(word: string, fits: readonly Fit[]): string {
  const names = fits.map(({ name }) => name).sort();
  return `Option ${word} is ambiguous (${names.join(', ')})`;
}
