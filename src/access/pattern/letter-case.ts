/** Letters that differ in case only, by Unicode's simple folding: the Kelvin sign is a k, the long s an s. */

/** @returns the others, for a code unit that is a whole character. */
export function otherCases(code: number): readonly number[] {
  return orbits().get(code) ?? [];
}

let known: ReadonlyMap<number, readonly number[]> | undefined;

/** Made at the first need, some 20 ms. */
function orbits(): ReadonlyMap<number, readonly number[]> {
  if (known !== undefined) return known;
  const groups = new Map<number, Set<number>>();
  for (let code = 0; code <= 0xff_ff; code += 1) {
    const text = String.fromCharCode(code);
    for (const other of [text.toLowerCase(), text.toUpperCase()]) {
      const target = other.charCodeAt(0);
      if (target === code || other.length !== 1 || !foldTogether(code, other)) continue;
      const merged = new Set([code, target, ...(groups.get(code) ?? []), ...(groups.get(target) ?? [])]);
      for (const member of merged) groups.set(member, merged);
    }
  }
  known = new Map([...groups].map(([code, group]) => [code, [...group].filter((one) => one !== code)]));
  return known;
}

/** Turkish letters without a dot turn into others, but are none of them. */
function foldTogether(code: number, other: string): boolean {
  return new RegExp(`^\\u{${code.toString(16)}}$`, 'iu').test(other);
}
