/** `home/CREATOR/notes` for `home/ada/notes` of ada's: the name under which patterns know a repository that somebody made. */

/** Undefined: the creator's name does not occur. */
export function genericName(name: string, creator: string): string | undefined {
  if (creator === '') return undefined;
  const parts = partsOf(creator);
  for (let start = 0; start < name.length; start += 1) {
    if (!isWordEdge(name, start)) continue;
    const end = matchEnd(name, start, parts);
    if (end === undefined) continue;
    const generic = `${name.slice(0, start)}CREATOR${name.slice(end)}`;
    return generic === name ? undefined : generic;
  }
  return undefined;
}

/** One character of the creator's name. Gitolite takes it for a Perl pattern: `.` is any character, `+` repeats. */
interface Part {
  readonly c: string;
  readonly isRepeated: boolean;
}

function partsOf(creator: string): readonly Part[] {
  return [...creator.matchAll(/([^+])(\+*)/g)].map(([, c = '', plus = '']) => ({ c, isRepeated: plus !== '' }));
}

/** Where the longest way through ends, a word's edge behind it; each place is tried once. */
function matchEnd(name: string, start: number, parts: readonly Part[]): number | undefined {
  const dead = new Set<string>();
  const walk = (at: number, part: number, isAgain: boolean): number | undefined => {
    const key = `${at} ${part} ${isAgain}`;
    if (dead.has(key)) return undefined;
    const wanted = parts[part];
    if (wanted === undefined) return isWordEdge(name, at) ? at : undefined;
    const isMatch = at < name.length && (wanted.c === '.' || name.charAt(at) === wanted.c);
    const taken = isMatch ? walk(at + 1, wanted.isRepeated ? part : part + 1, wanted.isRepeated) : undefined;
    const end = taken ?? (isAgain ? walk(at, part + 1, false) : undefined);
    if (end === undefined) dead.add(key);
    return end;
  };
  return walk(start, 0, false);
}

function isWordEdge(text: string, at: number): boolean {
  return /\w/.test(text.charAt(at - 1)) !== /\w/.test(text.charAt(at));
}
