/**
 * What is typed behind the name of a bench, a soak or a comparison: switches, counts and texts by name, the same for all of
 * them. `--help` shows them; what is wrong is said in a line or two, with exit code 2.
 */
import { parseArgs } from 'node:util';

type Flag =
  | { readonly kind: 'switch'; readonly about: string }
  /** A whole number, from 0 unless `least` says otherwise. */
  | { readonly kind: 'count'; readonly about: string; readonly default?: number; readonly least?: number }
  | { readonly kind: 'text'; readonly about: string; readonly value: string };

interface Program<F extends Readonly<Record<string, Flag>>> {
  /** As it is typed, up to its flags. */
  readonly call: string;
  readonly about: string;
  readonly flags: F;
  /** Words that may stand before the flags, with what they are for. */
  readonly words?: Readonly<Record<string, string>>;
  /** Typed behind `call`. */
  readonly examples: readonly string[];
}

export type AnyProgram = Program<Readonly<Record<string, Flag>>>;

type ValueOf<F extends Flag> = F extends { readonly kind: 'switch' }
  ? boolean
  : F extends { readonly kind: 'text' }
    ? string | undefined
    : F extends { readonly default: number }
      ? number
      : number | undefined;

type Values<F extends Readonly<Record<string, Flag>>> = { readonly [K in keyof F]: ValueOf<F[K]> };

/** What a program goes on with; or that it ends here with this exit code, everything being said. */
type Flags<F extends Readonly<Record<string, Flag>>> =
  | { readonly kind: 'go'; readonly values: Values<F>; readonly words: readonly string[] }
  | { readonly kind: 'end'; readonly code: number };

/** Reads what was typed, and answers `--help` and mistakes. */
export function readFlags<const F extends Readonly<Record<string, Flag>>>(
  program: Program<F>,
  args: readonly string[],
): Flags<F> {
  try {
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: optionsOf(program) });
    if (values['help'] === true) {
      process.stdout.write(helpOf(program));
      return { kind: 'end', code: 0 };
    }
    const odd = positionals.find((word) => !Object.hasOwn(program.words ?? {}, word));
    if (odd !== undefined) throw new Error(`'${odd}' means nothing here`);
    const entries = Object.entries(program.flags).map(([name, flag]) => [name, valueOf(name, flag, values[name])]);
    return { kind: 'go', values: Object.fromEntries(entries) as Values<F>, words: positionals };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    process.stderr.write(`${said}\n${program.call} --help shows what there is\n`);
    return { kind: 'end', code: 2 };
  }
}

/** As `readFlags`, for a program that is a process of its own: ends it where there is nothing to go on with. */
export function flagsOrExit<const F extends Readonly<Record<string, Flag>>>(
  program: Program<F>,
  args = process.argv.slice(2),
): { readonly values: Values<F>; readonly words: readonly string[] } {
  const flags = readFlags(program, args);
  if (flags.kind === 'end') process.exit(flags.code);
  return flags;
}

function optionsOf({ flags }: AnyProgram): Record<string, { type: 'string' | 'boolean' }> {
  const own = Object.entries(flags).map(
    ([name, { kind }]) => [name, { type: kind === 'switch' ? 'boolean' : 'string' }] as const,
  );
  return { ...Object.fromEntries(own), help: { type: 'boolean' } };
}

/** @throws Error with what is wrong with it */
function valueOf(name: string, flag: Flag, given: string | boolean | undefined): boolean | number | string | undefined {
  if (flag.kind === 'switch') return given === true;
  if (flag.kind === 'text') return typeof given === 'string' ? given : undefined;
  if (given === undefined) return flag.default;
  const least = flag.least ?? 0;
  const count = /^\d{1,15}$/.test(String(given)) ? Number(given) : -1;
  if (count < least) throw new Error(`--${name} takes a whole number from ${least} on, not '${given}'`);
  return count;
}

function helpOf({ call, about, flags, words = {}, examples }: AnyProgram): string {
  const rows = [
    ...Object.entries(words),
    ...Object.entries(flags).map(([name, flag]) => [shown(name, flag), meaning(flag)] as const),
    ['--help', 'this'] as const,
  ];
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
  const typed = examples.map((words) => `  ${call} ${words}`.trimEnd());
  return `${about}\n\nUsage: ${call} [FLAGS]\n\n${lines.join('\n')}\n\nExamples:\n${typed.join('\n')}\n`;
}

function shown(name: string, flag: Flag): string {
  return flag.kind === 'switch' ? `--${name}` : `--${name} ${flag.kind === 'count' ? 'N' : flag.value}`;
}

function meaning(flag: Flag): string {
  return flag.kind === 'count' && flag.default !== undefined ? `${flag.about} (default ${flag.default})` : flag.about;
}
