/** Switches of a command line as Perl's Getopt::Long reads them: `-lc` and `--lc`, anywhere, in any case, or their beginning. */

export type Switches<Name extends string> =
  | { readonly kind: 'ok'; readonly on: ReadonlySet<Name>; readonly words: readonly string[] }
  | { readonly kind: 'wrong'; readonly complaint: string };

export function parseSwitches<Name extends string>(args: readonly string[], names: readonly Name[]): Switches<Name> {
  const on = new Set<Name>();
  const words: string[] = [];
  for (const [at, arg] of args.entries()) {
    if (arg === '--') return { kind: 'ok', on, words: [...words, ...args.slice(at + 1)] };
    const [, given] = /^--?(.+)$/s.exec(arg) ?? [];
    if (given === undefined) {
      words.push(arg);
      continue;
    }
    const lower = given.toLowerCase();
    const hits = names.includes(lower as Name) ? [lower as Name] : names.filter((name) => name.startsWith(lower));
    const [hit, ...others] = hits;
    if (hit === undefined) return { kind: 'wrong', complaint: `Unknown option: ${given}` };
    if (others.length > 0) return { kind: 'wrong', complaint: `Option ${given} is ambiguous (${hits.join(', ')})` };
    on.add(hit);
  }
  return { kind: 'ok', on, words };
}
